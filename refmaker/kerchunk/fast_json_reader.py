"""Runs of plain references in the text of a kerchunk JSON, to columns without an object for each.

Contract: an alternative to the JSON parser for what makes up nearly all of a large manifest, members
`"key":["url",offset,size]` one after the other, spelt alike. Every byte of a run is accounted for; a run begins where
the parser expects a member, and each row where the one before ended. Text of any other form is left to the parser,
and a document that is unusual in any way altogether (None, or `UnusualError`): whoever asked has it parsed the plain
way, which alone decides what is malformed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.zarr.strict_json import members, parse_at

__all__ = ["Run", "UnusualError", "parse_with_runs", "starts_with"]

WORTHWHILE = 1 << 18
"""Bytes of a document, below which the parser is as fast."""

_BLOCK = 1 << 20
_DIGITS = 19  # 10**19 - 1 < 2**64
_FEW = 32
"""Rows of a run, fewer than: then some members are parsed before another run is looked for."""

_SPACE = re.compile(r"[ \t\n\r]*")
_ROW = re.compile(
    r'"[^"\\\x00-\x1f]*"(?P<colon>\s*:\s*\[\s*)"[^"\\\x00-\x1f]*"(?P<first>\s*,\s*)\d+(?P<second>\s*,\s*)\d+'
    r'(?P<close>\s*\])(?P<between>\s*,\s*)"',
    re.ASCII,
)
_UNSPELT = re.compile(r"[\v\f\x1c-\x1f]")
"""What Python takes for white space and JSON does not."""

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]


class UnusualError(Exception):
    """The document is better parsed the plain way."""


@dataclass(frozen=True, slots=True)
class Run:
    """Rows in the order of the text.

    Attributes
    ----------
    start, stop
        Of the keys in the text.
    url
        Urls as they are spelt.
    code
        Index into `url`.
    """

    start: Places
    stop: Places
    url: list[str]
    code: Places
    offset: npt.NDArray[np.uint64]
    size: npt.NDArray[np.uint64]

    def value(self, row: int) -> list[Any]:
        """Return a row as JSON has it."""
        return [self.url[int(self.code[row])], int(self.offset[row]), int(self.size[row])]


def parse_with_runs(data: bytes) -> tuple[str, dict[str, Any], list[Run]] | None:
    """Parse a document whose references may be many.

    Returns
    -------
    text, document, runs
        The rows of the runs are missing from the references in the document. None for a document that is small, has no
        runs, or is unusual in any way.
    """
    if len(data) < WORTHWHILE or not data.isascii():
        return None
    reader = _Reader(data)
    try:
        document = reader.document()
    except (UnusualError, ValueError, IndexError, RecursionError):
        return None
    return (reader.text, document, reader.runs) if reader.runs else None


class _Reader:
    """A document on its way: the text, and the runs found so far."""

    def __init__(self, data: bytes) -> None:
        self.bytes = np.frombuffer(data, "u1")
        self.text = data.decode("ascii")
        self.runs: list[Run] = []
        self.wait = 0
        self.pause = _FEW

    def document(self) -> dict[str, Any]:
        at = self._space(0)
        if self.text[at] != "{":
            raise UnusualError
        found, at = self._object(at + 1, top=True)
        if self._space(at) != len(self.text):
            raise UnusualError
        return found

    def _space(self, at: int) -> int:
        found = _SPACE.match(self.text, at)
        return at if found is None else found.end()

    def _object(self, at: int, *, top: bool) -> tuple[dict[str, Any], int]:
        """Parse an object of references, or the document, from behind its brace."""
        pairs: list[tuple[str, Any]] = []
        at = self._space(at)
        if self.text[at] == "}":
            return {}, at + 1
        here: int = 0
        inside = False
        while True:
            before = len(self.runs)
            at = self._rows(at)
            here += len(self.runs) - before
            if self.text[at] != '"':
                raise UnusualError
            key, at = parse_at(self.text, at)
            at = self._space(at)
            if self.text[at] != ":":
                raise UnusualError
            at = self._space(at + 1)
            if top and key == "refs" and self.text[at] == "{":
                if inside:
                    raise UnusualError
                inside = True
                value, at = self._object(at + 1, top=False)
            else:
                value, at = parse_at(self.text, at)
            pairs.append((key, value))
            at = self._space(at)
            if self.text[at] == "}":
                break
            if self.text[at] != ",":
                raise UnusualError
            at = self._space(at + 1)
        found = members(pairs)
        # Rows count as references in `refs` of version 1, or in the document of version 0.
        if top and here and (inside or "version" in found):
            raise UnusualError
        if top and inside and "version" not in found:
            raise UnusualError
        return found, at + 1

    def _rows(self, at: int) -> int:
        """Take a run of rows from where a member begins; give where the member behind it does."""
        self.wait -= 1
        if self.wait > 0:
            return at
        row = _ROW.match(self.text, at)
        count = 0
        if row is not None and not _UNSPELT.search("".join(row.groups())):
            spelling = _Spelling(**{name: text.encode() for name, text in row.groupdict().items()})
            more = True
            while more:
                run, at, more = self._block(at, spelling)
                count += len(run.start)
                if len(run.start):
                    self.runs.append(run)
        # Where runs are short, the search for them must not cost more than it saves.
        self.pause = _FEW if count >= _FEW else min(self.pause * 2, 1 << 16)
        self.wait = 0 if count >= _FEW else self.pause
        return at

    def _block(self, at: int, spelling: _Spelling) -> tuple[Run, int, bool]:
        """Take the rows of a block; tell where the next begins, and whether it may be one of the same run."""
        block = self.bytes[at : at + _BLOCK]
        rows = spelling.rows(block)
        count = len(rows.start)
        if not count:
            return Run(rows.start, rows.stop, [], rows.start, rows.offset, rows.size), at, False
        url, code = self._urls(block, at, rows)
        run = Run(rows.start + at, rows.stop + at, url, code, rows.offset, rows.size)
        return run, at + rows.end, rows.all_fit and at + len(block) < len(self.bytes)

    def _urls(self, block: Bytes, at: int, rows: _Rows) -> tuple[list[str], Places]:
        first = self.text[at + int(rows.url_start[0]) : at + int(rows.url_stop[0])]
        if _all_alike(block, rows.url_start, rows.url_stop, first.encode()):
            return [first], np.broadcast_to(np.int64(0), len(rows.start))
        known: dict[str, int] = {}
        text = self.text
        starts, stops = (rows.url_start + at).tolist(), (rows.url_stop + at).tolist()
        codes = (known.setdefault(text[a:b], len(known)) for a, b in zip(starts, stops, strict=True))
        code = np.fromiter(codes, "i8", len(starts))
        return list(known), code


def starts_with(block: Bytes, start: Places, stop: Places, text: bytes) -> npt.NDArray[np.bool_]:
    """Tell for every piece of a block whether it begins with a text."""
    fits: npt.NDArray[np.bool_] = stop - start >= len(text)
    if len(text) >= 8 and len(block) >= 8:
        # Eight bytes at a time, wherever they begin; the last eight may overlap those before.
        words = np.ndarray((len(block) - 7,), "<u8", block.data, strides=(1,))
        for at in [*range(0, len(text) - 7, 8), len(text) - 8]:
            wanted = int.from_bytes(text[at : at + 8], "little")
            fits &= words[np.minimum(start + at, len(words) - 1)] == np.uint64(wanted)
        return fits
    for at, character in enumerate(text):
        fits &= block[np.minimum(start + at, len(block) - 1)] == character
    return fits


def _all_alike(block: Bytes, start: Places, stop: Places, text: bytes) -> bool:
    return bool((stop - start == len(text)).all() and starts_with(block, start, stop, text).all())


@dataclass(slots=True)
class _Rows:
    """Rows of a block, by their places in it. `end` is where the next begins; `all_fit`: none was found unfit."""

    start: Places
    stop: Places
    url_start: Places
    url_stop: Places
    offset: npt.NDArray[np.uint64]
    size: npt.NDArray[np.uint64]
    end: int
    all_fit: bool


@dataclass(frozen=True, slots=True)
class _Spelling:
    """What stands between key, url, offset, size, and the next row."""

    colon: bytes
    first: bytes
    second: bytes
    close: bytes
    between: bytes

    def rows(self, block: Bytes) -> _Rows:
        """Find the rows at the beginning of a block."""
        quotes = np.flatnonzero(block == ord('"'))
        count = max(len(quotes) - 1, 0) // 4
        corner = quotes[: 4 * count + 1]
        opens, closes, url_opens, url_closes = (corner[i : 4 * count : 4] for i in range(4))
        fits = np.ones(count, bool)
        offset_start = url_closes + 1 + len(self.first)
        offset_stop = _next(block, ",", offset_start) - self.second.index(b",")
        size_start = offset_stop + len(self.second)
        size_stop = _next(block, "]", size_start) - self.close.index(b"]")
        end = size_stop + len(self.close) + len(self.between)
        fits &= (url_opens - closes == len(self.colon) + 1) & (end == corner[4::4])
        for at, literal in (
            (closes + 1, self.colon),
            (url_closes + 1, self.first),
            (offset_stop, self.second),
            (size_stop, self.close + self.between),
        ):
            fits &= starts_with(block, at, at + len(literal), literal)
        offset, offset_fits = _numbers(block, offset_start, offset_stop)
        size, size_fits = _numbers(block, size_start, size_stop)
        fits &= offset_fits & size_fits
        strange = np.flatnonzero((block < 0x20) | (block == ord("\\")))
        for first, last in ((opens, closes), (url_opens, url_closes)):
            fits &= np.searchsorted(strange, first) == np.searchsorted(strange, last)
        fitting = count if fits.all() else int(fits.argmin())
        part = slice(0, fitting)
        return _Rows(
            start=opens[part] + 1,
            stop=closes[part],
            url_start=url_opens[part] + 1,
            url_stop=url_closes[part],
            offset=offset[part],
            size=size[part],
            end=int(corner[4 * fitting]) if count else 0,
            all_fit=fitting == count,
        )


def _next(block: Bytes, mark: str, start: Places) -> Places:
    """Return the place of the next mark from each start on; the end of the block where there is none."""
    places = np.append(np.flatnonzero(block == ord(mark)), len(block))
    return places[np.searchsorted(places, np.minimum(start, len(block)))]


def _numbers(block: Bytes, start: Places, stop: Places) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """Read numbers; tell which of them are canonical, of at most 19 digits."""
    length = stop - start
    fits: npt.NDArray[np.bool_] = (length >= 1) & (length <= _DIGITS)
    fits &= (block[np.clip(start, 0, len(block) - 1)] != ord("0")) | (length == 1)
    value = np.zeros(len(start), "u8")
    for place in range(int(length[fits].max(initial=0)), 0, -1):
        has = length >= place
        digit = block[np.clip(stop - place, 0, len(block) - 1)] - np.uint8(ord("0"))
        fits &= ~has | (digit <= 9)
        value = np.where(has, value * np.uint64(10) + digit, value)
    return value, fits
