"""`refmaker convert`: a manifest in another file format, or in the other Zarr format."""

from __future__ import annotations

from typing import Any, Literal

import click

import refmaker

from .destination import OUTPUT, check_outputs, options_for, write
from .keep_query import keep_query_option
from .output import DONE, REFUSED, counted, list_refusals, say, say_notes
from .storage_options import filesystem_options

__all__ = ["convert"]


@click.command()
@click.argument("manifest", metavar="MANIFEST")
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    metavar="OUT",
    required=True,
    help="Manifest to write; its extension chooses the format (- for JSON on stdout).",
)
@click.option(
    "--zarr-format",
    type=click.IntRange(2, 3),
    metavar="2|3",
    help="Convert the metadata to this Zarr format.  [default: unchanged]",
)
@click.option(
    "--missing-shards",
    type=click.Choice(["error", "empty"]),
    default="error",
    show_default=True,
    help="How to read a shard that is missing from a Parquet set without a list of shards: as an error, or as empty.",
)
@filesystem_options("--storage-options", "Options of the fsspec filesystem that opens MANIFEST.")
@keep_query_option
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.pass_context
def convert(
    ctx: click.Context,
    /,
    manifest: str,
    output: str,
    zarr_format: Literal[2, 3] | None,
    missing_shards: Literal["error", "empty"],
    storage_options: dict[str, Any] | None,
    quiet: bool,
) -> None:
    """Convert MANIFEST to the format that the extension of OUT names.

    .parq and .parquet are a Parquet set, .json.gz and .json.zst compressed JSON, anything else is JSON. References are
    unchanged; relative targets are rewritten relative to OUT. With --zarr-format, arrays whose metadata cannot be
    converted exactly are refused by name, and the exit status is 3.

    kerchunk writes no shard for a range of chunks without references, so a lost shard looks the same. Use
    --missing-shards empty if you know that none is lost; OUT then lists its shards.

    Example: refmaker convert m.json -o m.parq
    """
    from refmaker.manifest.manifest import notes_of
    from refmaker.manifest.zarr_conversion import with_zarr_format
    from refmaker.replay.relocation import relocated

    check_outputs([], [output])
    held = refmaker.open_manifest(manifest, storage_options=storage_options, missing_shards=missing_shards)
    made = held if zarr_format is None else with_zarr_format(held, zarr_format)
    made = relocated(made, manifest, None if output == "-" else output)
    write(made, output, storage_options=options_for(output, [manifest], storage_options))
    refused = {path: reason for path, reason in made.refusals.items() if path not in held.refusals}
    if not quiet:
        counts = f"{counted(len(made.arrays), 'array')}, {counted(made.chunks, 'chunk')}"
        counts += f", {len(refused)} refused:" if refused else ""
        say(f"{manifest} -> {'stdout' if output == '-' else output}: {counts}", err=True)
        say_notes(list(notes_of(made)), "`refmaker info` shows them all")
        list_refusals(refused, "see the refusals in the manifest")
    ctx.exit(REFUSED if refused else DONE)
