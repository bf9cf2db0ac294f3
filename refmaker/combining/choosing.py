"""Which arrays of the inputs are combined: a group, and globs over paths.

Contract: what is not chosen is not there for anything that follows: it is neither compared nor refused. A group becomes
the root.
"""

from __future__ import annotations

from dataclasses import replace

from refmaker.combining.collection import Collection
from refmaker.combining.records import CombineError
from refmaker.path_filter import PathFilter

__all__ = ["chosen"]


def chosen(collection: Collection, wanted: PathFilter) -> Collection:
    """Return the arrays that are asked for, under paths relative to the group.

    Raises
    ------
    CombineError
        There are none.
    """
    if not wanted.narrows:
        return collection
    series = {wanted.relative(path): one for path, one in collection.series.items() if wanted.takes(path)}
    if collection.series and not series:
        known = ", ".join("/" + path for path in list(collection.series)[:5])
        more = len(collection.series) - 5
        rest = f" and {more} more" if more > 0 else ""
        raise CombineError(f"--group, --include and --exclude leave no array: the inputs have {known}{rest}")
    types = collection.types
    return replace(
        collection,
        series=series,
        groups={wanted.relative(path): held for path, held in collection.groups.items() if wanted.inside(path)},
        refusals={
            "/" + wanted.relative(path.strip("/")): reasons
            for path, reasons in collection.refusals.items()
            if wanted.takes(path)
        },
        types=None if types is None else {wanted.relative(p): held for p, held in types.items() if wanted.inside(p)},
    )
