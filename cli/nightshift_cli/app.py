"""The command and its family: which commands there are, and what becomes of their errors."""

from collections.abc import Mapping
from typing import Any, NoReturn

import typer
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from typer.core import TyperGroup

from nightshift.errors import NightshiftError
from nightshift_cli import job, runs
from nightshift_cli.bill import bill
from nightshift_cli.console import put_json, say
from nightshift_cli.costs import costs
from nightshift_cli.doctor import doctor
from nightshift_cli.estimate import estimate
from nightshift_cli.exits import Exit, Refused
from nightshift_cli.forget import forget
from nightshift_cli.lint import lint
from nightshift_cli.orphans import orphans
from nightshift_cli.probe import probe
from nightshift_cli.replay import replay
from nightshift_cli.restore import restore
from nightshift_cli.results import report, results
from nightshift_cli.retry import retry
from nightshift_cli.scan import scan
from nightshift_cli.submit import submit
from nightshift_cli.verify import verify
from nightshift_cli.watch import watch

CREDENTIALS = "No AWS credentials. Set AWS_PROFILE or log in; for the local cloud of `make local`, add --local."

EXITS = "Exit status: " + "; ".join(f"{code.value} {code.meaning}" for code in Exit) + "."


class Family(TyperGroup):
    """The group of all commands: an error that a person can act on is a line on stderr, never a traceback.

    With --json it is an object on stdout, with `error` and `status`.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        json = "--json" in (*ctx._protected_args, *ctx.args)  # noqa: SLF001 - parsed only when they are run
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _tell("interrupted", Exit.INTERRUPTED, json=json)
        except NoCredentialsError:
            _tell(CREDENTIALS, Exit.FAILED, json=json)
        except Refused as error:
            _tell(str(error), error.status, json=json, told=error.told)
        except (NightshiftError, ClientError, BotoCoreError, Boto3Error) as error:
            _tell(str(error), Exit.FAILED, json=json)
        except typer.TyperException as error:  # the command line is wrong
            if not json:
                raise  # typer shows the usage, too
            _tell(error.format_message(), Exit(error.exit_code), json=json)


def _tell(message: str, status: Exit, *, json: bool, told: Mapping[str, Any] | None = None) -> NoReturn:
    """Tell of an error, and end."""
    if json:
        put_json({**(told or {}), "error": message, "status": status})
    else:
        say(message)
    raise typer.Exit(status) from None


app = typer.Typer(
    name="nightshift",
    cls=Family,
    help="Bulk Claude work, overnight, at half price: submit files, look at runs, hold, cancel and resume them.",
    epilog=EXITS,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # it would print local variables, and rows with them
)
app.command()(submit)
app.command("runs")(runs.list_runs)
app.command()(runs.show)
app.command()(results)
app.command()(report)
app.command()(watch)
app.command()(runs.hold)
app.command()(runs.cancel)
app.command()(runs.resume)
app.command()(retry)
app.command()(replay)
app.command()(forget)
app.command()(restore)
app.command()(orphans)
app.command()(verify)
app.command()(estimate)
app.command()(costs)
app.command()(bill)
app.command()(doctor)
app.command()(probe)
app.command()(lint)
app.command()(scan)
app.add_typer(job.app, name="job")
