"""The options of a scan, which `scan`, `scan_many` and `scan_file` take.

Contract: every option of `scan_file` that is not about one source alone, with its type. What they mean, and what they
are by default, stands at `scan_file`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict

from refmaker.driver import Progress

__all__ = ["ScanOptions"]


class ScanOptions(TypedDict, total=False):
    """Options of `refmaker.scan`: see there."""

    storage_options: Mapping[str, Any] | None
    group: str
    include: Sequence[str]
    exclude: Sequence[str]
    inline_threshold: int
    inline_limit: int
    zarr_format: Literal[2, 3] | None
    portable: bool
    strict: bool
    measure: bool
    follow_external_links: bool
    other_files: bool
    allow: Sequence[str | os.PathLike[str]] | None
    keep_checksums: bool
    verify_checksums: bool
    records_per_chunk: int | None
    consolidate: bool
    progress: Callable[[Progress], None] | None
