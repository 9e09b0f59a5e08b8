"""A ticket's text is where tickets are and nowhere else, a prompt where jobs are, and the key nowhere.

Everything that the local cloud captures is searched: logs (the metrics and the tracebacks are lines of them), the
ledger, the histories of all executions with their inputs and outputs, all events, the dead letters, and every object.
"""

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from local.running import Item, RunningCloud
from tests.integration.conftest import Night

JOB = """\
job: {name}
input: {{format: jsonl, id: id}}
max_tokens: 64
system: You sort support tickets. prompt-canary-{name}
prompt: "{{{{ body }}}}"
output: {{labels: [billing, technical, account, other], table: {{key: ticket_id, attribute: category}}}}
limits: {{max_reject_ratio: 0.9}}
{more}
"""
UPLOAD = "schedule: upload"
TICKET_FILES = {"inbox/", "plan/"}
"""Where the text of a ticket belongs: what was uploaded, and the requests made from it."""

PROMPT_FILES = {"jobs/", "job.yaml", "plan/"}
"""Where a prompt belongs: the job's file, the run's copy of it, and the requests."""


@pytest.fixture(scope="module")
def bus(cloud: RunningCloud) -> Iterator[str]:
    """A queue that gets every event that nightshift sends; its URL. Those of AWS are in the deliveries."""
    events, sqs, name = cloud.client("events"), cloud.client("sqs"), f"nightshift-events-{uuid.uuid4().hex[:6]}"
    url: str = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name=name, EventPattern=json.dumps({"source": ["nightshift"]}))
    events.put_targets(Rule=name, Targets=[{"Id": "all", "Arn": arn}])
    yield url
    events.remove_targets(Rule=name, Ids=["all"])
    events.delete_rule(Name=name)


class Search:
    """Everything captured, by where it was."""

    def __init__(self, night: Night, bus: str) -> None:
        cloud = night.cloud
        self.night = night
        night.until(lambda: any(night.name in event and "RunStarted" in event for event in self._queue(bus)))
        self.texts: list[tuple[str, str]] = [
            ("events", "\n".join(self._queue(bus))),
            ("deliveries", json.dumps(cloud.ask("deliveries"))),
            ("calls", json.dumps(cloud.ask("calls"))),
            ("feed", json.dumps(cloud.events(0))),
            ("ledger", json.dumps(list(self._scan(cloud.outputs["RunsTableName"])))),
            ("dead letters", "\n".join(self._queue(cloud.outputs["DeadLetterQueueUrl"]))),
            *((f"log of {line['function']}", str(line["line"])) for line in cloud.ask("logs")),
            *(("history", text) for text in self._histories()),
            *self._objects(),
        ]

    def places(self, text: str) -> set[str]:
        """Return where a text is."""
        return {place for place, content in self.texts if text in content}

    def _queue(self, url: str) -> list[str]:
        sqs, known = self.night.cloud.client("sqs"), self.__dict__.setdefault(url, [])
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            known += [message["Body"] for message in messages]
        found: list[str] = known
        return found

    def _scan(self, table: str) -> Iterator[Item]:
        for page in self.night.cloud.client("dynamodb").get_paginator("scan").paginate(TableName=table):
            yield from page["Items"]

    def _histories(self) -> Iterator[str]:
        sfn = self.night.cloud.client("stepfunctions")
        for run in self.night.runs():
            for number in range(1, int(run["execution"]) + 1):
                arn = self.night.cloud.outputs["RunMachineArn"].replace(":stateMachine:", ":execution:")
                execution = sfn.describe_execution(executionArn=f"{arn}:{run['run_id']}-c{number:04d}")
                yield json.dumps([execution, self.night.history(run, number)], default=str)

    def _objects(self) -> Iterator[tuple[str, str]]:
        s3 = self.night.cloud.client("s3")
        for bucket in ("InputBucketName", "OutputBucketName"):
            name = self.night.cloud.outputs[bucket]
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
                for item in page.get("Contents", []):
                    body = s3.get_object(Bucket=name, Key=item["Key"])["Body"].read().decode(errors="replace")
                    place = re.sub(r"^runs/[^/]+/|^latest/[^/]+/", "", item["Key"])
                    yield re.sub(r"/.*", "/", place), body


@pytest.fixture
def key(cloud: RunningCloud) -> str:
    """The API key that the functions use."""
    secret = cloud.client("secretsmanager").get_secret_value(SecretId=cloud.outputs["ApiKeySecretArn"])
    found: str = json.loads(secret["SecretString"])["api_key"]
    return found


def tickets(night: Night, count: int = 4) -> list[dict[str, Any]]:
    return [{**row, "body": f"ticket-canary-{night.name} {row['body']}"} for row in night.rows(count)]


def hidden(night: Night, bus: str, key: str, *, also: frozenset[str] = frozenset()) -> Search:
    """Hold what was captured against where the three texts belong; `also` may have the ticket's."""
    search = Search(night, bus)
    assert {"events", "ledger", "feed"} <= search.places(night.name)  # the search finds what is there
    assert any(place.startswith("log of") for place in search.places(night.name))
    ticket = search.places(f"ticket-canary-{night.name}")
    assert ticket >= {"inbox/"}
    assert ticket <= TICKET_FILES | also
    assert search.places(f"prompt-canary-{night.name}") <= PROMPT_FILES
    assert search.places(key) == set()
    return search


def test_rows_of_every_fate_leave_their_text_where_tickets_are(night: Night, bus: str, key: str) -> None:
    night.job(text=JOB, more="verify: {sample: 3}\nschedule: upload")
    rows = tickets(night, 9)
    for row, kind in zip(rows, ("refusal", "max_tokens", "invalid-json", "enum-case"), strict=False):
        night.fault("rows", kind, text=row["body"])
    night.fault("rows", "expired", text=rows[4]["body"], first_times=1)
    night.fault("rows", "errored", text=rows[5]["body"], message=f"bad: {rows[5]['body']}")
    broken = json.dumps(rows[8])[:-1].encode()
    night.upload([*rows[:8], broken, {**rows[0], "body": f"{rows[0]['body']}, but other"}, {"id": rows[0]["body"]}])

    (run,) = night.settle()

    assert night.harvest(run).report["counts"]["answered"] == 4
    # An id that was no id, and what the API says of a row, are in files of rows.
    hidden(night, bus, key, also=frozenset({"raw/", "failed/", "failed.jsonl", "rejects/", "rejects.jsonl"}))


@pytest.mark.parametrize("status", [400, 401, 429, 529])
def test_an_api_that_repeats_the_request_when_it_refuses_a_batch(night: Night, bus: str, key: str, status: int) -> None:
    night.job(text=JOB, more=UPLOAD)
    rows = tickets(night)
    said = f"messages.0.content: no, no: {rows[0]['body']} prompt-canary-{night.name} {key}"
    night.fault("create", f"status:{status}", times=2, message=said, error_type="some_error")
    night.upload(rows)

    night.settle()

    hidden(night, bus, key)


@pytest.mark.parametrize("endpoint", ["count_tokens", "messages"])
def test_an_api_that_repeats_a_single_request_when_it_refuses_it(
    night: Night, bus: str, key: str, endpoint: str
) -> None:
    night.job(text=JOB, more="verify: {sample: 3}\nschedule: upload")
    rows = tickets(night)
    night.fault(endpoint, "status:400", message=f"messages.0: {rows[0]['body']} prompt-canary-{night.name} {key}")
    night.upload(rows)

    night.settle()

    hidden(night, bus, key)


@pytest.mark.parametrize("endpoint", ["list", "results"])
def test_an_api_that_repeats_the_key_when_it_refuses_a_question(
    night: Night, bus: str, key: str, endpoint: str
) -> None:
    night.job(text=JOB, more=UPLOAD)
    night.fault(endpoint, "status:401", times=2, message=f"API key {key} is invalid.")
    night.upload(tickets(night))

    night.settle()

    hidden(night, bus, key)


@pytest.mark.parametrize("kind", ["cut-mid-line", "unknown-id"])
def test_results_that_break(night: Night, bus: str, key: str, kind: str) -> None:
    night.job(text=JOB, more=UPLOAD)
    night.fault("results", kind, times=1, lines=2)
    night.upload(tickets(night))

    night.settle()

    hidden(night, bus, key)


def test_a_template_that_fails_in_the_words_of_the_ticket(night: Night, bus: str, key: str) -> None:
    night.job(text=JOB.replace("{{{{ body }}}}", "{{{{ {{}}[body] }}}}"), more=UPLOAD)
    night.upload(tickets(night))

    (run,) = night.settle()

    assert run["hold"]["code"] == "TOO_MANY_REJECTS"
    hidden(night, bus, key, also=frozenset({"rejects/", "rejects.jsonl"}))


def test_a_table_that_takes_no_ticket(night: Night, bus: str, key: str) -> None:
    night.job(text=JOB.replace("key: ticket_id", "key: number"), more=UPLOAD)
    night.upload(tickets(night))

    night.settle(seconds=120)

    hidden(night, bus, key)


def test_a_function_that_dies_at_work(night: Night, bus: str, key: str) -> None:
    night.job(text=JOB, more=UPLOAD)
    night.fault("results", "slow", seconds=0.05, times=1)
    night.upload(tickets(night, 40))
    night.kill("ResultsFunction")

    night.settle()

    hidden(night, bus, key)
