"""`refmaker scan`: files in, manifests out."""

from __future__ import annotations

import os
import posixpath
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

import refmaker
from refmaker.errors import RefmakerError
from refmaker.redaction import has_secrets, strip_credentials, unknown_parameters
from refmaker.urls import first_link, is_local, local_path, slashed

from .destination import OUTPUT, check_outputs, in_folder, is_folder, options_for, write, write_bytes
from .keep_query import keep_query_option
from .output import (
    DONE,
    FAILED,
    REFUSED,
    ProgressLine,
    counted,
    describe,
    list_refusals,
    notes_of,
    report_text,
    say,
    say_error,
    say_notes,
)
from .param_types import SIZE
from .storage_options import filesystem_options

if TYPE_CHECKING:
    from refmaker import Manifest

__all__ = ["scan"]


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    metavar="OUT",
    help="Manifest to write, - for stdout, or a directory; with several FILEs, a directory.  [default: FILE.json here]",
)
@click.option(
    "--report",
    type=OUTPUT,
    metavar="REPORT",
    help="Write a JSON report of what was done with each object (- for stdout).",
)
@click.option(
    "--inline-threshold",
    type=SIZE,
    metavar="SIZE",
    help="Copy chunks smaller than this into the manifest.  [default: none]",
)
@click.option(
    "--inline-limit",
    type=SIZE,
    metavar="SIZE",
    help="Refuse an array that needs more bytes than this in the manifest.  [default: 16 MiB]",
)
@click.option(
    "--group", metavar="PATH", help="Scan this group only, as the root of the manifest, for example /forecast."
)
@click.option(
    "--include",
    multiple=True,
    metavar="GLOB",
    help="Scan only objects whose path matches, for example '/forecast/*'. Repeatable.",
)
@click.option("--exclude", multiple=True, metavar="GLOB", help="Skip objects whose path matches. Repeatable.")
@click.option(
    "--portable",
    is_flag=True,
    help="Copy into the manifest, or refuse, whatever only refmaker's own codecs can decode.",
)
@click.option(
    "--no-external-links",
    "follow_external_links",
    flag_value=False,
    type=bool,
    default=None,
    help="Do not follow external links into other files.",
)
@click.option(
    "--no-other-files",
    "other_files",
    flag_value=False,
    type=bool,
    default=None,
    help="Open no file but FILE: refuse external links, virtual datasets and external raw data.",
)
@click.option(
    "--allow",
    multiple=True,
    metavar="PREFIX",
    callback=lambda ctx, param, value: value or None,
    help="Open other files only below this directory or url. Repeatable.  [default: anywhere, but external raw data "
    "only below the directory of FILE]",
)
@click.option(
    "--keep-checksums",
    is_flag=True,
    default=None,
    help="Have readers verify the fletcher32 checksums of chunks.",
)
@click.option(
    "--no-verify-checksums",
    "verify_checksums",
    flag_value=False,
    type=bool,
    default=None,
    help="Do not verify the checksums of metadata in FILE.",
)
@click.option(
    "--no-consolidate",
    "consolidate",
    flag_value=False,
    type=bool,
    default=None,
    help="Keep references where they take more of the manifest than the values that they lead to.",
)
@click.option(
    "--records-per-chunk",
    type=click.IntRange(min=1),
    metavar="N",
    help="Records in a chunk, for netCDF classic variables whose records are contiguous.  [default: about 4 MiB]",
)
@click.option(
    "--drop-fill-chunks",
    is_flag=True,
    help="Read all chunks, and leave out those that hold nothing but the fill value.",
)
@click.option("--strict", is_flag=True, help="Fail, and write nothing, if any object would be refused.")
@click.option(
    "--zarr-format",
    type=click.IntRange(2, 3),
    metavar="2|3",
    help="Zarr format of the metadata; more readers support 2.  [default: 2]",
)
@filesystem_options("--storage-options", "Options of the fsspec filesystem that opens FILE.")
@keep_query_option
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.pass_context
def scan(
    ctx: click.Context,
    /,
    files: tuple[str, ...],
    output: str | None,
    report: str | None,
    drop_fill_chunks: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Write the reference manifest of each FILE (a path or an fsspec url).

    Without -o, the manifest of dir/x.nc is x.nc.json in the current directory. The extension of OUT chooses the format:
    .parq or .parquet for a Parquet set, .json.gz or .json.zst for compressed JSON, anything else for JSON.

    Example: refmaker scan s3://bucket/ocean.nc -o ocean.json --storage-options anon=true

    Exit status: 0 everything is in the manifest; 3 something was refused (listed on stderr); 1 a FILE failed.
    """
    outputs = _outputs(files, output)
    check_outputs(files, [*outputs, report])
    options = {name: value for name, value in given.items() if value is not None}
    entries: list[dict[str, Any]] = []
    statuses = set()
    for source, destination in zip(files, outputs, strict=True):
        try:
            manifest = _scan(source, options, quiet=quiet)
            if drop_fill_chunks:
                manifest = refmaker.drop_fill_chunks(manifest, storage_options=options.get("storage_options"))
            write(
                manifest,
                destination,
                storage_options=options_for(destination, [source], options.get("storage_options")),
            )
        except RefmakerError as error:
            say_error(f"refmaker: {describe(error, source)}")
            entries.append({"source": strip_credentials(source), "objects": [], "error": str(error)})
            statuses.add(FAILED)
            continue
        entries.append({"source": strip_credentials(source), "objects": [asdict(line) for line in manifest.objects]})
        from refmaker.sources.async_store import NO_RANGES

        unread = [line.path for line in manifest.objects if NO_RANGES in line.notes]
        statuses.add(REFUSED if manifest.refusals or unread else DONE)
        if not quiet:
            _summarise(manifest, source, destination, report, [*given["include"], *given["exclude"]])
            if unread:
                say(f"{strip_credentials(source)}: {counted(len(unread), 'array')}: {NO_RANGES}", err=True)
    if report is not None and (len(files) > 1 or FAILED not in statuses):
        stores = options_for(report, files, options.get("storage_options"))
        write_bytes(report_text({"sources": entries} if len(files) > 1 else entries[0]), report, storage_options=stores)
    ctx.exit(FAILED if FAILED in statuses else max(statuses))


def _outputs(files: Sequence[str], output: str | None) -> list[str]:
    names = [posixpath.basename(_named(file).rstrip("/")) + ".json" for file in files]
    if output is None:
        return names
    if is_folder(output):
        return in_folder(output, names)
    if len(files) == 1:
        return [output]
    if output == "-":
        raise click.UsageError("-o - (the standard output) takes one FILE only: give a directory for several")
    if os.path.exists(output):
        raise click.UsageError(f"with several FILEs, -o must be a directory, and {output!r} is a file: name another")
    return in_folder(output, names)


def _named(file: str) -> str:
    """Return a local path with slashes, or the path part of a url."""
    return slashed(local_path(file)) if is_local(file) else _location(file)


def _location(url: str) -> str:
    """Return the path part of an fsspec url: without what it is chained to, and without an http query."""
    first = url if is_local(url) else first_link(url)
    return first.split("?", 1)[0].split("#", 1)[0] if first.startswith(("http://", "https://")) else first


def _scan(source: str, options: dict[str, Any], *, quiet: bool) -> Manifest:
    if quiet or not sys.stderr.isatty():
        return refmaker.scan(source, **options)
    with ProgressLine(source) as progress:
        return refmaker.scan(source, progress=progress, **options)


def _summarise(manifest: Manifest, source: str, destination: str, report: str | None, given: Sequence[str]) -> None:
    refused = f", {len(manifest.refusals)} refused:" if manifest.refusals else ""
    counts = f"{counted(len(manifest.arrays), 'array')}, {counted(manifest.chunks, 'chunk')}"
    say(f"{source} -> {'stdout' if destination == '-' else destination}: {counts}{refused}", err=True)
    if has_secrets(source):
        say(f"{source}: the login or signature of this url is not in the manifest; readers supply their own", err=True)
    if not manifest.arrays and given and not manifest.refusals:
        say(f"{source}: nothing matches {' '.join(given)}: are paths written as `refmaker info` shows them?", err=True)
    say_notes(notes_of(manifest.objects), "--report FILE writes all of them" if report is None else f"see {report}")
    if names := unknown_parameters(source):
        listed = ", ".join(map(repr, sorted(names)))
        say(f"left out of urls because they may be secret: {listed}; keep one with --keep-query NAME", err=True)
    list_refusals(manifest.refusals, "see --report" if report is None else f"see {report}")
