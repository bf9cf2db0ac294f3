"""Checksums of metadata: Bob Jenkins' lookup3 (hashlittle), initial value 0.

Contract: pure. `lookup3` for one block, `lookup3_groups` for many blocks at once; by a function in C where there is
enough to do for it and it is there, else in Python and numpy. Within `unverified()`, in the same thread or task, the
two functions that verify do nothing; within `deferring()`, checksums of object headers are kept for `wrong`. HDF5 File
Format Specification 4.0, I; burtleburtle.net/bob/c/lookup3.c.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import accumulate
from struct import unpack_from
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker.errors import FormatError
from refmaker.hdf5.native_checksum import native_lookup3, row_sums
from refmaker.window import Buffer

__all__ = [
    "Deferred",
    "defer",
    "deferring",
    "lookup3",
    "lookup3_groups",
    "unverified",
    "verified",
    "verify",
    "verify_groups",
    "verify_rows",
    "wrong",
]

Rows: TypeAlias = npt.NDArray[np.uint8]

_verified: ContextVar[bool] = ContextVar("checksums_verified", default=True)

_later: ContextVar[Deferred | None] = ContextVar("checksums_deferred", default=None)
_MOST_DEFERRED = 1 << 18

_M = 0xFFFFFFFF
FEW = 12  # below, plain Python is faster than numpy
_NATIVE = 1 << 13  # bytes, from which on it pays to load a library
_SMALL = 1 << 15  # rows times steps that are laid out side by side
_MIX = ((0, 2, 4, 1), (1, 0, 6, 2), (2, 1, 8, 0), (0, 2, 16, 1), (1, 0, 19, 2), (2, 1, 4, 0))
_FINAL = ((2, 1, 14), (0, 2, 11), (1, 0, 25), (2, 1, 16), (0, 2, 4), (1, 0, 14), (2, 1, 24))


def lookup3(data: Buffer) -> int:
    """Return the lookup3 checksum of a block of bytes."""
    size = len(data)
    if size >= _NATIVE and (native := native_lookup3()) is not None:
        return native(bytes(data), size, 0)
    start = (0xDEADBEEF + size) & _M
    if size == 0:
        return start
    padded = bytes(data) + b"\0" * (-size % 12)
    return _hashed(start, start, start, unpack_from(f"<{len(padded) // 4}I", padded))


def _hashed(a: int, b: int, c: int, words: tuple[int, ...]) -> int:
    """Go on from a state through words, the last three of which are the last of the block."""
    for i in range(0, len(words) - 3, 3):
        a = (a + words[i]) & _M
        b = (b + words[i + 1]) & _M
        c = (c + words[i + 2]) & _M
        a = ((a - c) & _M) ^ ((c << 4 | c >> 28) & _M)
        c = (c + b) & _M
        b = ((b - a) & _M) ^ ((a << 6 | a >> 26) & _M)
        a = (a + c) & _M
        c = ((c - b) & _M) ^ ((b << 8 | b >> 24) & _M)
        b = (b + a) & _M
        a = ((a - c) & _M) ^ ((c << 16 | c >> 16) & _M)
        c = (c + b) & _M
        b = ((b - a) & _M) ^ ((a << 19 | a >> 13) & _M)
        a = (a + c) & _M
        c = ((c - b) & _M) ^ ((b << 4 | b >> 28) & _M)
        b = (b + a) & _M
    state = [(a + words[-3]) & _M, (b + words[-2]) & _M, (c + words[-1]) & _M]
    for x, y, k in _FINAL:
        state[x] = ((state[x] ^ state[y]) - ((state[y] << k | state[y] >> (32 - k)) & _M)) & _M
    return state[2]


def lookup3_groups(groups: Sequence[Rows]) -> list[npt.NDArray[np.uint32]]:
    """Return the lookup3 checksums of the rows of several arrays, each of shape (n, size), all of them together.

    In numpy a step takes 12 bytes of every row that has so many left, so that it costs little more for many rows than
    for one.
    """
    if sum(rows.size for rows in groups) >= _NATIVE and (native := native_lookup3()) is not None:
        return [row_sums(native, rows) for rows in groups]
    order = sorted(range(len(groups)), key=lambda i: -groups[i].shape[1])
    found: dict[int, npt.NDArray[np.uint32]] = {}
    taken = [i for i in order if groups[i].shape[1] and len(groups[i])]
    for i in set(order) - set(taken):
        found[i] = np.full(len(groups[i]), 0xDEADBEEF, "u4")
    if taken:
        sums = _together([groups[i] for i in taken])
        stops = np.cumsum([len(groups[i]) for i in taken])[:-1]
        found.update(zip(taken, np.split(sums, stops), strict=True))
    return [found[i] for i in range(len(groups))]


def _together(groups: list[Rows]) -> npt.NDArray[np.uint32]:
    """Return the checksums of groups of rows, the longest rows first, none of them empty."""
    counts, sizes = [len(rows) for rows in groups], [rows.shape[1] for rows in groups]
    start = np.repeat(np.array([(0xDEADBEEF + size) & _M for size in sizes], "u4"), counts)
    state = [start, start.copy(), start.copy()]
    steps = [(size - 1) // 12 for size in sizes]
    if len(groups) > 1 and len(start) * (steps[0] + 1) <= _SMALL:
        _padded(groups, steps, state)
        return state[2]
    done = 0
    for last in range(len(groups) - 1, -1, -1):
        active = sum(counts[: last + 1])
        if active < FEW:
            _one_by_one(groups[: last + 1], done, state)
            break
        if steps[last] > done:
            parts = [rows[:, 12 * done : 12 * steps[last]] for rows in groups[: last + 1]]
            _mix(_words(parts), [s[:active] for s in state])
            done = steps[last]
        first = active - counts[last]
        tail = np.zeros((counts[last], 12), "u1")
        tail[:, : sizes[last] - 12 * done] = groups[last][:, 12 * done :]
        _finish(_words([tail]), [s[first:active] for s in state])
    return state[2]


def _padded(groups: list[Rows], steps: list[int], state: list[npt.NDArray[np.uint32]]) -> None:
    """Go through rows of many sizes laid out side by side, each filled up with zeros to the longest."""
    counts = [len(rows) for rows in groups]
    whole = np.zeros((sum(counts), 12 * (steps[0] + 1)), "u1")
    stops = list(accumulate(counts))
    for rows, stop in zip(groups, stops, strict=True):
        whole[stop - len(rows) : stop, : rows.shape[1]] = rows
    words = np.ascontiguousarray(whole.view("<u4").T)
    done, left = 0, 0
    for step, active in zip(reversed(steps), reversed(stops), strict=True):
        if active < FEW:
            left = active
            break
        if step > done:
            _mix(words[3 * done : 3 * step, :active], [s[:active] for s in state])
            done = step
    if left:
        _one_by_one(groups[: stops.index(left) + 1], done, [s[:left] for s in state])
    last = 3 * np.repeat(steps, counts)[left:]
    rest = np.arange(left, len(whole))
    _finish(np.stack([words[last + k, rest] for k in range(3)]), [s[left:] for s in state])


def _words(parts: list[Rows]) -> npt.NDArray[np.uint32]:
    """Return rows of bytes as words: shape (words, rows)."""
    whole = np.empty((parts[0].shape[1] // 4, sum(map(len, parts))), "<u4")
    first = 0
    for rows in parts:
        whole[:, first : first + len(rows)] = np.ascontiguousarray(rows).view("<u4").T
        first += len(rows)
    return whole


def _mix(words: npt.NDArray[np.uint32], state: list[npt.NDArray[np.uint32]]) -> None:
    one, other = np.empty_like(state[0]), np.empty_like(state[0])
    rounds = [(state[x], state[y], np.uint32(k), np.uint32(32 - k), state[z]) for x, y, k, z in _MIX]
    add, difference, left, right, both, xor = (
        np.add,
        np.subtract,
        np.left_shift,
        np.right_shift,
        np.bitwise_or,
        np.bitwise_xor,
    )
    for i in range(0, len(words), 3):
        for k in range(3):
            add(state[k], words[i + k], out=state[k])
        for x, y, up, down, z in rounds:
            difference(x, y, out=x)
            both(left(y, up, out=one), right(y, down, out=other), out=one)
            xor(x, one, out=x)
            add(y, z, out=y)


def _finish(words: npt.NDArray[np.uint32], state: list[npt.NDArray[np.uint32]]) -> None:
    for k in range(3):
        state[k] += words[k]
    for x, y, k in _FINAL:
        state[x] ^= state[y]
        state[x] -= (state[y] << np.uint32(k)) | (state[y] >> np.uint32(32 - k))


def _one_by_one(groups: list[Rows], done: int, state: list[npt.NDArray[np.uint32]]) -> None:
    """Go on with few rows, for which plain Python is faster."""
    rows = [row[12 * done :].tobytes() for group in groups for row in group]
    for i, row in enumerate(rows):
        padded = row + b"\0" * (-len(row) % 12)
        words = unpack_from(f"<{len(padded) // 4}I", padded)
        state[2][i] = _hashed(int(state[0][i]), int(state[1][i]), int(state[2][i]), words)


@contextmanager
def unverified() -> Iterator[None]:
    """Take checksums on trust for a while."""
    token = _verified.set(False)
    try:
        yield
    finally:
        _verified.reset(token)


class Deferred:
    """Blocks of object headers, of one file, whose checksums are still to be looked at.

    Attributes
    ----------
    blocks
        Each with its checksum in the last four bytes.
    """

    def __init__(self) -> None:
        self.blocks: list[bytes] = []

    def take(self, blocks: Sequence[bytes]) -> bool:
        """Keep blocks for later, unless they are so many that they are better verified at once; say so."""
        if sum(map(len, blocks)) > _MOST_DEFERRED:
            return False
        self.blocks += blocks
        return True


@contextmanager
def deferring() -> Iterator[Deferred]:
    """Put off the checksums of object headers: of many small files together they take a fraction of the time."""
    later = Deferred()
    token = _later.set(later)
    try:
        yield later
    finally:
        _later.reset(token)


def defer(blocks: Sequence[bytes]) -> bool:
    """Put off verifying blocks, within `deferring()`; return whether that was done."""
    later = _later.get()
    return later is not None and later.take(blocks)


def wrong(files: Sequence[Deferred]) -> list[int]:
    """Verify what was put off, all together; give the numbers of the files in which a checksum is wrong."""
    by_size: dict[int, tuple[list[int], list[bytes]]] = {}
    for number, file in enumerate(files):
        for block in file.blocks:
            numbers, blocks = by_size.setdefault(len(block), ([], []))
            numbers.append(number)
            blocks.append(block)
    groups = [np.frombuffer(b"".join(blocks), "u1").reshape(len(blocks), -1) for _, blocks in by_size.values()]
    found: set[int] = set()
    sums = lookup3_groups([rows[:, :-4] for rows in groups])
    for (numbers, _), rows, computed in zip(by_size.values(), groups, sums, strict=True):
        stored = np.ascontiguousarray(rows[:, -4:]).view("<u4")[:, 0]
        found.update(numbers[i] for i in np.flatnonzero(computed != stored).tolist())
    return sorted(found)


def verified() -> bool:
    """Return whether checksums are verified."""
    return _verified.get()


def verify(block: Buffer, structure: str, address: int) -> None:
    """Raise `FormatError` unless the last four bytes of `block` are the checksum of the others."""
    if not _verified.get():
        return
    stored = int.from_bytes(block[-4:], "little")
    computed = lookup3(block[:-4])
    if stored != computed:
        raise FormatError(
            "checksum", structure=structure, address=address, expected=f"{stored:#010x}", got=f"{computed:#010x}"
        )


def verify_rows(rows: Rows, structure: str, addresses: npt.NDArray[np.uint64]) -> None:
    """Raise `FormatError` unless every row ends with the checksum of its other bytes."""
    verify_groups([(rows, structure, addresses)])


def verify_groups(groups: Sequence[tuple[Rows, str, npt.NDArray[np.uint64]]]) -> None:
    """Verify groups of rows as `verify_rows` does, all together: rows, what they are, where they are."""
    if not _verified.get():
        return
    sums = lookup3_groups([rows[:, :-4] for rows, _, _ in groups])
    for (rows, structure, addresses), computed in zip(groups, sums, strict=True):
        stored = np.ascontiguousarray(rows[:, -4:]).view("<u4")[:, 0]
        wrong = np.flatnonzero(stored != computed)
        if len(wrong):
            i = int(wrong[0])
            raise FormatError(
                "checksum",
                structure=structure,
                address=int(addresses[i]),
                expected=f"{int(stored[i]):#010x}",
                got=f"{int(computed[i]):#010x}",
            )
