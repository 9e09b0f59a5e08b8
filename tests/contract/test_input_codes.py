"""The page of input codes against the codes."""

from nightshift import input_codes
from nightshift.input_codes import InputCode
from tests.contract import sources


def test_the_page_of_input_codes_is_what_the_code_says() -> None:
    assert (sources.ROOT / "docs/input-codes.md").read_text() == input_codes.page()


def test_each_code_is_on_the_page_once() -> None:
    page = input_codes.page()
    assert [page.count(f"\n| `{code}` | {code.help} |\n") for code in InputCode] == [1] * len(InputCode)


def test_what_refuses_a_file_and_what_rejects_a_row_are_told_apart() -> None:
    files = [code for code in InputCode if code.of_file]
    assert (files[0], files[-1], len(files)) == (InputCode.EMPTY_FILE, InputCode.ACCESS_DENIED, 24)
