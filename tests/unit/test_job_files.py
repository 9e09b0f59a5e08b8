"""A job whose long texts are in files beside it: what is stored is one whole job."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.errors import BadJob
from nightshift.job import MAX_FILE, parse_job
from nightshift.job_files import with_files
from nightshift.yaml_lines import load

JOB = """\
job: triage   # theirs
input: {format: jsonl}
max_tokens: 64
SYSTEM
# of the prompt
prompt: "{{ body }}"
output: {labels: [billing, other]}
"""
RUBRIC = 'Sort them.\n\n\t"Billing" is: {{ money }}, `C:\\path` # and\u2028\x85\x7f 日本 🙂'


def stored(folder: Path, system: str, content: bytes | None = RUBRIC.encode()) -> bytes:
    if content is not None:
        (folder / "rubric.md").write_bytes(content)
    (file := folder / "triage.yaml").write_text(JOB.replace("SYSTEM", system))
    return with_files(file)


def refusal(folder: Path, system: str, content: bytes | None = RUBRIC.encode()) -> str:
    with pytest.raises(BadJob) as caught:
        stored(folder, system, content)
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    "system",
    [
        "system: {file: rubric.md}",
        "system: {file: ./rubric.md}   # here",
        "system: {\n  file: rubric.md}",
        "system:\n  file: rubric.md",
        "system:\n    # said elsewhere\n    file: 'rubric.md'  # here\n\n",
        "{system: {file: rubric.md}}",
    ],
)
def test_the_file_stands_where_it_was_named_and_all_else_stays_on_its_line(tmp_path: Path, system: str) -> None:
    if system.startswith("{"):
        (tmp_path / "rubric.md").write_text(RUBRIC)
        (tmp_path / "triage.yaml").write_text(system)
        assert load(with_files(tmp_path / "triage.yaml")).data == {"system": RUBRIC}
        return
    text = stored(tmp_path, system)

    job = parse_job(text, name="triage", key="")
    before, after = (load(each) for each in (JOB.replace("SYSTEM", system).encode(), text))
    assert (job.system, job.prompt) == (RUBRIC, "{{ body }}")
    assert [after.line((name,)) for name in after.data] == [before.line((name,)) for name in before.data]
    assert b"# theirs" in text
    assert b"# of the prompt" in text


def test_the_last_field_may_name_one_too(tmp_path: Path) -> None:
    (tmp_path / "rubric.md").write_text(RUBRIC)
    for end in ("system:\n  file: rubric.md", "system: {file: rubric.md}", "system:\n  file: rubric.md\n# end\n"):
        (tmp_path / "triage.yaml").write_text(JOB.replace("SYSTEM\n", "") + end)
        assert parse_job(with_files(tmp_path / "triage.yaml"), name="triage", key="").system == RUBRIC


def test_a_job_that_names_no_file_is_stored_byte_for_byte(tmp_path: Path) -> None:
    assert (
        stored(tmp_path, "system: |\n  {file: rubric.md}\n")
        == JOB.replace("SYSTEM", "system: |\n  {file: rubric.md}\n").encode()
    )
    (tmp_path / "triage.yaml").write_bytes(b"\xff: [")
    assert with_files(tmp_path / "triage.yaml") == b"\xff: ["


@given(st.text(min_size=1).filter(str.strip))
def test_any_text_arrives_unchanged(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("job")
    made = stored(folder, "system: {file: rubric.md}", text.encode())
    assert load(made).data["system"] == text.removeprefix("\ufeff")
    assert len(made.split(b"\n")) == len(JOB.split("\n"))


@pytest.mark.parametrize(
    ("system", "content", "reason"),
    [
        ("system: {file: none.md}", b"", "none.md cannot be read: No such file or directory"),
        ("system: {file: .}", b"x", ". cannot be read: Is a directory"),
        ("system: {file: ../rubric.md}", b"x", "must be the name of a file in the job's own folder, or below it"),
        ("system: {file: /etc/passwd}", b"x", "must be the name of a file in the job's own folder, or below it"),
        ("system: {file: 7}", b"x", "must be the name of a file in the job's own folder, or below it"),
        ("system: {file: rubric.md}", b" \n", "rubric.md is empty"),
        ("system: {file: rubric.md}", b"\xff\xfea", "rubric.md is not UTF-8: save it as that"),
        ("system: {file: rubric.md}", b"x" * (MAX_FILE + 1), "rubric.md is longer than 1,000,000 bytes, which is the"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_line(
    tmp_path: Path, system: str, content: bytes, reason: str
) -> None:
    assert refusal(tmp_path, system, content).startswith(f"triage.yaml:4: system.file: {reason}")


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "secret").write_text("key")
    (tmp_path / "jobs" / "rubric.md").symlink_to(tmp_path / "secret")
    assert "in the job's own folder" in refusal(tmp_path / "jobs", "system: {file: rubric.md}", None)


def test_a_stored_job_that_still_names_a_file_is_refused_with_the_way_out() -> None:
    with pytest.raises(BadJob, match=r"^k:4: system: is put in its place by `nightshift job put`, which .* job print`"):
        parse_job(JOB.replace("SYSTEM", "system: {file: rubric.md}").encode(), name="triage", key="k")
