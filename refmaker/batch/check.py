"""Whether an output directory still says what the archive is.

Contract: every file that the ledger records is held against the file as it is now, by size and ETag or modification
time; the directories and patterns of all runs are listed for files that are new. Nothing is read of the files, nothing
is written.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from refmaker.batch.destination import Destination, destination
from refmaker.batch.discovery import Inputs, find_sources, listed_roots
from refmaker.batch.ledger import Ledger, Row, Run
from refmaker.batch.listing import Remote, stat_many
from refmaker.batch.plan import LISTING, differences
from refmaker.batch.remote_ledger import fetched
from refmaker.batch.run import LEDGER
from refmaker.errors import BatchError, SourceError, cause_of
from refmaker.file_version import FileVersion
from refmaker.urls import local_path, text_of

__all__ = ["CheckReport", "check", "choose_manifests", "opened_ledger"]


@dataclass(slots=True)
class CheckReport:
    """What is not as it was recorded.

    Attributes
    ----------
    sources
        Number of sources in the ledger.
    same
        Number of them that are as they were, with their manifests.
    new
        Sources that are not in the ledger.
    changed
        Source -> what differs.
    gone
        Sources that are not there any more.
    missing
        Source -> its manifest, which is not there, or not as it was written.
    unreadable
        Source, directory or pattern -> why it cannot be looked at.
    failed
        Source -> the error that its scan ended with; it has not changed since.
    """

    out: str
    sources: int = 0
    same: int = 0
    new: list[str] = field(default_factory=list)
    changed: dict[str, str] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def differs(self) -> bool:
        """Whether a run would have something to do, other than what failed before."""
        return bool(self.new or self.changed or self.gone or self.missing)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        return asdict(self)


@contextlib.contextmanager
def opened_ledger(place: Destination, ledger: str | None) -> Iterator[Ledger]:
    """Open the ledger of an output directory to be read: the file that is named, else the one in the directory."""
    with ExitStack() as stack:
        if ledger is not None:
            path = ledger
        elif place.local:
            path = os.path.join(place.url, LEDGER)
        else:
            copy = stack.enter_context(fetched(Remote(place.place(LEDGER), place.storage_options)))
            if copy is None:
                raise BatchError(
                    "there is no ledger here: name an output directory of `refmaker batch`", source=place.url
                )
            path = copy
        yield stack.enter_context(Ledger(path, read_only=True))


def check(
    out: str | os.PathLike[str],
    *,
    ledger: str | os.PathLike[str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
    out_storage_options: Mapping[str, Any] | None = None,
) -> CheckReport:
    """Hold an output directory against the archive.

    Parameters
    ----------
    out
        The output directory, a path or url.
    ledger
        Path of its ledger, where that is not in it.
    storage_options
        Options of the fsspec filesystem of the sources.
    out_storage_options
        Options of that of the output directory.

    Returns
    -------
    CheckReport
        Its `differs` says whether `refmaker batch` would have something to do.

    Raises
    ------
    BatchError
        There is no ledger, or it cannot be read.

    Examples
    --------
    >>> import os, refmaker
    >>> os.makedirs("manifests", exist_ok=True)
    >>> try:
    ...     refmaker.check("manifests")
    ... except refmaker.BatchError as error:
    ...     print(type(error).__name__)
    BatchError
    """
    out = text_of(out)
    place = destination(out, out_storage_options)
    options = {} if storage_options is None else storage_options
    with opened_ledger(place, None if ledger is None else local_path(text_of(ledger))) as opened:
        rows, runs = opened.rows(), opened.runs()
    report = CheckReport(out)
    listed = _list(runs, place, options, report)
    rows = {url: row for url, row in rows.items() if row.error_kind != LISTING}
    report.sources = len(rows)
    report.new = sorted(url for url in listed if url not in rows)
    wanted = dict.fromkeys(target.url for row in rows.values() for target in (row.seen, *row.targets))
    seen: dict[str, FileVersion | Exception] = dict(listed)
    seen.update(stat_many([url for url in wanted if url not in seen], options))
    sizes = place.sizes(row.output for row in rows.values() if row.status != "failed")
    for row in rows.values():
        _compare(row, seen, sizes, report)
    return report


def choose_manifests(
    out: str, number: int, *, seed: int = 0, storage_options: Mapping[str, Any] | None = None
) -> list[str]:
    """Take some manifests of an output directory by chance, the same for the same seed; give their paths or urls.

    Parameters
    ----------
    number
        How many, at most.
    storage_options
        Options of the fsspec filesystem of the output directory.

    Raises
    ------
    BatchError
        There is no ledger, or it cannot be read.
    """
    place = destination(out, storage_options)
    with opened_ledger(place, None) as opened:
        names = [row.output for row in opened.rows().values() if row.status != "failed"]
    return [place.place(name) for name in sorted(random.Random(seed).sample(names, min(number, len(names))))]  # noqa: S311


def _list(
    runs: Iterable[Run], place: Destination, options: Mapping[str, Any], report: CheckReport
) -> dict[str, FileVersion]:
    """List what directories and patterns of all runs hold now."""
    roots = dict.fromkeys(
        (name, run.arguments.get("pattern")) for run in runs for name in listed_roots(run.arguments["roots"])
    )
    found: dict[str, FileVersion] = {}
    for name, pattern in roots:
        try:
            entries = find_sources(Inputs((name,), pattern, None, options), out=place.url)
        except BatchError:  # it holds nothing any more: what it held is gone, source by source
            continue
        except SourceError as error:
            report.unreadable[name] = error.message
            continue
        report.unreadable.update((entry.url, entry.problem) for entry in entries if entry.problem is not None)
        found.update((entry.url, entry.seen) for entry in entries if entry.problem is None)
    return found


def _never_was(row: Row) -> bool:
    """Return whether a row is about a name that led to nothing when it was asked for: one that was mistyped, say."""
    return row.status == "failed" and row.seen.version == FileVersion()


def _compare(
    row: Row, seen: Mapping[str, FileVersion | Exception], sizes: Mapping[str, int | None], report: CheckReport
) -> None:
    url = row.seen.url
    for target in (row.seen, *row.targets):
        found = seen[target.url]
        where = "" if target is row.seen else f"{target.url}: "
        if isinstance(found, FileNotFoundError) and target is row.seen and _never_was(row):
            report.failed[url] = row.error or ""
            return
        if isinstance(found, FileNotFoundError) and target is row.seen:
            report.gone.append(url)
        elif isinstance(found, FileNotFoundError):
            report.changed[url] = f"{where}it is gone"
        elif isinstance(found, Exception):
            report.unreadable[target.url] = cause_of(found)
        elif (
            differing := target.version.differences(found)
            if row.status == "failed"
            else differences(found, target, row)
        ):
            report.changed[url] = where + "; ".join(differing)
        else:
            continue
        return
    if row.status == "failed":
        report.failed[url] = row.error or ""
    elif sizes.get(row.output) != row.output_size:
        report.missing[url] = row.output
    else:
        report.same += 1
