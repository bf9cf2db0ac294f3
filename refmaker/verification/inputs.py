"""The files that a combined manifest was made of, and which of its chunks are of which.

Contract: pure, but that containers are looked into for their members.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refmaker.errors import SourceError
from refmaker.manifest.manifest import Manifest
from refmaker.manifest.references import References
from refmaker.verification.containers import Member
from refmaker.verification.originals import Originals

__all__ = ["CellsByFile", "Integers", "Part", "is_combined", "owns", "parts_of"]

Integers = npt.NDArray[np.int64]

_FILES = 16
"""Files that a sample has."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file that was combined: a target, or a member of one."""

    code: int
    member: Member | None = None


def is_combined(manifest: Manifest) -> bool:
    """Return whether a manifest was made by combining, as far as it says."""
    return any(line.startswith("combined ") for line in manifest.history)


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
    for array in manifest.arrays.values():
        held = array.references
        if ((held.target == code) & (held.offset >= member.start) & (held.offset < member.start + member.size)).any():
            return True
    return False


class CellsByFile:
    """Which cells of an array refer to which file, found once for all of them."""

    def __init__(self, references: References) -> None:
        self._references = references
        target = references.target
        one = len(target) > 0 and target.strides == (0,)
        self._order = np.arange(len(target)) if one else np.argsort(target, kind="stable")
        self._ranked = target if one else target[self._order]

    def of(self, part: Part) -> Integers:
        """Return the cells that refer to a file."""
        held = self._references
        first, stop = np.searchsorted(self._ranked, [part.code, part.code + 1])
        rows = self._order[first:stop]
        if part.member is not None:
            start, end = np.uint64(part.member.start), np.uint64(part.member.start + part.member.size)
            rows = rows[(held.offset[rows] >= start) & (held.offset[rows] < end)]
        whole = [cell for cell, code in held.whole.items() if code == part.code]
        cells: Integers = held.cell[rows] if not whole else np.union1d(held.cell[rows], whole)
        return cells


def owns(references: References, cell: int, part: Part) -> bool:
    """Return whether a chunk is of a file, or of none in particular: one that is inlined, or missing."""
    found = references.at(cell)
    if found is None or isinstance(found, bytes):
        return True
    code, offset, _ = found
    member = part.member
    return code == part.code and (member is None or member.start <= offset < member.start + member.size)
