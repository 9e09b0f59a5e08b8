"""AWS in this process, as template.yaml makes it, and the handlers it invokes: made once, emptied for each history."""

import builtins
import copy
import gc
import importlib.util
import logging
import os
import random
import time
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[2]
REGION, ACCOUNT = "us-east-1", "123456789012"
RUNS, TICKETS, INPUTS, OUTPUTS, SECRET, MACHINE = "runs", "tickets", "inputs", "outputs", "api-key", "nightshift-run"
API = "http://127.0.0.1:9"
GOOD_KEY, OTHER_KEY = "sk-ant-first", "sk-ant-second"
CAP_USD = 1
"""What a month may cost; ten thousand times what a run here does, so that who wants it scarce spends most of it."""

os.environ.update(
    {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "POWERTOOLS_SERVICE_NAME": "nightshift",
        "POWERTOOLS_METRICS_NAMESPACE": "nightshift",
        "POWERTOOLS_LOG_LEVEL": "CRITICAL",
        "RUNS_TABLE": RUNS,
        "TICKET_TABLE": TICKETS,
        "INPUT_BUCKET": INPUTS,
        "OUTPUT_BUCKET": OUTPUTS,
        "STATE_MACHINE_ARN": f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{MACHINE}",
        "API_KEY_SECRET_ARN": SECRET,
        "API_BASE_URL": API,
        "POLL_MIN_SECONDS": "240",  # fewer looks than by default: they are most of a history's calls
        "POLL_MAX_SECONDS": "1800",
        "POLL_PERCENT": "50",
        "MAX_TURNS": "7",  # so that most runs are handed over once or twice
        "MONTHLY_CAP_USD": str(CAP_USD),
    }
)

# ruff: noqa: E402 - what follows reads the environment when it is imported
import boto3
from aws_lambda_powertools.metrics.provider.cloudwatch_emf import cloudwatch
from aws_lambda_powertools.utilities.parameters import base as parameters
from botocore.retries.quota import RetryQuota
from botocore.useragent import UserAgentString
from moto import backends, mock_aws
from moto.core import responses
from moto.dynamodb import models as dynamodb
from moto.dynamodb import responses as items_api
from moto.dynamodb.models import dynamodb_backends, table
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.moto_api._internal import mock_random
from moto.s3 import models as s3_models
from moto.stepfunctions.models import stepfunctions_backends

import nightshift.clock
from local import expressions, shortcuts, transactions
from nightshift import applying, estimating, plan_sample
from nightshift.adapters import multipart, tickets
from tests.faults import wire

type Handler = Callable[[Any, Any], Any]

PART, LINES = multipart.PART, applying.LINES
SMALL_PART = 600
"""Bytes of a part of an upload here, so that plans of a few rows have several. S3 itself wants 5 MiB."""
SAMPLE = 2
"""Rows of a run whose tokens are counted here. More only pass the same boundary again, and take a fifth of the time."""


class Current:
    """The history that runs: the seams, made once, ask it."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    send: wire.Send = staticmethod(lambda _service, _operation, _request, do: do())
    plainly: Callable[[str, str, Any], bool] = staticmethod(lambda *_: True)
    during: Callable[[], None]
    app: Callable[[], Any]
    api: wire.Transport


def _now() -> datetime:
    return datetime.fromtimestamp(Current.now(), UTC)


def _sleep(seconds: float) -> None:
    Current.sleep(seconds)


def _send(service: str, operation: str, request: Any, do: Callable[[], Any]) -> Any:
    return Current.send(service, operation, request, do)


def _plainly(service: str, operation: str, request: Any) -> bool:
    return Current.plainly(service, operation, request)


def _app() -> Any:
    return Current.app()


def _during() -> None:
    Current.during()


_aws = mock_aws()


def start() -> Mapping[str, Handler]:
    """Put the seams in; return the handlers by the names of their functions."""
    expressions.install()
    transactions.install()
    shortcuts.install()
    _aws.start()
    _hurry()
    wire.install_aws(_send, _plainly)
    Current.api = wire.install_api(_send, _app, _during)
    for module, name, value in (
        (nightshift.clock, "now", _now),
        (tickets, "ThreadPoolExecutor", wire.AtOnce),
        (tickets, "sleep", _sleep),
        (estimating, "SAMPLE", SAMPLE),
        (plan_sample, "SAMPLE", SAMPLE),
        (plan_sample, "MOST", SAMPLE),
        (time, "sleep", _sleep),
        (s3_models, "utcnow", lambda: _now().replace(tzinfo=None)),
        (s3_models, "S3_UPLOAD_PART_MIN_SIZE", 1),
        (cloudwatch, "print", lambda *_, **__: None),  # metrics are lines on stdout
    ):
        assert hasattr(module, name) or hasattr(builtins, name), name
        setattr(module, name, value)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)  # three thousand modules need not be looked through for each history
    return {f"{path.parent.name.title()}Function": _handler(path) for path in sorted(ROOT.glob("functions/*/app.py"))}


def cut_small(*, parts: bool, blocks: bool) -> None:
    """Have uploads of a few hundred bytes in parts, and archives of a few lines in blocks, or not."""
    for module, name, value in (
        (multipart, "PART", SMALL_PART if parts else PART),
        (applying, "LINES", 2 if blocks else LINES),
    ):
        setattr(module, name, value)


def _hurry() -> None:
    """Spare moto what it works out anew for each request: half of a history's time."""
    services = list(backends.list_of_moto_modules())
    names: Any = responses
    for owner, name, value in (
        (backends, "list_of_moto_modules", lambda: iter(services)),  # it lists its own directory otherwise
        (responses, "method_names_from_class", cache(names.method_names_from_class)),
        (UserAgentString, "to_string", lambda _self: "faults"),
        # What a query found is read, and not changed; and nobody asks what an item was before an update.
        (table, "copy", SimpleNamespace(copy=copy.copy, deepcopy=lambda value: value)),
        (items_api, "copy", SimpleNamespace(deepcopy=lambda value: value)),
        (dynamodb, "copy", SimpleNamespace(deepcopy=lambda value: value)),
        # A history's processes are new: what earlier ones spent of botocore's retries is not theirs.
        (RetryQuota, "acquire", lambda _self, _amount: True),
    ):
        setattr(owner, name, value)


def _handler(path: Path) -> Handler:
    spec = importlib.util.spec_from_file_location(f"functions_{path.parent.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.lambda_handler  # type: ignore[no-any-return]


def empty(seed: str) -> None:
    """Empty AWS, and make the stack's resources anew."""
    Current.send = staticmethod(lambda _service, _operation, _request, do: do())
    Current.plainly = staticmethod(lambda *_: True)
    _aws.reset()
    random.seed(seed)
    mock_random.seed(seed)
    values: Any = parameters
    for provider in values.DEFAULT_PROVIDERS.values():
        provider.clear_cache()
    tables: Any = client("dynamodb")
    for name, keys, index in ((RUNS, ("pk", "sk"), ("kind", "created")), (TICKETS, ("ticket_id",), ())):
        tables.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in (*keys, *index)],
            KeySchema=_schema(keys),
            **({"GlobalSecondaryIndexes": [_index(index)]} if index else {}),
        )
    s3: Any = client("s3")
    for bucket in (INPUTS, OUTPUTS):
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    put_key(GOOD_KEY)
    client("stepfunctions").create_state_machine(
        name=MACHINE, definition="{}", roleArn=f"arn:aws:iam::{ACCOUNT}:role/machine"
    )


def _schema(keys: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"AttributeName": n, "KeyType": kind} for n, kind in zip(keys, ("HASH", "RANGE"), strict=False)]


def _index(keys: tuple[str, ...]) -> dict[str, Any]:
    return {"IndexName": "runs", "KeySchema": _schema(keys), "Projection": {"ProjectionType": "ALL"}}


_clients: dict[str, Any] = {}


def client(service: str) -> Any:
    """Return the harness's own client of a service: its calls are nobody's boundary."""
    if service not in _clients:
        _clients[service] = boto3.client(service)  # type: ignore[call-overload]
    return _clients[service]


def called(service: str) -> Any:
    """Return a client whose calls are somebody's: they pass the seams as a process's own do."""
    return boto3.client(service)  # type: ignore[call-overload]


def put_key(key: str) -> None:
    """Put an API key into the secret, as a person does."""
    secrets = client("secretsmanager")
    try:
        secrets.put_secret_value(SecretId=SECRET, SecretString=key)
    except secrets.exceptions.ResourceNotFoundException:
        secrets.create_secret(Name=SECRET, SecretString=key)


def items(table: str) -> list[dict[str, Any]]:
    """Return a table's items, in DynamoDB's typed form, past every API: to judge, not to work."""
    rows: Any = dynamodb_backends[ACCOUNT][REGION].tables[table].items
    if table == TICKETS:
        return [row.to_json()["Attributes"] for row in rows.values()]
    return [row.to_json()["Attributes"] for by_range in rows.values() for row in by_range.values()]


def item(table: str, pk: str, sk: str) -> dict[str, Any] | None:
    """Return one item as `items` does, None where there is none."""
    found: Any = dynamodb_backends[ACCOUNT][REGION].tables[table].get_item(DynamoType({"S": pk}), DynamoType({"S": sk}))
    return None if found is None else found.to_json()["Attributes"]


def executions() -> list[Any]:
    """Return moto's records of the machine's executions."""
    machines = stepfunctions_backends[ACCOUNT][REGION].state_machines
    return list(machines[0].executions)


def objects(prefix: str) -> dict[str, bytes]:
    """Return the current objects of the output bucket below a prefix; those that were deleted are none."""
    bucket = s3_models.s3_backends[ACCOUNT]["aws"].buckets[OUTPUTS]
    found = {key: bucket.keys[key] for key in bucket.keys if key.startswith(prefix)}
    return {key: each.value for key, each in found.items() if not isinstance(each, s3_models.FakeDeleteMarker)}
