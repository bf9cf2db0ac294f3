"""`refmaker batch`: an archive in, a manifest for each of its files out, and a ledger of what became of each."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import click

from .batch_progress import Log, Progress, Silence
from .destination import OUTPUT, check_outputs, write_bytes
from .engines import engine_of
from .keep_query import keep_query_option
from .output import DONE, FAILED, REFUSED, counted, json_object, list_refusals, report_text, say, say_notes
from .scan import scan

if TYPE_CHECKING:
    from refmaker.batch.ledger import Row
    from refmaker.batch.run import Observer, Result
    from refmaker.engines.engine import Engine

__all__ = ["batch"]

_OF_SCAN = (
    *("inline_threshold", "inline_limit", "group", "include", "exclude", "portable"),
    *("follow_external_links", "other_files", "allow"),
    *("keep_checksums", "verify_checksums", "strict", "zarr_format", "records_per_chunk"),
)


_WHAT = {"out": "directory", "ledger": "file"}


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SRC...")
@click.option("-o", "--out", metavar="DEST", required=True, help="Directory for the manifests and the ledger.")
@click.option(
    "--form", type=click.Choice(["json", "json.gz", "json.zst", "parquet"]), default="json", show_default=True
)
@click.option(
    "--template",
    metavar="TEXT",
    help="Names of manifests, made of {path}, {dir}, {name}, {stem}, {ext}, {form}.  [default: {path}{form}]",
)
@click.option("--base", metavar="DIR", help="Directory that names are relative to, rather than each SRC.")
@click.option(
    "--pattern", metavar="GLOB", help="Take the files in directories that match, not those recognised as sources."
)
@click.option("--relative", is_flag=True, help="Write targets relative to their manifests.")
@click.option(
    "--retry-failed/--no-retry-failed", default=True, help="Scan files again that failed and have not changed."
)
@click.option("--force", is_flag=True, help="Scan all files again; replace manifests of other sources.")
@click.option("--prune", is_flag=True, help="Remove manifests of files that are gone.")
@click.option("--max-failures", type=click.IntRange(min=1), metavar="N", help="Stop when N files have failed.")
@click.option(
    "--timeout", type=click.FloatRange(min=0.001), metavar="SECONDS", help="Most time that one file may take."
)
@click.option("--engine", type=click.Choice(["local", "dask"]), default="local", show_default=True)
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Worker processes.  [default: one per processor]"
)
@click.option("--scheduler", metavar="ADDRESS", help="Address of the Dask scheduler.  [default: as Dask is configured]")
@click.option(
    "--ledger", type=OUTPUT, metavar="FILE", help="The ledger, if not in DEST. A copy goes to a DEST that is remote."
)
@click.option("--report", type=OUTPUT, metavar="FILE", help="Write what became of every file as JSON (- for stdout).")
@click.option("--junit", type=OUTPUT, metavar="FILE", help="Write it as JUnit XML (- for stdout).")
@click.option("--storage-options", metavar="JSON", callback=json_object, help="Options of the filesystem of SRC.")
@click.option("--out-storage-options", metavar="JSON", callback=json_object, help="Options of that of DEST.")
@click.option("--log-json", is_flag=True, help="A line of JSON on stdout for each file, rather than progress.")
@keep_query_option
@click.option("-q", "--quiet", is_flag=True, help="Only errors: no progress, no summary.")
@click.pass_context
def batch(
    ctx: click.Context, /, report: str | None, junit: str | None, quiet: bool, log_json: bool, **given: Any
) -> None:
    """Write a manifest for each file of an archive, and do it again only for what is new, changed or failed.

    SRC is a file, a directory, a pattern ('s3://bucket/**/*.nc'), or - for a list on standard input. Of local
    directories, files are taken that are HDF5 or netCDF, or named so; of remote ones, those that are named so. A
    manifest has the relative path of its file, with .json added.

    What became of every file is in DEST/refmaker.sqlite. One that fails does not stop the others. Exit status: 0 all
    files have manifests that hold all of them; 3 something was refused; 1 a file failed, or the run did.
    """
    for name in ("out", "ledger"):
        if given[name] == "-":
            raise click.UsageError(f"--{name} cannot be - (the standard output): name a {_WHAT[name]}")
    check_outputs([], [report, junit])
    if log_json and "-" in (report, junit):
        raise click.UsageError("with --log-json, the standard output is taken: name a file for the report")
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
                _write_reports(observer.result, report, junit)
            raise
    _write_reports(result, report, junit)
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


def _write_reports(result: Result, report: str | None, junit: str | None) -> None:
    from refmaker.batch.reports import to_dict, to_junit

    if report is not None:
        write_bytes(report_text(to_dict(result)), report)
    if junit is not None:
        write_bytes(to_junit(result), junit)


def _why_refused(row: Row) -> str:
    from refmaker.sources.async_store import NO_RANGES

    return f"{row.refused} refused" if row.refused else NO_RANGES


def _summarise(result: Result, report: str | None) -> None:
    rows = [*result.rows, *result.unchanged]
    refused = {row.seen.url: _why_refused(row) for row in rows if row.status == "refused"}
    list_refusals(refused, "see refmaker.sqlite" if report is None else f"see {report}")
    notes = [f"{row.seen.url}: {note}" for row in result.rows for note in row.notes]
    say_notes(notes, "--report FILE has them all" if report is None else f"see {report}")
    failed = sum(row.status == "failed" for row in rows)
    parts = [f"{counted(len(rows), 'file')}: {len(result.rows)} scanned, {len(result.unchanged)} unchanged"]
    parts += [f"{failed} failed"] if failed else []
    parts += [f"{len(refused)} with something refused"] if refused else []
    if result.gone:
        parts.append(f"{len(result.gone)} gone ({'removed' if result.pruned else 'their manifests stay, see --prune'})")
    parts += ["stopped after too many failures"] if result.outcome == "stopped" else []
    say(f"{result.out}: {', '.join(parts)}", err=True)
