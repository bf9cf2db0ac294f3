"""`refmaker stac`: manifests as STAC items and a collection."""

from __future__ import annotations

import datetime as dt
import json
import os
import posixpath
from typing import Any

import click

from refmaker.urls import is_local

from .destination import OUTPUT, check_outputs, write_bytes
from .output import DONE, counted, say
from .storage_options import filesystem_options

__all__ = ["stac"]


@click.command()
@click.argument("manifests", metavar="MANIFEST...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    "out",
    type=OUTPUT,
    default="-",
    metavar="DEST",
    help="File for the item, or with --collection, a directory.  [default: stdout]",
)
@click.option("--collection", metavar="ID", help="Write a collection of this name, and its items.")
@click.option("--title", metavar="TEXT", help="Title of the collection.")
@click.option("--description", metavar="TEXT", help="Description of the collection.")
@click.option("--license", default="other", metavar="SPDX", show_default=True, help="License of the collection.")
@click.option("--base-url", metavar="URL", help="Where the manifests will be.  [default: where they are]")
@click.option(
    "--datetime", "time", metavar="TIME", callback=lambda *given: _time(given[-1]), help="Time of items without one."
)
@click.option(
    "--sources",
    type=click.IntRange(min=0),
    default=100,
    metavar="N",
    show_default=True,
    help="List the source files of an item if they are N at most.",
)
@filesystem_options("--storage-options", "Options of the fsspec filesystem of the manifests and of their targets.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.pass_context
def stac(
    ctx: click.Context,
    /,
    manifests: tuple[str, ...],
    out: str,
    collection: str | None,
    title: str | None,
    description: str | None,
    license: str,
    base_url: str | None,
    time: dt.datetime | None,
    sources: int,
    storage_options: dict[str, Any] | None,
    quiet: bool,
) -> None:
    """Write a STAC item for each MANIFEST, and a collection of them.

    Dimensions, variables, extents and projections are those of the manifest: its coordinates are read. An item has a
    link to the manifest, an asset for each group with variables, and the source files.

    Without --collection, a single item is written. With it, DEST/collection.json and DEST/ID/ID.json for each item.

    Example: refmaker stac manifests/*.json --collection air --base-url https://host/manifests -o catalogue

    Exit status: 0 done; 1 failed, and nothing was written.
    """
    from refmaker.catalogues import StacOptions, stac_collection, stac_item

    if collection is None and len(manifests) > 1:
        raise click.UsageError("several manifests are written as a collection: give --collection and a directory (-o)")
    if collection is not None and out == "-":
        raise click.UsageError("a collection is written to a directory: name it (-o)")
    folder = out.rstrip("/")
    check_outputs(manifests, [out if collection is None else None])
    items = []
    for manifest in manifests:
        href = None if base_url is None else f"{base_url.rstrip('/')}/{posixpath.basename(manifest.rstrip('/'))}"
        options = StacOptions(href=href, datetime=time, sources=sources)
        items.append(stac_item(manifest, options=options, storage_options=storage_options))
    if collection is None:
        write_bytes(_text(items[0]), out)
        ctx.exit(DONE)
    try:
        made = stac_collection(collection, items, title=title, description=description, license=license)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    for item in items:
        item["collection"] = collection
        item["links"] += [{"rel": rel, "href": "../collection.json", "type": "application/json"} for rel in _UPWARDS]
    names = {f"{folder}/{item['id']}/{item['id']}.json": item for item in items}
    for name, record in {**names, f"{folder}/collection.json": made}.items():
        if is_local(name):
            os.makedirs(os.path.dirname(name), exist_ok=True)
        write_bytes(_text(record), name)
    if not quiet:
        say(f"{out}: a collection of {counted(len(items), 'item')}", err=True)
    ctx.exit(DONE)


_UPWARDS = ("root", "parent", "collection")


def _text(record: dict[str, Any]) -> bytes:
    return json.dumps(record, indent=2, allow_nan=False).encode() + b"\n"


def _time(text: str | None) -> dt.datetime | None:
    try:
        return None if text is None else dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"not a time such as 2000-01-01T00:00:00Z: {text}") from error
