"""What is done for one source, in a process of the engine.

Contract: the outcome is a row of the ledger. Every error that refmaker explains is a row that failed. Scans that share
a process share its connections, and a limit on the bytes that they hold.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import islice
from typing import Any

from refmaker._version import __version__
from refmaker.batch.destination import Destination
from refmaker.batch.ledger import Row
from refmaker.batch.shared_failures import shared_failure
from refmaker.engines.engine import TOGETHER
from refmaker.errors import RefmakerError
from refmaker.manifest.manifest import Manifest, Target
from refmaker.retry import RetryPolicy, is_overload, retry_sync
from refmaker.scanning.scan import scan_file
from refmaker.sources.async_store import NO_RANGES
from refmaker.sources.memory_budget import SharedBudget

__all__ = ["Settings", "Task", "scan_one"]

_REFUSALS_KEPT = 20
_NOTES_KEPT = 1000
_PATIENCE = RetryPolicy(attempts=4, pause=4.0)
"""Beyond that of the requests of a scan."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for all sources of a run.

    Attributes
    ----------
    scan
        Options of `scan_file`.
    relative
        Targets are written relative to their manifests.
    options
        Text that tells whether manifests are made in the same way; see `Row.options`.
    """

    destination: Destination
    run: str
    scan: Mapping[str, Any] = field(default_factory=dict)
    storage_options: Mapping[str, Any] = field(default_factory=dict)
    relative: bool = False
    options: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """A source to be scanned: as it was listed, and the name of its manifest."""

    seen: Target
    output: str


def scan_one(settings: Settings, task: Task) -> Row:
    """Scan a source and write its manifest."""
    began = time.perf_counter()
    row = new_row(settings, task)
    try:
        manifest, row.output_size = retry_sync(partial(_scan_and_write, settings, task), _PATIENCE, _is_passing)
    except RefmakerError as error:
        row.status, row.error_kind, row.error = "failed", shared_failure(error) or type(error).__name__, str(error)
    else:
        _describe(row, manifest)
    row.seconds = time.perf_counter() - began
    row.finished = time.time()
    return row


def _scan_and_write(settings: Settings, task: Task) -> tuple[Manifest, int]:
    """Scan a source and write its manifest once; return it, and the bytes that were written."""
    with _shared().memory_budget() as memory_budget:
        manifest = scan_file(
            task.seen.url, storage_options=settings.storage_options, memory_budget=memory_budget, **settings.scan
        ).manifest
    written = settings.destination.relative(manifest, task.output) if settings.relative else manifest
    return manifest, settings.destination.write(written, task.output)


def _is_passing(error: BaseException) -> float | None:
    """Return whether there was too much at a time, for the store or for this process: that is no fault of a file."""
    return 0.0 if is_overload(error) else None


def new_row(settings: Settings, task: Task) -> Row:
    """Return a row that says nothing yet but what it is about."""
    return Row(
        task.seen,
        task.output,
        "done",
        finished=time.time(),
        version=__version__,
        options=settings.options,
        run=settings.run,
    )


def failed_row(settings: Settings, task: Task, kind: str, reason: str) -> Row:
    """Return the row of a source whose scan had no outcome."""
    row = new_row(settings, task)
    row.status, row.error_kind, row.error = "failed", kind, reason
    return row


def _describe(row: Row, manifest: Manifest) -> None:
    statuses = [line.status for line in manifest.objects if line.kind == "dataset"]
    row.mapped, row.inlined = statuses.count("mapped"), statuses.count("inlined")
    row.refused, row.chunks = len(manifest.refusals), manifest.chunks
    row.refusals = dict(islice(manifest.refusals.items(), _REFUSALS_KEPT))
    notes = (f"{line.path}: {note}" for line in manifest.objects for note in line.notes)
    row.notes = tuple(islice(notes, _NOTES_KEPT))
    unread = any(NO_RANGES in line.notes for line in manifest.objects)  # and so no reader can read it
    row.status = "refused" if manifest.refusals or unread else "done"
    own = next((target for target in manifest.targets if target.url == row.seen.url), None)
    row.seen = row.seen if own is None else own
    row.targets = tuple(target for target in manifest.targets if target is not own)


@cache
def _shared() -> SharedBudget:
    return SharedBudget(TOGETHER)
