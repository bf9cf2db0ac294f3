"""Which other files a source may lead to.

Contract: a source may come from anyone, and what it names ends up in a manifest, inlined even. HDF5 files are followed
to wherever libhdf5 finds them: only what is a dataset or an attribute there can be shown. Raw data can be any file, so
that they are taken only from the directory of the file that names them, from below it, and from where
`HDF5_EXTFILE_PREFIX` leads. `allow` says for all kinds where files may be, in place of that rule. Links of the
filesystem are looked through. What a remote file may name is narrower already (`refmaker.linked.search_paths`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from refmaker.errors import Unsupported
from refmaker.linked.search_paths import Kind, raw_prefix

__all__ = ["ANY", "Permission"]


@dataclass(frozen=True, slots=True)
class Permission:
    """What the caller of a scan lets a source lead to.

    Attributes
    ----------
    other_files
        Whether there may be other files at all.
    allow
        Directories, files, or prefixes of urls; None for the rule of the contract.
    """

    other_files: bool = True
    allow: tuple[str, ...] | None = None

    def permitted(self, places: Sequence[str], url: str, kind: Kind, *, local: bool) -> list[str]:
        """Return the places where a file may be opened that the file at `url` names.

        Raises
        ------
        Unsupported
            It may be in none of them, or there is a file where it may not be, which libhdf5 would take first.
        """
        if not self.other_files:
            raise Unsupported("it is in another file, and none may be opened")
        if not local:
            found = [place for place in places if self._below_url(place)]
        else:
            roots = self._roots(url, kind)
            if roots is None:
                return list(places)
            found = []
            for place in places:
                if _below(place, roots):
                    found.append(place)
                elif len(places) == 1 or os.path.lexists(place):
                    raise Unsupported(f"the file {place!r} is not where other files may be: {_rule(self.allow)}")
        if not found:
            raise Unsupported(f"it is not where other files may be: {_rule(self.allow)}")
        return found

    def _roots(self, url: str, kind: Kind) -> list[str] | None:
        if self.allow is not None:
            return [os.path.abspath(os.path.expanduser(root.removeprefix("file://"))) for root in self.allow]
        if kind != "raw":
            return None
        directory = os.path.dirname(url)
        prefix = raw_prefix(directory)
        return [directory] if prefix is None else [directory, prefix]

    def _below_url(self, place: str) -> bool:
        return self.allow is None or any(
            place == root or place.startswith(root.rstrip("/") + "/") for root in self.allow if root
        )


ANY = Permission()


def _below(place: str, roots: Sequence[str]) -> bool:
    real = os.path.realpath(place)
    above = map(os.path.realpath, roots)
    return any(real == root or real.startswith(root.rstrip(os.sep) + os.sep) for root in above)


def _rule(allow: tuple[str, ...] | None) -> str:
    if allow is None:
        return "raw data are taken from the directory of the file that names them, or from below it; see --allow"
    return "see --allow"
