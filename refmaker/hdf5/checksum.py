"""Checksums of metadata: Bob Jenkins' lookup3 (hashlittle), initial value 0.

Contract: pure. `lookup3` for one block, `lookup3_rows` for many blocks of one size at once in numpy. Within
`unverified()`, in the same thread or task, the two functions that verify do nothing.
HDF5 File Format Specification 4.0, I; burtleburtle.net/bob/c/lookup3.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from struct import unpack_from

import numpy as np
import numpy.typing as npt

from refmaker.errors import FormatError
from refmaker.window import Buffer

__all__ = ["lookup3", "lookup3_rows", "unverified", "verified", "verify", "verify_rows"]

_verified: ContextVar[bool] = ContextVar("checksums_verified", default=True)

_M = 0xFFFFFFFF
FEW = 12  # below, plain Python is faster than numpy
_MIX = ((0, 2, 4, 1), (1, 0, 6, 2), (2, 1, 8, 0), (0, 2, 16, 1), (1, 0, 19, 2), (2, 1, 4, 0))
_FINAL = ((2, 1, 14), (0, 2, 11), (1, 0, 25), (2, 1, 16), (0, 2, 4), (1, 0, 14), (2, 1, 24))


def lookup3(data: Buffer) -> int:
    """Give the lookup3 checksum of a block of bytes."""
    size = len(data)
    a = b = c = (0xDEADBEEF + size) & _M
    if size == 0:
        return c
    whole = (size - 1) // 12
    padded = bytes(data) + b"\0" * (12 * (whole + 1) - size)
    words: tuple[int, ...] = unpack_from(f"<{3 * (whole + 1)}I", padded)
    for i in range(0, 3 * whole, 3):
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
    a = (a + words[-3]) & _M
    b = (b + words[-2]) & _M
    c = (c + words[-1]) & _M
    state: list[int] = [a, b, c]
    for x, y, k in _FINAL:
        state[x] = ((state[x] ^ state[y]) - ((state[y] << k | state[y] >> (32 - k)) & _M)) & _M
    return state[2]


def lookup3_rows(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Give the lookup3 checksum of every row of a uint8 array of shape (n, size)."""
    n, size = rows.shape
    if n < FEW:
        return np.array([lookup3(row.tobytes()) for row in rows], "u4")
    start = np.uint32((0xDEADBEEF + size) & _M)
    s = [np.full(n, start, "u4") for _ in range(3)]
    if size == 0 or n == 0:
        return s[2]
    whole = (size - 1) // 12
    padded = np.zeros((n, 12 * (whole + 1)), "u1")
    padded[:, :size] = rows
    words = np.ascontiguousarray(padded.view("<u4").T)
    for i in range(whole):
        for k in range(3):
            s[k] += words[3 * i + k]
        for x, y, k, z in _MIX:
            s[x] -= s[y]
            s[x] ^= (s[y] << np.uint32(k)) | (s[y] >> np.uint32(32 - k))
            s[y] += s[z]
    for k in range(3):
        s[k] += words[3 * whole + k]
    for x, y, k in _FINAL:
        s[x] ^= s[y]
        s[x] -= (s[y] << np.uint32(k)) | (s[y] >> np.uint32(32 - k))
    return s[2]


@contextmanager
def unverified() -> Iterator[None]:
    """Take checksums on trust for a while."""
    token = _verified.set(False)
    try:
        yield
    finally:
        _verified.reset(token)


def verified() -> bool:
    """Say whether checksums are verified."""
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


def verify_rows(rows: npt.NDArray[np.uint8], structure: str, addresses: npt.NDArray[np.uint64]) -> None:
    """Raise `FormatError` unless every row ends with the checksum of its other bytes."""
    if not _verified.get():
        return
    stored = np.ascontiguousarray(rows[:, -4:]).view("<u4")[:, 0]
    computed = lookup3_rows(rows[:, :-4])
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
