"""`refmaker status`: what failed in an archive, and what was refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from .destination import LOCAL_OUTPUT, write_bytes
from .output import DONE, FAILED, REFUSED, brief, counted, report_text, say
from .storage_options import filesystem_options

if TYPE_CHECKING:
    from refmaker.batch.status import ArchiveStatus, SourceStatus

__all__ = ["status"]

_SHOWN = 20


@click.command()
@click.argument("dest", metavar="DEST")
@click.option("--ledger", type=LOCAL_OUTPUT, metavar="FILE", help="The ledger.  [default: DEST/refmaker.sqlite]")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
@filesystem_options("--out-storage-options", "Options of the fsspec filesystem of DEST.")
@click.pass_context
def status(
    ctx: click.Context,
    /,
    dest: str,
    ledger: str | None,
    as_json: bool,
    out_storage_options: dict[str, Any] | None,
) -> None:
    """Show what failed in DEST and why, and what was refused, as the ledger has it.

    Neither files nor manifests are read: `refmaker check` says whether they are still as recorded.

    Example: refmaker status /data/manifests

    Exit status: 0 every file has a complete manifest; 3 something was refused; 1 a file failed, or there is no ledger.
    """
    from refmaker.batch.status import status as run

    found = run(dest, ledger=ledger, out_storage_options=out_storage_options)
    if as_json:
        write_bytes(report_text(found.to_dict()), "-")
    for line in () if as_json else _lines(found):
        say(brief(line))
    ctx.exit(FAILED if found.failed else REFUSED if found.refused else DONE)


def _lines(found: ArchiveStatus) -> Iterator[str]:
    yield from _listed("failed", found.failed)
    yield from _listed("refused", found.refused)
    for reason, number in found.reasons()[:_SHOWN]:
        yield f"{counted(number, 'file')}: {reason}"
    parts = [f"{found.complete} of {counted(found.sources, 'file')} complete", counted(found.chunks, "chunk")]
    parts += [f"{len(found.failed)} failed"] if found.failed else []
    parts += [f"{len(found.refused)} with something refused"] if found.refused else []
    last = f"last run {found.outcome} at {found.last_run}" if found.last_run else "the last run has not ended"
    yield f"{found.out}: {', '.join(parts)}; {last}"


def _listed(what: str, sources: Sequence[SourceStatus]) -> Iterator[str]:
    for one in sources[:_SHOWN]:
        for place, reason in list(one.reasons.items())[:_SHOWN]:
            where = f"{place}: " if what == "refused" else ""
            yield f"{one.url}: {what} since {one.since}: {where}{reason}"
    if len(sources) > _SHOWN:
        yield f"… and {len(sources) - _SHOWN} more {what}: --json lists all"
