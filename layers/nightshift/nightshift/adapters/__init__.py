"""The ports' real sides: AWS and the Message Batches API."""
