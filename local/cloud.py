"""The cloud put together: one process that plays AWS, and the processes that it starts."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from local import (
    alarms,
    control_plane,
    events,
    expressions,
    lambda_api,
    metrics,
    seams,
    shortcuts,
    step_functions,
    template,
    transactions,
)
from local.admin import Desk
from local.alarms import Alarms
from local.async_invoke import AsyncInvoker
from local.aws_faults import AwsFaults
from local.children import Child, start_batches_api, start_dynamodb_local
from local.clock import VirtualClock
from local.deploy import Deployed, Stack
from local.events import EventBridge
from local.feed import Feed
from local.function_config import Host
from local.http_server import Server
from local.iam import Access
from local.lambda_plane import LambdaPlane, access_key_id, default_python
from local.metrics import Metrics
from local.resources.clients import Clients
from local.resources.compute import Compute
from local.resources.messaging import Messaging
from local.resources.storage import Storage
from local.wire import REGION

API_KEY = "sk-ant-local-desk-no-real-key"
"""What the secret holds here; the local Message Batches API takes any key of this form."""

ADMIN_KEY = "sk-ant-admin01-local-desk-no-real-key"
"""What the Admin key's secret holds here; the local API tells an Admin key by how it begins."""

INTERPRETER_KEY = "ak"
"""The access key id that moto's state machine interpreter signs with."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the cloud is to be."""

    template: Path
    stack: str
    parameters: Mapping[str, str]
    dynamodb_local: bool = False
    enforce_iam: bool = False


class Cloud:
    """Starts, deploys, serves; `stop` leaves nothing behind."""

    def __init__(self, options: Options) -> None:
        """Start everything that does not depend on the template."""
        self._options = options
        self._work = Path(tempfile.mkdtemp(prefix="nightshift-"))
        self._children: list[Child] = []
        self._tether, self._tether_end = os.pipe()  # the end that we keep closes with us, however we end
        self._server = Server()
        self._feed = Feed(self._now)
        self._clock = VirtualClock(
            self._work / "clock", lambda seconds: self._feed.add("clock.jumped", seconds=seconds)
        )
        self._access = Access(enforce=options.enforce_iam)
        self._metrics = Metrics(self._clock.timestamp)
        self._alarms = Alarms(self._metrics, self._clock.timestamp)
        self._faults = AwsFaults(self._metrics)
        self._clients = Clients(self._server.endpoint)
        self._plane = LambdaPlane(self._host(), self._clock, self._feed, self._metrics)
        self._invoker = AsyncInvoker(self._plane, self._clock, self._feed, self._send)
        self._events = EventBridge(self._invoker, self._clock, self._feed, self._access)
        self._storage = Storage(self._clients, self._access)

    def start(self) -> dict[str, object]:
        """Serve and deploy; return what a caller needs to know."""
        self._serve()
        translated = template.read(self._options.template, self._options.parameters)
        declared = translated.body.get("Parameters", {})
        url = self._batches_api() if "AnthropicBaseUrl" in declared else None
        found = {"AnthropicBaseUrl": url, "Architecture": _architecture()}
        parameters = {name: value for name, value in found.items() if name in declared and value}
        deployed = self._deploy(translated, parameters | dict(self._options.parameters))
        return {
            "endpoint": self._server.endpoint,
            "region": REGION,
            "batches_api": url,
            "clock": str(self._clock.file.path),
            "outputs": deployed.outputs,
            "resources": deployed.resources,
            "warnings": [f"not evaluated: {condition}" for condition in self._access.report()["unevaluated"]],
        }

    def stop(self) -> None:
        """End every process and remove every file."""
        self._clock.stop()
        self._plane.stop()
        for child in self._children:
            child.stop()
        self._server.stop()
        os.close(self._tether_end)
        os.close(self._tether)
        shutil.rmtree(self._work, ignore_errors=True)

    def _now(self) -> datetime:
        return self._clock.now()

    def _host(self) -> Host:
        return Host(
            python=default_python(),
            work=self._work,
            clock=self._clock.file.path,
            tether=self._tether,
            variables={"AWS_ENDPOINT_URL": self._server.endpoint},
        )

    def _serve(self) -> None:
        """Hook moto, then open the front door."""
        os.environ["MOTO_PORT"] = str(self._server.port)  # moto's interpreter calls http://localhost:$MOTO_PORT
        parts = (
            alarms,
            shortcuts,
            control_plane,
            events,
            expressions,
            lambda_api,
            metrics,
            step_functions,
            transactions,
        )
        seams.check([seam for part in parts for seam in part.SEAMS])
        self._events.install()
        lambda_api.install(self._plane, self._invoker)
        step_functions.install(self._plane, self._clock, self._feed, self._access, self._events.publish, self._metrics)
        transactions.install()
        shortcuts.install()
        expressions.install()
        self._door = control_plane.FrontDoor(
            control_plane.moto_app(self._clock), self._access, self._faults, self._alarms, self._storage.hash_keys.get
        )
        if self._options.dynamodb_local:
            child, engine = start_dynamodb_local(self._work)
            self._children.append(child)
            self._door.use_dynamodb(engine)
        self._server.serve(self._door)

    def _batches_api(self) -> str:
        child, url = start_batches_api(self._clock.file.path, self._work / "batches")
        self._children.append(child)
        return url

    def _deploy(self, translated: template.Template, parameters: Mapping[str, str]) -> Deployed:
        messaging = Messaging(self._clients, self._access, self._alarms)
        compute = Compute(self._clients, self._plane, self._invoker, self._access)
        makers = {**self._storage.makers(), **messaging.makers(), **compute.makers()}
        deployed = Stack(translated, self._options.stack, parameters, makers).deploy()
        for config in self._plane.configs:
            self._door.know(access_key_id(config.name), config.role)
        for role in compute.machine_roles:
            self._door.know(INTERPRETER_KEY, role)
        for name, key in {"ApiKeySecret": API_KEY, "AdminKeySecret": ADMIN_KEY}.items():
            if secret := deployed.resources.get(name):
                value = json.dumps({"api_key": key})
                self._clients("secretsmanager").put_secret_value(SecretId=secret, SecretString=value)
        desk = Desk(
            self._clock,
            self._feed,
            self._plane,
            self._events,
            self._access,
            self._faults,
            self._metrics,
            self._alarms,
            dict(deployed.resources),
        )
        self._door.serve_admin(desk)
        return deployed

    def _send(self, function: str, arn: str, body: str) -> None:
        """Put a message into a queue as a function's role would."""
        if self._access.permits(self._plane.config(function).role, "sqs:SendMessage", arn):
            sqs = self._clients("sqs")
            url = sqs.get_queue_url(QueueName=arn.rsplit(":", maxsplit=1)[-1])["QueueUrl"]
            sqs.send_message(QueueUrl=url, MessageBody=body)


def _architecture() -> str:
    """This machine's processor, as Lambda calls it: the layers are built for here."""
    return "arm64" if os.uname().machine in {"arm64", "aarch64"} else "x86_64"
