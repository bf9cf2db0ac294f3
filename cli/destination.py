"""Where manifests and reports are written to: a file or folder by its name, or the standard output."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from refmaker.errors import OutputError
from refmaker.urls import is_local, local_path, protocol_of, text_of

if TYPE_CHECKING:
    from refmaker import Manifest
    from refmaker.locks.output import LockedOutput

    _Type = click.ParamType[str]
else:
    _Type = click.ParamType  # which takes no argument before click 8.5

__all__ = [
    "LOCAL_OUTPUT",
    "OUTPUT",
    "check_outputs",
    "in_folder",
    "is_folder",
    "locked_output",
    "options_for",
    "reported",
    "write",
    "write_bytes",
]

PARQUET = (".parq", ".parquet")
"""Ends of names of Parquet sets: folders, which may be replaced by another set."""
STDOUT = "-"


class _Output(_Type):
    """An option that names an output: a path, a url, or `-` for the standard output."""

    def __init__(self, *, remote: bool = True) -> None:
        self.remote = remote

    name = "file"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the path: of `file://` urls too, and with `~` for the home directory; or the url."""
        if not value:
            self.fail("an empty name: name a file, or - for the standard output", param, ctx)
        if not is_local(value):
            if not self.remote:
                self.fail(f"{value!r} is a url: name a file of this machine", param, ctx)
            _check_url(value)
            return value
        return local_path(text_of(value))


OUTPUT = _Output()
LOCAL_OUTPUT = _Output(remote=False)


def _check_url(url: str) -> None:
    from refmaker.redaction import has_secrets

    if protocol_of(url) in ("http", "https"):
        raise OutputError(f"cannot write {url!r}: HTTP servers take no files; write one and copy it there")
    if has_secrets(url):
        raise OutputError(
            "cannot write to a url with a login or signature in it: pass these as storage options",
            source=url,
        )


def options_for(
    output: str | None, inputs: Sequence[str], options: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """Return the storage options of an output: those of the inputs, where these are in stores of the same kind.

    Where all inputs are local, options can only be meant for the output.
    """
    if output is None or is_local(output):
        return None
    kinds = {protocol_of(name) for name in inputs if not is_local(name)}
    return options if kinds <= {protocol_of(output)} else None


def reported(report: str | None, *, as_json: bool) -> str | None:
    """Return where the report goes, where `--json` is short for `--report -`."""
    if as_json and report not in (None, STDOUT):
        raise click.UsageError("--json and --report cannot be used together: choose one")
    return STDOUT if as_json else report


def is_folder(output: str) -> bool:
    """Return whether an output is a directory to write files into: it is there, or its name ends with a slash."""
    if output.rstrip("/").endswith(PARQUET):
        return False
    return output.endswith("/") or (is_local(output) and os.path.isdir(output))


def in_folder(folder: str, names: Iterable[str]) -> list[str]:
    """Return the paths or urls of files in a directory, which is made if it is not there."""
    if not is_local(folder):
        return [f"{folder.rstrip('/')}/{name}" for name in names]
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot create the directory {folder!r}: {error.strerror}") from error
    return [os.path.join(folder, name) for name in names]


def check_outputs(files: Sequence[str], outputs: Sequence[str | None]) -> None:
    """Fail before the work rather than after it: outputs that collide, or that cannot be written."""
    sources = {os.path.realpath(local_path(text_of(file))) if is_local(file) else file: file for file in files}
    given = [output for output in outputs if output is not None]
    if given.count(STDOUT) > 1:
        raise click.UsageError("only one output can be - (the standard output)")
    seen: set[str] = set()
    for output in given:
        if output == STDOUT:
            continue
        real = os.path.realpath(output) if is_local(output) else output
        if real in sources:
            raise click.UsageError(f"{output!r} would overwrite the source {sources[real]!r}: name another output")
        if real in seen:
            raise click.UsageError(f"two outputs would be written to {output!r}: name another for one of them")
        seen.add(real)
        if is_local(output):
            _check_writable(output, real)
        elif output.endswith("/"):
            raise OutputError(f"cannot write {output!r}: it is a directory, name a file in it")


def _check_writable(output: str, real: str) -> None:
    if is_folder(output):
        raise OutputError(f"cannot write {output!r}: it is a directory, name a file in it")
    parent = os.path.dirname(real)
    if not os.path.isdir(parent):
        raise OutputError(f"cannot write {output!r}: there is no directory {parent!r}, make it first")
    if not os.path.exists(real) and not os.access(parent, os.W_OK):
        raise OutputError(f"cannot write {output!r}: no permission to write to {parent!r}")


@contextlib.contextmanager
def locked_output(
    destination: str, wait: float, storage_options: Mapping[str, Any] | None = None
) -> Iterator[LockedOutput | None]:
    """Hold the lock of an output; the standard output has none."""
    from refmaker.locks.output import locked

    if destination == STDOUT:
        yield None
        return
    with locked(destination, wait=wait, storage_options=storage_options) as held:
        yield held


def write(
    manifest: Manifest,
    destination: str,
    *,
    held: LockedOutput | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> None:
    """Write a manifest in the form that the name of the destination asks for, JSON for `-`.

    Parameters
    ----------
    held
        The lock of the output: it is not written where that was lost.
    """
    from refmaker.kerchunk.json_writer import iter_json
    from refmaker.kerchunk.open import write_manifest

    if destination != STDOUT:
        if held is not None:
            held.check()
        write_manifest(manifest, destination, storage_options=storage_options)
        return
    with _explained():
        for piece in iter_json(manifest):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


def write_bytes(data: bytes, destination: str, *, storage_options: Mapping[str, Any] | None = None) -> None:
    """Write a report, whole or not at all; to the standard output for `-`."""
    from refmaker.atomic import atomic_write

    if destination != STDOUT:
        if not is_local(destination):
            from refmaker.kerchunk.uploading import upload_bytes

            upload_bytes(data, destination, storage_options)
            return
        with atomic_write(destination) as file:
            file.write(data)
        return
    with _explained():
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # the reader had enough: click ends quietly with status 1
    except OSError as error:
        raise OutputError(f"cannot write to the standard output: {error.strerror}") from error
