"""`nightshift scan`: which calls it finds, what it makes of them, and when it says that none is left."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nightshift.job import parse_job
from nightshift_cli.app import app
from nightshift_cli.exits import Exit

CREATE = 'client.messages.create(model="claude-haiku-5-5", max_tokens=9, messages=[{"role": "user", "content": text}])'
HEAD = "from anthropic import Anthropic\nclient = Anthropic()\n"


def scan(folder: Path, code: str, *more: str, **others: str) -> Any:
    """Scan a folder with this code in `script.py`, and other files by their stems."""
    for stem, content in {"script": code, **others}.items():
        (folder / f"{stem}.py").write_text(content)
    said = CliRunner().invoke(app, ["scan", str(folder), "--json", *more])
    assert said.exit_code in {Exit.DONE, Exit.FOUND}, said.output
    return json.loads(said.stdout)


def only(folder: Path, code: str, **others: str) -> Any:
    """Scan, and return the one call that is there."""
    (call,) = scan(folder, code, **others)["calls"]
    return call


# ---------------------------------------------------------------- what is a call


@pytest.mark.parametrize(
    ("code", "kind", "name", "client"),
    [
        (f"{HEAD}{CREATE}", "sync", "messages.create", "Anthropic"),
        (f"import anthropic as a\nclient = a.Anthropic()\n{CREATE}", "sync", "messages.create", "Anthropic"),
        (
            "from anthropic import Anthropic\nAnthropic().beta.messages.create()",
            "sync",
            "beta.messages.create",
            "Anthropic",
        ),
        (f"{HEAD}client.with_options(timeout=9).messages.parse()", "sync", "messages.parse", "Anthropic"),
        (f"{HEAD}client.messages.with_raw_response.create()", "sync", "messages.create", "Anthropic"),
        (f"{HEAD}m = client.messages\nm.create()", "sync", "messages.create", "Anthropic"),
        (f"{HEAD}client.completions.create()", "sync", "completions.create", "Anthropic"),
        (f"{HEAD}retry(client.messages.create, model=1)", "sync", "messages.create", "Anthropic"),
        (
            f"def f(client: 'anthropic.AnthropicBedrock | None'):\n  {CREATE}",
            "sync",
            "messages.create",
            "AnthropicBedrock",
        ),
        (
            f"import anthropic\ndef made() -> anthropic.AnthropicVertex: ...\nclient = made()\n{CREATE}",
            *("sync", "messages.create", "AnthropicVertex"),
        ),
        (
            f"class A:\n  def f(self, client):\n    self.client = client or Anthropic()\n    self.{CREATE}",
            *("sync", "messages.create", "Anthropic"),
        ),
        (
            f"import anthropic\nclient = anthropic.AsyncAnthropic()\nasync def f(text):\n  await {CREATE}",
            *("async", "messages.create", "AsyncAnthropic"),
        ),
        (f"async def f(client, text):\n  await {CREATE}", "async", "messages.create", None),
        (f"def f(client, text):\n  {CREATE}", "sync", "messages.create", None),
        ("import boto3\nboto3.client('x').converse(modelId='anthropic.claude-haiku')", "bedrock", "converse", "boto3"),
        ("post('https://api.anthropic.com/v1/messages')", "http", "an address of the Messages API", None),
        ("from langchain_anthropic import ChatAnthropic", "library", "langchain_anthropic", None),
    ],
)
def test_a_call_is_found_however_it_is_written(tmp_path: Path, code: str, kind: str, name: str, client: str) -> None:
    call = only(tmp_path, code)

    assert (call["kind"], call["call"], call["client"]) == (kind, name, client)
    assert (call["file"], call["line"]) == (str(tmp_path / "script.py"), len(code.splitlines()))


@pytest.mark.parametrize(
    "code",
    [
        f"{HEAD}client.messages.batches.create(requests=[])",
        f"{HEAD}client.messages.count_tokens(model='m', messages=[])",
        "from twilio.rest import Client\nClient().messages.create(to='+1', from_='+2', body='hello')",
        "import anthropic, openai\nopenai.OpenAI().chat.completions.create(model='m', messages=[])",
        "import anthropic\nclient.beta.threads.messages.create(thread_id='t', content='c')",
        "post('https://api.anthropic.com/v1/messages/batches')",
        "import boto3\nboto3.client('x').converse(modelId='amazon.nova')",
        "# client.messages.create()\n'''client.messages.create()'''",
    ],
)
def test_what_asks_nothing_at_once_is_no_call(tmp_path: Path, code: str) -> None:
    assert scan(tmp_path, code) == {"files": 1, "unread": [], "calls": [], "none_left": True}


def test_none_is_left_only_where_every_file_could_be_read(tmp_path: Path) -> None:
    (tmp_path / "eval.ipynb").write_text('{"cells": [{"source": ["import anthropic"]}]}')
    (tmp_path / "other.ipynb").write_text('{"cells": [{"source": ["import pandas"]}]}')
    (tmp_path / "old.py").write_text("print 'hello'")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "script.py").write_text(HEAD + CREATE)

    found = scan(tmp_path, "x = 1")

    assert [Path(each["file"]).name for each in found["unread"]] == ["eval.ipynb", "old.py"]
    assert (found["calls"], found["none_left"]) == ([], False)
    assert CliRunner().invoke(app, ["scan", str(tmp_path)]).exit_code == Exit.FOUND
    assert CliRunner().invoke(app, ["scan", str(tmp_path / "script.py")]).exit_code == Exit.DONE
    assert CliRunner().invoke(app, ["scan", str(tmp_path), "--exclude", "**/*.py"]).exit_code == Exit.FOUND
    (tmp_path / "empty").mkdir()
    assert CliRunner().invoke(app, ["scan", str(tmp_path / "empty")]).exit_code == Exit.USAGE


# ---------------------------------------------------------------- whether it looks batchable


NO_LOOP = "no loop over rows seen: has whoever calls it many?"


def judged(folder: Path, code: str, **others: str) -> tuple[str, str]:
    call = only(folder, HEAD + code, **others)
    return call["verdict"], call["reason"].replace(f"{folder}/", "")


def test_a_loop_over_rows_is_batchable_and_a_loop_of_attempts_is_not_seen_as_one(tmp_path: Path) -> None:
    rows = judged(tmp_path, f"for text in rows:\n  for attempt in range(3):\n    {CREATE}")
    attempts = judged(tmp_path, f"for attempt in range(3):\n  {CREATE}")
    assert rows == ("batchable", "in the loop over `rows`, line 3")
    assert attempts == ("look", NO_LOOP)


def test_a_loop_that_ends_when_an_answer_will_do_is_none_over_rows(tmp_path: Path) -> None:
    until = judged(tmp_path, f"for t in range(10):\n  {CREATE}\n  if done: break")
    counted = judged(tmp_path, f"for t in range(len(rows)):\n  {CREATE}\n  if done: break")
    within = judged(tmp_path, f"for t in range(1000):\n  {CREATE}\n  for line in text:\n    break")

    assert until == ("look", NO_LOOP)
    assert [counted[0], within[0]] == ["batchable", "batchable"]


@pytest.mark.parametrize(
    ("use", "reason"),
    [
        ("[ask(r) for r in rows]", "script.py:5: for each of many, line 5"),
        ("pool.map(ask, rows)", "script.py:5: mapped over rows (map, line 5)"),
        ("frame.apply(lambda r: ask(r['x']), axis=1)", "script.py:5: mapped over rows (apply, line 5)"),
        ("for r in rows: pool.submit(ask, r)", "script.py:5: in the loop over `rows`, line 5"),
        ("def main():\n  for r in rows: ask(r)", "script.py:6: in the loop over `rows`, line 6"),
    ],
)
def test_a_function_that_is_called_for_each_row_is_batchable(tmp_path: Path, use: str, reason: str) -> None:
    assert judged(tmp_path, f"def ask(text):\n  {CREATE}\n{use}") == ("batchable", reason)


def test_a_caller_in_another_file_counts_where_it_imports_the_function(tmp_path: Path) -> None:
    ask, use = f"def ask(text):\n  {CREATE}", "for r in rows: ask(r)"

    assert judged(tmp_path, ask, other=use)[0] == "look"
    assert judged(tmp_path, ask, other=f"from script import ask\n{use}") == (
        "batchable",
        "other.py:2: in the loop over `rows`, line 2",
    )


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (f"@app.post('/ask')\ndef ask(text):\n  for x in texts:\n    {CREATE}", None),
        (f"import flask\ndef ask(request):\n  {CREATE}", "`ask` answers a web request: somebody waits"),
        (f"@app.get('/ask')\ndef ask(text):\n  {CREATE}", "`ask` answers a request (@app.get): somebody waits"),
        (f"def ask(text):\n  {CREATE}\n@app.get('/')\ndef page():\n  ask(1)", "script.py:7: `page` answers a request"),
        (f"import discord\n@bot.event\nasync def on_message(text):\n  {CREATE}", "`on_message` answers a request"),
        (f"from slack_bolt import App\n@app.command('/a')\ndef ask(text):\n  {CREATE}", "`ask` answers a request"),
        (f"class Ask(APIView):\n  def get(self, text):\n    {CREATE}", "`Ask` answers requests (APIView)"),
        (f"import streamlit\n{CREATE}", "the file is a page of streamlit"),
        (f"while True:\n  text = input()\n  {CREATE}", "a person is asked first (input, line 4)"),
        ("for text in rows:\n  client.messages.create(stream=True)", "it streams"),
        ("for text in rows:\n  with client.messages.stream() as s: pass", "it streams"),
        (
            "def run(rows):\n  m = []\n  while True:\n    r = client.messages.create(messages=m)\n    m.append(r)",
            "the answer goes into the next request (`m` grows)",
        ),
        (
            "def say(history):\n  r = client.messages.create(messages=history)\n  history += [r]",
            "the answer goes into the next request (`history` grows)",
        ),
    ],
)
def test_where_somebody_waits_it_is_not_batchable(tmp_path: Path, code: str, reason: str | None) -> None:
    verdict, said = judged(tmp_path, code)

    if reason is None:
        assert (verdict, said) == (
            "look",
            "in the loop over `texts`, line 5; but also `ask` answers a request (@app.post): split the two",
        )
    else:
        assert verdict == "not batchable"
        assert said.startswith(reason)


@pytest.mark.parametrize(
    "code",
    [
        "for r in rows:\n  m = []\n  m.append(r)\n  client.messages.create(messages=m)",
        "def ask(r):\n  m = []\n  m.append(r)\n  client.messages.create(messages=m)\nfor r in rows: ask(r)",
        f"if input() != 'y': exit()\nfor text in rows:\n  {CREATE}",
        f"import click\n@app.command()\ndef main(rows):\n  for text in rows: {CREATE}",
    ],
)
def test_what_only_looks_like_waiting_is_batchable(tmp_path: Path, code: str) -> None:
    assert judged(tmp_path, code)[0] == "batchable"


def test_a_method_s_name_is_followed_where_it_is_near_and_the_only_one(tmp_path: Path) -> None:
    ask = f"class A:\n  def ask(self, text):\n    {CREATE}"
    far = f"{ask}\n  def two(self): self.ask(1)\n  def three(self): self.two()"

    assert judged(tmp_path, ask, other="for r in rows: a.ask(r)")[0] == "batchable"
    assert judged(tmp_path, ask, other="class B:\n  def ask(self): ...\nfor r in rows: a.ask(r)")[0] == "look"
    assert judged(tmp_path, far, other="for r in rows: a.three(r)")[0] == "look"
    assert judged(tmp_path, far, other="from x import three\nfor r in rows: three(r)")[0] == "batchable"


# ---------------------------------------------------------------- the draft

LOOP = '''\
import anthropic
client = anthropic.Anthropic()
MODEL = "claude-haiku-5-5"
RUBRIC = """You grade answers.
Be strict: {{ is no column."""

def grade(row, limit):
    prompt = f"<q>{row['question']}</q>\\n" + "<a>{}</a>".format(row.answer.strip())
    prompt += f"\\n{{{{ literally"
    return client.messages.create(
        model=MODEL, max_tokens=300, system=RUBRIC, temperature=0.2, stop_sequences=["END"], timeout=60, top_k=limit,
        messages=[{"role": "user", "content": [{"type": "text", "text": prompt}]}],
    )

for row in rows:
    grade(row, 5)
'''


def test_a_draft_is_a_job_made_of_the_call_s_literals(tmp_path: Path) -> None:
    call = only(tmp_path, LOOP)

    job = parse_job(call["draft"].encode(), name="grade", key="grade.yaml")
    assert call["job"] == "grade"
    assert (job.model, job.max_tokens, job.system) == (
        *("claude-haiku-5-5", 300),
        "You grade answers.\nBe strict: {{ is no column.",
    )
    assert job.prompt == "<q>{{ question }}</q>\n<a>{{ answer }}</a>\n{{ '{{' }} literally"
    assert job.variables == {"question", "answer"}
    assert (job.params, job.output.text) == ({"stop_sequences": ["END"]}, True)
    notes = [line for line in call["draft"].splitlines() if line.startswith("# - ")]
    assert notes == [
        "# - temperature (0.2) is dropped: the API refuses it since version 2026-10-21, at any value",
        "# - top_k (limit) is dropped: the API refuses it since version 2026-10-21, at any value",
        "# - column `question` is `row['question']` there",
        "# - column `answer` is `row.answer` there",
    ]


def test_a_tool_that_is_forced_becomes_a_schema_and_thinking_with_a_budget_adaptive(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]}
    arguments = f"tools=[{{'name': 't', 'input_schema': {schema}}}], tool_choice={{'type': 'tool', 'name': 't'}}"
    thinking = "thinking={'type': 'enabled', 'budget_tokens': 2000}"
    call = only(tmp_path, f"{HEAD}for text in rows:\n  {CREATE[:-1]}, {arguments}, {thinking})")

    job = parse_job(call["draft"].encode(), name=call["job"], key="")
    assert job.output.json_schema == {"additionalProperties": False, **schema}
    assert (job.params, job.thinking) == ({}, "adaptive")


def test_what_a_draft_does_not_know_stands_in_its_notes(tmp_path: Path) -> None:
    code = (
        f"{HEAD}def ask(messages, model, **more):\n  client.messages.create(messages=messages, model=model,"
        " system=f'It is {day}.', **more)\nfor r in rows: ask(r)"
    )
    draft = only(tmp_path, code)["draft"]

    job = parse_job(draft.encode(), name="ask", key="")
    assert (job.model, job.max_tokens, job.prompt) == ("claude-haiku-5-5", 1024, "It is {{ day }}.")
    assert [line[4:] for line in draft.splitlines() if line.startswith("# - ")] == [
        "arguments come from a dictionary (`**`) that scan does not follow: add them",
        "model is `model` there: put its value here",
        "`system` is not the same text for all rows there: it went into the prompt; split it by hand",
        "messages is `messages` there: put the prompt here",
    ]


def test_a_draft_says_what_keeps_it_from_being_a_job(tmp_path: Path) -> None:
    draft = only(tmp_path, f"{HEAD}for text in rows:\n  {CREATE.replace('haiku-5-5', '3-opus-20240229')}")["draft"]

    assert "# - mend: model: `claude-3-opus-20240229` stops answering on 2026-01-05" in draft


def test_drafts_are_written_once_and_never_over_a_file(tmp_path: Path) -> None:
    (code := tmp_path / "code").mkdir()
    (code / "script.py").write_text(f"{HEAD}for text in rows:\n  {CREATE}\nfor text in rows:\n  {CREATE}")
    (jobs := tmp_path / "jobs").mkdir()
    (jobs / "code.yaml").write_text("mine")

    said = CliRunner().invoke(app, ["scan", str(code), "--write", str(jobs)])

    assert said.exit_code == Exit.FOUND
    assert {file.name for file in jobs.iterdir()} == {"code.yaml", "code-2.yaml"}
    assert (jobs / "code.yaml").read_text() == "mine"
    assert said.stdout.splitlines() == [
        f"{code}/script.py:{line}: batchable: sync Anthropic messages.create: in the loop over `rows`, line {line - 1}"
        for line in (4, 6)
    ]


PICTURES = """
import anthropic, base64
for row in rows:
    data = base64.b64encode(open(row["path"], "rb").read()).decode()
    source = {"type": "base64", "media_type": "image/png", "data": data}
    anthropic.Anthropic().messages.create(model="claude-haiku-5-5", max_tokens=9, messages=[
        {"role": "user", "content": f"This is {row['name']}."},
        {"role": "assistant", "content": "Show me."},
        {"role": "user", "content": [
            {"type": "image", "source": source},
            {"type": "document", "source": {"type": "url", "url": f"https://x/{row['sku']}.pdf"}},
            {"type": "text", "text": "What is it?"},
        ]},
        {"role": "assistant", "content": "{"},
    ])
"""


def test_several_messages_and_what_is_attached_are_drafted_as_the_job_has_them(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(PICTURES)

    CliRunner().invoke(app, ["scan", str(tmp_path / "code.py"), "--write", str(tmp_path / "jobs")])

    text = (tmp_path / "jobs" / "code.yaml").read_text()
    job = parse_job(text.encode(), name="code", key="")
    assert isinstance(job.messages, tuple)
    assert [(each.role, each.content) for each in job.messages] == [
        ("user", "This is {{ name }}."),
        ("assistant", "Show me."),
        ("user", "What is it?"),
    ]
    assert [(each.type, each.url, each.base64) for each in job.attachments] == [
        ("image", None, "data"),
        ("document", "https://x/{{ sku }}.pdf", None),
    ]
    assert "prefill" in text
    assert "mend:" not in text


def test_a_function_that_is_called_by_another_name_is_followed(tmp_path: Path) -> None:
    code = f"{HEAD}def old(text):\n  {CREATE}\n"
    used = "def run(rows):\n  ask = old\n  for row in rows:\n    ask(row)\n"

    assert only(tmp_path, code + used)["verdict"] == "batchable"
    assert only(tmp_path, code + used.replace("    ask(row)", "    asked(row)"))["verdict"] == "look"


def test_a_text_completion_is_drafted_with_a_word_on_what_it_has_in_its_prompt(tmp_path: Path) -> None:
    code = f"{HEAD}for row in rows:\n  client.completions.create(model='m', prompt=row)\n"
    scan(tmp_path, code, "--write", str(tmp_path / "jobs"))
    (draft,) = (tmp_path / "jobs").iterdir()

    assert "take `Human:` and `Assistant:` out of the prompt" in draft.read_text()
