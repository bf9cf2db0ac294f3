"""Many files scanned side by side in one process.

Contract: every url gives exactly one outcome, a manifest or the error that its scan ended with; no file's failure
touches another's. Each scan runs in a thread, where it waits for its rounds: all of them are served by one event loop,
on the same sessions. At most `concurrency` files are open, and the bytes that they hold have a limit together
(`refmaker.sources.memory_budget`).
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any

from refmaker.errors import RefmakerError
from refmaker.manifest.manifest import Manifest
from refmaker.scanning.scan import scan_file
from refmaker.sources.memory_budget import LIMIT, SharedBudget

__all__ = ["CONCURRENCY", "scan_many"]

CONCURRENCY = 16


def scan_many(
    urls: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    storage_options: Mapping[str, Any] | None = None,
    concurrency: int = CONCURRENCY,
    memory: int = LIMIT,
    **options: Any,
) -> Generator[tuple[str, Manifest | RefmakerError], None, None]:
    """Scan files side by side; give each url with its manifest or its error, in the order in which they are done.

    The urls are taken as they are needed, so that there may be any number of them. Closing the iterator ends the scans
    that are under way.

    Parameters
    ----------
    urls
        Local paths or any fsspec urls.
    storage_options
        Options of the fsspec filesystem, the same for all.
    concurrency
        Files that are scanned at a time.
    memory
        Bytes of remote files that are held at a time, of all files together.
    options
        Those of `scan_file`.
    """
    if concurrency < 1:
        raise ValueError(f"concurrency must be at least 1, not {concurrency}")
    given = [urls] if isinstance(urls, str | os.PathLike) else urls
    return _outcomes(map(os.fsdecode, given), storage_options, concurrency, memory, options)


def _outcomes(
    todo: Iterator[str],
    storage_options: Mapping[str, Any] | None,
    concurrency: int,
    memory: int,
    options: Mapping[str, Any],
) -> Generator[tuple[str, Manifest | RefmakerError], None, None]:
    shared = SharedBudget(concurrency, memory)

    def one(url: str) -> Manifest | RefmakerError:
        with shared.memory_budget() as memory_budget:
            try:
                return scan_file(url, storage_options=storage_options, memory_budget=memory_budget, **options).manifest
            except RefmakerError as error:
                return error

    pool = ThreadPoolExecutor(concurrency, "refmaker-scan")
    running: dict[Future[Manifest | RefmakerError], str] = {}
    try:
        while True:
            running.update((pool.submit(one, url), url) for url in islice(todo, concurrency - len(running)))
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()
    finally:
        shared.end()
        pool.shutdown(cancel_futures=True)
