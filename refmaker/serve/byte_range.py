"""The Range header of a request.

Contract: one range of bytes, as RFC 9110 (section 14.1.2) has it. What is malformed, of other units or of several
ranges is as if it were not there, which the RFC allows; a range that begins behind the end cannot be satisfied.
"""

from __future__ import annotations

import re

__all__ = ["UnsatisfiableRange", "byte_range"]

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


class UnsatisfiableRange(Exception):
    """None of the bytes asked for are there."""


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first byte asked for and that behind the last; None where all are.

    Raises
    ------
    UnsatisfiableRange
        The range begins behind the end, or is of no bytes.

    Examples
    --------
    >>> byte_range("bytes=10-19", 15), byte_range("bytes=-4", 15), byte_range("bytes=20-10", 15)
    ((10, 15), (11, 15), None)
    """
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None or found[0] == "bytes=-":
        return None
    if not found[1]:
        if not int(found[2]) or not size:
            raise UnsatisfiableRange
        return max(size - int(found[2]), 0), size
    first = int(found[1])
    if found[2] and int(found[2]) < first:
        return None
    if first >= size:
        raise UnsatisfiableRange
    return first, min(int(found[2]) + 1, size) if found[2] else size
