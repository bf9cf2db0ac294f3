"""Options of the filesystem: which there are, and what they may say.

Contract: pure; whatever is wrong is a `TypeError` that names the option.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["check_options", "size_of"]

_STOCK_TUNING = frozenset({"max_gap", "max_block", "cache_size", "simple_templates", "lazy"})
"""Options of fsspec's `ReferenceFileSystem` that change how it reads, not what: taken, so that its users can switch."""

_FSSPEC_OPTIONS = frozenset(
    {"batch_size", "use_listings_cache", "listings_expiry_time", "max_paths", "skip_instance_cache"}
)

_CHECKS = ("strict", "size", "off")
_VIEWS = ("transparent", "decoded")


def check_options(
    others: Mapping[str, Any], *, check: object, timeout: float, attempts: int, view: object, allow: object
) -> None:
    """Refuse options that are none of the filesystem's, or that cannot be meant.

    Parameters
    ----------
    others
        Those that the filesystem does not name: fsspec's own, and those of its `reference` filesystem, are let pass.
    """
    unknown = others.keys() - _STOCK_TUNING - _FSSPEC_OPTIONS
    sound = check in _CHECKS and timeout > 0 and attempts >= 1 and view in _VIEWS and not isinstance(allow, str)
    if unknown or not sound:
        given = f"check={check!r}, timeout={timeout!r}, attempts={attempts!r}, view={view!r}, allow={allow!r}"
        what = f"unknown: {', '.join(sorted(unknown))}" if unknown else given
        raise TypeError(f"bad options for the refmaker filesystem: {what}")


def size_of(text: int | str) -> int:
    """Read a number of bytes such as "1MiB"; raises `TypeError` for what is none."""
    found = re.fullmatch(r"(\d+)\s*([KMG]?)(i?B)?", str(text).strip())
    if found is None or isinstance(text, bool) or not int(found[1]):
        raise TypeError(f"bad options for the refmaker filesystem: chunk_target={text!r}")
    base = 1000 if found[3] == "B" else 1024
    return int(int(found[1]) * base ** "_KMG".find(found[2] or "_"))
