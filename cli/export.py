"""`refmaker export`: the Zarr tree of a manifest as files."""

from __future__ import annotations

from typing import Any, Literal

import click

from .output import DONE, REFUSED, ProgressLine, counted, human_size, list_refusals, say
from .storage_options import filesystem_options

__all__ = ["export"]


@click.command()
@click.argument("manifest", metavar="MANIFEST")
@click.option(
    "--tree", metavar="DIR", required=True, help="Directory to write, a path or a url such as s3://bucket/dir."
)
@click.option(
    "--view",
    type=click.Choice(["as-stored", "decoded"]),
    default="as-stored",
    show_default=True,
    help="Chunks as they are in the files, or decoded, for clients without the codecs.",
)
@click.option(
    "--zarr-format",
    type=click.IntRange(2, 3),
    metavar="2|3",
    help="Write the metadata in this Zarr format.  [default: that of the manifest]",
)
@click.option("--chunk-target", default="1MiB", show_default=True, help="Size of chunks of the decoded view.")
@click.option("--group", default="", help="Export this group only, as the root.")
@click.option("--include", multiple=True, metavar="GLOB", help="Export only arrays whose paths match. Repeatable.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Leave out arrays whose paths match. Repeatable.")
@click.option(
    "--select",
    multiple=True,
    metavar="DIM=START:STOP",
    help="Export this range of indices along a dimension; it begins where a chunk does. Repeatable.",
)
@click.option("--verify", is_flag=True, help="Read every chunk again and compare it with its file.")
@filesystem_options("--storage-options", "Options of the fsspec filesystem that opens MANIFEST.")
@filesystem_options("--remote-options", "Options of the fsspec filesystem that reads the data.")
@filesystem_options("--tree-options", "Options of the fsspec filesystem that DIR is in.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.pass_context
def export(
    ctx: click.Context,
    /,
    manifest: str,
    tree: str,
    view: Literal["as-stored", "decoded"],
    zarr_format: Literal[2, 3] | None,
    chunk_target: str,
    group: str,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    select: tuple[str, ...],
    verify: bool,
    storage_options: dict[str, Any] | None,
    remote_options: dict[str, Any] | None,
    tree_options: dict[str, Any] | None,
    quiet: bool,
) -> None:
    """Export the Zarr tree of MANIFEST as files: a store of its own, for any static server.

    Metadata are written after all chunks, so that a directory that is not complete cannot be opened. The same command
    again goes on where it was interrupted.

    Example: refmaker export air.json --tree air.zarr --select time=0:24 --verify
    """
    from refmaker.path_filter import PathFilter
    from refmaker.serve.export import ExportOptions, export_tree
    from refmaker.serve.export_files import files_at
    from refmaker.serve.subset import parse_selection
    from refmaker.serve.tree import TreeKind

    try:
        selection = parse_selection(select)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param_hint="--select") from error
    options = ExportOptions(
        TreeKind(zarr_format, view),
        PathFilter(group, include, exclude),
        selection,
        storage_options or {},
        {"remote_options": remote_options, "chunk_target": chunk_target},
    )
    with ProgressLine(f"exporting {manifest}") as line:
        report = export_tree(
            manifest,
            files_at(tree, tree_options),
            options,
            verify=verify,
            progress=lambda now: line.show(f"{counted(now.chunks, 'chunk')}, {human_size(now.bytes)}"),
        )
    if not quiet:
        kept = f", {report.kept} there already" if report.kept else ""
        checked = f", {report.verified} verified" if verify else ""
        say(f"{tree}: {counted(report.chunks, 'chunk')} ({human_size(report.bytes)}){kept}{checked}", err=True)
        list_refusals(report.refusals, "see the refusals in the manifest")
    ctx.exit(REFUSED if report.refusals else DONE)
