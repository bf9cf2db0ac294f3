"""Many files scanned side by side in one process.

Contract: every url gives exactly one outcome, a manifest or the error that its scan ended with; no file's failure
touches another's. Each scan runs in a thread, where it waits for its rounds: all of them are served by one event loop,
on the same sessions. At most `concurrency` files are open, and the bytes that they hold have a limit together
(`refmaker.sources.memory_budget`).
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Unpack

from refmaker.errors import RefmakerError
from refmaker.manifest.manifest import Manifest
from refmaker.options import takes_options
from refmaker.scanning.options import ScanOptions
from refmaker.scanning.scan import scan_file
from refmaker.sources.memory_budget import LIMIT, SharedBudget
from refmaker.urls import text_of

__all__ = ["CONCURRENCY", "scan_many"]

CONCURRENCY = 16


@takes_options(ScanOptions, scan_file)
def scan_many(
    urls: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    concurrency: int = CONCURRENCY,
    memory: int = LIMIT,
    **options: Unpack[ScanOptions],
) -> Generator[tuple[str, Manifest | RefmakerError], None, None]:
    """Scan files side by side; give each url with its manifest or its error, in the order in which they are done.

    The urls are taken as they are needed, so that there may be any number of them. Closing the iterator ends the scans
    that are under way.

    Parameters
    ----------
    urls
        Local paths or any fsspec urls.
    concurrency
        Files that are scanned at a time.
    memory
        Bytes of remote files that are held at a time, of all files together.
    **options
        Those of `scan_file`, the same for all files: `storage_options`, `group`, `include` and so on.

    Yields
    ------
    url
        As it was given; of a local path, with `~` replaced.
    outcome
        Its manifest, or the `RefmakerError` that its scan ended with.

    Raises
    ------
    ValueError
        `concurrency` is less than 1.

    Examples
    --------
    >>> import h5py, refmaker
    >>> for name in ("a.h5", "b.h5"):
    ...     with h5py.File(name, "w") as file:
    ...         file["x"] = [1, 2, 3]
    >>> outcomes = dict(refmaker.scan_many(["a.h5", "b.h5", "none.h5"]))
    >>> outcomes["a.h5"].chunks, type(outcomes["none.h5"]).__name__
    (1, 'SourceError')
    """
    if concurrency < 1:
        raise ValueError(f"concurrency must be at least 1, not {concurrency}")
    given = [urls] if isinstance(urls, str | os.PathLike) else urls
    return _outcomes(map(text_of, given), concurrency, memory, options)


def _outcomes(
    todo: Iterator[str],
    concurrency: int,
    memory: int,
    options: ScanOptions,
) -> Generator[tuple[str, Manifest | RefmakerError], None, None]:
    shared = SharedBudget(concurrency, memory)

    def one(url: str) -> Manifest | RefmakerError:
        with shared.memory_budget() as memory_budget:
            try:
                return scan_file(url, memory_budget=memory_budget, **options).manifest
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
