"""`python -m local`: deploy template.yaml on this machine, print one line of JSON, serve until told to stop.

It stops on SIGTERM, SIGINT and SIGHUP, and when its standard input ends: it never outlives the program that started it.
With `--announce` it was a person who did, in a terminal or in the background, and only a signal stops it.
"""

import argparse
import json
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from local.seams import leave_out_ec2
from local.wire import LocalError

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that end the cloud, in good order."""


def main() -> int:
    """Run the cloud; return the exit status."""
    options = _arguments()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("moto.stepfunctions").setLevel(logging.CRITICAL)  # a failed state is in the feed, without data
    warnings.filterwarnings("ignore", module=r"(moto|samtranslator|boto3|botocore)\b")
    _forget_the_real_aws()
    leave_out_ec2()
    from local.cloud import Cloud, Options  # noqa: PLC0415, only now: moto and boto3 read the environment at import

    parameters = dict(part.split("=", 1) for part in options.param)
    local = options.dynamodb == "local"
    cloud = Cloud(Options(options.template, options.stack, parameters, local, options.enforce_iam))
    for number in STOPS:
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _stop)
    if not options.announce:
        threading.Thread(target=_watch_input, daemon=True).start()
    try:
        facts = cloud.start()
        if options.announce:
            announce(facts, options.announce)
        else:
            print(json.dumps(facts), flush=True)
        threading.Event().wait()
    except LocalError as error:
        print(f"local: {error}", file=sys.stderr)
        return 1
    finally:
        if options.announce:
            options.announce.unlink(missing_ok=True)
        cloud.stop()
    return 0


def announce(facts: Mapping[str, object], file: Path) -> None:
    """Tell a person how to reach the cloud, and the `nightshift` command where it is."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(json.dumps(facts))
    new.replace(file)  # whole or not at all: a command may be reading
    keys = "AWS_ACCESS_KEY_ID=desk AWS_SECRET_ACCESS_KEY=desk"
    print(
        f"The local cloud is at {facts['endpoint']} ({facts['region']}), its Message Batches API at "
        f"{facts['batches_api']}.\nIn another terminal, in this folder:\n\n"
        "  .venvs/product/bin/nightshift job put jobs/ticket-triage.yaml --local\n"
        "  .venvs/product/bin/nightshift submit samples/tickets.jsonl --job ticket-triage --local\n"
        "  .venvs/product/bin/nightshift runs --local\n\n"
        f"Any AWS client can look, too: {keys} aws --endpoint-url {facts['endpoint']} s3 ls\n"
        "Ctrl-C ends it, and with it all that is in it.",
        flush=True,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument("--template", type=Path, default=Path("template.yaml"), help="or .aws-sam/build/template.yaml")
    parser.add_argument("--stack", default="nightshift", help="name of the stack")
    parser.add_argument("--param", action="append", default=[], metavar="K=V", help="a template parameter")
    parser.add_argument(
        "--dynamodb", choices=["moto", "local"], default="moto", help="local: AWS's engine, for large runs"
    )
    parser.add_argument("--announce", type=Path, help="say it to a person instead, and keep the JSON line in this file")
    parser.add_argument("--enforce-iam", action="store_true", help="refuse what AWS would, instead of reporting it")
    return parser.parse_args()


def _forget_the_real_aws() -> None:
    """Nothing here may reach a real account, whatever the shell that started us is set up for."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "MOTO_"))]:
        del os.environ[name]
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"  # moto asks for one
    os.environ["AWS_ACCESS_KEY_ID"] = os.environ["AWS_SECRET_ACCESS_KEY"] = "desk"
    os.environ["NO_PROXY"] = "*"


def _stop(number: int, _frame: object) -> NoReturn:
    """Leave the main thread, wherever it is; whoever asks twice is not in more of a hurry."""
    del number
    for again in STOPS:
        signal.signal(again, signal.SIG_IGN)
    sys.exit(0)


def _watch_input() -> None:
    while os.read(0, 4096):  # not sys.stdin: its lock, held here, would break the interpreter's end
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
