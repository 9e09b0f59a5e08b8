"""The `nightshift` command: a person's way to runs, on AWS or on the local cloud, with their own credentials."""
