"""Decimal digits of whole columns: numbers to text and text to numbers, without a Python object per number.

Contract: pure numpy. Numbers become fixed-width text in groups of four digits, looked up in a table; places that a
shorter number does not fill hold NUL, to be taken out of the finished rows.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["digit_groups", "parse_indices", "put_digits"]

_BASE = 10_000
_MAX_DIGITS = 19  # 10**19 - 1 < 2**64


def digit_groups(largest: int) -> int:
    """Return the number of four-digit groups that numbers up to `largest` need."""
    return -(-len(str(largest)) // 4)


@cache
def _tables() -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Return the text of 0..9999 as four bytes in a uint32: for the last group of a number, and for those before it.

    Rows below 10,000 are for a number that begins in this group (no leading zeros), the next 10,000 for one that
    began in a group before (all four digits). A zero with nothing before it is "0" in the last group, else nothing.
    """
    value = np.arange(_BASE)[:, None]
    padded = (value // np.array([1000, 100, 10, 1]) % 10 + ord("0")).astype("u1")
    leading = value < np.array([1000, 100, 10, 0])
    last = np.concatenate([np.where(leading, 0, padded).astype("u1"), padded]).view("u4")[:, 0]
    before = last.copy()
    before[0] = 0
    return last, before


def put_digits(out: npt.NDArray[np.uint32], values: npt.NDArray[np.unsignedinteger[Any]]) -> None:
    """Write numbers as text, right-aligned in their groups.

    Parameters
    ----------
    out : uint32[n, groups]
        Four characters an element; `groups` from `digit_groups` of the largest value.
    values : unsigned[n]
    """
    table, before = _tables()
    for group in range(out.shape[1] - 1, 0, -1):
        higher = values // _BASE
        place = values - higher * _BASE
        place += (higher != 0) * values.dtype.type(_BASE)
        out[:, group] = table[place]
        values = higher
        table = before
    out[:, 0] = table[values]


def parse_indices(text: bytes, rank: int, separator: str) -> npt.NDArray[np.uint64] | None:
    """Read lines of `rank` canonical decimal numbers with `separator` between them, a newline after each line.

    Returns
    -------
    uint64[n, rank] or None
        2**64-1 stands for a number of more than 19 digits. None when any line is not of this form.
    """
    characters = np.frombuffer(text, "u1")
    digit = characters - np.uint8(ord("0"))
    stops = np.flatnonzero(digit > 9)
    if text[-1:] not in (b"", b"\n") or len(stops) % rank:
        return None
    if not _terminated(characters[stops].reshape(-1, rank), separator):
        return None
    starts = np.empty_like(stops)
    starts[:1] = 0
    np.add(stops[:-1], 1, out=starts[1:])
    lengths = stops - starts
    if not lengths.all() or ((digit[starts] == 0) & (lengths > 1)).any():
        return None
    return _numbers(digit, stops, lengths).reshape(-1, rank)


def _terminated(terminators: npt.NDArray[np.uint8], separator: str) -> bool:
    """Return whether every line has the separator after all its numbers but the last, and then the newline."""
    return bool((terminators[:, :-1] == ord(separator)).all() and (terminators[:, -1] == ord("\n")).all())


def _numbers(
    digit: npt.NDArray[np.uint8], stops: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint64]:
    """Return the numbers whose digits end before `stops`, most significant digit first."""
    value = np.zeros(len(stops), "u8")
    for place in range(min(int(lengths.max(initial=0)), _MAX_DIGITS), 0, -1):
        has = lengths >= place
        value[has] = value[has] * np.uint64(10) + digit[stops[has] - place]
    value[lengths > _MAX_DIGITS] = np.uint64(2**64 - 1)
    return value
