"""How an archive stands, by its ledger alone.

Contract: nothing is read but the ledger, neither sources nor manifests: what it says was so when each source was
scanned last, and `check` says whether that still holds.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from refmaker.batch.check import opened_ledger
from refmaker.batch.destination import destination
from refmaker.batch.ledger import Row
from refmaker.batch.plan import LISTING
from refmaker.urls import local_path, text_of

__all__ = ["ArchiveStatus", "SourceStatus", "status"]


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """A source that has no manifest, or none that holds all of it.

    Attributes
    ----------
    reasons
        Of a source that failed, its kind of error and message; else path -> why it was refused, of some of the objects.
    number
        Of refused objects.
    since
        When it was scanned last, in UTC.
    """

    url: str
    reasons: dict[str, str]
    number: int
    since: str


@dataclass(slots=True)
class ArchiveStatus:
    """How an archive stands.

    Attributes
    ----------
    sources
        Number of sources in the ledger.
    complete
        Number of those whose manifests hold all of them.
    chunks
        Of all manifests together.
    failed, refused
        The others, by their urls.
    last_run
        When the last run ended, in UTC; None: it was killed, or is under way.
    outcome
        How that run ended.
    """

    out: str
    sources: int = 0
    complete: int = 0
    chunks: int = 0
    failed: list[SourceStatus] = field(default_factory=list)
    refused: list[SourceStatus] = field(default_factory=list)
    last_run: str | None = None
    outcome: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    def reasons(self) -> list[tuple[str, int]]:
        """Return why sources failed and objects were refused, with in how many sources, most frequent first."""
        found: Counter[str] = Counter()
        for one in self.failed:
            found.update(f"failed: {kind}" for kind in one.reasons)
        for one in self.refused:
            found.update({f"refused: {reason}" for reason in one.reasons.values()})
        return found.most_common()


def status(
    out: str | os.PathLike[str],
    *,
    ledger: str | os.PathLike[str] | None = None,
    out_storage_options: Mapping[str, Any] | None = None,
) -> ArchiveStatus:
    """Return how an archive stands, by its ledger.

    Parameters
    ----------
    out
        The output directory of `refmaker batch`, a path or url.
    ledger
        Path of its ledger, where that is not in it.
    out_storage_options
        Options of the fsspec filesystem of the output directory.

    Raises
    ------
    BatchError
        There is no ledger, or it cannot be read.

    Examples
    --------
    >>> import os
    >>> from refmaker.batch.status import status
    >>> from refmaker.errors import BatchError
    >>> os.makedirs("empty", exist_ok=True)
    >>> try:
    ...     status("empty")
    ... except BatchError as error:
    ...     print(type(error).__name__)
    BatchError
    """
    place = destination(text_of(out), out_storage_options)
    with opened_ledger(place, None if ledger is None else local_path(text_of(ledger))) as opened:
        rows, runs = opened.rows().values(), opened.runs()
    found = ArchiveStatus(text_of(out))
    if runs:
        ended = runs[-1].ended
        found.last_run, found.outcome = None if ended is None else _utc(ended), runs[-1].outcome
    _count(rows, found)
    return found


def _count(rows: Iterable[Row], found: ArchiveStatus) -> None:
    for row in rows:
        found.sources += row.error_kind != LISTING
        found.chunks += row.chunks
        since = _utc(row.finished)
        if row.status == "failed":
            reason = {row.error_kind or "": row.error or ""}
            found.failed.append(SourceStatus(row.seen.url, reason, 0, since))
        elif row.status == "refused":
            found.refused.append(SourceStatus(row.seen.url, row.refusals, row.refused, since))
        else:
            found.complete += 1


def _utc(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):  # a ledger may say anything
        return "unknown"
