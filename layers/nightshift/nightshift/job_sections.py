"""The sections of a job file, as pydantic models. What they hold together is in job.py."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)

from nightshift.prompt import Prompt

ROW_NUMBER = "row_number"
"""`input.id` of a job whose rows have no id of their own."""

LEAST_TRUNCATED = 100
"""Bytes of a text that is cut, whose last line says so."""

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,37}")
"""A whole number that DynamoDB holds, in the one way to write it: `7` and `07` would be one ticket."""

type Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]
type Names = Annotated[tuple[Name, ...], Field(strict=False)]
type Format = Literal["jsonl", "csv", "parquet", "xlsx"]
type Beta = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*-20[0-9]{2}-[0-9]{2}-[0-9]{2}$", max_length=64)
]
type ReadyBy = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class Section(BaseModel):
    """A mapping of the job file: unknown keys are errors, and values are never converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class Input(Section):
    """What a row is."""

    format: Format
    """The format of the files; `jsonl` and `csv` also inside gzip."""
    id: Name = "id"
    """The column that holds a row's id, or `row_number` where there is none: ids are then `<input digest>:<row>`."""
    optional: Names = ()
    """Columns of the prompt that may be missing or empty; the prompt sees an empty text."""
    nul: Literal["reject", "strip"] = "reject"
    """What becomes of a row with a NUL character in a text: it is rejected, or asked without the character."""
    sheet: Name | None = None
    """The sheet of an Excel workbook, in upper or lower case; the first visible one where none is named."""

    @model_validator(mode="after")
    def _only_workbooks_have_sheets(self) -> Self:
        if self.sheet is not None and self.format != "xlsx":
            raise ValueError("`sheet` goes with `format: xlsx`: no other file has sheets")
        return self


class Table(Section):
    """Where on the ticket table an answer goes."""

    key: Name = "ticket_id"
    """The table's key attribute: a row's id."""
    key_type: Literal["string", "number"] = "string"
    """The type of the key; with `number`, a row whose id is no whole number is rejected."""
    attribute: Name | None = None
    """The attribute that holds the answer."""
    attributes: dict[Name, Name] = Field(default_factory=dict, max_length=10)
    """Attribute → the property of the answer that it gets, for answers with a schema: a number becomes a number."""

    def takes(self, row_id: str) -> bool:
        """Tell whether a row's id can be the key."""
        return self.key_type == "string" or _WHOLE.fullmatch(row_id) is not None

    @model_validator(mode="after")
    def _names_are_apart(self) -> Self:
        if self.attribute is None and not self.attributes:
            raise ValueError("must have `attribute: NAME`, or `attributes: {NAME: PROPERTY}`, or both")
        names = [self.attribute, *self.attributes] if self.attribute is not None else [*self.attributes]
        if self.key in names or any(name.startswith("nightshift_") for name in names):
            raise ValueError("`attribute` must not be the key, nor start with nightshift_")
        if len(set(names)) < len(names):
            raise ValueError("`attribute` and `attributes` must not name the same attribute")
        return self


def none_is_null(section: Any) -> BeforeValidator:
    """Let a job write `none` where it wants no such section."""
    return BeforeValidator(
        lambda value: None if value == "none" else value, json_schema_input_type=section | Literal["none"] | None
    )


class File(Section):
    """A file beside the job file, whose content `nightshift job put` stores in its place."""

    file: Name
    """Its name, from the job file's folder."""


def or_file(kind: Any) -> BeforeValidator:
    """Let an editor accept a file in place of a value: a job that is checked or stored has the value."""

    def refused(value: Any) -> Any:
        if isinstance(value, dict) and value.keys() == {"file"}:
            why = "is put in its place by `nightshift job put`, which this file did not come through"
            raise ValueError(f"{why}: store it with that, or what `nightshift job print` makes of it")
        return value

    return BeforeValidator(refused, json_schema_input_type=kind | File)


def _template(source: str) -> str:
    Prompt(source)  # raises where it cannot be one
    return source


type Template = Annotated[str, AfterValidator(_template)]
"""A Jinja template over the row's columns."""


class Message(Section):
    """One message of what is asked for a row."""

    role: Literal["user", "assistant"]
    """Whose message it is."""
    content: Template
    """A Jinja template over the row's columns."""


class History(Section):
    """A column that holds all messages of a row: a list of `{role, content}`, or the same as JSON text."""

    column: Name


def _kind_of_messages(value: Any) -> str:
    return "<list>" if isinstance(value, list | tuple) else "<column>"


type Messages = Annotated[
    Annotated[tuple[Message, ...], Field(strict=False), Tag("<list>")] | Annotated[History, Tag("<column>")],
    Discriminator(_kind_of_messages),
]


class Attachment(Section):
    """A picture or a document of a row, before the text of its prompt. Exactly one of `url` and `base64`."""

    type: Literal["image", "document"]
    """A picture (JPEG, PNG, GIF, WebP) or a document (PDF)."""
    url: Template | None = None
    """A Jinja template of the https address that the API fetches it from."""
    base64: Name | None = None
    """The column that holds it in base64."""
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp", "application/pdf"] | None = None
    """What every row's must be; without it, a row's first bytes tell what it is."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.url is None) is (self.base64 is None):
            raise ValueError("must have exactly one of `url: TEMPLATE` and `base64: COLUMN`")
        begins = (self.url or "").strip().partition("{")[0].lower()
        if not begins.startswith("https://"[: len(begins)]):
            raise ValueError("`url` begins with https://, or with a column that does: the API fetches no other address")
        if self.media_type is not None and self.base64 is None:
            raise ValueError("`media_type` goes with `base64`: what an address leads to says itself what it is")
        if self.media_type is not None and self.media_type.startswith("image/") is not (self.type == "image"):
            raise ValueError(f"`{self.media_type}` is no media type of {self.type}s")
        return self


class Example(Section):
    """A row with the answer that it should get."""

    row: dict[Name, Any]
    """A value for each column that the job asks about."""
    answer: Any
    """What `output` says: a label, an object that fits the schema, or a text."""


class Output(Section):
    """What an answer is, and where it goes. Exactly one of `labels`, `schema`, `text` and `tool`."""

    labels: Names | None = None
    """The answer is one of these, at least 2."""
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    """The answer is a JSON object that this schema describes."""
    text: Literal[True] | None = None
    """The answer is the model's text."""
    tool: Name | None = None
    """The answer is what the model calls this tool of `params.tools` with: an object that its `input_schema`
    describes."""
    carry: Names = ()
    """Input columns that are copied to the output, where a row has them."""
    format: Literal["jsonl", "csv"] = "jsonl"
    """Of the one file that holds all answers of a run."""
    table: Annotated[Table | None, none_is_null(Table)] = None
    """Where on the ticket table the answer goes, or `none`."""

    @field_validator("labels")
    @classmethod
    def _labels_differ(cls, labels: tuple[str, ...] | None) -> tuple[str, ...] | None:
        folded = [label.strip().casefold() for label in labels or ()]
        if len(folded) == 1:
            raise ValueError("must be at least 2: with one, there is nothing to ask")
        if len(set(folded)) < len(folded) or "" in folded:
            raise ValueError("must be different texts; upper and lower case do not count as a difference")
        return labels

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(kind is not None for kind in (self.labels, self.json_schema, self.text, self.tool)) != 1:
            raise ValueError("must have exactly one of `labels: […]`, `schema: {…}`, `text: true` and `tool: NAME`")
        return self

    def tool_in(self, params: Mapping[str, Any]) -> tuple[int, dict[str, Any]] | None:
        """Return the tool whose call is the answer, and its place in a job's `params.tools`; None where it is none."""
        tools = params.get("tools")
        named = (
            (index, tool)
            for index, tool in enumerate(tools if isinstance(tools, list) else [])
            if isinstance(tool, dict) and tool.get("name") == self.tool and isinstance(tool.get("input_schema"), dict)
        )
        return next(named, None)

    def object_schema(self, params: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the JSON Schema of answers that are objects: `schema`, or that of the tool in a job's `params`."""
        if self.tool is None:
            return self.json_schema
        found = self.tool_in(params)
        return found[1]["input_schema"] if found is not None else None


class Budget(Section):
    """Thinking with a budget: only models before 4.7 take one."""

    type: Literal["enabled"]
    budget_tokens: int = Field(ge=1024)
    """How long it may think, in tokens; a part of `max_tokens`."""


def _kind_of_thinking(value: Any) -> str:
    return "word" if isinstance(value, str) else "budget"


type Word = Literal["disabled", "adaptive", "between_tools"]
type Thinking = Annotated[
    Annotated[Word, Tag("word")] | Annotated[Budget, Tag("budget")], Discriminator(_kind_of_thinking)
]


class Cache(Section):
    """The prompt cache."""

    ttl: Literal["5m", "1h"] = "1h"
    """How long what all rows share stays cached after its last use."""
    when: Literal["primed", "always", "never"] = "primed"
    """`primed`: there is a cache breakpoint where a pilot writes to the cache what the other rows read. Requests of
    one batch rarely see each other's writes, so `always`, without a pilot, may cost more than it saves."""


class Pilot(Section):
    """The first rows of a large run, sent alone: they prove the prompt, and fill the cache."""

    rows: int = Field(default=20, ge=1, le=1000)
    """Rows that are sent first."""
    above: int = Field(default=1000, ge=0)
    """Runs of more rows than this have a pilot."""
    max_bad: float = Field(default=0.2, ge=0, le=1)
    """Pilot rows that may be refused, invalid or errored, as a part of all; with more, the run is held."""
    wait: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,2}[mh]$")] = "2h"
    """How long the rest waits for the pilot's end: minutes (`90m`) or hours (`2h`)."""

    @property
    def wait_seconds(self) -> int:
        """Return `wait` in seconds."""
        return int(self.wait[:-1]) * (3600 if self.wait.endswith("h") else 60)


class Verify(Section):
    """A sample of a run's rows is asked of the synchronous API, too, once the run is done."""

    sample: int = Field(default=20, ge=1, le=1000)
    """Rows."""
    max_usd: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """What the sample may cost, in USD at synchronous prices; it ends early where it would cost more."""


class Batch(Section):
    """How large a chunk may be; each chunk is sent as one batch."""

    max_rows: int = Field(default=10_000, ge=1, le=100_000)
    """Requests; the API takes 100,000."""
    max_bytes: int = Field(default=50_000_000, ge=1_000_000, le=250_000_000)
    """Bytes of the body; the API takes 256 MB."""
    delete_after_collect: bool = False
    """The API deletes a run's batches, which it keeps for 29 days otherwise, once the run is done."""


class Limits(Section):
    """What holds a run before anything is sent."""

    max_rows: int = Field(default=50_000, ge=1)
    """Rows of all inputs of a run."""
    max_usd: float | None = Field(default=25.0, gt=0, allow_inf_nan=False)
    """What a run may cost, in USD; null: as much as it likes."""
    unpriced: Literal["hold", "send"] = "hold"
    """What becomes of a run whose model has no known batch price: its cost can be neither estimated nor capped."""
    max_reject_ratio: float = Field(default=0.2, ge=0, le=1)
    """Rejected rows, as a part of all rows."""
    max_text_bytes: int = Field(default=100_000, ge=1, le=1_000_000)
    """UTF-8 bytes of one column."""
    too_large: Literal["reject", "truncate"] = "reject"
    """What becomes of a row with a longer one: it is rejected, or asked with the text's beginning, whose last line then
    says how many bytes are missing. Only texts are cut: a conversation or a list is rejected."""
    max_prompt_tokens: int | None = Field(default=None, ge=1)
    """Tokens of a row's whole request, a token for 4 bytes of text; a row with more is rejected. Default: the model's
    window."""

    @model_validator(mode="after")
    def _has_room_for_the_mark(self) -> Self:
        if self.too_large == "truncate" and self.max_text_bytes < LEAST_TRUNCATED:
            raise ValueError(f"`too_large: truncate` goes with `max_text_bytes` of {LEAST_TRUNCATED} and more")
        return self


class Retry(Section):
    """What becomes of rows that failed in a way that may pass."""

    generations: int = Field(default=2, ge=0, le=5)
    """How often such rows are sent again."""
    cut_off: float | None = Field(default=None, gt=1, le=100)
    """Rows that `max_tokens` cut off are asked once more with so many times as many tokens, at most what the model
    gives; both requests are paid for. Null: they are not asked again."""

    @model_validator(mode="after")
    def _has_a_generation(self) -> Self:
        if self.cut_off is not None and not self.generations:
            raise ValueError("`cut_off` asks in a retry generation: say `generations: 1`, or more")
        return self
