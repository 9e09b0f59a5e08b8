"""The command and its family: which commands there are, and what becomes of their errors."""

from typing import Any

import typer
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from typer.core import TyperGroup

from nightshift.errors import NightshiftError
from nightshift_cli import job, runs
from nightshift_cli.bill import bill
from nightshift_cli.console import say
from nightshift_cli.costs import costs
from nightshift_cli.doctor import doctor
from nightshift_cli.estimate import estimate
from nightshift_cli.exits import Exit
from nightshift_cli.lint import lint
from nightshift_cli.orphans import orphans
from nightshift_cli.replay import replay
from nightshift_cli.results import report, results
from nightshift_cli.scan import scan
from nightshift_cli.submit import submit
from nightshift_cli.verify import verify
from nightshift_cli.watch import watch

CREDENTIALS = "No AWS credentials. Set AWS_PROFILE or log in; for the local cloud of `make local`, add --local."

EXITS = "Exit status: " + "; ".join(f"{code.value} {code.meaning}" for code in Exit) + "."


class Family(TyperGroup):
    """The group of all commands: an error that a person can act on is a line on stderr, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(Exit.INTERRUPTED) from None
        except NoCredentialsError:
            say(CREDENTIALS)
        except (NightshiftError, ClientError, BotoCoreError, Boto3Error) as error:
            say(str(error))
        raise typer.Exit(Exit.FAILED)


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
app.command()(replay)
app.command()(orphans)
app.command()(verify)
app.command()(estimate)
app.command()(costs)
app.command()(bill)
app.command()(doctor)
app.command()(lint)
app.command()(scan)
app.add_typer(job.app, name="job")
