"""`python -m nightshift_cli`: the `nightshift` command, where it is not on the path."""

from nightshift_cli.app import app

app(prog_name="nightshift")
