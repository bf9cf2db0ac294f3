"""Options of the filesystem: which there are, and what they may say.

Contract: pure; whatever is wrong is a `TypeError` that names the option.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from refmaker.redaction import redact
from refmaker.urls import is_local

__all__ = ["check_options", "meant", "shown", "size_of"]

_STOCK_TUNING = frozenset({"max_gap", "max_block", "cache_size", "simple_templates", "lazy"})
"""Options of fsspec's `ReferenceFileSystem` that change how it reads, not what: taken, so that its users can switch."""

_INSTEAD = {
    "ref_storage_args": "target_options",
    "storage_options": "target_options for the manifest and remote_options for its targets",
    "simple_references": "nothing: nothing in a manifest is evaluated but the arithmetic of generators",
}
"""Options that other readers have, or had -> what is given here."""

_FSSPEC_OPTIONS = frozenset(
    {"batch_size", "use_listings_cache", "listings_expiry_time", "max_paths", "skip_instance_cache"}
)

_CHECKS = ("strict", "size", "off")
_VIEWS = ("transparent", "decoded", "regular")


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
        named = (f"{name} (use {_INSTEAD[name]})" if name in _INSTEAD else name for name in sorted(unknown))
        what = f"unknown: {', '.join(named)}" if unknown else given
        raise TypeError(f"bad options for the refmaker filesystem: {what}")


def size_of(text: int | str) -> int:
    """Read a number of bytes such as "1MiB"; raises `TypeError` for what is none."""
    found = re.fullmatch(r"(\d+)\s*([KMG]?)(i?B)?", str(text).strip())
    if found is None or isinstance(text, bool) or not int(found[1]):
        raise TypeError(f"bad options for the refmaker filesystem: chunk_target={text!r}")
    base = 1000 if found[3] == "B" else 1024
    return int(int(found[1]) * base ** "_KMG".find(found[2] or "_"))


def meant(target: str | None, remote_protocol: str | None) -> str | None:
    """Return the url or path for references without one: a path is that of the opener, unless it is one in a store."""
    if target is None or "://" in target or not is_local(f"{remote_protocol or 'file'}://"):
        return target
    return os.path.abspath(target)


def shown(value: Any, secrets: Iterable[str]) -> Any:
    """Return options as JSON has them, without secrets."""
    if isinstance(value, dict):
        return {name: shown(inner, secrets) for name, inner in value.items()}
    if isinstance(value, list):
        return [shown(inner, secrets) for inner in value]
    return redact(value, secrets) if isinstance(value, str) else value
