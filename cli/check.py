"""`refmaker check`: whether an output directory of `refmaker batch` still matches the archive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from .destination import LOCAL_OUTPUT, OUTPUT, check_outputs, reported, write_bytes
from .output import DONE, FAILED, REFUSED, counted, report_text, say, say_error
from .storage_options import filesystem_options

if TYPE_CHECKING:
    from refmaker.batch.check import CheckReport

__all__ = ["check"]


@click.command()
@click.argument("dest", metavar="DEST")
@click.option("--ledger", type=LOCAL_OUTPUT, metavar="FILE", help="The ledger.  [default: DEST/refmaker.sqlite]")
@click.option("--report", type=OUTPUT, metavar="FILE", help="Write a JSON report of the findings (- for stdout).")
@filesystem_options("--storage-options", "Options of the fsspec filesystem of the sources.")
@filesystem_options("--out-storage-options", "Options of the fsspec filesystem of DEST.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON; the same as --report -.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.pass_context
def check(
    ctx: click.Context,
    /,
    dest: str,
    ledger: str | None,
    report: str | None,
    storage_options: dict[str, Any] | None,
    out_storage_options: dict[str, Any] | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compare the ledger of DEST with the archive: list new, changed and missing files, and missing manifests.

    Files are listed, not read. To bring DEST up to date, repeat the `refmaker batch` command.

    Example: refmaker check /data/manifests --report check.json

    Exit status: 0 nothing has changed; 3 something has; 1 something cannot be read, or there is no ledger.
    """
    from refmaker.batch.check import check as run

    report = reported(report, as_json=as_json)
    check_outputs([], [report])
    found = run(dest, ledger=ledger, storage_options=storage_options, out_storage_options=out_storage_options)
    if report is not None:
        write_bytes(report_text(found.to_dict()), report, storage_options=out_storage_options)
    for line in () if quiet or report == "-" else (*_findings(found), _summary(found)):
        say(line)
    for url, reason in found.unreadable.items():
        say_error(f"refmaker: {url}: {reason}")
    ctx.exit(FAILED if found.unreadable else REFUSED if found.differs else DONE)


def _findings(found: CheckReport) -> Iterator[str]:
    yield from (f"{url}: new" for url in found.new)
    yield from (f"{url}: changed: {what}" for url, what in found.changed.items())
    yield from (f"{url}: gone" for url in found.gone)
    yield from (f"{url}: its manifest {name} is not as it was written" for url, name in found.missing.items())


def _summary(found: CheckReport) -> str:
    parts = [f"{found.same} of {counted(found.sources, 'file')} as recorded"]
    kinds = ("new", "changed", "gone", "unreadable")
    parts += [f"{len(getattr(found, kind))} {kind}" for kind in kinds if getattr(found, kind)]
    if found.missing:
        parts.append(f"{counted(len(found.missing), 'manifest')} missing")
    if found.failed:
        parts.append(f"{len(found.failed)} failed when scanned, unchanged since")
    return f"{found.out}: {', '.join(parts)}"
