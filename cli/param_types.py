"""Types of options that several commands share.

Contract: a size is a number of bytes, or has a unit: `65536`, `64KiB`, `1.5MB`. Decimal units are powers of 1000,
binary ones of 1024.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    _Type = click.ParamType[int]
else:
    _Type = click.ParamType  # which takes no argument before click 8.5

__all__ = ["SIZE", "parse_size"]

_SIZE: Final = re.compile(r"(?P<number>[0-9]{1,18}(?:\.[0-9]{1,6})?)\s?(?P<unit>[kKMGTP]?)(?P<binary>i?)(?P<bytes>B?)")
_POWERS: Final = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}


def parse_size(text: str) -> int:
    """Return a size in bytes.

    Raises
    ------
    ValueError
        It is none.

    Examples
    --------
    >>> parse_size("1MiB"), parse_size("1.5 kB"), parse_size("512")
    (1048576, 1500, 512)
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or (match["binary"] and not match["unit"]) or (match["unit"] and not match["bytes"]):
        raise ValueError(f"expected a number of bytes, such as 65536, 64KiB or 1.5MB, not {text[:40]!r}")
    number = match["number"]
    factor: int = (1024 if match["binary"] else 1000) ** _POWERS[match["unit"]]
    whole, _, fraction = number.partition(".")
    return int(whole) * factor + (int(fraction) * factor // 10 ** len(fraction) if fraction else 0)


class _Size(_Type):
    name = "size"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the size in bytes."""
        try:
            size = parse_size(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return size


SIZE = _Size()
