"""The steps that read the directories of a TIFF file, those within directories as well.

Contract: see `driver`: a step has no effect until it returns. A chain of directories that leads into itself, or beyond
the file, ends there and is named in `damage`; a directory that is damaged costs its image. What all steps read is at
most `limits.READINGS` times the file, beyond 64 KiB. Directories at a constant distance, as writers of stacks leave
them, are announced ahead, twice as many each time, so that a chain of N takes about log N rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from refmaker import limits
from refmaker.driver import Step
from refmaker.errors import FormatError, RefmakerError, TruncatedError, Unsupported
from refmaker.mapping.chunks import read_ranges
from refmaker.tiff.ifd import Entry, Header, decode_entries, decode_header, decode_values
from refmaker.tiff.page import SUB_IFDS, WANTED, Page, decode_page, numbers
from refmaker.window import Window

__all__ = ["Directory", "TiffWalk"]

_GUESS: Final = 512
"""Bytes that are read for a directory of which nothing is known; most have less."""
_DEPTH: Final = 4
_STRUCTURE: Final = "IFD"


@dataclass(slots=True)
class Directory:
    """A directory that was read: a page, or why there is none."""

    address: int
    depth: int
    page: Page | None = None
    why: str = ""
    values: dict[int, Any] = field(default_factory=dict)
    places: list[list[Directory]] = field(default_factory=list)
    tags: frozenset[int] = frozenset()

    @property
    def inner(self) -> list[Directory]:
        """The directories within, in the order of the field."""
        return [one for place in self.places for one in place]


class TiffWalk:
    """What is found in a file.

    Attributes
    ----------
    directories
        Those of the chain, in order; others lie in them.
    damage
        What ends the chain before its end, "" for nothing.
    """

    def __init__(self, window: Window) -> None:
        self.window = window
        self.header: Header | None = None
        self.directories: list[Directory] = []
        self.damage = ""
        self._seen: set[int] = set()
        self._read = 0
        self._ahead = 1

    def start(self) -> Sequence[Step]:
        """Read the header."""
        size = min(16, self.window.size)
        buf, pos = self.window.at(0, size)
        header = decode_header(buf, pos, size)
        self.header = header
        return [partial(self._directory, header, header.first, None, self.directories)] if header.first else []

    def _directory(
        self, header: Header, address: int, parent: Directory | None, siblings: list[Directory]
    ) -> Sequence[Step]:
        """Read a directory; the next and its values follow."""
        try:
            entries, following, size = self._entries(header, address)
        except FormatError as error:
            self._end(parent, error, len(siblings))
            return []
        self._charge(size)
        self._seen.add(address)
        found = Directory(address, 0 if parent is None else parent.depth + 1, tags=frozenset(entries))
        siblings.append(found)
        steps: list[Step] = [partial(self._fields, header, found, entries)]
        if following and parent is None:
            self._announce(following, address, size)
            steps.append(partial(self._directory, header, following, None, siblings))
        return steps

    def _entries(self, header: Header, address: int) -> tuple[dict[int, Entry], int, int]:
        """Return entries, the address of the next directory, and the bytes of this one."""
        if address in self._seen:
            raise FormatError("a directory that leads to itself", structure=_STRUCTURE, address=address)
        if address + header.count_size > self.window.size:
            raise TruncatedError("beyond the end of the file", structure=_STRUCTURE, address=address)
        self.window.want([address], _GUESS)
        buf, pos = self.window.at(address, header.count_size)
        count = header.number(buf, pos, header.count_size)
        size = header.count_size + count * header.entry_size + header.word
        if not count or address + size > self.window.size:
            raise TruncatedError(
                "entries beyond the end of the file", structure=_STRUCTURE, address=address, got=f"{count} entries"
            )
        buf, pos = self.window.at(address, size)
        entries = decode_entries(buf, pos + header.count_size, count, address + header.count_size, header)
        return entries, header.number(buf, pos + size - header.word, header.word), size

    def _announce(self, following: int, address: int, size: int) -> None:
        stride = following - address
        if stride > 0:
            count = min(self._ahead, (self.window.size - following) // stride + 1)
            self.window.want([following + stride * step for step in range(count)], max(size, 1))
            self._ahead = min(self._ahead * 2, 1 << 12)

    def _fields(self, header: Header, found: Directory, entries: dict[int, Entry]) -> Sequence[Step]:
        """Read the values of a directory's fields."""
        wanted = [entry for tag, entry in entries.items() if tag in WANTED and entry.count]
        total = sum(entry.size for entry in wanted)
        beyond = [entry for entry in wanted if entry.address + entry.size > self.window.size]
        if beyond:
            found.why = f"the file is damaged: values of field {beyond[0].tag} lie beyond its end"
            return []
        blocks = read_ranges(self._bytes, [e.address for e in wanted], [e.size for e in wanted])
        self._charge(total)
        found.values = {
            entry.tag: decode_values(block, 0, entry, header.order) for entry, block in zip(wanted, blocks, strict=True)
        }
        try:
            found.page = decode_page(found.values, header.order)
        except (FormatError, Unsupported) as error:
            found.why = error.message
        return self._inner(header, found)

    def _inner(self, header: Header, found: Directory) -> list[Step]:
        """Return the steps that read the directories within one."""
        if SUB_IFDS not in found.values:
            return []
        if found.depth >= _DEPTH:
            self.damage = self.damage or f"directories within directories beyond {_DEPTH} levels"
            return []
        try:
            addresses = [address for address in numbers(found.values, SUB_IFDS) if address]
        except FormatError as error:
            self.damage = self.damage or error.message
            return []
        # Each has a list of its own, so that their order is that of the field.
        places: list[list[Directory]] = [[] for _ in addresses]
        steps: list[Step] = [
            partial(self._directory, header, address, found, place)
            for address, place in zip(addresses, places, strict=True)
        ]
        self.window.want(addresses, _GUESS)
        found.places = places
        return steps

    def _end(self, parent: Directory | None, error: RefmakerError, number: int) -> None:
        if parent is None and not number:
            raise error
        self.damage = self.damage or f"the file is damaged: {error.message}"

    def _charge(self, size: int) -> None:
        self._read += size
        if self._read > limits.READINGS * self.window.size + (1 << 16):
            raise FormatError("directories overlap", structure=_STRUCTURE, got=f"{self._read} bytes")

    def _bytes(self, address: int, size: int) -> bytes:
        buf, pos = self.window.at(address, size)
        return bytes(buf[pos : pos + size])
