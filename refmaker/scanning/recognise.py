"""Whether a file is a source: by its name, or by its first bytes.

Contract: reads the first bytes of a local file at most; the scan itself says what is wrong with one that is taken.
"""

from __future__ import annotations

import os
from functools import cache

from refmaker import netcdf3
from refmaker.formats.detect import HEAD_SIZE, format_of, missing
from refmaker.formats.detect import NAMES as FORMAT_NAMES
from refmaker.hdf5.superblock import SIGNATURE, signature_addresses

__all__ = ["NAMES", "has_known_suffix", "is_recognised"]


NAMES = (".nc", ".nc3", ".nc4", ".cdf", ".h5", ".hdf5", ".he5")
"""Files that are named so are taken for sources whatever they hold: a damaged one is not to be overlooked.

Those of the formats that kerchunk scans (`refmaker.formats.detect`) as well, where the packages for them are installed.
"""


@cache
def _kerchunk_formats() -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the formats whose packages are installed, and how their files are named."""
    kinds = [kind for kind in FORMAT_NAMES if not missing(kind)]
    return frozenset(kinds), tuple(name for kind in kinds for name in FORMAT_NAMES[kind])


def has_known_suffix(name: str) -> bool:
    """Return whether a file is named as sources are."""
    return name.lower().endswith((*NAMES, *_kerchunk_formats()[1]))


def is_recognised(path: str) -> bool:
    """Return whether a local file is a source: by its content, or by its name."""
    if has_known_suffix(path):
        return True
    with open(path, "rb") as file:
        head = file.read(HEAD_SIZE)
        if head[:4] in netcdf3.MAGIC or format_of(head) in _kerchunk_formats()[0]:
            return True
        for address in signature_addresses(os.fstat(file.fileno()).st_size):
            file.seek(address)
            if file.read(len(SIGNATURE)) == SIGNATURE:
                return True
    return False


def _head_is_recognised(head: bytes) -> bool:
    """Return whether a file of which these are the first bytes is a source."""
    addresses = signature_addresses(len(head))
    if head[:4] in netcdf3.MAGIC or format_of(head) in _kerchunk_formats()[0]:
        return True
    return any(head.startswith(SIGNATURE, address) for address in addresses)
