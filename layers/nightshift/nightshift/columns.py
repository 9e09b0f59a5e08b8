"""A header → the columns that the job uses, for every format that has one."""

from collections.abc import Sequence

from nightshift.errors import BadInput
from nightshift.input_codes import InputCode
from nightshift.records import InputSpec


def named(fields: Sequence[str], spec: InputSpec, *, hint: str = "", line: int | None = None) -> list[str]:
    """Name the columns: one that the job uses keeps the job's spelling, whatever the header's case and spaces.

    Args:
        fields: the header, as the file has it.
        spec: what the job wants to know of a row.
        hint: what the format has to say of a header that names too little.
        line: where the header stands, from 1; None in a format without lines.

    Raises:
        BadInput: BAD_HEADER, DUPLICATE_HEADER.
    """
    known = {_folded(column): column for column in spec.columns}
    names = [known.get(_folded(field), field) for field in fields]
    # Names from the file are not repeated here: where the header is missing, they are somebody's data.
    if missing := sorted(spec.columns - spec.optional - set(names)):
        hints = [hint, "without an id column, the job says `input: {id: row_number}`" if spec.id in missing else ""]
        said = "; ".join([f"the header does not name {', '.join(missing)}", *(each for each in hints if each)])
        raise BadInput(InputCode.BAD_HEADER, said, line=line)
    if twice := sorted({name for name in names if name.strip() and names.count(name) > 1}):
        name = twice[0][:64].encode(errors="replace").decode()  # bytes that are not UTF-8 can be written nowhere
        raise BadInput(InputCode.DUPLICATE_HEADER, f"two columns are named {name}", line=line)
    return names


def _folded(name: str) -> str:
    return "_".join(name.split()).casefold()
