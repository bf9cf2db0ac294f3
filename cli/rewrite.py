"""`refmaker rewrite`: change the targets of manifests after files have moved, without another scan."""

from __future__ import annotations

import os
from typing import Any

import click

import refmaker
from refmaker.errors import RefmakerError
from refmaker.urls import is_local, local_path, text_of

from .destination import OUTPUT, check_outputs, in_folder, is_folder, locked_output, write
from .output import DONE, FAILED, REFUSED, counted, describe, say, say_error
from .storage_options import filesystem_options

__all__ = ["rewrite"]


@click.command()
@click.argument("manifests", nargs=-1, required=True, metavar="MANIFEST...")
@click.option(
    "--from",
    "old",
    metavar="PREFIX",
    required=True,
    help="Old location of the targets: a path or url, or the beginning of one.",
)
@click.option("--to", "new", metavar="PREFIX", required=True, help="New location of the targets.")
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    metavar="OUT",
    help="Manifest to write, or a directory for several.  [default: in place]",
)
@filesystem_options(
    "--storage-options", "Options of the fsspec filesystem of MANIFEST, and of OUT where that is a url."
)
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.pass_context
def rewrite(
    ctx: click.Context,
    /,
    manifests: tuple[str, ...],
    old: str,
    new: str,
    output: str | None,
    storage_options: dict[str, Any] | None,
    quiet: bool,
) -> None:
    """Change the location of the targets of each MANIFEST, for example from a local disk to S3.

    PREFIX matches whole path segments: /data/a does not match /data/ab. Only the size of a moved target stays recorded,
    because a copy has another modification time and ETag. A manifest without a matching target is left unchanged, and
    the exit status is then 3.

    Example: refmaker rewrite --from /data --to s3://archive m.json
    """
    from refmaker.locks.output import WAIT
    from refmaker.manifest.rewriting import with_targets_moved
    from refmaker.replay.relocation import relocated

    outputs = _outputs(manifests, output)
    check_outputs([], outputs)
    statuses = {DONE}
    for source, destination in zip(manifests, outputs, strict=True):
        stores = None if is_local(destination) else storage_options
        try:
            with locked_output(destination, WAIT, stores) as lock:
                held = refmaker.open_manifest(source, storage_options=storage_options)
                moved, count = with_targets_moved(held, old, new)
                if count:
                    placed = relocated(moved, source, None if destination == "-" else destination)
                    write(placed, destination, held=lock, storage_options=stores)
        except RefmakerError as error:
            say_error(f"refmaker: {describe(error, source)}")
            statuses.add(FAILED)
            continue
        if not count:
            say(f"{source}: no target starts with {old}; nothing was written", err=True)
            statuses.add(REFUSED)
        elif not quiet:
            where = "" if destination == source else f" -> {'stdout' if destination == '-' else destination}"
            say(f"{source}{where}: {count} of {counted(len(held.targets), 'target')} moved", err=True)
    ctx.exit(FAILED if FAILED in statuses else max(statuses))


def _outputs(manifests: tuple[str, ...], output: str | None) -> list[str]:
    names = [os.path.basename(name.rstrip("/")) for name in manifests]
    if output is None:
        return [local_path(text_of(name)) if is_local(name) else name for name in manifests]
    if is_folder(output):
        return in_folder(output, names)
    if len(manifests) == 1:
        return [output]
    raise click.UsageError(f"with several MANIFESTs, -o must be a directory, and {output!r} is not: name one")
