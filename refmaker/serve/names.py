"""Which manifests are served under which names: files, Parquet sets, and what lies in directories.

Contract: a name is the path of the manifest below the directory that was given, or its last part where the manifest
itself was; with its extension, so that it stays what it is whatever else comes to lie there. `NAME=MANIFEST` gives
another. Hidden files, and what is no manifest by its first bytes, have no name.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from refmaker.errors import SourceError, cause_of
from refmaker.kerchunk.open import is_parquet, is_parquet_name
from refmaker.kerchunk.sniff import looks_like_manifest
from refmaker.urls import filesystem_of, is_local, local_path

__all__ = ["MAX_MANIFESTS", "Names", "parse_source"]

MAX_MANIFESTS = 100_000
"""Manifests that are found in a directory, at most."""

_EXTENSIONS = (".json", ".json.gz", ".json.zst", ".json.zstd", ".parq", ".parquet")
_RESERVED = ("healthz", "metrics", "favicon.ico")


def parse_source(text: str) -> tuple[str | None, str]:
    """Return the name that is given to a manifest, None without one, and its path or url.

    Examples
    --------
    >>> parse_source("air=s3://bucket/air.json"), parse_source("s3://bucket/x=1/air.json")
    (('air', 's3://bucket/air.json'), (None, 's3://bucket/x=1/air.json'))
    """
    name, equals, rest = text.partition("=")
    if not equals or not name or not rest or "/" in name or os.sep in name or os.path.exists(text):
        return None, text
    return name, rest


@dataclass(slots=True)
class Names:
    """The manifests that are served.

    Attributes
    ----------
    sources
        Paths or urls of manifests or directories; `NAME=MANIFEST` names one.
    storage_options
        For the filesystem that they are in.
    """

    sources: Sequence[str]
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    _known: dict[str, tuple[tuple[int, int], bool]] = field(default_factory=dict, repr=False)

    def find(self) -> dict[str, str]:
        """Return name -> path or url of all that is there now.

        Raises
        ------
        SourceError
            Something that was named is not there, or is no manifest; two have the same name.
        """
        found: dict[str, str] = {}
        for source in self.sources:
            for name, location in self._of(source):
                if found.setdefault(name, location) != location:
                    raise SourceError(
                        f"two manifests have the name {name!r}; name one as NAME=MANIFEST", source=location
                    )
        return found

    def _of(self, source: str) -> Iterator[tuple[str, str]]:
        name, location = parse_source(source)
        if is_local(location):
            location = os.path.abspath(local_path(location))
            if os.path.isdir(location) and not is_parquet(location, {}):
                yield from self._in_directory(location, name)
                return
        elif location.endswith("/") and not is_parquet(location, self.storage_options):
            yield from self._in_store(location, name)
            return
        if not is_parquet_name(location) and not self._is_manifest(location):
            raise SourceError("there is no manifest here; `refmaker scan` makes one of a file", source=location)
        name = posixpath.basename(location.rstrip("/").replace(os.sep, "/")) if name is None else name
        if not name or name in _RESERVED or name.startswith("~"):
            raise SourceError(f"a manifest cannot be served as {name!r}; name it as NAME=MANIFEST", source=location)
        yield name, location

    def _is_manifest(self, location: str) -> bool:
        try:
            return looks_like_manifest(location, storage_options=self.storage_options)
        except OSError as error:
            raise SourceError(f"cannot be read: {error.strerror}", source=location) from error

    def _in_directory(self, root: str, lead: str | None) -> Iterator[tuple[str, str]]:
        count = 0
        for folder, folders, files in os.walk(root, onerror=_raise):
            sets = [name for name in folders if is_parquet_name(name) and not name.startswith(".")]
            folders[:] = sorted(name for name in folders if name not in sets and not name.startswith("."))
            for name in sorted([*sets, *files]):
                path = os.path.join(folder, name)
                if self._counts(path, name):
                    count = _counted(count, root)
                    relative = os.path.relpath(path, root).replace(os.sep, "/")
                    yield (relative if lead is None else f"{lead}/{relative}"), path

    def _counts(self, path: str, name: str) -> bool:
        """Return whether a file in a directory is a manifest; its first bytes are read once for each version of it."""
        if name.startswith((".", "~")) or not name.lower().endswith(_EXTENSIONS) or name in _RESERVED:
            return False
        try:
            status = os.stat(path)
            version = status.st_mtime_ns, status.st_size
            known, counts = self._known.get(path, (None, False))
            if known != version:
                counts = looks_like_manifest(path)
                self._known[path] = version, counts
        except OSError:  # gone meanwhile, or not for us to read: not ours to serve
            return False
        return counts

    def _in_store(self, root: str, lead: str | None) -> Iterator[tuple[str, str]]:
        try:
            filesystem, path = filesystem_of(root, self.storage_options)
            filesystem.invalidate_cache()
            keys = sorted(filesystem.find(path))
        except Exception as error:  # every filesystem raises errors of its own
            raise SourceError(f"the directory cannot be listed: {cause_of(error)}", source=root) from error
        base = path.strip("/") + "/"
        seen: set[str] = set()
        for key in keys:
            relative = _manifest_in(str(key).lstrip("/").removeprefix(base))
            if relative is not None and relative not in seen:
                _counted(len(seen), root)
                seen.add(relative)
                yield (relative if lead is None else f"{lead}/{relative}"), root + relative


def _manifest_in(relative: str) -> str | None:
    """Return the manifest that a key of a store belongs to: itself, or the Parquet set that it lies in."""
    parts = relative.split("/")
    if any(part.startswith((".", "~")) for part in parts[:-1]):
        return None
    for depth, part in enumerate(parts):
        if is_parquet_name(part):
            return "/".join(parts[: depth + 1])
    hidden = parts[-1].startswith(".") or parts[-1] in _RESERVED
    return relative if not hidden and parts[-1].lower().endswith(_EXTENSIONS) else None


def _counted(count: int, root: str) -> int:
    if count >= MAX_MANIFESTS:
        raise SourceError(
            "too many manifests in one directory; serve parts of it", source=root, expected=f"at most {MAX_MANIFESTS}"
        )
    return count + 1


def _raise(error: OSError) -> None:
    raise SourceError(f"the directory cannot be listed: {error.strerror}", source=error.filename) from error
