"""A moto server on a free port of loopback: AWS for the unit tests of adapters.

A process of its own, run by the desk's Python, because moto pulls in versions of shared libraries that the product
never meets on AWS. Prints one JSON line, `{"endpoint": …}`, once it answers, and ends when its standard input does.

With `--dynamodb local`, AWS's own engine answers for DynamoDB: moto accepts what that refuses. Where it cannot run, the
line is `{"missing": …}`, the reason.
"""

import argparse
import json
import sys
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from local import shortcuts
from local.aws_requests import signer
from local.children import ChildError, start_dynamodb_local
from local.http_server import App, Server


def main() -> None:
    """Serve until the parent goes away."""
    shortcuts.install()
    parser = argparse.ArgumentParser()
    parser.add_argument("--dynamodb", choices=["moto", "local"], default="moto")
    aws: App = DomainDispatcherApplication(create_backend_app)
    if parser.parse_args().dynamodb == "moto":
        serve(one_by_one(aws))
        return
    with tempfile.TemporaryDirectory() as scratch:
        try:
            child, engine = start_dynamodb_local(Path(scratch))
        except ChildError as reason:
            print(json.dumps({"missing": str(reason)}), flush=True)
            return
        try:
            serve(both(aws, engine))
        finally:
            child.stop()


def serve(aws: App) -> None:
    """Answer requests until standard input ends."""
    server = Server()
    server.serve(aws)
    print(json.dumps({"endpoint": server.endpoint}), flush=True)
    sys.stdin.read()
    server.stop()


def one_by_one(aws: App) -> App:
    """Return an application that answers one request at a time: moto's conditional writes interleave, AWS's do not."""
    busy = threading.Lock()

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with busy:
            return list(aws(environ, start_response))

    return answer


def both(aws: App, dynamodb: App) -> App:
    """Return an application that hands DynamoDB's requests, by what they are signed for, to an engine of its own."""

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        _, service = signer(environ.get("HTTP_AUTHORIZATION", "")) or ("", "")
        return (dynamodb if service == "dynamodb" else aws)(environ, start_response)

    return answer


if __name__ == "__main__":
    main()
