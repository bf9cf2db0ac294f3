"""The files that a combined manifest was made of, and which of its chunks are of which.

Contract: pure, but that containers are looked into for their members.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refmaker._verify_container import Member
from refmaker._verify_source import Originals
from refmaker.errors import SourceError
from refmaker.manifest.manifest import Manifest, References

__all__ = ["Integers", "Part", "cells_of", "is_combined", "owns", "parts_of"]

Integers = npt.NDArray[np.int64]

_FILES = 16
"""Files that a sample has."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file that was combined: a target, or a member of one."""

    code: int
    member: Member | None = None


def is_combined(manifest: Manifest) -> bool:
    """Say whether a manifest was made of several files, as far as it says."""
    return any(line.startswith("combined ") and not line.startswith("combined 1 inputs") for line in manifest.history)


def parts_of(manifest: Manifest, originals: Originals, sample: int | None) -> list[Part]:
    """Choose the files to compare with: all of them, or a sample that is the same every time.

    Parameters
    ----------
    sample
        None for all.
    """
    codes = list(range(len(manifest.targets)))
    if sample is not None and len(codes) > _FILES:
        rng = np.random.default_rng(zlib.crc32(manifest.targets[0].url.encode("utf-8", "surrogateescape")))
        picks = rng.choice(np.arange(1, len(codes) - 1), _FILES - 2, replace=False).tolist()
        codes = sorted({0, len(codes) - 1, *picks})
    found = []
    for code in codes:
        try:
            members = originals.members(code)
        except SourceError:
            members = None  # what opens it says why it cannot be
        own = [one for one in members or () if _refers(manifest, code, one)]
        chosen = own if sample is None or len(own) <= _FILES else own[:: -(-len(own) // _FILES)]
        found += [Part(code)] if members is None else [Part(code, member) for member in chosen]
    return found


def _refers(manifest: Manifest, code: int, member: Member) -> bool:
    return any(len(cells_of(array.references, Part(code, member))) for array in manifest.arrays.values())


def cells_of(references: References, part: Part) -> Integers:
    """Give the cells that refer to a file."""
    mine = np.asarray(references.target == part.code)
    if part.member is not None:
        first, stop = np.uint64(part.member.start), np.uint64(part.member.start + part.member.size)
        mine = mine & (references.offset >= first) & (references.offset < stop)
    whole = [cell for cell, code in references.whole.items() if code == part.code]
    cells: Integers = references.cell[mine] if not whole else np.union1d(references.cell[mine], whole)
    return cells


def owns(references: References, cell: int, part: Part) -> bool:
    """Say whether a chunk is of a file, or of none in particular: one that is inlined, or missing."""
    found = references.at(cell)
    if found is None or isinstance(found, bytes):
        return True
    code, offset, _ = found
    member = part.member
    return code == part.code and (member is None or member.start <= offset < member.start + member.size)
