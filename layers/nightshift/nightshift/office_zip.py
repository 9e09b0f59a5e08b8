"""An Office file → the XML events of its parts, in constant memory: a zip of XML, from whoever sent it.

What an attacker would do with a zip or with XML ends here: parts that unpack to far more than they are, a directory
that fills the memory, entities that stand for each other, elements without end.
"""

import io
import zipfile
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO
from xml.parsers import expat

from nightshift import content
from nightshift.errors import BadInput
from nightshift.input_codes import InputCode

MAX_DIRECTORY = 4 << 20
"""Bytes of the zip's directory, which is read at once: 50,000 parts, where a workbook has 20."""
MAX_DEPTH = 100
"""Elements in each other; a workbook has 10."""
MAX_NAMES = 1000
"""Names of elements in a part: the parser keeps each."""
_RATIO_FROM = 16 << 20  # below this, a sheet of blanks is odd but harmless
_BLOCK = 64 * 1024
_PACKINGS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})  # Office's; some of the others take any memory

type Event = tuple[str, Mapping[str, str] | None, str]
"""Name of an element without its namespace; its attributes where it starts; its text, where it ends."""


@contextmanager
def opened(stream: BinaryIO, name: str) -> Generator[zipfile.ZipFile]:
    """Open a seekable stream as an Office file, which is called `name`.

    Raises:
        BadInput: EMPTY_FILE, UNSUPPORTED_TYPE; and XLSX_CORRUPT for whatever is wrong while it is open.
    """
    source = content.rewound(stream, content.ZIP, name)
    try:
        with zipfile.ZipFile(_Sparing(source)) as archive:
            yield archive
    except (
        zipfile.BadZipFile,
        zlib.error,
        expat.ExpatError,
        EOFError,
        LookupError,
        ValueError,
        OverflowError,
        NotImplementedError,
    ) as error:
        # Their texts may repeat the file's.
        raise BadInput(InputCode.XLSX_CORRUPT, f"it cannot be read as {name} ({type(error).__name__})") from None


class _Sparing(io.RawIOBase):
    """A stream of which nobody reads much at once. Closing it leaves the stream open."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._source.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._source.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size if 0 <= size <= MAX_DIRECTORY else MAX_DIRECTORY + 1)
        if len(data) > MAX_DIRECTORY:
            raise BadInput(InputCode.XLSX_BOMB, f"its list of parts has more than {MAX_DIRECTORY:,} bytes")
        return data


def events(archive: zipfile.ZipFile, part: str) -> Iterator[Event]:
    """Yield the starts and ends of a part's elements.

    Raises:
        BadInput: XLSX_BOMB, XLSX_CORRUPT.
        ValueError, LookupError, EOFError, zlib.error, BadZipFile, ExpatError: it is damaged, or not there.
    """
    reading = _Reading()
    for block in _blocks(archive, part):
        reading.parser.Parse(block)
        if reading.unfinished(len(block)) > content.MAX_LINE:
            raise BadInput(InputCode.XLSX_BOMB, f"a text in it is longer than {content.MAX_LINE:,} bytes")
        yield from reading.taken()
    reading.parser.Parse(b"", True)  # noqa: FBT003 - expat's own, by position
    yield from reading.taken()


def _blocks(archive: zipfile.ZipFile, part: str) -> Iterator[bytes]:
    entry = archive.getinfo(part)
    if entry.compress_type not in _PACKINGS or entry.flag_bits & 1:
        raise BadInput(InputCode.XLSX_CORRUPT, "a part of it is encrypted, or packed as Office packs none")
    unpacked = 0
    with archive.open(entry) as file:
        while block := file.read(_BLOCK):
            unpacked += len(block)
            packed = max(entry.compress_size, 1)
            if unpacked > content.MAX_UNPACKED or (unpacked > _RATIO_FROM and unpacked > content.MAX_RATIO * packed):
                raise BadInput(InputCode.XLSX_BOMB, f"stopped after {unpacked:,} bytes unpacked from {packed:,}")
            yield block


class _Reading:
    """What expat has seen and nobody has taken yet."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.StartDoctypeDeclHandler = self._refuse
        self._pieces: list[str] = []
        self._events: list[Event] = []
        self._names: dict[str, str] = {}
        self._depth = 0
        self._unfinished = 0

    def taken(self) -> list[Event]:
        """Return what is new."""
        found, self._events = self._events, []
        return found

    def unfinished(self, size: int) -> int:
        """Return how many bytes, after `size` more, neither started an element nor ended one."""
        self._unfinished = 0 if self._events else self._unfinished + size
        return self._unfinished

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ValueError("too deep")
        self._pieces.clear()
        self._events.append((self._local(name), attributes, ""))

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._events.append((self._local(name), None, "".join(self._pieces)))
        self._pieces.clear()

    def _characters(self, text: str) -> None:
        self._pieces.append(text)

    def _local(self, name: str) -> str:
        if name not in self._names:
            if len(self._names) == MAX_NAMES:
                raise ValueError("too many names")
            self._names[name] = name.rpartition(" ")[2]
        return self._names[name]

    def _refuse(self, *_declared: object) -> None:
        raise BadInput(InputCode.XLSX_CORRUPT, "it declares entities, as no Office file does")
