"""What a manifest gives of a damaged file, beside what h5py reads of it.

Contract: `compared` counts arrays that are the same, that h5py does not have or cannot read, or that cannot be decoded
as the manifest has them, and says what is wrong: values that differ, datasets that h5py finds and nothing was said of.
Values that libhdf5 did not write itself (a chunk that decodes to less than a chunk) are those of no one. What h5py
raises is counted and held against nobody.
"""

from __future__ import annotations

import ctypes
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from refmaker.errors import RefmakerError
from refmaker.manifest.manifest import Manifest
from refmaker.verification.compare_array import ArrayResult, Comparison
from refmaker.verification.hdf5 import find_dataset
from refmaker.verification.sampling import blocks_of, choose, stored_cells
from refmaker.verification.values import MissingCounterpart, TypeMismatch
from tests.fuzz.manifest_values import ShownArray
from tests.hdf5.libhdf5 import available, call

__all__ = ["compared"]

_LIBC = ctypes.CDLL(None)
_M_PERTURB = -6
"""Option of `mallopt`: a byte that new memory is filled with."""
CHUNKS = 40
OBJECTS = 300
_SHOWN = {"unreadable": "ours raise an error when read"}


def compared(manifest: Manifest, arrays: Mapping[str, ShownArray], path: Path) -> tuple[Counter[str], str]:
    """Return counts, and what is wrong."""
    counts = Counter({"refused by name": len(manifest.refusals), "answers": 1})
    wrong = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            file = h5py.File(path, "r")
        except (OSError, RuntimeError, ValueError, MemoryError):
            counts["h5py does not open it"] += 1
            return counts, ""
        try:
            for name, array in arrays.items():
                status, reason = _one(manifest, name, array, file, path)
                counts[f"arrays: {_SHOWN.get(status, status)}"] += 1
                if status == "differs":
                    wrong.append(f"/{name}: {reason}")
            wrong += [f"{name}: h5py finds it, and nothing was said of it" for name in _unsaid(manifest, file)]
        finally:
            _close(file)
    return counts, "; ".join(wrong)[:1500]


def _close(file: Any) -> None:
    try:
        file.close()
    except (OSError, RuntimeError, ValueError):
        return


def _one(manifest: Manifest, name: str, shown: ShownArray, file: Any, path: Path) -> tuple[str, str]:
    """Compare one array."""
    result = ArrayResult(name, "same")
    code, source = manifest.sources.get(name, (0, "/" + name))
    if code:
        return "in another file", ""
    try:
        original = find_dataset(file, source, shown.dtype, remote=False)
        grid = shown.array.grid
        cells = choose(name, math.prod(grid), stored_cells(shown.array.references), CHUNKS)
        item = 64 if shown.dtype.kind == "O" else shown.dtype.itemsize
        blocks = blocks_of(grid, item * math.prod(shown.chunks), cells)
        Comparison(original, shown, shown.chunks, str, result, lambda n: None).run(blocks)
        if result.status == "differs" and _is_leftover(path, source, shown.dtype):
            return "h5py shows what memory held", ""
    except MissingCounterpart as error:
        return "h5py does not have it", error.message
    except TypeMismatch as error:
        return "differs", error.message
    except (RefmakerError, KeyError, OSError, RuntimeError, ValueError, TypeError):
        return "h5py cannot read it", ""
    if result.status == "skipped":
        return "h5py cannot read it", ""
    difference = result.first_difference
    if difference is not None and difference.expected == "<HDF5 object reference>":
        return "h5py cannot follow a reference", ""
    at = "" if difference is None else f" at {difference.index}: {difference.expected!r}, not {difference.got!r}"
    return result.status, f"{result.reason}{at}"


def _is_leftover(path: Path, source: str, dtype: np.dtype[Any]) -> bool:
    """Return whether h5py gives other values when memory held something else before: libhdf5 did not write them."""
    held = set()
    for perturbation in (0x55, 0xAA):
        if available():
            call("H5garbage_collect")()
        _LIBC.mallopt(_M_PERTURB, perturbation)
        try:
            with h5py.File(path, "r") as file:
                original = find_dataset(file, source, dtype, remote=False)
                values = original.read(tuple(slice(0, extent) for extent in original.shape))
                held.add(repr(values.tolist()) if values.dtype.hasobject else values.tobytes())
        finally:
            _LIBC.mallopt(_M_PERTURB, 0)
    return len(held) > 1


def _unsaid(manifest: Manifest, file: Any) -> Iterator[str]:
    """Return the datasets that h5py finds and the report does not name, nor anything above them."""
    said = {report.path for report in manifest.objects}
    above = {r.path for r in manifest.objects if r.status == "refused" or r.kind == "link"} | set(manifest.refusals)
    for name in _datasets(file):
        parts = name.split("/")
        if name not in said and not any("/".join(parts[:i]) in above for i in range(1, len(parts) + 1)):
            yield name


def _datasets(file: Any) -> Iterator[str]:
    """Return the paths of datasets that hard links lead to."""
    seen: set[Any] = set()
    todo = [("", file)]
    while todo and len(seen) < OBJECTS:
        lead, group = todo.pop()
        try:
            names = list(group)
        except (OSError, RuntimeError, ValueError, KeyError):
            continue
        for name in names[:OBJECTS]:
            try:
                link = group.get(name, getlink=True)
                found = group[name] if isinstance(link, h5py.HardLink) else None
                where = None if found is None else h5py.h5o.get_info(found.id).addr
            except (OSError, RuntimeError, ValueError, KeyError, TypeError):
                continue
            path = f"{lead}/{name}"
            if isinstance(found, h5py.Dataset) and _readable(found):
                yield path
            if isinstance(found, h5py.Group) and where not in seen:
                todo.append((path, found))
            seen.add(where)


def _readable(dataset: Any) -> bool:
    try:
        return dataset.shape is not None and dataset.dtype is not None
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, np.exceptions.DTypePromotionError):
        return False
