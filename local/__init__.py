"""The cloud on your desk: the real template, state machine and handlers on one machine, without an AWS account."""
