"""A run over an archive: list, plan, have the engine work, note the result for each source.

Contract: one bad file is a row, not a stop. Only this process writes the ledger, after the manifest of a source is in
its place; so what is killed at any moment loses nothing that was finished, and the next run does the rest. A run that
is interrupted says so in the ledger.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, Protocol

from refmaker._version import __version__
from refmaker.batch.destination import Destination, destination
from refmaker.batch.discovery import Inputs, find_sources
from refmaker.batch.ledger import Ledger, Row, Status
from refmaker.batch.naming import DEFAULT_TEMPLATE, name_outputs
from refmaker.batch.plan import LISTING, NOT_THERE, Plan, make_plan
from refmaker.batch.remote_ledger import RemoteLedger
from refmaker.batch.scan_task import Settings, Task, failed_row, scan_one
from refmaker.batch.shared_failures import SharedFailures
from refmaker.engines.engine import Engine, Item, TaskFailed
from refmaker.engines.executor import EngineLike, as_engine
from refmaker.errors import BatchError, OutputError
from refmaker.locks.file_lock import Lock
from refmaker.locks.output import Held
from refmaker.redaction import has_secrets
from refmaker.urls import is_local

__all__ = ["LEDGER", "Batch", "Observer", "Result", "ledger_path"]

LEDGER = "refmaker.sqlite"
"""Name of the ledger in the output directory."""
VISIBILITY_TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class Batch:
    """What a run is asked to do.

    Attributes
    ----------
    out
        Output directory, a path or url.
    form, template
        See `naming.name_outputs`.
    ledger
        Path of the ledger; without, it is in the output directory.
    scan
        Options of `scan_file`.
    relative
        Targets are written relative to their manifests.
    retry_failed, force
        Scan sources again that failed and have not changed; scan all again.
    prune
        Remove the manifests of sources that are gone.
    max_failures
        Stop when so many sources have failed.
    """

    roots: Inputs
    out: str
    form: str = "json"
    template: str = DEFAULT_TEMPLATE
    ledger: str | None = None
    scan: Mapping[str, Any] = field(default_factory=dict)
    out_storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    relative: bool = False
    retry_failed: bool = True
    force: bool = False
    prune: bool = False
    max_failures: int | None = None

    def run(self, engine: EngineLike, observer: Observer | None = None) -> Result:
        """Do it, by an engine or any `concurrent.futures.Executor`.

        Raises
        ------
        BatchError
            Another run is at work, names collide, the ledger cannot be used, a name leads to nothing, or has secrets.
        EngineError
            The engine fails; what was finished before is in the ledger.
        """
        for name in (*self.roots.names, self.roots.base or "", self.out, self.ledger or ""):
            if has_secrets(name):
                raise BatchError(
                    "the url contains a login or signature, which the ledger must not hold: pass it as storage options",
                    source=name,
                )
        place = destination(self.out, self.out_storage_options)
        path = ledger_path(self.out, self.ledger)
        if self.ledger is None:
            _check_is_there(path, place.url)
        _make_folders(place, path)
        watching = Unobserved() if observer is None else observer
        with Lock(f"{path}.lock", self.out) as lock, _shelf(place, path) as shelf, Ledger(path) as ledger:
            held = (lock,) if shelf is None else (lock, shelf)
            return _Run(self, place, ledger, as_engine(engine), watching, held).run()


class Observer(Protocol):
    """Is told how a run goes."""

    def planned(self, plan: Plan, result: Result) -> None:
        """Take note of what is to be done; `result` grows from now on."""

    def finished(self, row: Row) -> None:
        """Take note of the result for a source. Its row is in the ledger."""

    def tick(self) -> None:
        """Take note that time passes."""


class Unobserved:
    """An observer that does nothing with what it is told."""

    def planned(self, plan: Plan, result: Result) -> None:
        """See `Observer.planned`."""

    def finished(self, row: Row) -> None:
        """See `Observer.finished`."""

    def tick(self) -> None:
        """See `Observer.tick`."""


@dataclass(slots=True)
class Result:
    """What a run did, and how things stand after it.

    Attributes
    ----------
    outcome
        `complete`; `stopped`, after too many failures; `interrupted`.
    reason
        Why a run stopped by itself: a failure that concerns all sources.
    rows
        Rows of this run, in the order in which they were done.
    unchanged
        Rows of sources that had not to be done.
    gone
        Rows of sources that are no longer there.
    why
        Url of a source -> why it was to be done.
    """

    out: str
    run: str
    began: float
    ended: float | None = None
    outcome: Literal["complete", "stopped", "interrupted"] = "complete"
    rows: list[Row] = field(default_factory=list)
    unchanged: list[Row] = field(default_factory=list)
    gone: list[Row] = field(default_factory=list)
    why: dict[str, str] = field(default_factory=dict)
    pruned: int = 0
    left_over: int = 0
    reason: str | None = None

    @property
    def counts(self) -> Counter[Status]:
        """How many sources this run did, by status."""
        return Counter(row.status for row in self.rows)

    @property
    def failed(self) -> bool:
        """Whether a source has no manifest of its present version, or not all were done."""
        return self.outcome != "complete" or any(row.status == "failed" for row in (*self.rows, *self.unchanged))

    @property
    def refused(self) -> bool:
        """Whether a manifest does not hold all of its source."""
        return any(row.status == "refused" for row in (*self.rows, *self.unchanged))


def ledger_path(out: str, ledger: str | None) -> str:
    """Return the path of the ledger of an output directory. Raises `BatchError` where it has to be named."""
    if ledger is not None:
        return os.path.abspath(ledger)
    place = destination(out)
    if not place.local:
        raise BatchError("a remote output directory needs a local ledger: name a file with --ledger", source=out)
    return os.path.join(place.url, LEDGER)


def _check_is_there(path: str, folder: str) -> None:
    """Make sure that what stands under the name of the ledger in an output directory is no link out of it."""
    root, real = os.path.realpath(folder), os.path.realpath(path)
    if os.path.dirname(real) != root and os.path.commonpath([root, real]) != root:
        raise BatchError(f"the ledger is a link to {real!r}: name that file with --ledger if you mean it", source=path)


def _make_folders(place: Destination, ledger: str) -> None:
    for folder in (place.url if place.local else None, os.path.dirname(ledger)):
        if folder is not None:
            try:
                os.makedirs(folder, exist_ok=True)
            except OSError as error:
                raise BatchError(f"cannot create the directory: {error.strerror}", source=folder) from error


def _shelf(place: Destination, ledger: str) -> AbstractContextManager[RemoteLedger | None]:
    return nullcontext() if place.local else RemoteLedger(place, LEDGER, ledger)


class _Run:
    """A run under way."""

    def __init__(
        self,
        batch: Batch,
        place: Destination,
        ledger: Ledger,
        engine: Engine,
        observer: Observer,
        held: Sequence[Held] = (),
    ) -> None:
        self.batch = batch
        self.held = held
        self.place = place
        self.ledger = ledger
        self.engine = engine
        self.observer = observer
        self.result = Result(batch.out, uuid.uuid4().hex, time.time())
        self.outputs_invisible = False
        self.shared = SharedFailures(one_server=False)
        self.settings = Settings(
            place,
            self.result.run,
            batch.scan,
            batch.roots.storage_options,
            batch.relative,
            _options_text(batch.scan, batch.relative),
        )

    def run(self) -> Result:
        """Do all of it; note in the ledger how it ended."""
        result, ledger = self.result, self.ledger
        killed = any(run.ended is None for run in ledger.runs()[-1:])
        plan = self._plan()
        ledger.begin_run(result.run, began=result.began, version=__version__, arguments=self._arguments())
        if killed:
            result.left_over = self.place.clean(result.began)
        outcome: str = "broken"
        try:
            self._settle(plan)
            self._work(plan)
            outcome = result.outcome
        except KeyboardInterrupt:
            outcome = result.outcome = "interrupted"
            self._catch_up()
            raise
        finally:
            result.ended = time.time()
            ledger.end_run(result.run, ended=result.ended, outcome=outcome, counts=result.counts)
        return result

    def _plan(self) -> Plan:
        batch = self.batch
        sources = find_sources(batch.roots, out=self.place.url)
        outputs = name_outputs(sources, form=batch.form, template=batch.template)
        rows, names = self.ledger.rows(), batch.roots.names
        return make_plan(
            sources, outputs, rows, self.settings, roots=names, retry_failed=batch.retry_failed, force=batch.force
        )

    def _arguments(self) -> dict[str, Any]:
        """Return what the ledger keeps of what was asked for. Storage options may hold secrets."""
        roots = self.batch.roots
        return {
            "roots": list(roots.names),
            "pattern": roots.pattern,
            "base": roots.base,
            "form": self.batch.form,
            "template": self.batch.template,
            "options": json.loads(self.settings.options),
        }

    def _settle(self, plan: Plan) -> None:
        """Note what needs no work."""
        result = self.result
        result.unchanged, result.gone = plan.unchanged, [row for row in plan.gone if row.error_kind != LISTING]
        result.why = {task.seen.url: why for task, why in plan.todo}
        self.ledger.forget(row.seen.url for row in plan.gone if row.error_kind == LISTING)
        if self.batch.prune:
            for row in result.gone:
                self._prune(row)
        self.observer.planned(plan, result)
        for row in plan.problems:
            if row.error_kind == NOT_THERE:  # a name that was mistyped is not to be looked for ever after
                self._tell(row)
            else:
                self._note(row)

    def _prune(self, row: Row) -> None:
        """Remove the manifest of a source that is gone. Where that fails, its row stays for the next run."""
        try:
            self.place.remove(row.output)
        except OutputError as error:
            self._tell(replace(row, status="failed", error_kind=type(error).__name__, error=str(error)))
            return
        self.ledger.forget([row.seen.url])
        self.result.pruned += 1

    def _work(self, plan: Plan) -> None:
        items = (Item(i, task, is_local(task.seen.url)) for i, (task, _) in enumerate(plan.todo))
        self.shared = SharedFailures(one_server=len({_server(task.seen.url) for task, _ in plan.todo}) == 1)
        try:
            with closing(self.engine.run(partial(scan_one, self.settings), items)) as outcomes:
                for done in outcomes:
                    for item, found in done:
                        self._note(self._row(item, found))
                    self.observer.tick()
                    if self._enough():
                        self.result.outcome = "stopped"
                        break
        finally:
            if self.result.reason is None:
                self._show(self.shared.rest())
            if plan.todo:  # a process that was killed may have been writing, also one that nobody here knows of
                self.result.left_over += self.place.clean(time.time())

    def _enough(self) -> bool:
        most = self.batch.max_failures
        self.result.reason = self.shared.reason
        return self.result.reason is not None or (most is not None and self.result.counts["failed"] >= most)

    def _row(self, item: Item, found: Any) -> Row:
        task: Task = item.argument
        if isinstance(found, TaskFailed):
            return failed_row(self.settings, task, found.kind, found.reason)
        row: Row = found
        return (
            row
            if row.status == "failed" or self._is_there(row)
            else failed_row(self.settings, task, "OutputError", _UNSEEN)
        )

    def _is_there(self, row: Row) -> bool:
        """Return whether a manifest that a process wrote is seen from here. Network filesystems may take their time."""
        if not self.place.local:
            return True
        until = time.monotonic() + (0.0 if self.outputs_invisible else VISIBILITY_TIMEOUT)
        while self.place.sizes([row.output]).get(row.output) != row.output_size:
            if time.monotonic() >= until:
                self.outputs_invisible = True
                return False
            time.sleep(0.1)
        return True

    def _catch_up(self) -> None:
        """Count what was put into the ledger when the interrupt came."""
        self.ledger.settle()
        counted = {row.seen.url for row in self.result.rows}
        rows = self.ledger.rows().values()
        self.result.rows += [row for row in rows if row.run == self.result.run and row.seen.url not in counted]

    def _note(self, row: Row) -> None:
        for lock in self.held:
            lock.check()
        self.ledger.add([row])
        self._tell(row)

    def _tell(self, row: Row) -> None:
        self.result.rows.append(row)
        self._show(self.shared.take(row))

    def _show(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self.observer.finished(row)


_UNSEEN = "the manifest that was written is not seen from here: do the workers share the output directory?"


def _server(url: str) -> str:
    """Return where a source is, without its path: files of this machine are all in one place."""
    return "" if is_local(url) else "/".join(url.split("/", 3)[:3])


def _options_text(scan: Mapping[str, Any], relative: bool) -> str:
    """Write down all that manifests depend on, in one way."""
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in scan.items()}
    return json.dumps({**plain, "relative": relative}, sort_keys=True)
