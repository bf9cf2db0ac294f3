"""What a run has to do: the listed sources held against the ledger.

Contract: a source is left alone only if its last scan is known to hold: the file, and every other file that its
manifest refers to, is the version that was scanned, the options are the same, and the manifest is where it was written.
Whatever cannot be told counts as changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from refmaker.batch.discovery import ABSENT, covered
from refmaker.batch.ledger import Row
from refmaker.batch.listing import Entry, absolute, stat_many
from refmaker.batch.scan_task import Settings, Task, failed_row
from refmaker.errors import BatchError
from refmaker.file_version import FileVersion
from refmaker.manifest.manifest import Target
from refmaker.urls import links

__all__ = ["LISTING", "NOT_THERE", "Plan", "differences", "make_plan"]

LISTING = "ListingError"
"""What the rows of directories that cannot be listed have for the kind of their error."""
NOT_THERE = "NotThereError"
"""What the rows of names that lead to nothing have; they are not kept in the ledger."""
_SHOWN = 5


@dataclass(slots=True)
class Plan:
    """What is to be done.

    Attributes
    ----------
    todo
        Sources to scan, each with why.
    unchanged
        Rows of sources whose scan holds.
    problems
        Rows of what could not be listed.
    gone
        Rows of sources that should have been listed and were not.
    superseded
        Source -> its manifest under another name, as a run with another form or template has left it.
    """

    todo: list[tuple[Task, str]] = field(default_factory=list)
    unchanged: list[Row] = field(default_factory=list)
    problems: list[Row] = field(default_factory=list)
    gone: list[Row] = field(default_factory=list)
    superseded: dict[str, str] = field(default_factory=dict)


def make_plan(
    sources: Sequence[Entry],
    outputs: Sequence[str],
    rows: Mapping[str, Row],
    settings: Settings,
    *,
    roots: Iterable[str],
    retry_failed: bool = True,
    force: bool = False,
) -> Plan:
    """Hold the listed sources against the ledger.

    Parameters
    ----------
    outputs
        Names of the manifests, one for each source.
    roots
        What was asked for.

    Raises
    ------
    BatchError
        Without `force`: a manifest would take the place of that of another source.
    """
    if not force:
        _check_owners(sources, outputs, rows)
    plan = Plan()
    kept: list[tuple[Task, Row]] = []
    sizes = settings.destination.sizes(row.output for row in rows.values() if row.status != "failed")
    for source, output in zip(sources, outputs, strict=True):
        task = Task(_target(source), output)
        row = rows.get(source.url)
        if source.problem is not None:
            kind = NOT_THERE if source.problem == ABSENT else LISTING
            plan.problems.append(failed_row(settings, task, kind, source.problem))
            continue
        why = "new" if row is None else "forced" if force else _why(source, output, row, settings, sizes, retry_failed)
        if why is None and row is not None:
            kept.append((task, row))
        else:
            plan.todo.append((task, why or "new"))
    _look_behind(kept, sources, settings.storage_options, plan)
    taken = set(outputs)
    plan.superseded = {
        task.seen.url: row.output
        for task, _ in plan.todo
        if (row := rows.get(task.seen.url)) is not None and row.output not in taken
    }
    found = {source.url for source in sources if source.problem != ABSENT}
    roots = list(roots)
    plan.gone = _gone([row for url, row in rows.items() if url not in found and covered(roots, url)], settings)
    return plan


def _gone(missed: Sequence[Row], settings: Settings) -> list[Row]:
    """Choose the rows whose files are gone: a file may also be there and not have been listed, with another pattern."""
    seen = stat_many([row.seen.url for row in missed if row.error_kind != LISTING], settings.storage_options)
    return [row for row in missed if isinstance(seen.get(row.seen.url, FileNotFoundError()), FileNotFoundError)]


def differences(seen: FileVersion, target: Target, row: Row) -> list[str]:
    """List what tells a file of a row from the version that was scanned.

    That nothing tells its version is a difference too; not so of a member of a container that is a target itself.
    """
    found = target.version.differences(seen)
    basis = target.version.basis(seen)
    if found or basis in ("strong ETag", "modification time") or (target is row.seen and _in_container(row)):
        return found
    return ["nothing tells its version" + (" but a weak ETag" if basis == "weak ETag" else "")]


def _in_container(row: Row) -> bool:
    container = "::".join(links(row.seen.url)[1:])
    return bool(container) and any(target.url == absolute(container) for target in row.targets)


def _check_owners(sources: Sequence[Entry], outputs: Sequence[str], rows: Mapping[str, Row]) -> None:
    listed = {source.url for source in sources}
    owners = {row.output: url for url, row in rows.items() if row.error_kind != LISTING}
    taken = [
        f"{output} of {owners[output]} would be that of {source.url}"
        for source, output in zip(sources, outputs, strict=True)
        if owners.get(output, source.url) != source.url and owners[output] not in listed
    ]
    if taken:
        more = f" and {len(taken) - _SHOWN} more" if len(taken) > _SHOWN else ""
        raise BatchError(
            f"manifests of other sources would be overwritten: {'; '.join(taken[:_SHOWN])}{more}. Name another output "
            "directory or --template, replace them with --force, or, if the files have moved, use `refmaker rewrite`"
        )


def _why(
    source: Entry, output: str, row: Row, settings: Settings, sizes: Mapping[str, int | None], retry_failed: bool
) -> str | None:
    """Return why a source has to be scanned, as far as it tells by itself; None if it has not."""
    if row.options != settings.options:
        return "other options"
    if row.output != output:
        return "another name"
    if row.status == "failed":
        if retry_failed:
            return "failed"
        return "changed" if row.seen.version.differences(source.seen) else None
    if differences(source.seen, row.seen, row):
        return "changed"
    return None if sizes.get(output) == row.output_size else "its manifest is not there"


def _look_behind(
    kept: list[tuple[Task, Row]], sources: Sequence[Entry], storage_options: Mapping[str, Any], plan: Plan
) -> None:
    """Have sources done again where another file that their manifest refers to has changed."""
    seen: dict[str, FileVersion | Exception] = {source.url: source.seen for source in sources}
    behind = dict.fromkeys(target.url for _, row in kept for target in row.targets)
    seen.update(stat_many([url for url in behind if url not in seen], storage_options))
    for task, row in kept:
        if any(_changed(seen[target.url], target, row) for target in row.targets):
            plan.todo.append((task, "a file it refers to has changed"))
        else:
            plan.unchanged.append(row)


def _changed(seen: FileVersion | Exception, target: Target, row: Row) -> bool:
    return isinstance(seen, Exception) or bool(differences(seen, target, row))


def _target(source: Entry) -> Target:
    return Target.of(source.url, source.seen)
