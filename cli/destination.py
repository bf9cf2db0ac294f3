"""Where manifests are written to: a file or folder by its name, or the standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from refmaker.errors import OutputError

if TYPE_CHECKING:
    from refmaker import Manifest

__all__ = ["check_outputs", "write"]

PARQUET = (".parq", ".parquet")
"""Ends of names of Parquet sets: folders, which may be replaced by another set."""


def check_outputs(files: Sequence[str], outputs: Sequence[str]) -> None:
    """Fail before the work rather than after it: outputs that collide, or that cannot be written."""
    sources = {os.path.realpath(file.removeprefix("file://")): file for file in files}
    seen: dict[str, str] = {}
    for output in outputs:
        if output == "-":
            continue
        real = os.path.realpath(output)
        if real in sources:
            raise click.UsageError(f"{output!r} would take the place of the source {sources[real]!r}")
        if real in seen:
            raise click.UsageError(f"two outputs would be written to {output!r}")
        seen[real] = output
        if os.path.isdir(real) and not output.rstrip("/").endswith(PARQUET):
            raise OutputError(f"cannot write {output!r}: it is a directory, name a file in it")
        parent = os.path.dirname(real)
        if not os.path.isdir(parent):
            raise OutputError(f"cannot write {output!r}: there is no directory {parent!r}, make it first")
        if not os.path.exists(real) and not os.access(parent, os.W_OK):
            raise OutputError(f"cannot write {output!r}: no permission to write in {parent!r}")


def write(manifest: Manifest, destination: str) -> None:
    """Write a manifest in the form that the name of the destination asks for, JSON for `-`."""
    from refmaker.kerchunk.json_writer import iter_json
    from refmaker.kerchunk.open import write_manifest

    if destination != "-":
        write_manifest(manifest, destination)
        return
    try:
        for piece in iter_json(manifest):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise  # the reader had enough: click ends quietly with status 1
    except OSError as error:
        raise OutputError(f"cannot write to the standard output: {error.strerror}") from error
