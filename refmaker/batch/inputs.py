"""Names of many inputs: folders, patterns and archives as the inputs that they stand for.

Contract: a folder with a ledger stands for the manifests that the ledger records; another one for the manifests in it,
or, where it has none, for the files in it of formats that are recognised; a pattern for what matches. A Parquet set and
a Zarr store are folders and one input each. The order is that of names. What an archive lacks is never left out without
a word: sources that failed are an error, or are reported.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from refmaker.batch.discovery import Inputs, find_sources
from refmaker.batch.ledger import Ledger
from refmaker.batch.listing import absolute, is_glob
from refmaker.batch.naming import FORMS
from refmaker.batch.run import LEDGER
from refmaker.errors import BatchError
from refmaker.urls import first_link, is_local, local_path

__all__ = ["expand_inputs"]

_STORES = (".zmetadata", ".zgroup", ".zarray", "zarr.json")
"""What the folder of a Zarr store, or of a Parquet set, begins with."""
_PLAIN = (*FORMS.values(), ".nc", ".h5")
"""Names of inputs that are hardly ever those of folders; of Parquet sets, which are one input."""
_SHOWN = 5


def expand_inputs(
    names: Sequence[str],
    *,
    storage_options: Mapping[str, Any] | None = None,
    skipped: dict[str, str] | None = None,
) -> list[str]:
    """Return the inputs that names stand for; a name that is one input stays as it is.

    Parameters
    ----------
    storage_options
        Of the filesystem of names that are not local.
    skipped
        Takes the sources that failed in an archive, each with why; None: they are an error.

    Raises
    ------
    BatchError
        A folder or pattern has no inputs, an archive has sources that failed, or its ledger cannot be read.
    SourceError
        A remote pattern cannot be listed.

    Examples
    --------
    >>> import os
    >>> from refmaker.batch.inputs import expand_inputs
    >>> os.makedirs("days", exist_ok=True)
    >>> for day in (2, 1):
    ...     with open(f"days/{day}.json", "w") as file:
    ...         _ = file.write("{}")
    >>> [os.path.basename(name) for name in expand_inputs(["days"])]
    ['1.json', '2.json']
    """
    options = {} if storage_options is None else storage_options
    return [one for name in names for one in _expanded(name, options, skipped)]


def _expanded(name: str, options: Mapping[str, Any], skipped: dict[str, str] | None) -> Sequence[str]:
    if not is_local(name):
        if not is_glob(first_link(name)):
            return [name]
        return sorted(entry.url for entry in find_sources(Inputs((name,), storage_options=options)))
    if name.endswith(_PLAIN) and not is_glob(name):  # a question for each of a hundred thousand names takes its time
        return [name]
    path = absolute(name)
    if os.path.isdir(path):
        return _in_folder(name, path, skipped)
    if os.path.lexists(path) or not is_glob(path):
        return [name]
    return _matching(name, path)


def _matching(name: str, pattern: str) -> Sequence[str]:
    import glob

    found = sorted(
        path for path in glob.iglob(pattern, recursive=True) if not os.path.isdir(path) or _is_one_input(path)
    )
    if not found:
        raise BatchError("no input matches the pattern: check it", source=name)
    return found


def _in_folder(name: str, path: str, skipped: dict[str, str] | None) -> Sequence[str]:
    ledger = os.path.join(path, LEDGER)
    if os.path.isfile(ledger):
        return _of_archive(path, ledger, skipped)
    if _is_one_input(path):
        return [name]
    found = sorted(_manifests(path))
    return found or [entry.url for entry in find_sources(Inputs((name,)))]


def _of_archive(folder: str, ledger: str, skipped: dict[str, str] | None) -> Sequence[str]:
    with Ledger(ledger, read_only=True) as opened:
        rows = opened.rows().values()
    failed = {row.seen.url: row.error or "" for row in rows if row.status == "failed"}
    if failed and skipped is None:
        shown = "; ".join(f"{url}: {why}" for url, why in list(failed.items())[:_SHOWN])
        more = f"; and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
        raise BatchError(
            f"{len(failed)} of its files failed, and would be missing: {shown}{more}. "
            "Run `refmaker batch` again, or leave them out with --skip-failed",
            source=folder,
        )
    if skipped is not None:
        skipped.update(failed)
    found = [os.path.join(folder, row.output) for row in rows if row.status != "failed"]
    if not found:
        raise BatchError("the archive has no manifests", source=folder)
    return found


def _manifests(folder: str) -> Iterator[str]:
    """Yield the manifests below a folder, by their names. Hidden ones are unfinished, or of somebody else."""
    for below, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        sets = [name for name in folders if _is_one_input(os.path.join(below, name))]
        yield from (os.path.join(below, name) for name in sets if name.endswith(FORMS["parquet"]))
        folders[:] = [name for name in folders if name not in sets]
        for name in files:
            if name.endswith(tuple(FORMS.values())) and not name.startswith("."):
                yield os.path.join(below, name)


def _is_one_input(folder: str) -> bool:
    path = local_path(folder)
    return any(os.path.isfile(os.path.join(path, name)) for name in _STORES)
