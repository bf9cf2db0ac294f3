"""`refmaker info`: what a source file or a manifest holds, and how it is laid out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

import refmaker

from .destination import OUTPUT, check_outputs
from .output import DONE, REFUSED, counted, human_size, report_text, say, say_table
from .storage_options import filesystem_options

if TYPE_CHECKING:
    from refmaker import Manifest
    from refmaker.manifest.summary import ArraySummary
    from refmaker.model import Tree

__all__ = ["info"]

_HEAD = ("variable", "shape", "dimensions", "chunk shape", "dtype", "codecs", "stored", "chunks", "missing")
_RIGHT = frozenset({6, 7, 8})
_TARGETS = 20


@click.command()
@click.argument("file", metavar="FILE|MANIFEST")
@click.option(
    "--plot", type=OUTPUT, metavar="OUT", help="Also draw what lies where in the file; the name ends in .svg or .png."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@filesystem_options("--storage-options", "Options of the fsspec filesystem that opens FILE or MANIFEST.")
@click.pass_context
def info(
    ctx: click.Context, /, file: str, plot: str | None, as_json: bool, storage_options: dict[str, Any] | None
) -> None:
    """Show the variables of a source file, or of a manifest, and how they are stored.

    The first bytes tell a source file from a manifest. Refused variables are listed with the reason, and the exit
    status is then 3.

    Example: refmaker info ocean.nc
    """
    check_outputs([file], [plot])
    from refmaker.kerchunk.sniff import looks_like_manifest
    from refmaker.manifest.manifest import notes_of
    from refmaker.manifest.summary import summarise

    if looks_like_manifest(file, storage_options=storage_options):
        manifest = refmaker.open_manifest(file, storage_options=storage_options)
        layout, variables, tree = _of_manifest(file, manifest), summarise(manifest), None
    else:
        inspection = refmaker.scan_file(file, storage_options=storage_options, measure=True)
        manifest = inspection.manifest
        tree = inspection.tree
        layout, variables = _of_source(file, tree), summarise(manifest, tree)
    if plot is not None:
        manifest.plot(plot, tree=tree)
    if as_json:
        described = [{**asdict(v), "chunks_missing": v.chunks_missing} for v in variables]
        click.echo(
            report_text(
                {**layout, "variables": described, "refusals": manifest.refusals, "notes": list(notes_of(manifest))}
            ),
            nl=False,
        )
    else:
        for line in [*_head_lines(layout), ""]:
            say(line)
        if variables:
            say_table([_HEAD, *map(_row, variables)], right=_RIGHT)
        else:
            say("no variables")
        for line in _note_lines(manifest):
            say(line)
        for line in _refusal_lines(manifest):
            say(line, style="warning")
    ctx.exit(REFUSED if manifest.refusals else DONE)


def _title(kind: str) -> str:
    """Return the name of a format that users read."""
    from refmaker.scanning.formats import format_named

    known = format_named(kind)
    return kind if known is None else known.title


def _of_source(file: str, tree: Tree) -> dict[str, Any]:
    return {
        "source": file,
        "kind": _title(tree.kind),
        "size": tree.size,
        "metadata_size": tree.metadata_size,
        "metadata_blocks": tree.metadata_blocks,
    }


def _of_manifest(file: str, manifest: Manifest) -> dict[str, Any]:
    targets = [asdict(target) for target in manifest.targets]
    return {"source": file, "kind": "manifest", "zarr_format": manifest.zarr_format, "targets": targets}


def _head_lines(layout: dict[str, Any]) -> Iterable[str]:
    if layout["kind"] != "manifest":
        yield f"{layout['source']}: {layout['kind']}, {human_size(layout['size'])}"
        if layout["metadata_blocks"]:
            yield f"metadata: {human_size(layout['metadata_size'])} in {counted(layout['metadata_blocks'], 'block')}"
        return
    targets = layout["targets"]
    yield f"{layout['source']}: manifest, Zarr {layout['zarr_format']}, {counted(len(targets), 'target')}"
    for target in targets[:_TARGETS]:
        parts = [target["url"], "size unknown" if target["size"] is None else human_size(target["size"])]
        if target["etag"] is not None:
            parts.append(f"ETag {target['etag']}")
        if target["mtime"] is not None:
            parts.append(f"modified {_date(target['mtime'])}")
        yield "target: " + ", ".join(parts)
    if len(targets) > _TARGETS:
        yield f"… and {len(targets) - _TARGETS} more targets: --json lists all"


def _date(seconds: float) -> str:
    try:
        return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(sep=" ", timespec="seconds")
    except (OverflowError, OSError, ValueError):  # a manifest may claim any number
        return f"{seconds} s after 1970"


def _row(variable: ArraySummary) -> tuple[str, ...]:
    return (
        variable.path,
        _extents(variable.shape),
        "-" if variable.dimensions is None else ",".join(name or "-" for name in variable.dimensions) or "-",
        _extents(variable.chunks),
        _dtype(variable.dtype),
        " ".join(variable.codecs) or "-",
        human_size(variable.stored_size),
        f"{variable.chunks_stored}/{variable.chunks_total}",
        str(variable.chunks_missing),
    )


def _extents(extents: Sequence[int]) -> str:
    return "x".join(map(str, extents)) or "scalar"


def _dtype(dtype: object) -> str:
    """Name a data type in one cell: the members of a structured one in braces."""
    if isinstance(dtype, list):
        members = (f"{m[0]}: {_dtype(m[1])}" if isinstance(m, list) and len(m) > 1 else str(m) for m in dtype)
        return "{" + ", ".join(members) + "}"
    if isinstance(dtype, dict):
        return str(dtype.get("name", dtype))
    return str(dtype)


def _note_lines(manifest: Manifest) -> Iterable[str]:
    from refmaker.manifest.manifest import notes_of

    if notes := list(notes_of(manifest)):
        yield ""
        yield "notes:"
        yield from notes


def _refusal_lines(manifest: Manifest) -> Iterable[str]:
    if manifest.refusals:
        yield ""
        yield "refused:"
    for path, reason in manifest.refusals.items():
        yield f"{path}: {reason}"
