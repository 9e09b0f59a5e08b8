"""The `nightshift` command, and `python -m nightshift_cli` where it is not on the path.

Loading the rest takes most of a second, in which a person may press Ctrl-C, too.
"""

import sys


def main() -> None:
    """Run the command."""
    try:
        from nightshift_cli.app import app  # noqa: PLC0415 - see above

        app(prog_name="nightshift")
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)  # exits.Exit.INTERRUPTED, which may not be loaded


if __name__ == "__main__":
    main()
