"""A deployed stack for the command line: buckets, ledger and machine of a local AWS, and real commands."""

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

import boto3
from typer.testing import CliRunner

from nightshift.adapters.dynamodb import DynamoLedger
from nightshift.model import RunId
from nightshift_cli.app import app
from nightshift_cli.shapes import ERROR, SHAPES

JOB = b"""\
job: triage
input: {format: jsonl, id: id}
max_tokens: 64
prompt: "{{ body }}"
output: {labels: [billing, other]}
schedule: upload
"""

LOOP = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 3600, "End": True}}}
"""A loop that only runs: what it does is not the command line's business."""


@cache
def _client(service: str, endpoint: str) -> Any:
    return boto3.client(service, endpoint_url=endpoint)  # type: ignore[call-overload] # the service is a variable


@dataclass(frozen=True, slots=True)
class Said:
    """What a command did."""

    status: int
    out: list[str]
    """Lines of stdout, without the blanks that fill up a table."""
    err: list[str]


@dataclass
class Plane:
    """The two services that the local AWS of the unit tests lacks: CloudFormation's outputs, Lambda's invoke."""

    stacks: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """Name → outputs."""
    invoked: list[tuple[str, Any]] = field(default_factory=list)
    """(invocation type, event) of what was invoked."""
    on_invoke: Callable[[Any], object] = lambda _: None
    endpoint: str = ""

    def describe(self, name: str) -> tuple[int, str]:
        if name not in self.stacks:
            message = f"Stack with id {name} does not exist"
            return (
                400,
                f"<ErrorResponse><Error><Code>ValidationError</Code><Message>{message}</Message></Error></ErrorResponse>",
            )
        outputs = "".join(
            f"<member><OutputKey>{key}</OutputKey><OutputValue>{escape(value)}</OutputValue></member>"
            for key, value in self.stacks[name].items()
        )
        stack = f"<member><StackName>{name}</StackName><Outputs>{outputs}</Outputs></member>"
        result = f"<DescribeStacksResult><Stacks>{stack}</Stacks></DescribeStacksResult>"
        return 200, f"<DescribeStacksResponse>{result}</DescribeStacksResponse>"

    def invoke(self, kind: str, event: Any) -> tuple[int, str]:
        self.invoked.append((kind, event))
        self.on_invoke(event)
        return 202, ""


@contextmanager
def serving() -> Iterator[Plane]:
    """Serve a plane on loopback."""
    plane = Plane()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/":
                status, text = plane.describe(parse_qs(body.decode())["StackName"][0])
            else:
                status, text = plane.invoke(self.headers["X-Amz-Invocation-Type"], json.loads(body))
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        plane.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield plane
        server.shutdown()
        thread.join()


def hold_to_shape(words: Sequence[str], printed: str) -> None:
    """See that what a command prints with --json has the keys that are documented, and no other."""
    name = " ".join(words[:2]) if words[0] == "job" else words[0]
    shape = SHAPES[name]
    told = [json.loads(line) for line in printed.splitlines()] if name == "watch" else json.loads(printed)
    failed = isinstance(told, dict) and "error" in told
    if shape.each and not failed:
        assert isinstance(told, list)
    for each in told if isinstance(told, list) else [told]:
        allowed = shape.keys.keys() | (ERROR.keys() if failed else set())
        assert each.keys() <= allowed, (name, each.keys() - allowed)


class CliStack:
    """A stack, and a person at the command line who has named it in NIGHTSHIFT_STACK."""

    def __init__(self, endpoint: str, plane: Plane, ledger: DynamoLedger, runs_table: str) -> None:
        self.endpoint = endpoint
        self.plane = plane
        self.ledger = ledger
        self.runs = runs_table
        self.name = f"stack-{uuid.uuid4().hex[:12]}"
        self.inputs, self.outputs = f"inputs-{self.name}", f"outputs-{self.name}"
        for bucket in (self.inputs, self.outputs):
            self.client("s3").create_bucket(Bucket=bucket)
        enabled: Any = {"Status": "Enabled"}
        self.client("s3").put_bucket_versioning(Bucket=self.inputs, VersioningConfiguration=enabled)
        self.machine = self.client("stepfunctions").create_state_machine(
            name=self.name, definition=json.dumps(LOOP), roleArn="arn:aws:iam::123456789012:role/machine"
        )["stateMachineArn"]
        plane.stacks[self.name] = {
            "AdminKeySecretArn": f"admin-key-{self.name}",
            "AlarmTopicArn": f"arn:aws:sns:us-east-1:123456789012:{self.name}",
            "AnthropicBaseUrl": "http://127.0.0.1:9",
            "ApiKeySecretArn": f"api-key-{self.name}",
            "DeadLetterQueueUrl": f"{endpoint}/123456789012/{self.name}",
            "InputBucketName": self.inputs,
            "MonthlyCapUsd": "500",
            "OutputBucketName": self.outputs,
            "PutAdminKeyCommand": "aws secretsmanager put-secret-value … admin-key.txt",
            "PutKeyCommand": "aws secretsmanager put-secret-value …",
            "RunMachineArn": self.machine,
            "RunsTableName": runs_table,
            "SubmitFunctionName": "submit",
            "TicketTableName": "tickets",
            "VerifyFunctionName": "verify",
        }

    def client(self, service: str) -> Any:
        return _client(service, self.endpoint)

    def put_job(self, text: bytes = JOB) -> None:
        self.client("s3").put_object(Bucket=self.inputs, Key="jobs/triage.yaml", Body=text)

    def object(self, key: str) -> bytes:
        body: bytes = self.client("s3").get_object(Bucket=self.inputs, Key=key)["Body"].read()
        return body

    def keys(self) -> list[str]:
        return [item["Key"] for item in self.client("s3").list_objects_v2(Bucket=self.inputs).get("Contents", [])]

    def start_loop(self, run_id: RunId, number: int = 1) -> str:
        """Start an execution of a run's loop, and return its ARN."""
        started = self.client("stepfunctions").start_execution(
            stateMachineArn=self.machine, name=f"{run_id}-c{number:04d}", input="{}"
        )
        arn: str = started["executionArn"]
        return arn

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which the command finds this stack."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ENDPOINT_URL_CLOUDFORMATION": self.plane.endpoint,
            "AWS_ENDPOINT_URL_LAMBDA": self.plane.endpoint,
            "NIGHTSHIFT_STACK": self.name,
        }

    def __call__(self, *args: str | Path, answer: str = "", **environment: str | None) -> Said:
        """Run `nightshift` with these arguments; `answer` is what the person types."""
        words = [str(arg) for arg in args]
        result = CliRunner().invoke(
            app, words, input=answer, env={**self.environment, **environment}, catch_exceptions=False
        )
        if "--json" in words:
            hold_to_shape(words, result.stdout)
        out, err = ([line.rstrip() for line in text.splitlines()] for text in (result.stdout, result.stderr))
        return Said(result.exit_code, out, err)
