"""Where an exported tree goes: a directory of this machine, or one in a store.

Contract: a file is there whole or not at all. Nothing is written outside of the directory.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from refmaker.atomic import atomic_write
from refmaker.errors import OutputError, cause_of
from refmaker.urls import filesystem_of, is_local, local_path

__all__ = ["Files", "LocalFiles", "StoreFiles", "files_at"]


class Files(Protocol):
    """A directory that files are written to, by their names below it."""

    def sizes(self) -> dict[str, int]:
        """Return the sizes of all files that are there."""
        ...

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a file; None where it is not there."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Write a file; raises `OutputError`."""
        ...


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """A directory of this machine."""

    root: str

    def sizes(self) -> dict[str, int]:
        """See `Files.sizes`."""
        found = {}
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = os.path.join(folder, name)
                found[os.path.relpath(path, self.root).replace(os.sep, "/")] = os.stat(path).st_size
        return found

    def read(self, name: str) -> bytes | None:
        """See `Files.read`."""
        try:
            with open(os.path.join(self.root, name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OutputError(f"cannot read {name!r}: {error.strerror}", source=self.root) from error

    def write(self, name: str, data: bytes) -> None:
        """See `Files.write`."""
        path = os.path.join(self.root, *name.split("/"))
        if ".." in name.split("/"):
            raise OutputError("the name would lead out of the folder", path=name)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make the folder of {path!r}: {error.strerror}") from error
        with atomic_write(path, durable=False) as file:
            file.write(data)


@dataclass(frozen=True)
class StoreFiles:
    """A directory in a store, where objects appear whole."""

    url: str
    storage_options: Mapping[str, Any] = field(repr=False)

    @cached_property
    def _place(self) -> tuple[Any, str]:
        filesystem, path = filesystem_of(self.url, self.storage_options)
        return filesystem, path.rstrip("/")

    def sizes(self) -> dict[str, int]:
        """See `Files.sizes`."""
        filesystem, path = self._place
        try:
            filesystem.invalidate_cache()
            found = filesystem.find(path, detail=True)
        except FileNotFoundError:
            return {}
        except Exception as error:  # every filesystem raises errors of its own
            raise OutputError(f"cannot be listed: {cause_of(error)}", source=self.url) from error
        lead = path.lstrip("/") + "/"
        return {str(name).lstrip("/").removeprefix(lead): int(info["size"]) for name, info in found.items()}

    def read(self, name: str) -> bytes | None:
        """See `Files.read`."""
        filesystem, path = self._place
        try:
            data: bytes = filesystem.cat_file(f"{path}/{name}")
        except FileNotFoundError:
            return None
        except Exception as error:  # every filesystem raises errors of its own
            raise OutputError(f"cannot read {name!r}: {cause_of(error)}", source=self.url) from error
        return data

    def write(self, name: str, data: bytes) -> None:
        """See `Files.write`."""
        filesystem, path = self._place
        try:
            filesystem.pipe_file(f"{path}/{name}", data)
        except Exception as error:  # every filesystem raises errors of its own
            raise OutputError(f"cannot write {name!r}: {cause_of(error)}", source=self.url) from error


def files_at(place: str, storage_options: Mapping[str, Any] | None = None) -> Files:
    """Return the directory at a path or url."""
    if is_local(place):
        return LocalFiles(os.path.abspath(local_path(place)))
    return StoreFiles(place, storage_options or {})
