"""The page of a report: whatever the data, it is the template's elements and the data's text, and whole in itself."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift.model import Caching, ChunkState, Hold, HoldCode, LeftOut, Tally
from nightshift.report_model import Report
from nightshift.report_page import page
from tests.unit import made, reports
from tests.unit.conftest import START

HARMLESS = ("alpha", "bravo", "charlie", "delta", "echo")
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\u202eevil \u05d0\u05d1 \u0645\u0631",
    "</style></title></svg><!-- {{ 7*7 }} {% raw %} &lt;",
    "W" * 190,
)
WITHOUT_END = {"meta", "rect", "line", "circle"}


class Seen(HTMLParser):
    """What a parser makes of a page."""

    def __init__(self, html: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.others: list[str] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(html.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(attrs)))
        if tag not in WITHOUT_END:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def with_tag(self, *tags: str) -> list[dict[str, str | None]]:
        return [dict(attrs) for tag, attrs in self.elements if tag in tags]


def ordered_alike(texts: Sequence[str]) -> bool:
    """Tell whether the texts are no reason to draw something else: none is empty, and none is there twice."""
    return len({text.strip() for text in texts} - {""}) == len(texts)


class TestEscaping:
    PLAIN = Seen(page(reports.with_texts(HARMLESS)))

    def test_hostile_texts_make_no_element_and_no_attribute(self) -> None:
        seen = Seen(page(reports.with_texts(HOSTILE)))
        assert (seen.elements, seen.others, seen.open) == (self.PLAIN.elements, [], [])

    def test_every_text_is_told_as_it_is(self) -> None:
        told = Counter({text: Seen(page(reports.with_texts(HOSTILE))).text.count(text) for text in HOSTILE[:4]})
        assert told == {HOSTILE[0]: 8, HOSTILE[1]: 7, HOSTILE[2]: 7, HOSTILE[3]: 6}

    @pytest.mark.parametrize("text", HOSTILE)
    def test_nor_does_the_reason_why_nothing_was_cached(self, text: str) -> None:
        def seen(why: str) -> Seen:
            run = reports.priced_run(100, caching=Caching(1, 512, why=why))
            return Seen(page(reports.reported(run, [reports.collected(1, usage={"input_tokens": 1})])))

        assert (seen(text).elements, seen(text).others) == (seen("alpha").elements, [])
        assert text in seen(text).text

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.text(min_size=1, max_size=40), min_size=5, max_size=5).filter(ordered_alike))
    def test_no_text_whatever_makes_an_element_or_an_attribute(self, texts: list[str]) -> None:
        seen = Seen(page(reports.with_texts(texts)))
        assert (seen.elements, seen.others, seen.open) == (self.PLAIN.elements, [], [])

    def test_texts_of_others_do_not_turn_what_is_around_them(self) -> None:
        html = page(reports.with_texts(HOSTILE)).decode()
        turned = [before for before in html.split("\u202e")[:-1] if not re.search(r"<bdi>[^<]*$", before)]
        assert turned == []


BIG = [reports.collected(number, 1000, labels={f"label {n}": 10 for n in range(100)}) for number in range(1, 1001)]
HELD = Hold(HoldCode.OVER_MAX_USD, "the run is expected to cost too much", START)
PAGES = {
    "a whole night": reports.with_texts(HARMLESS),
    "no rows": reports.reported(reports.priced_run(0)),
    "held, not planned": reports.reported(made.run(hold=HELD), state="held"),
    "held, nothing sent": reports.reported(
        reports.priced_run(3, hold=HELD, estimate=reports.estimate(3, 1, 4)), [made.chunk()], "held"
    ),
    "no price": reports.reported(replace(reports.priced_run(100), prices=None), [reports.collected(1, paid={})]),
    "under way": reports.reported(
        reports.priced_run(200), [reports.collected(1), made.chunk(2, ChunkState.SENT, rows=100)], "open"
    ),
    "a million rows": reports.reported(
        reports.priced_run(1_000_000, inputs=tuple(made.input_ref(f"inbox/triage/{n}") for n in range(99))),
        BIG,
        files={f"runs/{made.RUN}/verification.json": reports.verification(*(200 * "x" for _ in range(1000)))},
    ),
}


@pytest.mark.parametrize("report", PAGES.values(), ids=list(PAGES))
class TestEveryPage:
    def test_is_small(self, report: Report) -> None:
        assert len(page(report)) < 300_000

    def test_asks_the_network_for_nothing_and_runs_nothing(self, report: Report) -> None:
        html = page(report)
        seen = Seen(html)
        names = {name for _, attrs in seen.elements for name, _ in attrs}
        assert not names & {"src", "href", "srcset", "style", "action", "data"}
        assert not [name for name in names if name.startswith("on")]
        assert not seen.with_tag("script", "link", "img", "iframe", "object", "base", "a", "form")
        assert b"url(" not in html
        assert b"@import" not in html
        policy = {"http-equiv": "Content-Security-Policy", "content": "default-src 'none'; style-src 'unsafe-inline'"}
        assert policy in seen.with_tag("meta")

    def test_can_be_read_without_eyes(self, report: Report) -> None:
        seen = Seen(page(report))
        assert len(seen.with_tag("h1")) == 1
        assert [th for th in seen.with_tag("th") if th.get("scope") not in {"row", "col"}] == []
        assert len(seen.with_tag("caption")) == len(seen.with_tag("table"))
        for svg in seen.with_tag("svg"):
            assert svg.get("aria-hidden") == "true" or (svg.get("role") == "img" and svg.get("aria-label"))
        ids = [attrs["id"] for tag, pairs in seen.elements if (attrs := dict(pairs)).get("id") and tag]
        assert len(ids) == len(set(ids))
        assert {name for attrs in seen.with_tag("section") if (name := attrs.get("aria-labelledby"))} <= set(ids)

    def test_begins_with_the_headline(self, report: Report) -> None:
        assert f"<h1>{report.headline}.</h1>" in page(report).decode()


def text_of(report: Report) -> str:
    """Return a page's text, one blank between its pieces."""
    return re.sub(r"\s+", " ", " ".join(Seen(page(report)).texts))


class TestContent:
    def test_of_very_many_batches_inputs_answers_and_compared_rows_the_first_are_shown(self) -> None:
        told = text_of(PAGES["a million rows"])
        assert "1,000 batches The first 200; report.json has all 1,000." in told
        assert "The first 20 of 99 inputs; report.json has all." in told
        assert "The first 50 of 1000 rows, those that differ before the others; report.json has all." in told
        assert "88 more" in told
        assert told.count("msgbatch_") == 200

    def test_the_chart_tells_what_was_paid_and_would_have_been(self) -> None:
        told = text_of(reports.reported(reports.priced_run(100), [reports.collected(1)]))
        assert "Synchronous API the same tokens, cached alike, at the full price $2.00" in told
        assert "Batch, without the cache the same tokens, none of them cached $4.00" in told
        assert "Batch, with the cache what was paid $1.00" in told

    def test_a_run_without_a_cache_has_no_bar_for_it(self) -> None:
        usage = {"input_tokens": 1, "output_tokens": 1}
        told = text_of(reports.reported(reports.priced_run(100), [reports.collected(1, usage=usage)]))
        assert "Batch what was paid $1.00" in told
        assert "cache the same tokens" not in told

    def test_a_run_that_is_held_says_what_to_do_and_shows_no_costs(self) -> None:
        told = text_of(PAGES["held, nothing sent"])
        assert "Held: OVER_MAX_USD the run is expected to cost too much" in told
        assert f"What to do: nightshift show {made.RUN} names the command that mends it" in told
        assert "Paid nothing" in told
        assert "What it cost" not in told
        assert (
            "Estimated before anything was sent; answers’ length from a guess, prompts from 30 counted rows $3.00"
            in (told)
        )

    def test_a_canceled_run_needs_nothing(self) -> None:
        canceled = reports.priced_run(100, hold=replace(HELD, code=HoldCode.CANCELED))
        assert "What to do: nothing." in text_of(reports.reported(canceled, [], "held"))

    def test_rows_without_the_discount_are_the_first_thing_told(self) -> None:
        told = text_of(reports.reported(reports.priced_run(100), [reports.collected(1, service_tiers={"priority": 1})]))
        place = told.index("1 of 1 billed rows were NOT billed at the batch price (service tier priority: 1)")
        assert place < told.index("What it cost, and would have cost")

    def test_what_was_left_out_of_rows_is_told(self) -> None:
        planned = Tally(changes={LeftOut.UNUSED_COLUMNS: 1200, LeftOut.TRUNCATED: 1, LeftOut.NUL_STRIPPED: 2})
        told = text_of(reports.reported(reports.priced_run(2000, leftover=planned), [reports.collected(1)]))
        assert "1,200 were asked without columns that the job does not use." in told
        assert "1 was asked with the beginning of a longer text. 2 were asked without NUL characters." in told

    def test_the_compared_rows_that_differ_come_first(self) -> None:
        found = reports.verification("same", "text", "other").replace(b'"agrees": false', b'"agrees": true', 1)
        found = found.replace(b'"agrees": false', b'"agrees": null', 1)
        told = text_of(
            reports.reported(
                reports.priced_run(100),
                [reports.collected(1)],
                files={f"runs/{made.RUN}/verification.json": found},
            )
        )
        places = [told.index(f'{name} {name} {{"a":"{name}"}}') for name in ("other", "text", "same")]
        assert places == sorted(places)

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"piloted": False}, "is not judged yet."),
            ({"piloted": True}, "proved the prompt, and filled the cache."),
        ],
    )
    def test_the_pilot_is_told_of(self, changes: dict[str, bool], told: str) -> None:
        run = replace(reports.priced_run(100, pilot=20), **changes)  # type: ignore[arg-type]
        assert told in text_of(reports.reported(run, [reports.collected(1)]))
