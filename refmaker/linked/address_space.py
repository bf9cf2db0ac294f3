"""One address space over all files of a scan.

Contract: file number `n` lies at `n << FILE_BITS`, the scanned file itself at 0, so that its addresses are what they
are without any other. Chunk offsets of this space need one column only, whatever file they are in, until
`AddressSpace.settle` takes them apart into target and offset. The last number stands for bytes that are in no file
(`keep`): they end up inside the manifest. A `AddressSpace` is a `Source`: what is missing of any file is fetched in one
round.

Files are known by their urls and opened once. Local ones are closed again when many are open, and checked to be the
same when they are opened again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from refmaker.conventions.names import escaped, is_utf8
from refmaker.descriptors import most_open
from refmaker.errors import RefmakerError, SourceError, TargetChanged, TruncatedError, Unsupported
from refmaker.file_version import FileVersion, Target
from refmaker.manifest.references import References
from refmaker.sources.container import MemberSource
from refmaker.sources.local import LocalSource
from refmaker.sources.memory_budget import MemoryBudget
from refmaker.sources.open import is_local, open_source
from refmaker.window import Addresses, Buffer, MissingBytes, Source, Window

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["FILE_BITS", "AddressSpace", "file_of"]

FILE_BITS = 48
MEMORY = (1 << 63 - FILE_BITS) - 1
_BELOW = (1 << FILE_BITS) - 1
# Every open local file takes a file descriptor; processes have 1,024, or 256.
MAX_OPEN = 100
FETCHES = 8


def file_of(address: int) -> int:
    """Return the number of the file that an address lies in."""
    return address >> FILE_BITS


@dataclass(slots=True)
class _File:
    url: str
    version: FileVersion
    source: Source | None
    local: bool


def _pool() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(FETCHES)


@dataclass(slots=True)
class AddressSpace:
    """The files of a scan, the scanned one first. What is fetched of any takes its place in `memory_budget`."""

    main: Source
    storage_options: Mapping[str, Any] | None = None
    memory_budget: MemoryBudget | None = None
    url: str = field(init=False)
    version: FileVersion = field(init=False)
    files: list[_File] = field(init=False)
    numbers: dict[str, int] = field(init=False)
    memory: bytearray = field(default_factory=bytearray)
    open_order: list[int] = field(default_factory=list)
    looked_up: dict[str, Source | RefmakerError] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.url, self.version = self.main.url, self.main.version
        self.files = [_File(self.url, self.version, self.main, is_local(self.url))]
        self.numbers = {self.url: 0}

    @property
    def start(self) -> int:
        """Where the scanned file begins in the file that it is part of."""
        return self.main.start if isinstance(self.main, MemberSource) else 0

    # Files.

    @property
    def local(self) -> bool:
        """Whether the scanned file is a local one: only then may others be."""
        return self.files[0].local

    def open(self, url: str) -> int | None:
        """Open a file beside the scanned one; give its number, None when there is no such file.

        Raises
        ------
        SourceError
            It is there but cannot be read, or it cannot be told whether it is there.
        FormatError
            It is empty.
        """
        if url in self.numbers:
            return self.numbers[url]
        if self.start:
            raise Unsupported("other files than the member of a container that is scanned")
        if len(self.files) >= MEMORY:
            raise Unsupported(f"more than {MEMORY} files")
        try:
            source = self._open(url)
        except SourceError as error:
            if _says_missing(error):
                return None
            raise
        if not is_utf8(source.url):
            raise Unsupported(
                "the name of the file is not valid UTF-8, which no manifest can hold", source=escaped(url)
            )
        number = self.numbers.setdefault(source.url, len(self.files))
        self.numbers[url] = number
        if number == len(self.files):
            self.files.append(_File(source.url, source.version, source, self.local))
            self._opened(number)
        return number

    def look_up(self, urls: Sequence[str]) -> None:
        """Look up remote files together, so that `open` does not wait for each."""
        wanted = [url for url in dict.fromkeys(urls) if url not in self.numbers and url not in self.looked_up]
        if self.local or len(wanted) < 2:
            return
        with _pool() as pool:
            for url, found in zip(wanted, pool.map(self._looked_up, wanted), strict=True):
                self.looked_up[url] = found

    def _looked_up(self, url: str) -> Source | RefmakerError:
        try:
            return open_source(url, self.storage_options, self.memory_budget)
        except RefmakerError as error:
            return error

    def _open(self, url: str) -> Source:
        found = self.looked_up.pop(url, None)
        if isinstance(found, RefmakerError):
            raise found
        if found is not None:
            return found
        # A local path may contain "://" or "::", which would lead elsewhere.
        return (
            LocalSource.open("file://" + url)
            if self.local
            else open_source(url, self.storage_options, self.memory_budget)
        )

    def _opened(self, number: int) -> None:
        """Note the use of a local file; close the one that was used least lately when there are too many."""
        if not self.local or number == 0:
            return
        self.open_order.append(number)
        # A mapped file takes two: the map has one of its own.
        if len(self.open_order) > most_open(MAX_OPEN, share=8):
            self.files[self.open_order.pop(0)].source = None

    def source(self, number: int) -> Source:
        """Return an opened file."""
        file = self.files[number]
        if file.source is None:
            source = self._open(file.url)
            if source.version.difference(file.version) is not None:
                raise TargetChanged("the file changed while it was scanned; scan it again", source=file.url)
            file.source = source
            self._opened(number)
        return file.source

    def size(self, number: int) -> int:
        """Return the size of a file."""
        return self.files[number].version.known_size

    def url_of(self, number: int) -> str:
        """Return the url of a file."""
        return self.files[number].url

    def window_of(self, number: int) -> Window:
        """Return a Window over one file. What it misses can be fetched with `fetch`."""
        return _FileWindow(self, number)

    @property
    def targets(self) -> tuple[Target, ...]:
        """The files as a manifest records them, by number."""
        return tuple(Target.of(file.url, file.version) for file in self.files)

    # Bytes.

    @property
    def window(self) -> Window:
        """The scanned file."""
        return self.main.window

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes from an address of the space. May raise `MissingBytes`."""
        number, offset = address >> FILE_BITS, address & _BELOW
        if number == MEMORY:
            return bytes(self.memory[offset : offset + size])
        buf, pos = self.window_of(number).at(offset, size) if number else self.main.window.at(offset, size)
        return bytes(buf[pos : pos + size])

    def keep(self, data: bytes) -> int:
        """Return bytes that are in no file an address."""
        address = (MEMORY << FILE_BITS) + len(self.memory)
        self.memory += data
        return address

    def fetch(self, missing: Sequence[MissingBytes]) -> None:
        """See `Source.fetch`: every file's share, several files at a time."""
        shares: dict[int, list[MissingBytes]] = {}
        for missed in missing:
            numbers = missed.addresses >> FILE_BITS
            for number in np.unique(numbers).tolist():
                own = numbers == number
                missed_here = MissingBytes(missed.addresses[own] & _BELOW, missed.sizes[own])
                shares.setdefault(number, []).append(missed_here)
        if len(shares) == 1:
            ((number, share),) = shares.items()
            self.source(number).fetch(share)
            return
        with _pool() as pool:
            for done in [pool.submit(self.source(number).fetch, share) for number, share in shares.items()]:
                done.result()

    def check_unchanged(self) -> None:
        """See `Source.check_unchanged`: all files."""
        self.main.check_unchanged()
        if self.local:
            for number in range(1, len(self.files)):
                self.source(number).check_unchanged()
        elif len(self.files) > 1:
            with _pool() as pool:
                for _ in pool.map(lambda n: self.source(n).check_unchanged(), range(1, len(self.files))):
                    pass

    # References.

    def settle(self, references: References) -> References:
        """Take addresses apart into targets and offsets; put what is in no file inline."""
        offset = references.offset
        if not len(offset) or int(offset.max()) <= _BELOW:
            return replace(references, offset=offset + np.uint64(self.start)) if self.start else references
        number = (offset >> np.uint64(FILE_BITS)).astype("u4")
        below = offset & np.uint64(_BELOW)
        self._check(number, below, references.size)
        kept = number == MEMORY
        inline = dict(references.inline)
        places = zip(references.cell[kept].tolist(), below[kept].tolist(), references.size[kept].tolist(), strict=True)
        known: dict[tuple[int, int], bytes] = {}
        for cell, start, size in places:
            place = start, size
            if place not in known:
                known[place] = bytes(self.memory[start : start + size])
            inline[cell] = known[place]
        there = ~kept
        below = np.where(number == 0, below + np.uint64(self.start), below)
        return References(
            references.cell[there], number[there], below[there], references.size[there], inline, references.whole
        )

    def _check(
        self, number: npt.NDArray[np.uint32], offset: npt.NDArray[np.uint64], size: npt.NDArray[np.uint64]
    ) -> None:
        """Raise unless every reference lies within its file."""
        sizes = np.array([file.version.known_size for file in self.files], "u8")
        inside = np.where(number == MEMORY, len(self.memory), sizes[np.minimum(number, len(sizes) - 1)])
        wrong = (number >= len(sizes)) & (number != MEMORY) | (offset + size > inside)
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            raise TruncatedError("a chunk reaches beyond its file", address=int(offset[at]), got=int(size[at]))


class _FileWindow:
    """A Window over one file of a space, whose missing bytes are named by addresses of the space."""

    def __init__(self, space: AddressSpace, number: int) -> None:
        self.space = space
        self.number = number

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self.space.size(self.number)

    def at(self, address: int, size: int) -> tuple[Buffer, int]:
        """See `Window.at`."""
        try:
            return self.space.source(self.number).window.at(address, size)
        except MissingBytes as missed:
            raise self._translated(missed) from None

    def want(self, addresses: Addresses, size: int) -> None:
        """See `Window.want`."""
        self.space.source(self.number).window.want(addresses, size)

    def rows(self, addresses: npt.NDArray[np.uint64], size: int) -> npt.NDArray[np.uint8]:
        """See `Window.rows`."""
        try:
            return self.space.source(self.number).window.rows(addresses, size)
        except MissingBytes as missed:
            raise self._translated(missed) from None

    def _translated(self, missed: MissingBytes) -> MissingBytes:
        return MissingBytes(missed.addresses + (self.number << FILE_BITS), missed.sizes)


def _says_missing(error: SourceError) -> bool:
    """Return whether a file is known not to be there, and not only out of reach.

    fsspec's HTTP filesystem raises `FileNotFoundError` for all that goes wrong, so that the first cause decides.
    """
    cause: BaseException | None = error.__cause__
    if not isinstance(cause, FileNotFoundError | NotADirectoryError):
        return False
    while cause.__cause__ is not None:
        cause = cause.__cause__
    status = getattr(cause, "status", None)
    if status is not None:
        return status in (404, 410)
    response = getattr(cause, "response", None)
    if isinstance(response, Mapping):
        return response.get("Error", {}).get("Code") in ("404", "NoSuchKey", "NotFound")
    return isinstance(cause, FileNotFoundError | NotADirectoryError)
