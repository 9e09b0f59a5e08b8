"""The ticket table against a real DynamoDB API (moto's server): many updates a call, each decided for itself."""

import threading
import uuid
from collections.abc import Iterator
from copy import replace
from decimal import Decimal
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift.adapters import tickets as adapter
from nightshift.adapters.attributes import to_attribute
from nightshift.adapters.tickets import DynamoTickets
from nightshift.errors import TicketsBusy
from nightshift.ports import TicketUpdate, Written

type Client = Any


@pytest.fixture
def dynamodb(aws_endpoint: str) -> Client:
    return boto3.client("dynamodb", endpoint_url=aws_endpoint, config=Config(retries={"total_max_attempts": 1}))


@pytest.fixture
def table(dynamodb: Client) -> Iterator[str]:
    name = f"tickets-{uuid.uuid4().hex[:12]}"
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "ticket_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "ticket_id", "KeyType": "HASH"}],
    )
    yield name
    dynamodb.delete_table(TableName=name)


@pytest.fixture
def tickets(dynamodb: Client, table: str, monkeypatch: pytest.MonkeyPatch) -> DynamoTickets:
    # moto rolls a canceled transaction back by the whole table, other transactions' writes included: one at a time.
    monkeypatch.setattr(adapter, "THREADS", 1)
    return DynamoTickets(dynamodb, table)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Collect pauses instead of making them."""
    made: list[float] = []
    monkeypatch.setattr(adapter, "sleep", made.append)
    return made


def update(number: int, order: str = "2026", answer: Any = "billing", name: str = "category") -> TicketUpdate:
    return TicketUpdate(f"t{number}", {name: answer, "nightshift_row": f"digest{number}"}, order)


def item(dynamodb: Client, table: str, number: int) -> dict[str, Any] | None:
    found: dict[str, Any] | None = dynamodb.get_item(
        TableName=table, Key={"ticket_id": {"S": f"t{number}"}}, ConsistentRead=True
    ).get("Item")
    return found


def answer_of(dynamodb: Client, table: str, number: int, name: str = "category") -> Any:
    found = item(dynamodb, table, number)
    return found and found[name]


class Saboteur:
    """Answers the first transactions itself, as DynamoDB would on a bad day."""

    def __init__(self, dynamodb: Client, *answers: tuple[str, Any]) -> None:
        self.answers = list(answers)
        self.calls: list[int] = []
        dynamodb.meta.events.register("provide-client-params.dynamodb.TransactWriteItems", self._count)
        dynamodb.meta.events.register("before-call.dynamodb.TransactWriteItems", self._answer)

    def _count(self, params: dict[str, Any], **_: Any) -> None:
        self.calls.append(len(params["TransactItems"]))

    def _answer(self, **_: Any) -> tuple[Any, dict[str, Any]] | None:
        if not self.answers:
            return None
        code, reasons = self.answers.pop(0)
        body: dict[str, Any] = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}
        if code == "TransactionCanceledException":
            body["CancellationReasons"] = [{"Code": reason, "Message": "of one"} for reason in reasons]
        return type("Response", (), {"status_code": 400, "headers": {}})(), body


class TestWriting:
    def test_a_ticket_that_is_not_there_is_created(self, tickets: DynamoTickets, dynamodb: Client, table: str) -> None:
        assert tickets.write("ticket_id", [update(1)]) == Written(1, 0)
        assert item(dynamodb, table, 1) == {
            "ticket_id": {"S": "t1"},
            "category": {"S": "billing"},
            "nightshift_row": {"S": "digest1"},
            "nightshift_order": {"S": "2026"},
        }

    def test_the_owners_other_attributes_stay(self, tickets: DynamoTickets, dynamodb: Client, table: str) -> None:
        dynamodb.put_item(TableName=table, Item={"ticket_id": {"S": "t1"}, "subject": {"S": "Help"}})
        tickets.write("ticket_id", [update(1)])
        assert answer_of(dynamodb, table, 1, "subject") == {"S": "Help"}

    @pytest.mark.parametrize(
        ("order", "expected", "answer"),
        [("2025", Written(0, 1), "old"), ("2026", Written(0, 1), "old"), ("2027", Written(1, 0), "new")],
    )
    def test_only_a_strictly_newer_answer_is_written(
        self, tickets: DynamoTickets, dynamodb: Client, table: str, order: str, expected: Written, answer: str
    ) -> None:
        tickets.write("ticket_id", [update(1, "2026", "old")])
        assert tickets.write("ticket_id", [update(1, order, "new")]) == expected
        assert answer_of(dynamodb, table, 1) == {"S": answer}

    def test_two_hundred_and_fifty_updates_with_some_stale_are_each_decided_for_themselves(
        self, tickets: DynamoTickets, dynamodb: Client, table: str
    ) -> None:
        stale = [3, 99, 100, 249]
        tickets.write("ticket_id", [update(n, "2027", "newer") for n in stale])
        assert tickets.write("ticket_id", [update(n) for n in range(250)]) == Written(246, 4)
        found = [answer_of(dynamodb, table, n)["S"] for n in range(250)]
        assert [n for n, answer in enumerate(found) if answer == "newer"] == stale

    def test_the_newest_of_two_updates_of_one_ticket_is_written(
        self, tickets: DynamoTickets, dynamodb: Client, table: str
    ) -> None:
        twice = [update(1, "2026", "old"), update(1, "2027", "new"), update(1, "2025", "older")]
        assert tickets.write("ticket_id", twice) == Written(1, 2)
        assert answer_of(dynamodb, table, 1) == {"S": "new"}

    @pytest.mark.parametrize("name", ["status", "name", "comment", "a.b", "with space", "größe"])
    def test_any_attribute_name_will_do(self, tickets: DynamoTickets, dynamodb: Client, table: str, name: str) -> None:
        assert tickets.write("ticket_id", [update(1, name=name)]) == Written(1, 0)
        assert answer_of(dynamodb, table, 1, name) == {"S": "billing"}

    def test_calls_are_under_way_side_by_side(self) -> None:
        meeting = threading.Barrier(4, timeout=10)

        class Meeting:
            """A client whose every call waits until there are four."""

            class exceptions:  # noqa: N801 - as botocore has it
                TransactionCanceledException = ClientError

            def transact_write_items(self, **_: Any) -> None:
                meeting.wait()

        client: Any = Meeting()
        assert DynamoTickets(client, "t").write("ticket_id", [update(n) for n in range(400)]) == Written(400, 0)

    def test_nothing_to_write_is_no_call(self, tickets: DynamoTickets, dynamodb: Client) -> None:
        calls = Saboteur(dynamodb).calls
        assert (tickets.write("ticket_id", []), calls) == (Written(), [])


class TestAsked:
    def test_tickets_say_what_they_were_asked(self, tickets: DynamoTickets) -> None:
        told = [TicketUpdate(f"t{n}", {"nightshift_asked": f"d{n}"}, "2026") for n in range(3)]
        tickets.write("ticket_id", [*told, update(3)])
        assert tickets.asked("ticket_id", ["t0", "t2", "t3", "t4"]) == {"t0": "d0", "t2": "d2"}
        assert tickets.asked("ticket_id", []) == {}

    def test_what_a_read_leaves_is_read_after_a_pause(
        self, tickets: DynamoTickets, dynamodb: Client, table: str, pauses: list[float]
    ) -> None:
        tickets.write("ticket_id", [TicketUpdate(f"t{n}", {"nightshift_asked": "d"}, "2026") for n in range(3)])
        real, calls = dynamodb.batch_get_item, []

        def some(RequestItems: Any) -> Any:  # noqa: N803 - as botocore has it
            keys = RequestItems[table]["Keys"]
            calls.append((len(keys), RequestItems[table]["ConsistentRead"]))
            answer = real(RequestItems={table: {**RequestItems[table], "Keys": keys[:2]}})
            answer["UnprocessedKeys"] = {table: {"Keys": keys[2:]}} if keys[2:] else {}
            return answer

        dynamodb.batch_get_item = some
        assert tickets.asked("ticket_id", ["t0", "t1", "t2"]) == {"t0": "d", "t1": "d", "t2": "d"}
        assert (calls, len(pauses)) == ([(3, True), (1, True)], 1)

    @pytest.mark.parametrize(("code", "pauses_made"), [("ThrottlingException", 8), ("AccessDeniedException", 0)])
    def test_throttling_is_waited_out_and_then_goes_through_as_what_it_is(
        self, tickets: DynamoTickets, dynamodb: Client, pauses: list[float], code: str, pauses_made: int
    ) -> None:
        def refuse(**_: Any) -> None:
            raise ClientError({"Error": {"Code": code, "Message": ""}}, "BatchGetItem")

        dynamodb.batch_get_item = refuse
        with pytest.raises(ClientError, match=code):
            tickets.asked("ticket_id", ["t0"])
        assert len(pauses) == pauses_made


def test_a_key_that_is_a_number_is_written_as_one(dynamodb: Client) -> None:
    name = f"tickets-{uuid.uuid4().hex[:12]}"
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "number", "AttributeType": "N"}],
        KeySchema=[{"AttributeName": "number", "KeyType": "HASH"}],
    )
    numbered = DynamoTickets(dynamodb, name)
    assert numbered.write("number", [TicketUpdate("70", {"nightshift_asked": "a"}, "2026")], numeric=True) == Written(
        1, 0
    )
    assert numbered.asked("number", ["70"], numeric=True) == {"70": "a"}
    assert dynamodb.scan(TableName=name)["Items"] == [
        {"number": {"N": "70"}, "nightshift_asked": {"S": "a"}, "nightshift_order": {"S": "2026"}}
    ]
    dynamodb.delete_table(TableName=name)


class TestLoad:
    @pytest.mark.parametrize("code", ["ThrottlingError", "ProvisionedThroughputExceeded", "TransactionConflict"])
    def test_a_throttled_update_is_sent_again_with_the_rest_after_a_pause(
        self, tickets: DynamoTickets, dynamodb: Client, pauses: list[float], code: str
    ) -> None:
        saboteur = Saboteur(dynamodb, ("TransactionCanceledException", ["None", code, "ConditionalCheckFailed"]))
        assert tickets.write("ticket_id", [update(n) for n in range(3)]) == Written(2, 1)
        assert (saboteur.calls, len(pauses)) == ([3, 2], 1)

    @pytest.mark.parametrize("code", ["ThrottlingException", "ProvisionedThroughputExceededException"])
    def test_a_throttled_call_is_sent_again_after_a_pause(
        self, tickets: DynamoTickets, dynamodb: Client, pauses: list[float], code: str
    ) -> None:
        saboteur = Saboteur(dynamodb, (code, None), (code, None))
        assert tickets.write("ticket_id", [update(1)]) == Written(1, 0)
        assert (saboteur.calls, len(pauses)) == ([1, 1, 1], 2)
        assert pauses[0] < pauses[1] <= 0.2

    def test_a_stale_update_costs_no_pause(self, tickets: DynamoTickets, dynamodb: Client, pauses: list[float]) -> None:
        tickets.write("ticket_id", [update(1, "2027")])
        saboteur = Saboteur(dynamodb)
        assert tickets.write("ticket_id", [update(1), update(2)]) == Written(1, 1)
        assert (saboteur.calls, pauses) == ([2, 1], [])

    def test_throttling_without_end_says_that_the_table_has_no_room(
        self, tickets: DynamoTickets, dynamodb: Client, pauses: list[float]
    ) -> None:
        Saboteur(dynamodb, *[("TransactionCanceledException", ["ThrottlingError"])] * 100)
        with pytest.raises(TicketsBusy, match=r"the ticket table tickets-\w+ had no room in 8 tries"):
            tickets.write("ticket_id", [update(1)])
        assert len(pauses) == adapter.TRIES - 1

    def test_another_error_goes_through_at_once(
        self, tickets: DynamoTickets, dynamodb: Client, pauses: list[float]
    ) -> None:
        Saboteur(dynamodb, ("AccessDeniedException", None))
        with pytest.raises(ClientError, match="AccessDeniedException"):
            tickets.write("ticket_id", [update(1)])
        assert pauses == []


class TestRefusals:
    def test_an_update_that_is_refused_costs_no_other(
        self, tickets: DynamoTickets, dynamodb: Client, table: str
    ) -> None:
        Saboteur(dynamodb, ("TransactionCanceledException", ["None", "ValidationError", "None"]))
        assert tickets.write("ticket_id", [update(n) for n in range(3)]) == Written(2, 0, {"t1": "of one"})
        assert [item(dynamodb, table, n) is not None for n in range(3)] == [True, False, True]

    def test_an_item_over_400_kb_is_found_among_a_hundred_and_all_the_others_are_written(
        self, tickets: DynamoTickets, dynamodb: Client, table: str
    ) -> None:
        updates = [update(n, answer="x" * 410_000 if n == 42 else "fine") for n in range(100)]
        done = tickets.write("ticket_id", updates)
        assert (done.written, done.unchanged, list(done.refused)) == (99, 0, ["t42"])
        assert "size" in done.refused["t42"]
        assert "xxx" not in done.refused["t42"]
        assert [n for n in range(100) if item(dynamodb, table, n) is None] == [42]

    def test_an_id_that_cannot_be_a_key_costs_its_own_ticket_only(self, tickets: DynamoTickets) -> None:
        done = tickets.write("ticket_id", [update(1), replace(update(2), id=""), update(3)])
        assert (done.written, list(done.refused)) == (2, [""])

    def test_a_key_that_is_not_the_tables_is_refused_for_every_ticket(self, tickets: DynamoTickets) -> None:
        done = tickets.write("id", [update(n) for n in range(3)])
        assert (done.written, done.unchanged, list(done.refused)) == (0, 0, ["t0", "t1", "t2"])

    def test_a_long_reason_is_cut(
        self, tickets: DynamoTickets, dynamodb: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(adapter, "MAX_REASON", 4)
        Saboteur(dynamodb, ("TransactionCanceledException", ["ValidationError"]))
        assert tickets.write("ticket_id", [update(1)]).refused == {"t1": "of o"}


class TestAttributeValues:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (None, {"NULL": True}),
            (True, {"BOOL": True}),
            (0, {"N": "0"}),
            (0.1, {"N": "0.1"}),
            (-1.5e-9, {"N": "-1.5e-09"}),
            (Decimal("1.10"), {"N": "1.10"}),
            (10**37, {"N": "1" + "0" * 37}),
            (10**60, {"N": "1" + "0" * 60}),
            (int("9" * 38), {"N": "9" * 38}),
            (int("9" * 39), {"S": "9" * 39}),
            (Decimal("0." + "9" * 39), {"S": "0." + "9" * 39}),
            (1e126, {"S": "1e+126"}),
            (1e-131, {"S": "1e-131"}),
            (float("nan"), {"S": "nan"}),
            (float("-inf"), {"S": "-inf"}),
            ("", {"S": ""}),
            (["a", 1], {"L": [{"S": "a"}, {"N": "1"}]}),
            ({"a": {"b": []}}, {"M": {"a": {"M": {"b": {"L": []}}}}}),
        ],
    )
    def test_json_values_become_attribute_values(self, value: Any, expected: dict[str, Any]) -> None:
        assert to_attribute(value) == expected

    def test_what_is_no_json_is_a_programming_error(self) -> None:
        with pytest.raises(TypeError, match="a set is no JSON value"):
            to_attribute({"a", "b"})

    @settings(derandomize=True, deadline=None, database=None)
    @given(st.floats() | st.integers() | st.decimals())
    def test_no_number_loses_a_digit_and_none_is_more_than_dynamodb_holds(self, number: float | Decimal) -> None:
        value: Any = to_attribute(number)
        if "N" not in value:
            assert value == {"S": str(number)}
            return
        written = Decimal(value["N"])
        assert written == Decimal(str(number))
        assert len("".join(map(str, written.as_tuple().digits)).strip("0")) <= 38
