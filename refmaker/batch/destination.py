"""Where manifests go: a local directory, or one in a store.

Contract: a manifest appears whole, by a rename or as one object; of a set of files the one that readers begin with
comes last. Nothing is written outside of the directory, whatever links lie in it. What a killed run left half done is
hidden from readers, and `clean` removes it.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from refmaker.batch.listing import Remote, absolute
from refmaker.errors import OutputError
from refmaker.kerchunk.open import is_parquet_name, write_manifest
from refmaker.kerchunk.uploading import upload_manifest
from refmaker.manifest.manifest import Manifest, Target
from refmaker.manifest.rewriting import with_targets_at
from refmaker.urls import is_local, links, local_path, protocol_of

__all__ = ["Destination", "temporary_folder"]

_HEAD = ".zmetadata"
_PARQUET = ".parq"
_LEFT_OVER = re.compile(r"\.refmaker-[0-9a-f]{16}\.(tmp|old)")


@dataclass(frozen=True, slots=True)
class Destination:
    """An output directory. `url` is an absolute path where it is local."""

    url: str
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def local(self) -> bool:
        """Whether it is a directory of this machine."""
        return is_local(self.url)

    def place(self, name: str) -> str:
        """Return path or url of a manifest."""
        if self.local:
            return os.path.join(self.url, name)
        first, *rest = links(self.url)
        return "::".join([f"{first.rstrip('/')}/{name}", *rest])

    def write(self, manifest: Manifest, name: str) -> int:
        """Write a manifest; give the bytes of it, or of its head.

        Raises
        ------
        OutputError
            It cannot be written.
        ManifestError
            Something in it cannot be written without loss.
        """
        if not self.local:
            return upload_manifest(manifest, self.place(name), self.storage_options, parquet=is_parquet_name(name))
        path = os.path.join(self.url, name)
        self._check_inside(path)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        except (OSError, ValueError) as error:  # a name that the system cannot take
            raise OutputError(f"cannot write {path!r}: {getattr(error, 'strerror', None) or error}") from error
        write_manifest(manifest, path)
        try:
            return os.path.getsize(_head(path))
        except OSError as error:
            raise OutputError(f"{path!r} disappeared after it was written: {error.strerror}") from error

    def sizes(self, names: Iterable[str]) -> Mapping[str, int | None]:
        """Return the sizes of those manifests that are there, by their names."""
        if self.local:
            return dict(self._local_sizes(names))
        remote = Remote(self.url, self.storage_options)
        found = {name.removesuffix(f"/{_HEAD}"): seen.size for name, seen in remote.files().items()}
        return {name: found[name] for name in names if name in found}

    def remove(self, name: str) -> None:
        """Remove a manifest, if it is there."""
        if self.local:
            path = os.path.join(self.url, name)
            self._check_inside(path)
            try:
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
            except FileNotFoundError:
                return
            except OSError as error:
                raise OutputError(f"cannot remove {path!r}: {error.strerror}") from error
            return
        remote = Remote(self.place(name), self.storage_options)
        try:
            remote.filesystem.rm(remote.path, recursive=name.endswith(_PARQUET))
        except FileNotFoundError:
            return
        except Exception as error:  # every filesystem raises errors of its own
            raise OutputError(f"cannot remove {self.place(name)!r}: {error}") from error

    def clean(self, before: float) -> int:
        """Remove what a killed run left half done before a time (seconds since the epoch).

        Return how many there were.
        """
        if not self.local:
            return 0
        removed = 0
        for path in _left_over(self.url):
            with contextlib.suppress(OSError):  # gone meanwhile, or not ours to remove: it is in nobody's way
                if os.lstat(path).st_mtime < before:
                    shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
                    removed += 1
        return removed

    def relative(self, manifest: Manifest, name: str) -> Manifest:
        """Return a manifest with its targets relative to where it will be, as far as these lie in the same store."""
        folder = posixpath.dirname(self.place(name))
        return with_targets_at(manifest, lambda target: _relative(target, folder))

    def _local_sizes(self, names: Iterable[str]) -> Iterator[tuple[str, int]]:
        for name in names:
            with contextlib.suppress(OSError, ValueError):
                yield name, os.path.getsize(_head(os.path.join(self.url, name)))

    def _check_inside(self, path: str) -> None:
        root = os.path.realpath(self.url)
        real = os.path.realpath(path)
        if not real.startswith(root.rstrip("/") + "/"):
            raise OutputError(f"cannot write {path!r}: a link leads out of the output directory, to {real!r}")


@contextlib.contextmanager
def temporary_folder() -> Iterator[str]:
    """Make a directory for the time of the context. Raises `OutputError` where it cannot be created."""
    try:
        made = tempfile.TemporaryDirectory(prefix="refmaker-", ignore_cleanup_errors=True)
    except OSError as error:
        raise OutputError(f"cannot create a temporary directory: {error.strerror}") from error
    with made as folder:
        yield folder


def destination(out: str, storage_options: Mapping[str, Any] | None = None) -> Destination:
    """Return the output directory of a path or url."""
    return Destination(absolute(out), {} if storage_options is None else storage_options)


def _head(path: str) -> str:
    return os.path.join(path, _HEAD) if path.endswith(_PARQUET) else path


def _left_over(folder: str) -> Iterator[str]:
    for path, folders, names in os.walk(folder):
        yield from (os.path.join(path, name) for name in (*folders, *names) if _LEFT_OVER.fullmatch(name))
        folders[:] = [name for name in folders if not _LEFT_OVER.fullmatch(name)]


def _relative(target: Target, folder: str) -> Target:
    if is_local(target.url) and is_local(folder):
        return replace(target, url=os.path.relpath(local_path(target.url), folder))
    store, path = _split(target.url)
    if len(links(target.url)) > 1 or is_local(target.url) or store != _split(folder)[0]:
        return target
    url = posixpath.relpath(path, _split(folder)[1])
    return target if protocol_of(url) is not None else replace(target, url=url)


def _split(url: str) -> tuple[str, str]:
    """Return protocol and bucket or server of a url, and the path in it."""
    protocol, _, rest = url.partition("://")
    bucket, _, path = rest.partition("/")
    return f"{protocol}://{bucket}", "/" + path
