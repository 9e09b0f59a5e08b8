"""Job files: what is accepted, and what a person reads where one is not."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from anthropic.resources.messages.messages import DEPRECATED_MODELS

from nightshift.api_rules import model_problem
from nightshift.errors import BadJob
from nightshift.input_codes import InputCode
from nightshift.job import Job, json_schema, parse_job
from nightshift.job_sections import Batch, Budget, Cache, Input, Limits, Output, Retry, Table
from nightshift.schema_rules import schema_problems

ROOT = Path(__file__).parents[2]
TODAY = date(2026, 11, 22)

SMALL = """\
job: triage
input: {format: jsonl}
max_tokens: 64
prompt: "{{ body }}"
output: {labels: [billing, other]}
"""


def parse(text: str, *, name: str = "triage", today: date | None = TODAY) -> Job:
    return parse_job(text.encode(), name=name, key="jobs/triage.yaml", today=today)


def refusal(text: str) -> str:
    with pytest.raises(BadJob) as caught:
        parse(text)
    return str(caught.value)


def with_line(line: str) -> str:
    return f"{SMALL}{line}\n"


def without_output(lines: str) -> str:
    return f"{SMALL.removesuffix('output: {labels: [billing, other]}\n')}{lines}\n"


def test_a_small_job_has_the_documented_defaults() -> None:
    assert parse(SMALL) == Job(
        job="triage",
        input=Input(format="jsonl", id="id", optional=(), nul="reject"),
        model="claude-haiku-5-5",
        max_tokens=64,
        thinking="disabled",
        system="",
        prompt="{{ body }}",
        params={},
        output=Output(labels=("billing", "other"), carry=(), table=None),
        cache=Cache(ttl="1h"),
        batch=Batch(max_rows=10_000, max_bytes=50_000_000),
        limits=Limits(max_rows=50_000, max_reject_ratio=0.2, max_text_bytes=100_000, too_large="reject"),
        retry=Retry(generations=2),
        schedule="nightly",
    )


def test_every_field_can_be_set() -> None:
    job = parse("""\
job: triage
input: {format: csv, id: row_number, optional: [subject]}
model: claude-opus-4-6
max_tokens: 4096
thinking: {type: enabled, budget_tokens: 2048}
system: Sort them.
prompt: "{{ subject }} {{ body }}"
params: {metadata: {user_id: u}, stop_sequences: [END], output_config: {effort: low}}
output:
  schema: {type: object, properties: {a: {type: string}}, required: [a], additionalProperties: false}
  carry: [created_at]
  table: {key: id, attribute: answer}
cache: {ttl: 5m}
batch: {max_rows: 5, max_bytes: 1000000}
limits: {max_rows: 9, max_reject_ratio: 1, max_text_bytes: 7}
retry: {generations: 0}
schedule: upload
""")
    assert job.thinking == Budget(type="enabled", budget_tokens=2048)
    assert job.output.table == Table(key="id", attribute="answer")
    assert job.output.json_schema is not None
    assert (job.variables, job.required) == (frozenset({"subject", "body"}), frozenset({"body"}))
    assert (job.schedule, job.cache.ttl, job.retry.generations) == ("upload", "5m", 0)


@pytest.mark.parametrize(
    ("model", "most", "longer"),
    [
        ("claude-haiku-5-5", 128_000, True),
        ("claude-opus-5-5\nthinking: adaptive", 128_000, True),
        ("claude-opus-5", 128_000, True),
        ("claude-opus-4-8", 128_000, True),
        ("claude-sonnet-5-5", 128_000, True),
        ("claude-sonnet-4-6", 64_000, True),
        ("claude-opus-4-5", 64_000, False),
        ("claude-haiku-4-5", 64_000, False),
        ("claude-fable-5-2\nthinking: adaptive", 128_000, False),
    ],
)
def test_a_beta_makes_room_for_longer_answers_on_the_models_that_give_them(
    model: str, most: int, *, longer: bool
) -> None:
    def refused(max_tokens: int, betas: str) -> bool:
        text = SMALL.replace("max_tokens: 64", f"max_tokens: {max_tokens}\nmodel: {model}\nbetas: [{betas}]")
        try:
            return parse(text) is None
        except BadJob as error:
            return "max_tokens: `claude-" in str(error)

    assert (refused(most, ""), refused(most + 1, "")) == (False, True)
    assert refused(300_000, "output-300k-2026-03-24") is not longer
    assert refused(300_000, "files-api-2025-04-14")


def test_params_that_want_a_beta_are_passed_on_with_one() -> None:
    made = parse(with_line("params: {context_management: {edits: []}}\nbetas: [context-management-2025-06-27]"))
    assert (made.params, made.beta_header) == ({"context_management": {"edits": []}}, "context-management-2025-06-27")


def test_table_none_means_no_table() -> None:
    assert parse(SMALL.replace("other]}", "other], table: none}")).output.table is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "temperature: 0",
            "6: temperature: the API refuses it since version 2026-10-21, at any value: delete the line",
        ),
        ("stream: true", "6: stream: a batch cannot stream: delete the line"),
        ("params: {top_p: 1}", "6: params.top_p: the API refuses it since version 2026-10-21, at any value: delete"),
        ("params: {max_tokens: 5}", "6: params.max_tokens: `max_tokens` is a field of the job: move the line to"),
        ("params: {betas: [x]}", "6: params.betas: `betas` is a field of the job: move the line to the top level"),
        ("params: {anthropic_beta: x}", "6: params.anthropic_beta: beta features belong to the batch's header: write"),
        ("params: {messages: []}", "6: params.messages: `messages` is a field of the job: move the line"),
        ("params: {mcp_servers: []}", "6: params.mcp_servers: the API takes it with a beta: write `betas: [NAME]`"),
        ("betas: [Output-300k]", "6: betas.0: String should match pattern"),
        ("betas: output-300k-2026-03-24", "6: betas: Input should be a valid tuple"),
        ("betas: [a-2026-01-01, a-2026-01-01]", "6: betas: must be different"),
        ("params: {colour: red}", "6: params.colour: no such key in a Messages request; known here: cache_control, "),
        ("params: {service_tier: priority}", "6: params.service_tier: must be `auto` or `standard_only`"),
        ("params: {output_config: {format: {}}}", "6: params.output_config.format: nightshift makes it from `output`"),
        ("metadata: {user_id: a}", "6: metadata: belongs below `params:`"),
        ("skip: answered", "6: skip: only a ticket tells whether a row is answered: say `output.table`"),
        ("skip: old", "6: skip: Input should be 'none' or 'answered'"),
        ("limits: {max_usd: 0}", "6: limits.max_usd: Input should be greater than 0"),
        ("limits: {unpriced: maybe}", "6: limits.unpriced: Input should be 'hold' or 'send'"),
        ("pilot: {rows: 0}", "6: pilot.rows: Input should be greater than or equal to 1"),
        ("pilot: {wait: 2 hours}", "6: pilot.wait: String should match pattern"),
        ("pilot: off", "6: pilot: Input should be a valid dictionary or instance of Pilot"),
        ("cache: {when: cold}", "6: cache.when: Input should be 'primed', 'always' or 'never'"),
        ("verify: {sample: 0}", "6: verify.sample: Input should be greater than or equal to 1"),
        ("colour: red", "6: colour: no such field: docs/job.schema.json has those there are"),
        ("schedule: hourly", "6: schedule: Input should be 'nightly', 'upload' or 'manifest'"),
        ("thinking: off", "6: thinking: Input should be a valid dictionary or instance of Budget"),
        ("thinking: deep", "6: thinking: Input should be 'disabled', 'adaptive' or 'between_tools'"),
        ("thinking: {type: enabled, budget_tokens: 2048}", "6: thinking: `claude-haiku-5-5` refuses a thinking budget"),
        ("model: gpt-5", "6: model: `gpt-5` is not a model's name: those look like claude-haiku-5-5"),
        ("model: claude-haiku-5.5", "6: model: `claude-haiku-5.5` is not a model's name"),
        ("model: claude-3-opus-20240229", "6: model: `claude-3-opus-20240229` stops answering on 2026-01-05"),
        (
            "limits: {max_text_bytes: 99, too_large: truncate}",
            "6: limits: `too_large: truncate` goes with `max_text_bytes`",
        ),
        ("batch: {max_rows: 100001}", "6: batch.max_rows: Input should be less than or equal to 100000"),
        ('batch: {max_rows: "10"}', "6: batch.max_rows: Input should be a valid integer"),
        ("system: 12", "6: system: must be a text; put it in quotes"),
        ("max_tokens: 65", "6: `max_tokens` stands here a second time (first on line 3)"),
        ("limits: {max_rows: 1, max_rows: 2}", "6: `max_rows` stands here a second time (first on line 6)"),
        ("? [a]\n: b", "6: the key is not a text"),
        ("yes: 1", "6: the key is not a text: put it in quotes, 'yes'"),
        ("cache: *name", "6: aliases (*name) are not supported: write the value out"),
        ("params: [", "7: "),
        ("params: {metadata: 2026-13-45}", "1: a value that YAML cannot read"),
        ("system: \x07", "1: not YAML: is there a control character in it?"),
    ],
)
def test_what_a_job_cannot_have_is_refused_with_file_line_and_reason(line: str, message: str) -> None:
    assert refusal(with_line(line)).startswith(f"jobs/triage.yaml:{message}")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("max_tokens: 64", "max_tokens: 0", "3: max_tokens: Input should be greater than or equal to 1"),
        ("max_tokens: 64", "max_tokens: 300001", "3: max_tokens: Input should be less than or equal to 300000"),
        (
            "max_tokens: 64",
            "max_tokens: 128001",
            "3: max_tokens: `claude-haiku-5-5` gives answers of at most 128,000 tokens; with `betas: [output-300k-202",
        ),
        ("max_tokens: 64\n", "", "1: max_tokens: is missing"),
        ("job: triage", "job: Triage", "1: job: String should match pattern"),
        ("job: triage", "job: other", "1: job: the file is named triage, so this must be `job: triage`"),
        ("{format: jsonl}", "{format: csv, sheet: a}", "2: input: `sheet` goes with `format: xlsx`: no other file has"),
        ("{format: jsonl}", "{format: xml}", "2: input.format: Input should be 'jsonl', 'csv', 'parquet' or 'xlsx'"),
        ("{format: jsonl}", "{format: csv, optional: [x]}", "2: input.optional.0: the prompt does not use `x`"),
        ("{{ body }}", "{{ body }", "4: prompt: line 1 of the template: "),
        ("{{ body }}", "Hello", "4: prompt: uses no column of the input"),
        ("{{ body }}", "{% include 'x' %}{{ body }}", "4: prompt: include, import and extends are not available"),
        ("[billing, other]", "[billing]", "5: output.labels: must be at least 2: with one, there is nothing to ask"),
        ("[billing, other]", "[yes, no]", "5: output.labels.0: must be a text; put it in quotes"),
        ("[billing, other]", "[Other, other]", "5: output.labels: must be different texts"),
        ("labels: [billing, other]", "carry: [a]", "5: output: must have exactly one of `labels: […]`, `schema: {…}`"),
        ("other]}", "other], text: true}", "5: output: must have exactly one of"),
        ("other]}", "other], table: {key: a, attribute: a}}", "5: output.table: `attribute` must not be the key"),
        ("other]}", "other], table: {attribute: nightshift_x}}", "5: output.table: `attribute` must not be the key"),
        ("other]}", "other], table: {key: a}}", "5: output.table: must have `attribute: NAME`, or `attributes: {"),
        ("other]}", "other], table: {attribute: a, attributes: {a: b}}}", "5: output.table: `attribute` and `attrib"),
        ("other]}", "other], table: {attributes: {ticket_id: b}}}", "5: output.table: `attribute` must not be"),
        ("other]}", "other], table: {attributes: {a: b}}}", "5: output.table.attributes.a: `output.schema` has no"),
        ("other]}", "other], table: {attribute: a, key_type: binary}}", "5: output.table.key_type: Input should be"),
        ("{labels: [billing, other]}", "{schema: {type: array}}", "5: output.schema: must describe an object"),
        (
            "{labels: [billing, other]}",
            "{schema: {type: object}}",
            "5: output.schema: structured outputs want `additionalProperties: false` on every object",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_file_line_and_reason(old: str, new: str, message: str) -> None:
    assert refusal(SMALL.replace(old, new)).startswith(f"jobs/triage.yaml:{message}")


def test_what_structured_outputs_do_not_compile_is_refused_wherever_it_stands() -> None:
    text = SMALL.replace(
        "output: {labels: [billing, other]}",
        """\
output:
  schema:
    type: object
    additionalProperties: false
    properties:
      minimum: {type: string}
      score:
        anyOf:
          - {type: integer, minimum: 1}
          - {type: "null"}
      list: {type: array, items: {type: object}}
""",
    )
    assert refusal(text).splitlines() == [
        (
            "jobs/triage.yaml:13: output.schema.properties.score.anyOf.0.minimum: structured outputs do not support "
            "`minimum`: delete it, and say it in a `description`"
        ),
        (
            "jobs/triage.yaml:15: output.schema.properties.list.items: structured outputs want "
            "`additionalProperties: false` on every object"
        ),
    ]


TOOL = "tools: [{name: note, input_schema: {type: object}}]"
SONNET = "model: claude-sonnet-5-5"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("model: claude-opus-5-5", "thinking: `claude-opus-5-5` always thinks: write `thinking: adaptive`"),
        ("model: claude-fable-5-2\nthinking: between_tools", "thinking: `claude-fable-5-2` always thinks"),
        ("model: claude-haiku-4-5\nthinking: adaptive", "thinking: `claude-haiku-4-5` knows no adaptive thinking"),
        ("params: {output_config: {effort: max}}", "params.output_config.effort: effort max wants `thinking: adap"),
        ("params: {output_config: {effort: most}}", "params.output_config.effort: must be one of low, medium, high"),
        ("params: {output_config: {colour: red}}", "params.output_config.colour: no such key: the API takes"),
        ("params: {metadata: {user: u}}", "params.metadata: the API takes `user_id` here, and no other key"),
        ("params: {metadata: {user_id: 1}}", "params.metadata.user_id: must be a text of at most 256 characters"),
        ("params: {stop_sequences: [' ']}", "params.stop_sequences: must be a list of texts that are not blank"),
        ("params: {tools: {}}", "params.tools: must be a list"),
        ("params: {tools: [{name: a b}]}", "params.tools.0: must be a mapping with a `name` of at most 128"),
        ("params: {tools: [{name: a}]}", "params.tools.0: must have an `input_schema` that describes an object"),
        (f"params: {{{TOOL[:-1]}, {TOOL[8:]}}}", "params.tools.1.name: a second tool is named `note`"),
        (
            "params: {tools: [{name: a, strict: true, input_schema: {type: object}}]}",
            "params.tools.0.input_schema: structured outputs want `additionalProperties: false`",
        ),
        ("params: {tool_choice: {type: any}}", "params.tool_choice: there are no `tools` to choose from"),
        (f"params: {{{TOOL}, tool_choice: any}}", "params.tool_choice: must be `{type: auto}`, `{type: any}`"),
        (f"params: {{{TOOL}, tool_choice: {{type: tool, name: b}}}}", "params.tool_choice.name: no tool of `tools`"),
        (f"params: {{{TOOL}, tool_choice: {{type: any}}}}", "params.tool_choice: every answer would be a call of a"),
        (f"params: {{{TOOL}, tool_choice: {{type: tool, name: note}}}}", "params.tool_choice: every answer would be"),
        ("model: claude-opus-4-5\nparams: {inference_geo: us}", "params.inference_geo: `claude-opus-4-5` cannot be"),
    ],
)
def test_what_the_api_would_refuse_of_each_row_is_refused_of_the_job(lines: str, message: str) -> None:
    (line,) = refusal(with_line(lines)).splitlines()
    assert line.split(": ", 1)[1].startswith(message)
    assert parse(with_line(lines), today=None).job == "triage"  # one that was accepted once is not judged again


@pytest.mark.parametrize(
    "lines",
    [
        "model: claude-opus-5-5\nthinking: adaptive",
        "model: claude-opus-5",
        "params: {output_config: {effort: high}}",
        "thinking: adaptive\nparams: {output_config: {effort: max}}",
        f"{SONNET}\nparams: {{{TOOL}, tool_choice: {{type: auto}}}}",
        "params: {tools: [{type: web_search_20260209, name: web_search, max_uses: 1}]}",
        "params: {metadata: {user_id: null}, stop_sequences: [END], service_tier: standard_only, inference_geo: us}",
    ],
)
def test_what_the_api_takes_is_taken(lines: str) -> None:
    assert parse(with_line(lines)).job == "triage"


CALLED = "output: {{tool: note}}\nparams: {{tools: [{{name: note, input_schema: {{{}}}{}}}]}}"
OPEN = "type: object, properties: {score: {type: integer}}"
SHUT = f"{OPEN}, additionalProperties: false"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("output: {tool: note}", "output.tool: `params.tools` has no tool `note` with an `input_schema`"),
        (
            "output: {tool: web}\nparams: {tools: [{type: web_search_20260209, name: web}]}",
            "output.tool: `params.tools` has no tool `web` with an `input_schema`",
        ),
        (f"output: {{tool: other}}\nparams: {{{TOOL}}}", "output.tool: `params.tools` has no tool `other`"),
        (
            CALLED.format(OPEN, ""),
            "params.tools.0.input_schema: structured outputs want `additionalProperties: false` on every object",
        ),
        (CALLED.format(OPEN, ", strict: true"), "params.tools.0.input_schema: structured outputs want `additionalPr"),
        (
            CALLED.format(SHUT, "").replace("]}", "], tool_choice: {type: auto}}"),
            "params.tool_choice: nightshift makes it from `output.tool`: delete the line",
        ),
        (
            CALLED.format(SHUT, "").replace("note}", "note, table: {attributes: {x: colour}}}"),
            "output.table.attributes.x: the tool `note` has no property `colour`",
        ),
        (
            CALLED.format(SHUT, "").replace("{tool: note}", "{tool: note, text: true}"),
            "output: must have exactly one of `labels: […]`, `schema: {…}`, `text: true` and `tool: NAME`",
        ),
    ],
)
def test_a_job_whose_answer_is_a_call_must_have_such_a_tool(lines: str, message: str) -> None:
    (line,) = refusal(without_output(lines)).splitlines()
    assert line.split(": ", 1)[1].startswith(message)


def test_an_answer_that_is_a_call_goes_to_attributes_as_one_with_a_schema_does() -> None:
    lines = CALLED.format(SHUT, "").replace("note}", "note, table: {attributes: {points: score}}}")
    job = parse(without_output(lines))
    assert job.output.object_schema(job.params) == {**CLOSED, "properties": {"score": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("lines", "tokens", "raised"),
    [
        ("", 64, None),
        ("retry: {cut_off: 2}", 64, 128),
        ("retry: {cut_off: 1.01}", 64, 65),
        ("retry: {cut_off: 100}", 64_000, 128_000),
        ("retry: {cut_off: 1.5}\nmodel: claude-haiku-4-5", 60_000, 64_000),
    ],
)
def test_rows_that_are_cut_off_may_be_given_more_and_no_more_than_the_model_gives(
    lines: str, tokens: int, raised: int | None
) -> None:
    assert parse(with_line(lines).replace("64", str(tokens), 1)).raised_max_tokens == raised


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("retry: {cut_off: 1}", "retry.cut_off: Input should be greater than 1"),
        ("retry: {cut_off: .inf}", "retry.cut_off: Input should be less than or equal to 100"),
        ("retry: {cut_off: 2, generations: 0}", "retry: `cut_off` asks in a retry generation: say `generations: 1`"),
        (
            "retry: {cut_off: 2}\nmodel: claude-haiku-4-5",
            "retry.cut_off: `claude-haiku-4-5` gives no longer answers than `max_tokens` says: delete this",
        ),
    ],
)
def test_a_job_cannot_give_more_than_there_is(lines: str, message: str) -> None:
    (line,) = refusal(with_line(lines).replace("64", "64000", 1)).splitlines()
    assert line.split(": ", 1)[1].startswith(message)


def test_a_model_with_shorter_answers_is_not_asked_for_longer_ones() -> None:
    text = with_line("model: claude-haiku-4-5").replace("max_tokens: 64", "max_tokens: 64001")
    assert refusal(text) == (
        "jobs/triage.yaml:3: max_tokens: `claude-haiku-4-5` gives answers of at most 64,000 tokens"
    )
    assert parse(text.replace("64001", "64000")).max_tokens == 64_000


TOOL = "{name: t, input_schema: {type: object}%s}"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("params: {service_tier: [auto]}", "params.service_tier: must be `auto`"),
        ("params: {output_config: {effort: [low]}}", "params.output_config.effort: must be one of"),
        (f"params: {{tools: [{TOOL % ''}], tool_choice: {{type: [auto]}}}}", "params.tool_choice: must be `{type"),
        ("params: {container: 2026-01-31}", "params.container: JSON has no such value"),
        ("params: {inference_geo: .nan}", "params.inference_geo: JSON has no such value"),
        ("params: {cache_control: true}", "params.cache_control: must be `{type: ephemeral"),
        ("params: {cache_control: {type: ephemeral, ttl: 3h}}", "params.cache_control: must be `{type: ephemeral"),
        ("params: {cache_control: {type: ephemeral, for: 1h}}", "params.cache_control: must be `{type: ephemeral"),
        (f"params: {{tools: [{TOOL % ', cache_control: 1'}]}}", "params.tools.0.cache_control: must be"),
        (f"params: {{tools: [{TOOL % ', strict: 1'}]}}", "params.tools.0.strict: must be true or false"),
        ("params: {tools: [{type: mcp_toolset, mcp_server_name: s}]}", "params.tools.0: must be a mapping with a"),
        ("model: claude-opus-4-6-20260205", "model: the API has no `claude-opus-4-6-20260205`: from 4.6 on"),
        ("model: claude-opus-5-20260723", "model: the API has no `claude-opus-5-20260723`: from 4.6 on"),
        ("model: claude-haiku-5-5-20261007", "model: the API has no `claude-haiku-5-5-20261007`: from 4.6 on"),
    ],
)
def test_what_the_api_would_refuse_row_by_row_is_refused_with_its_place(lines: str, message: str) -> None:
    (line,) = refusal(with_line(lines)).splitlines()
    assert line.split(": ", 1)[1].startswith(message)


def test_a_name_that_has_a_date_may_have_it() -> None:
    assert parse(with_line("model: claude-haiku-4-5-20251001")).model == "claude-haiku-4-5-20251001"


MARK = ", cache_control: {type: ephemeral%s}"


@pytest.mark.parametrize("lines", ["system: S", "examples: [{row: {body: b}, answer: other}]"])
def test_a_tool_s_breakpoint_of_five_minutes_goes_with_one_of_nightshift_s_only_of_five(lines: str) -> None:
    text = with_line(f"{lines}\nparams: {{tools: [{TOOL % (MARK % '')}]}}")
    assert "params.tools.0.cache_control: the API takes no breakpoint of 1h behind one of 5m" in refusal(text)
    assert parse(text + "cache: {ttl: 5m}\n").params
    assert parse(text + "cache: {when: never}\n").params
    assert parse(text.replace("ephemeral}", "ephemeral, ttl: 1h}")).params


def test_a_request_has_four_breakpoints_at_most_that_of_nightshift_among_them() -> None:
    tools = ", ".join((TOOL % (MARK % ", ttl: 1h")).replace("t,", f"t{n},", 1) for n in range(3))
    text = with_line(f"params: {{cache_control: {{type: ephemeral}}, tools: [{tools}]}}")
    assert parse(text).params
    assert "params: 5 cache breakpoints with that of nightshift: the API takes 4" in refusal(text + "system: S\n")


def test_twenty_tools_may_be_strict_and_no_more() -> None:
    tool = "{{name: t{}, strict: true, input_schema: {{type: object, additionalProperties: false}}}}"
    tools = [tool.format(number) for number in range(21)]
    assert parse(with_line(f"params: {{tools: [{', '.join(tools[:20])}]}}")).params["tools"]
    assert refusal(with_line(f"params: {{tools: [{', '.join(tools)}]}}")).endswith("at most 20 of them may be strict")


CLOSED = {"type": "object", "additionalProperties": False}


def schema_of(properties: dict[str, object], **more: object) -> dict[str, object]:
    return {**CLOSED, "properties": properties, "required": [*properties], **more}


TREE = {"$defs": {"tree": schema_of({"left": {"$ref": "#/$defs/tree"}})}}


@pytest.mark.parametrize(
    ("schema", "path", "reason"),
    [
        (schema_of({"a": {"type": "text"}}), ("properties", "a", "type"), "must be one of array, boolean, integer"),
        (schema_of({"a": {"enum": []}}), ("properties", "a", "enum"), "must be a list, and not empty"),
        (schema_of({"a": {"minItems": 2}}), ("properties", "a", "minItems"), "structured outputs know 0 and 1 here"),
        (schema_of({}, required=["b"]), ("required", 0), "is not among the `properties`"),
        (schema_of({"a": {"enum": [{"b": 1}]}}), ("properties", "a", "enum"), "may have texts, numbers"),
        (schema_of({"a": {"const": TODAY}}), ("properties", "a", "const"), "may have texts, numbers"),
        (schema_of({"a": {"format": "phone"}}), ("properties", "a", "format"), "must be one of date, date-time"),
        (schema_of({"a": {"pattern": "("}}), ("properties", "a", "pattern"), "is no regular expression"),
        (schema_of({"a": {"pattern": 5}}), ("properties", "a", "pattern"), "is no regular expression"),
        (schema_of({"a": {"pattern": "(?=a)b"}}), ("properties", "a", "pattern"), "structured outputs do not look"),
        (schema_of({"a": {"pattern": r"\bfoo"}}), ("properties", "a", "pattern"), "structured outputs do not look"),
        (schema_of({"a": {"pattern": r"(a)\1"}}), ("properties", "a", "pattern"), "structured outputs do not look"),
        (schema_of({"a": {"type": ["object", "null"]}}), ("properties", "a"), "structured outputs want `additional"),
        (schema_of({"a": {"properties": {}}}), ("properties", "a"), "structured outputs want `additional"),
        (schema_of({"a": []}), ("properties", "a"), "must be a mapping"),
        ({**CLOSED, "properties": []}, ("properties",), "must be a mapping"),
        (schema_of({"a": {"$ref": "#/$defs/b"}}), ("properties", "a", "$ref"), "must be `#/$defs/NAME`, and stand"),
        (
            schema_of({}, **TREE),
            ("$defs", "tree", "properties", "left", "$ref"),
            "structured outputs do not support recursion: unroll it",
        ),
        (
            schema_of({str(n): {"type": "string"} for n in range(25)}, required=[]),
            (),
            "25 properties are not `required`, and structured outputs take 24 of them",
        ),
        (
            schema_of({str(n): {"type": ["string", "null"]} for n in range(17)}),
            (),
            "17 places may be of several types, and structured outputs take 16 of them",
        ),
    ],
)
def test_a_schema_that_is_no_grammar_is_refused(schema: object, path: tuple[str, ...], reason: str) -> None:
    ((found, said),) = schema_problems(schema, ())
    assert found == path
    assert said.startswith(reason)


def test_a_schema_may_use_all_that_grammars_have() -> None:
    some = {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/part"}}
    maybe = {str(n): {"type": "string"} for n in range(24)}
    unions = {f"u{n}": {"anyOf": [{"type": "string"}, {"type": "null"}]} for n in range(16)}
    part = schema_of(
        {"name": {"type": "string", "pattern": r"^[a-z]+\\b?$", "format": "uri"}, "n": {"$ref": "#/$defs/n"}}
    )
    defs = {"part": part, "n": {"type": "integer"}}
    schema = schema_of({**maybe, **unions, "a": some, "b": some}, required=[*unions, "a"], **{"$defs": defs})
    schema["required"] = [*unions, "a", "b"]
    assert list(schema_problems(schema, ())) == []


def test_all_reasons_are_named_at_once_in_the_order_of_the_file() -> None:
    text = "job: triage\ntemperature: 1\ninput: {format: xml}\noutput: {text: true}\n"
    assert [line.split(": ")[0:2] for line in refusal(text).splitlines()] == [
        ["jobs/triage.yaml:1", "max_tokens"],
        ["jobs/triage.yaml:1", "prompt"],
        ["jobs/triage.yaml:2", "temperature"],
        ["jobs/triage.yaml:3", "input.format"],
    ]


def test_row_numbers_are_no_key_that_is_a_number() -> None:
    text = SMALL.replace("jsonl}", "jsonl, id: row_number}")
    text = text.replace("other]}", "other], table: {attribute: a, key_type: number}}")
    assert refusal(text) == (
        "jobs/triage.yaml:5: output.table.key_type: row numbers are texts: name the column with the ids in `input.id`"
    )


@pytest.mark.parametrize("text", ["", "[]", "job", "- job: triage"])
def test_a_file_that_is_no_mapping_is_refused(text: str) -> None:
    assert refusal(text) == "jobs/triage.yaml:1: not a mapping (`key: value` lines)"


def test_a_file_that_is_not_utf8_is_refused_with_the_line() -> None:
    with pytest.raises(BadJob, match=r"^jobs/triage\.yaml:6: not UTF-8$"):
        parse_job(SMALL.encode() + b"system: caf\xe9\n", name="triage", key="jobs/triage.yaml", today=TODAY)


def test_a_file_nested_without_end_is_refused() -> None:
    assert refusal(with_line(f"params: {'[' * 5000}{']' * 5000}")) == "jobs/triage.yaml:6: nested too deeply"


def test_a_huge_file_is_refused() -> None:
    assert refusal(SMALL + "#" * 1_000_000) == "jobs/triage.yaml:1: longer than 1,000,000 bytes"


def test_a_refusal_never_repeats_what_the_job_says() -> None:
    text = SMALL.replace("64", '"a secret"').replace("[billing, other]", "[a secret]")
    assert "a secret" not in refusal(text)


@pytest.mark.parametrize(
    ("today", "refused"), [(date(2026, 11, 28), False), (date(2026, 11, 29), True), (date(2026, 12, 24), True)]
)
def test_a_model_is_refused_from_the_day_before_it_stops_answering(today: date, refused: bool) -> None:  # noqa: FBT001
    text = with_line("model: claude-sonnet-4-5-20250929")
    if not refused:
        assert parse(text, today=today).model == "claude-sonnet-4-5-20250929"
        return
    with pytest.raises(BadJob, match="stops answering on 2026-11-30, and a batch may run until tomorrow"):
        parse(text, today=today)


@pytest.mark.parametrize(("model", "day"), DEPRECATED_MODELS.items())
def test_every_model_whose_end_the_sdk_knows_is_refused_from_then_on(model: str, day: str) -> None:
    month, number, year = re.fullmatch(r"(\w+) (\d+)(?:st|nd|rd|th), (\d+)", day).groups()  # type: ignore[union-attr]
    end = datetime.strptime(f"{month} {number} {year}", "%B %d %Y").replace(tzinfo=UTC).date()

    assert f"`{model}` stops answering on {end}" in str(model_problem(model, end))
    assert "stops answering" not in str(model_problem(model, end - timedelta(days=2)))


@pytest.mark.parametrize(
    "model", ["claude-3-5-sonnet-20241022", "claude-3-5-sonnet-latest", "claude-3-haiku-20240307", "claude-opus-4-1"]
)
def test_a_model_whose_end_the_sdk_does_not_know_any_more_is_refused_too(model: str) -> None:
    assert f"`{model}` stops answering on " in str(model_problem(model, TODAY))


def test_a_job_that_was_accepted_once_is_not_judged_by_the_day_again() -> None:
    assert parse(with_line("model: claude-3-opus-20240229"), today=None).model == "claude-3-opus-20240229"


def test_a_model_that_was_never_heard_of_may_be_a_new_one() -> None:
    assert parse(with_line("model: claude-sonnet-6-1")).model == "claude-sonnet-6-1"


def test_a_budget_must_leave_room_for_the_answer() -> None:
    lines = "model: claude-haiku-4-5\nthinking: {type: enabled, budget_tokens: 1024}"
    assert refusal(with_line(lines)) == (
        "jobs/triage.yaml:7: thinking: the budget must be below max_tokens, which it is part of"
    )


def test_the_published_schema_is_current() -> None:
    published = json.loads((ROOT / "docs" / "job.schema.json").read_text())
    assert published == json_schema(), "run `python -m nightshift.job > docs/job.schema.json`"


def test_the_published_schema_describes_every_field() -> None:
    schema = json_schema()
    silent = [
        f"{name}.{field}"
        for name, model in {"Job": schema, **schema["$defs"]}.items()
        for field, about in model.get("properties", {}).items()
        if "description" not in about and "$ref" not in about and "const" not in about
    ]
    assert silent == []


@pytest.mark.parametrize("path", sorted((ROOT / "jobs").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_sample_job_is_accepted(path: Path) -> None:
    job = parse_job(path.read_bytes(), name=path.stem, key=f"jobs/{path.name}", today=TODAY)
    assert job.job == path.stem


def test_the_banking_job_knows_77_intents() -> None:
    path = ROOT / "jobs" / "banking-intents.yaml"
    job = parse_job(path.read_bytes(), name=path.stem, key=path.name, today=TODAY)
    assert len(job.output.labels or ()) == 77
    assert job.variables == {"text"}


def test_every_code_has_a_sentence_of_help() -> None:
    assert [code for code in InputCode if not (code.help.endswith(".") and code.help[0].isupper())] == []


@pytest.mark.parametrize("time", ['"24:00"', '"7:00"', '"07:60"', '"07:00\\n"', '"7"', "25200"])
def test_ready_by_is_a_time_of_day_with_two_digits_each(time: str) -> None:
    assert refusal(with_line(f"ready_by: {time}")).startswith("jobs/triage.yaml:6: ready_by: ")
    assert parse(with_line('ready_by: "23:59"')).ready_by == "23:59"
