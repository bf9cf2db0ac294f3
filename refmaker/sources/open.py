"""What a source is to a scan: a Window, the version of the file, and a way to fetch what the Window misses.

Contract: `open_source` chooses between the local memory map and fsspec by the url; `Source.fetch` is called by the
driver with all that a round missed; `Source.check_unchanged` raises `TargetChanged` when the file was replaced
meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refmaker.sources.memory_budget import MemoryBudget
from refmaker.urls import is_local
from refmaker.window import Source

__all__ = ["is_local", "open_source"]


def open_source(
    url: str, storage_options: Mapping[str, Any] | None = None, memory_budget: MemoryBudget | None = None
) -> Source:
    """Open a local path or any fsspec url; what is fetched takes its place in `memory_budget`."""
    from refmaker.sources.container import MemberSource, container_options, locate, split_member

    chained = split_member(url)
    if chained is not None:
        kind, member, container = chained
        options = container_options(container, storage_options)
        where = locate(kind, member, container, options)
        return MemberSource.of(open_source(container, options, memory_budget), *where)
    if is_local(url):
        from refmaker.sources.local import LocalSource

        return LocalSource.open(url)
    from refmaker.sources.remote import RemoteSource

    return RemoteSource.open(url, storage_options, memory_budget)
