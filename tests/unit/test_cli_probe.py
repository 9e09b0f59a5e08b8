"""`nightshift probe`, against the local Message Batches API: what it finds, what it costs, and that nothing stays."""

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from nightshift import clock
from nightshift.adapters.dynamodb import DynamoLedger
from nightshift_cli import consent
from nightshift_cli.exits import Exit
from nightshift_cli.probing import ROW_ERRORS, SAMPLING_QUESTION, Verdict
from tests.batches_api.server import START, Desk, Server, params, serve
from tests.unit.cli_stack import CliStack, Said, serving
from tests.unit.made import RUN, chunk, intent, run

COST = "5 requests of claude-haiku-5-5 may be billed, $0.000035 at most; no other can"
QUICK = {"duration_seconds": 1, "jitter": 0, "cancel_seconds": 0.5, "rpm": 1000}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("api")) as server:
        yield server


@pytest.fixture
def desk(server: Server) -> Desk:
    desk = server.desk()
    desk.settings(**QUICK)
    return desk


@pytest.fixture
def nightshift(aws_endpoint: str, ledger: DynamoLedger, runs_table: str, desk: Desk) -> Iterator[CliStack]:
    with serving() as plane:
        stack = CliStack(aws_endpoint, plane, ledger, runs_table)
        plane.stacks[stack.name] = {**plane.stacks[stack.name], "AnthropicBaseUrl": desk.url}
        secret = plane.stacks[stack.name]["ApiKeySecretArn"]
        stack.client("secretsmanager").create_secret(Name=secret, SecretString=desk.key)
        yield stack


def probed(nightshift: CliStack, *words: str) -> tuple[Exit, Any]:
    said = nightshift("probe", "--yes", "--every", "0.2", "--json", *words)
    return Exit(said.status), json.loads("\n".join(said.out))


def verdicts(told: Any) -> dict[str, str]:
    return {each["question"]: each["verdict"] for each in told["findings"]}


def left(desk: Desk) -> list[str]:
    return [batch.id for batch in desk.client.messages.batches.list()]


def made(desk: Desk) -> list[str]:
    """Return all batches that there ever were."""
    return [batch["id"] for batch in desk.control("batches") if batch["workspace"] == desk.key]


def test_every_question_has_its_finding_and_nothing_that_was_made_is_left(nightshift: CliStack, desk: Desk) -> None:
    status, told = probed(nightshift)

    assert (status, told["done"], told["left"]) == (Exit.DONE, True, [])
    found = {each["question"]: each["found"] for each in told["findings"]}
    assert {name for name, verdict in verdicts(told).items() if verdict == Verdict.AS_DOCUMENTED} == {
        "retry-after of a batch at work",
        "results before the end",
        "delete before the end",
        "cancel of a batch at work",
        "a create of 100,001 requests",
        "counts before the end",
        "results",
        "a row with stream",
        "a row with max_tokens-0",
        "a row with no-messages",
        "a row with no-such-model",
        "delete of a batch that has ended",
        "the rate limit that answers name",
    }
    assert found[SAMPLING_QUESTION] == (
        "row by row: invalid_request_error: temperature: Extra inputs are not permitted"
    )
    assert found["cancel of a batch that has ended"].startswith("200 ended, ")
    assert found["a body with content-encoding gzip"].startswith("400 invalid_request_error: ")
    assert {name for name, verdict in verdicts(told).items() if verdict == Verdict.OPEN} == {
        "results after 29 days",
        "the words of a 429 for a full queue",
    }
    assert left(desk) == []


def test_what_differs_from_the_documents_is_named_and_has_a_status(
    nightshift: CliStack, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.settings(progressive=True, rpm=77, max_batch_requests=200_000, duration_seconds=10)
    monkeypatch.setitem(ROW_ERRORS, "stream", (ROW_ERRORS["stream"][0], "what the API said last year"))

    status, told = probed(nightshift)

    assert status == Exit.FOUND
    assert {name for name, verdict in verdicts(told).items() if verdict == Verdict.DIFFERS} == {
        "the rate limit that answers name",
        "a create of 100,001 requests",
        "counts before the end",
        "a row with stream",
    }
    assert left(desk) == []


def test_a_create_that_is_refused_for_its_sampling_parameter_is_a_finding_and_the_rest_goes_on(
    nightshift: CliStack, desk: Desk
) -> None:
    desk.fault("create", "status:400", error_type="invalid_request_error", message="temperature: no", times=1)

    status, told = probed(nightshift)

    found = {each["question"]: each["found"] for each in told["findings"]}
    assert status == Exit.DONE
    assert found[SAMPLING_QUESTION] == "at create: 400 invalid_request_error: temperature: no"
    assert found["results"].startswith("200, ")
    assert left(desk) == []


def test_a_batch_that_does_not_end_in_time_is_canceled_and_deleted(nightshift: CliStack, desk: Desk) -> None:
    desk.settings(duration_seconds=3600)

    status, told = probed(nightshift, "--wait", "1")

    assert (status, told["left"], left(desk)) == (Exit.DONE, [], [])
    assert verdicts(told)["results, and cancel and delete of a batch that has ended"] == Verdict.OPEN


def test_an_api_that_stops_answering_leaves_what_was_found(nightshift: CliStack, desk: Desk) -> None:
    desk.fault("results", "close", after=1)

    status, told = probed(nightshift)

    assert (status, left(desk)) == (Exit.DONE, [])
    assert verdicts(told)["all else"] == Verdict.OPEN
    assert verdicts(told)["counts before the end"] == Verdict.AS_DOCUMENTED


@pytest.mark.parametrize(("endpoint", "after"), [("retrieve", 1), ("list", 1)])
def test_a_look_that_the_api_refuses_for_the_moment_is_done_again(
    nightshift: CliStack, desk: Desk, endpoint: str, after: int
) -> None:
    desk.fault(endpoint, "status:529", after=after, times=2)

    status, told = probed(nightshift)

    assert (status, left(desk)) == (Exit.DONE, [])
    assert verdicts(told)["counts before the end"] == Verdict.AS_DOCUMENTED
    assert "all else" not in verdicts(told)


def test_an_api_that_refuses_every_look_is_given_up_and_what_was_found_is_told(
    nightshift: CliStack, desk: Desk
) -> None:
    desk.fault("retrieve", "status:529", after=1)

    status, told = probed(nightshift, "--wait", "1")

    (found,) = [each["found"] for each in told["findings"] if each["question"] == "all else"]
    assert (status, left(desk)) == (Exit.DONE, [])
    assert "is answered 529" in found


def test_results_of_a_batch_that_is_older_than_29_days_are_asked_for(
    nightshift: CliStack, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = desk.create(params())
    desk.advance(31 * 86400)
    monkeypatch.setattr(clock, "now", lambda: START + timedelta(days=31))

    _, told = probed(nightshift)

    (finding,) = (each for each in told["findings"] if each["question"] == "results after 29 days")
    assert finding["verdict"] == Verdict.SETTLED
    assert finding["found"] == f"404 not_found_error: Message Batch {old} has no available results."
    assert left(desk) == [old]


def test_ctrl_c_deletes_what_was_made(nightshift: CliStack, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.settings(duration_seconds=3600)
    sleep, calls = time.sleep, [0]

    def interrupted(seconds: float) -> None:
        calls[0] += 1
        if calls[0] == 1:
            raise KeyboardInterrupt
        sleep(seconds)

    monkeypatch.setattr("nightshift_cli.probing.time.sleep", interrupted)

    said = nightshift("probe", "--yes", "--every", "0.2")

    assert (said.status, said.out) == (Exit.INTERRUPTED, [])
    assert left(desk) == []


def test_without_yes_nothing_is_asked(nightshift: CliStack, desk: Desk) -> None:
    dry, unasked = nightshift("probe", "--dry-run"), nightshift("probe")

    assert dry == Said(Exit.DONE, [COST], ["nothing is done: this was a dry run"])
    assert unasked == Said(Exit.USAGE, [COST], [consent.UNASKED])
    assert made(desk) == []


def test_while_a_create_is_not_settled_no_batch_is_made_that_might_be_taken_for_its(
    nightshift: CliStack, desk: Desk
) -> None:
    nightshift.ledger.create_run(run())
    nightshift.ledger.plan_chunk(chunk())
    nightshift.ledger.start_send(chunk(), intent())

    said = nightshift("probe", "--yes")

    assert (said.status, said.out) == (Exit.FAILED, [])
    assert said.err == [f"a create of run {RUN} is not settled, and a batch of this might be taken for its: later"]
    assert made(desk) == []
