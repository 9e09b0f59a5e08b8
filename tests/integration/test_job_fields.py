"""What a job file can ask for, on the local cloud: requests that the API takes, answers where they were wanted."""

import base64
import csv
import io
import json

from tests.integration.conftest import Night

CHATS = """\
job: {name}
input: {{format: jsonl, id: id}}
max_tokens: 64
system: "Who is to look at this conversation?"
messages: {{column: chat}}
examples:
  - row: {{chat: [{{role: user, content: My invoice is wrong.}}]}}
    answer: billing
  - row: {{chat: [{{role: user, content: Hi}}, {{role: assistant, content: Hello}}, {{role: user, content: No page.}}]}}
    answer: technical
output: {{labels: [billing, technical], table: none}}
limits: {{max_reject_ratio: 1}}
{more}
"""
PHOTOS = """\
job: {name}
input: {{format: jsonl, id: id, optional: [photo]}}
max_tokens: 300000
betas: [output-300k-2026-03-24, files-api-2025-04-14]
verify: {{sample: 5}}
messages:
  - {{role: user, content: "You will see {{{{ sku }}}}."}}
  - {{role: assistant, content: "Show me."}}
  - {{role: user, content: "Is it a lamp or a chair?"}}
attachments:
  - {{type: image, url: "https://img.example/{{{{ sku }}}}.jpg"}}
  - {{type: image, base64: photo}}
examples:
  - {{row: {{sku: chair-1, photo: R0lGODlh}}, answer: chair}}
output: {{labels: [lamp, chair], table: none}}
limits: {{max_reject_ratio: 1, max_text_bytes: 50}}
{more}
"""
GRADES = """\
job: {name}
input: {{format: jsonl, id: id}}
max_tokens: 200
prompt: "{{{{ body }}}}"
output:
  schema:
    type: object
    properties: {{score: {{type: integer}}, why: {{type: string}}}}
    required: [score, why]
    additionalProperties: false
  carry: [formula]
  format: csv
  table: {{key: ticket_id, attributes: {{points: score, reason: why}}}}
{more}
"""


def read(night: Night, key: str) -> bytes:
    s3 = night.cloud.client("s3")
    body: bytes = s3.get_object(Bucket=night.cloud.outputs["OutputBucketName"], Key=key)["Body"].read()
    return body


def test_properties_are_attributes_and_all_answers_one_harmless_file(night: Night) -> None:
    night.job(text=GRADES)
    night.upload([{**row, "formula": "=HYPERLINK(1)"} for row in night.rows(3)])

    (run,) = night.settle()

    assert night.harvest(run).complete
    answers = {line["id"]: line["answer"] for line in night.lines(run, "output")}
    tickets = {name: (t["points"], t["reason"]) for name, t in night.tickets(run).items()}
    assert tickets == {name: (answer["score"], answer["why"]) for name, answer in answers.items()}
    latest = json.loads(read(night, f"latest/{night.name}/run.json"))
    assert (latest["run_id"], latest["rows"], latest["answered"]) == (run["run_id"], 3, 3)
    text = read(night, f"runs/{run['run_id']}/output.csv").decode()
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert header == ["id", "answer.score", "answer.why", "carry.formula", "cost_usd"]
    assert {row[0]: (int(row[1]), row[2]) for row in rows} == tickets
    assert {row[3] for row in rows} == {"'=HYPERLINK(1)"}


def test_what_was_answered_is_not_asked_again_and_the_next_run_says_so(night: Night) -> None:
    night.job("schedule: upload\nskip: answered")
    rows = night.rows(3)
    night.upload(rows)
    (first,) = night.settle()
    night.upload([*rows, *night.rows(1, prefix="new")], "more.jsonl")
    second = next(run for run in night.settle(2) if run["run_id"] != first["run_id"])
    night.upload(rows, "again.jsonl")

    third = next(run for run in night.settle(3) if run["run_id"] not in {first["run_id"], second["run_id"]})

    assert [batch["rows"] for batch in night.batches(second)] == [1]
    assert [(line["class"], line["code"]) for line in night.lines(second, "rejects")] == [
        ("skipped", "ALREADY_ANSWERED")
    ] * 3
    assert night.harvest(second).report["counts"]["skipped"] == 3
    assert (third["state"], night.batches(third), night.harvest(third).report["accounted"]) == ("done", [], True)
    assert night.paid_twice() == 0


def test_conversations_are_asked_behind_the_examples_and_what_is_none_is_rejected(night: Night) -> None:
    night.job(text=CHATS)
    first, last = {"role": "user", "content": "Good day"}, {"role": "user", "content": "It is about billing"}
    good = [[first, {"role": "assistant", "content": "Yes?"}, last], json.dumps([last])]
    bad = [[first, {"role": "assistant", "content": "Yes?"}], "no list", None]
    night.upload([{"id": str(n), "chat": chat} for n, chat in enumerate([*good, *bad])])

    (run,) = night.settle()

    plan = read(night, f"runs/{run['run_id']}/plan/g0-000001.jsonl").splitlines()
    sent = [json.loads(line)["params"]["messages"] for line in plan]
    assert ([len(each) for each in sent], sent[0][6:], sent[1][6:]) == ([9, 7], good[0], [last])
    assert {line["id"]: line["answer"] for line in night.lines(run, "output")} == {"0": "billing", "1": "billing"}
    assert [line["code"] for line in night.lines(run, "rejects")] == ["BAD_CONVERSATION"] * 2 + ["EMPTY_BODY"]
    assert night.harvest(run).complete


def test_pictures_are_sent_and_those_that_the_api_would_refuse_cost_nothing(night: Night) -> None:
    night.job(text=PHOTOS)
    png = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(1_000_000)).decode()
    photos = {"good": png, "none": None, "pdf": base64.b64encode(b"%PDF-1.7").decode(), "cut": png[:-2]}
    night.upload([{"id": name, "sku": f"{name}-lamp", "photo": photo} for name, photo in photos.items()])

    (run,) = night.settle()

    plan = read(night, f"runs/{run['run_id']}/plan/g0-000001.jsonl").splitlines()
    shown, alone = (json.loads(line)["params"]["messages"][-1]["content"] for line in plan)
    link = {"type": "image", "source": {"type": "url", "url": "https://img.example/good-lamp.jpg"}}
    photo = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png}}
    assert (shown[:2], [block["type"] for block in alone]) == ([link, photo], ["image", "text"])
    assert {line["id"] for line in night.lines(run, "output")} == {"good", "none"}
    assert [line["code"] for line in night.lines(run, "rejects")] == ["BAD_MEDIA_TYPE", "BAD_BASE64"]
    assert night.cloud.ledger(run["run_id"])[1][0]["betas"] == "output-300k-2026-03-24,files-api-2025-04-14"
    verified = json.loads(read(night, f"runs/{run['run_id']}/verification.json"))
    assert (verified["asked"], verified["answered"], verified["agree"]) == (2, 2, 2)  # no 300,000 without the header
    # The local API's own count: a picture is 1,600 tokens, whatever its bytes.
    assert 7 * 1_600 < run["estimate"]["input_tokens"] < 7 * 1_600 + 1_000
    assert night.harvest(run).complete
