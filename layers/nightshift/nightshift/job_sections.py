"""The sections of a job file, as pydantic models. What they hold together is in job.py."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
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

ROW_NUMBER = "row_number"
"""`input.id` of a job whose rows have no id of their own."""

type Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]
type Names = Annotated[tuple[Name, ...], Field(strict=False)]


class Section(BaseModel):
    """A mapping of the job file: unknown keys are errors, and values are never converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class Input(Section):
    """What a row is."""

    format: Literal["jsonl", "csv"]
    """The format of the files, also inside gzip."""
    id: Name = "id"
    """The column that holds a row's id, or `row_number` where there is none: ids are then `<input digest>:<row>`."""
    optional: Names = ()
    """Columns of the prompt that may be missing or empty; the prompt sees an empty text."""


class Table(Section):
    """Where on the ticket table an answer goes."""

    key: Name = "ticket_id"
    """The table's key attribute (a string): a row's id."""
    attribute: Name
    """The attribute that holds the answer."""

    @model_validator(mode="after")
    def _names_are_apart(self) -> Self:
        if self.attribute == self.key or self.attribute.startswith("nightshift_"):
            raise ValueError("`attribute` must not be the key, nor start with nightshift_")
        return self


def _none(value: Any) -> Any:
    return None if value == "none" else value


class Output(Section):
    """What an answer is, and where it goes. Exactly one of `labels`, `schema` and `text`."""

    labels: Names | None = None
    """The answer is one of these, at least 2."""
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    """The answer is a JSON object that this schema describes."""
    text: Literal[True] | None = None
    """The answer is the model's text."""
    carry: Names = ()
    """Input columns that are copied to the output, where a row has them."""
    table: Annotated[Table | None, BeforeValidator(_none, json_schema_input_type=Table | Literal["none"])] = None
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
        if sum(kind is not None for kind in (self.labels, self.json_schema, self.text)) != 1:
            raise ValueError("must have exactly one of `labels: […]`, `schema: {…}` and `text: true`")
        return self


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
    """How long the system prompt stays cached after its last use."""


class Batch(Section):
    """How large a chunk may be; each chunk is sent as one batch."""

    max_rows: int = Field(default=10_000, ge=1, le=100_000)
    """Requests; the API takes 100,000."""
    max_bytes: int = Field(default=50_000_000, ge=1_000_000, le=250_000_000)
    """Bytes of the body; the API takes 256 MB."""


class Limits(Section):
    """What holds a run before anything is sent."""

    max_rows: int = Field(default=50_000, ge=1)
    """Rows of all inputs of a run."""
    max_reject_ratio: float = Field(default=0.2, ge=0, le=1)
    """Rejected rows, as a part of all rows."""
    max_text_bytes: int = Field(default=100_000, ge=1, le=1_000_000)
    """UTF-8 bytes of one column; a row with a longer one is rejected."""


class Retry(Section):
    """What becomes of rows that failed in a way that may pass."""

    generations: int = Field(default=2, ge=0, le=5)
    """How often such rows are sent again."""
