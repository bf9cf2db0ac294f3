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
from refmaker.urls import first_link, is_local

from .destination import OUTPUT, check_outputs, in_folder, is_folder, write, write_bytes
from .keep_query import keep_query_option
from .output import (
    DONE,
    FAILED,
    REFUSED,
    ProgressLine,
    counted,
    describe,
    json_object,
    list_refusals,
    notes_of,
    report_text,
    say,
    say_notes,
)

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
    help="Manifest to write (- for stdout); with several FILEs a directory.",
)
@click.option(
    "--report", type=OUTPUT, metavar="REPORT", help="Write what became of every object as JSON (- for stdout)."
)
@click.option(
    "--inline-threshold", type=click.IntRange(min=0), metavar="BYTES", help="Keep smaller chunks in the manifest."
)
@click.option(
    "--inline-limit", type=click.IntRange(min=0), metavar="BYTES", help="Refuse arrays that would take more inline."
)
@click.option("--group", metavar="PATH", help="Make this group of the file the root of the manifest.")
@click.option("--include", multiple=True, metavar="GLOB", help="Only objects whose path matches. May be given again.")
@click.option(
    "--exclude", multiple=True, metavar="GLOB", help="Not the objects whose path matches. May be given again."
)
@click.option(
    "--portable", is_flag=True, help="Inline or refuse what readers without refmaker's codecs could not decode."
)
@click.option(
    "--no-external-links",
    "follow_external_links",
    flag_value=False,
    type=bool,
    default=None,
    help="Show nothing of other files that external links lead to.",
)
@click.option(
    "--no-other-files",
    "other_files",
    flag_value=False,
    type=bool,
    default=None,
    help="Open no other files: external links, virtual datasets and raw data are refused.",
)
@click.option(
    "--allow",
    multiple=True,
    metavar="PREFIX",
    callback=lambda ctx, param, value: value or None,
    help="Open other files only there (a directory, a url). Without, raw data only below the directory of FILE.",
)
@click.option(
    "--keep-checksums",
    is_flag=True,
    default=None,
    help="Have readers verify the checksums that the fletcher32 filter left on chunks.",
)
@click.option(
    "--no-verify-checksums",
    "verify_checksums",
    flag_value=False,
    type=bool,
    default=None,
    help="Do not verify the checksums of the structures in FILE.",
)
@click.option(
    "--records-per-chunk",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of netCDF classic, where the bytes of records follow one another; the report says where they do not.",
)
@click.option("--strict", is_flag=True, help="Fail when any object would be refused.")
@click.option(
    "--zarr-format", type=click.IntRange(2, 3), metavar="2|3", help="Format of the metadata; 2 is read by more clients."
)
@click.option(
    "--storage-options", metavar="JSON", callback=json_object, help="Options of the fsspec filesystem that opens FILE."
)
@keep_query_option
@click.option("-q", "--quiet", is_flag=True, help="Only errors: no summary, no refusals, no progress.")
@click.pass_context
def scan(
    ctx: click.Context, /, files: tuple[str, ...], output: str | None, report: str | None, quiet: bool, **given: Any
) -> None:
    """Write the reference manifest of each FILE (a path or an fsspec url).

    Without -o, the manifest of dir/x.nc is x.nc.json in the current directory. The name of OUT says the form: .parq a
    Parquet set, .json.gz and .json.zst packed JSON, anything else JSON.
    """
    outputs = _outputs(files, output)
    check_outputs(files, [*outputs, report])
    options = {name: value for name, value in given.items() if value is not None}
    entries: list[dict[str, Any]] = []
    statuses = set()
    for source, destination in zip(files, outputs, strict=True):
        try:
            manifest = _scan(source, options, quiet=quiet)
            write(manifest, destination)
        except RefmakerError as error:
            say(f"refmaker: {describe(error, source)}", err=True)
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
        write_bytes(report_text({"sources": entries} if len(files) > 1 else entries[0]), report)
    ctx.exit(FAILED if FAILED in statuses else max(statuses))


def _outputs(files: Sequence[str], output: str | None) -> list[str]:
    names = [posixpath.basename(_location(file).rstrip("/")) + ".json" for file in files]
    if output is None:
        return names
    if is_folder(output):
        return in_folder(output, names)
    if len(files) == 1:
        return [output]
    if output == "-":
        raise click.UsageError("-o - takes one FILE only")
    if os.path.exists(output):
        raise click.UsageError(f"with several FILEs, -o must be a directory: {output!r} is not")
    return in_folder(output, names)


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
        say(f"{source}: the manifest has this url without its login or signature; readers bring their own", err=True)
    if not manifest.arrays and given and not manifest.refusals:
        say(f"{source}: nothing matches {' '.join(given)}: are paths written as `refmaker info` shows them?", err=True)
    say_notes(notes_of(manifest.objects), "--report FILE has them all" if report is None else f"see {report}")
    if names := unknown_parameters(source):
        listed = ", ".join(map(repr, sorted(names)))
        say(f"left out as they may be secrets: {listed}; --keep-query NAME keeps one that is none", err=True)
    list_refusals(manifest.refusals, "see --report" if report is None else f"see {report}")
