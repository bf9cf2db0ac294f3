"""`refmaker batch`: a manifest for each file of an archive, and a ledger of the results."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import click

from .batch_progress import Log, Progress, Silence
from .destination import LOCAL_OUTPUT, OUTPUT, check_outputs, write_bytes
from .engines import engine_of
from .keep_query import keep_query_option
from .output import DONE, FAILED, REFUSED, brief, counted, list_refusals, report_text, say, say_notes
from .scan import scan
from .storage_options import filesystem_options

if TYPE_CHECKING:
    from refmaker.batch.ledger import Row
    from refmaker.batch.run import Observer, Result
    from refmaker.engines.engine import Engine

__all__ = ["batch"]

_OF_SCAN = (
    *("inline_threshold", "inline_limit", "group", "include", "exclude", "portable"),
    *("follow_external_links", "other_files", "allow"),
    *("keep_checksums", "verify_checksums", "strict", "zarr_format", "records_per_chunk", "consolidate"),
)


_WHAT = {"out": "directory", "ledger": "file"}


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SRC...")
@click.option("-o", "--out", metavar="DEST", required=True, help="Directory for the manifests and the ledger.")
@click.option(
    "--form",
    type=click.Choice(["json", "json.gz", "json.zst", "parquet"]),
    default="json",
    show_default=True,
    help="Format of the manifests.",
)
@click.option(
    "--template",
    metavar="TEXT",
    help="How manifests are named, from {path}, {dir}, {name}, {stem}, {ext} and {form}.  [default: {path}{form}]",
)
@click.option("--base", metavar="DIR", help="Directory that manifest names are relative to.  [default: each SRC]")
@click.option(
    "--pattern",
    metavar="GLOB",
    help="In directories, scan the files whose names match, for example '*.nc'.  [default: recognised formats]",
)
@click.option("--relative", is_flag=True, help="Write targets as paths relative to the manifest.")
@click.option(
    "--retry-failed/--no-retry-failed",
    default=True,
    show_default=True,
    help="Retry unchanged files whose last scan failed.",
)
@click.option(
    "--force", is_flag=True, help="Scan every file again, and replace manifests that belong to other sources."
)
@click.option("--prune", is_flag=True, help="Remove the manifests of files that no longer exist.")
@click.option(
    "--max-failures", type=click.IntRange(min=1), metavar="N", help="Stop after N files have failed.  [default: never]"
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.001),
    metavar="SECONDS",
    help="Give up on a file after this time.  [default: never]",
)
@click.option(
    "--engine",
    type=click.Choice(["local", "dask"]),
    default="local",
    show_default=True,
    help="Scan in processes of this machine, or on a Dask cluster.",
)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of worker processes.  [default: one per processor]",
)
@click.option("--scheduler", metavar="ADDRESS", help="Address of the Dask scheduler.  [default: as Dask is configured]")
@click.option(
    "--ledger",
    type=LOCAL_OUTPUT,
    metavar="FILE",
    help="Local file for the ledger; a remote DEST needs one, and gets a copy.  [default: DEST/refmaker.sqlite]",
)
@click.option(
    "--report", type=OUTPUT, metavar="FILE", help="Write a JSON report of the result for each file (- for stdout)."
)
@click.option("--junit", type=OUTPUT, metavar="FILE", help="Write the report as JUnit XML (- for stdout).")
@filesystem_options("--storage-options", "Options of the fsspec filesystem of SRC.")
@filesystem_options("--out-storage-options", "Options of the fsspec filesystem of DEST.")
@click.option("--log-json", is_flag=True, help="Print one JSON object per file on stdout instead of progress.")
@keep_query_option
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.pass_context
def batch(
    ctx: click.Context, /, report: str | None, junit: str | None, quiet: bool, log_json: bool, **given: Any
) -> None:
    """Write a manifest for each file of an archive; later runs scan only files that are new, changed or failed.

    SRC is a file, a directory, a pattern ('s3://bucket/**/*.nc'), or - for a list on standard input. In directories,
    files are recognised by name or by their first bytes. A manifest is named after the relative path of its file, with
    .json appended.

    The ledger, DEST/refmaker.sqlite, records the result for each file. A file that fails does not stop the others.

    Example: refmaker batch /data/model --out /data/manifests

    Exit status: 0 every file has a complete manifest; 3 something was refused; 1 a file failed, or the run did.
    """
    for name in ("out", "ledger"):
        if given[name] == "-":
            raise click.UsageError(f"--{name} cannot be - (the standard output): name a {_WHAT[name]}")
    check_outputs([], [report, junit])
    if log_json and "-" in (report, junit):
        raise click.UsageError("--log-json already uses the standard output: name a file for the report")
    observer = Silence() if quiet and not log_json else Log() if log_json else Progress(given["out"])
    with (
        _terminated_as_interrupted(),
        closing(
            engine_of(given["engine"], **{name: given[name] for name in ("jobs", "scheduler", "timeout")})
        ) as engine,
    ):
        try:
            result = _run(given, engine, observer)
        except KeyboardInterrupt:
            if observer.result is not None:
                _write_reports(observer.result, report, junit, given["out_storage_options"])
            raise
    _write_reports(result, report, junit, given["out_storage_options"])
    if result.reason is not None:
        say(f"refmaker: {brief(result.reason)}", err=True)
    if not (quiet or log_json):
        _summarise(result, report)
    ctx.exit(FAILED if result.failed else REFUSED if result.refused else DONE)


batch.params.extend(param for param in scan.params if param.name in _OF_SCAN)


def _run(given: dict[str, Any], engine: Engine, observer: Observer) -> Result:
    from refmaker.batch.discovery import Inputs
    from refmaker.batch.naming import DEFAULT_TEMPLATE
    from refmaker.batch.run import Batch

    names = [name for source in given["sources"] for name in (_listed() if source == "-" else [source])]
    roots = Inputs(tuple(names), given["pattern"], given["base"], given["storage_options"] or {})
    scan_options = {name: given[name] for name in _OF_SCAN if _is_given(name, given[name])}
    plain = ("out", "form", "ledger", "relative", "retry_failed", "force", "prune", "max_failures")
    return Batch(
        roots,
        template=given["template"] or DEFAULT_TEMPLATE,
        scan=scan_options,
        out_storage_options=given["out_storage_options"] or {},
        **{name: given[name] for name in plain},
    ).run(engine, observer)


def _is_given(name: str, value: object) -> bool:
    """Return whether an option of a scan is not as it is without it. Some switches are on by default."""
    off = value is False and name not in ("follow_external_links", "other_files", "verify_checksums")
    return not (value is None or value == () or off)


def _listed() -> Iterator[str]:
    """Read names from the standard input, one a line."""
    for line in sys.stdin.buffer:
        name = os.fsdecode(line.rstrip(b"\r\n"))
        if name.strip():
            yield name


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Have a termination end the run as Ctrl-C does."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread, which has no signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _write_reports(
    result: Result, report: str | None, junit: str | None, storage_options: dict[str, Any] | None
) -> None:
    from refmaker.batch.reports import to_dict, to_junit

    if report is not None:
        write_bytes(report_text(to_dict(result)), report, storage_options=storage_options)
    if junit is not None:
        write_bytes(to_junit(result), junit, storage_options=storage_options)


def _why_refused(row: Row) -> str:
    from refmaker.sources.async_store import NO_RANGES

    return f"{row.refused} refused" if row.refused else NO_RANGES


def _summarise(result: Result, report: str | None) -> None:
    rows = [*result.rows, *result.unchanged]
    refused = {row.seen.url: _why_refused(row) for row in rows if row.status == "refused"}
    list_refusals(refused, "see refmaker.sqlite" if report is None else f"see {report}")
    notes = [f"{row.seen.url}: {note}" for row in result.rows for note in row.notes]
    say_notes(notes, "--report FILE writes all of them" if report is None else f"see {report}")
    failed = sum(row.status == "failed" for row in rows)
    parts = [f"{counted(len(rows), 'file')}: {len(result.rows)} scanned, {len(result.unchanged)} unchanged"]
    parts += [f"{failed} failed"] if failed else []
    parts += [f"{len(refused)} with something refused"] if refused else []
    if result.gone:
        parts.append(
            f"{len(result.gone)} gone ({'removed' if result.pruned else 'manifests kept; --prune removes them'})"
        )
    if result.outcome == "stopped":
        parts.append("stopped after --max-failures failures" if result.reason is None else "stopped, see above")
    say(f"{result.out}: {', '.join(parts)}", err=True)
