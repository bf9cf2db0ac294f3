"""Which objects of a file are asked for, by group and by globs over their paths.

Contract: pure work on paths; a path is taken, or lies outside; `reaches` says what may lead to one that is taken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

__all__ = ["PathFilter"]


@dataclass(frozen=True, slots=True)
class PathFilter:
    """Which objects of a file are asked for."""

    group: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]

    @property
    def prefix(self) -> str:
        """The Zarr path of the group, "" for the root."""
        return self.group.strip("/")

    @property
    def narrows(self) -> bool:
        """Whether anything may be left out."""
        return bool(self.prefix or self.include or self.exclude)

    def inside(self, zarr_path: str) -> bool:
        """Return whether a path lies in the group asked for."""
        return not self.prefix or zarr_path == self.prefix or zarr_path.startswith(self.prefix + "/")

    def takes(self, path: str) -> bool:
        """Return whether an array's path is asked for."""
        path = path.strip("/")
        included = not self.include or any(_matches(path, glob) for glob in self.include)
        return self.inside(path) and included and not any(_matches(path, glob) for glob in self.exclude)

    def reaches(self, path: str) -> bool:
        """Return whether what is asked for may lie behind a link at this path."""
        path = path.strip("/")
        below = self.prefix.startswith(path + "/") or self.inside(path)
        included = not self.include or any(_matches(path, glob) or _leads_below(glob, path) for glob in self.include)
        return below and included and not any(_matches(path, glob) for glob in self.exclude)

    def relative(self, zarr_path: str) -> str:
        """Return a path relative to the group."""
        return zarr_path[len(self.prefix) :].strip("/")


def _matches(path: str, glob: str) -> bool:
    """Return whether a glob matches the path or a group above it."""
    parts, glob = path.split("/"), glob.strip("/")
    return any(fnmatchcase("/".join(parts[: i + 1]), glob) for i in range(len(parts)))


def _leads_below(glob: str, path: str) -> bool:
    """Return whether a glob may match something below a path."""
    glob, path = glob.strip("/"), path + "/"
    plain = len(glob) if not (wild := re.search(r"[*?[]", glob)) else wild.start()
    return glob[:plain].startswith(path) or (plain < len(glob) and path.startswith(glob[:plain]))
