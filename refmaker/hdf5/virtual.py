"""Virtual datasets: the block of mappings that a global heap object holds.

Contract: pure. Specification 4.0, III.F "Global Heap Block for Virtual Datasets". Version 1, which HDF5 2.0 reads, puts
a byte of flags before each entry: the source file name is that of an earlier entry (1), so is the dataset's (2), the
source is in the same file (4); an earlier entry is named by its number.
"""

from __future__ import annotations

from refmaker.errors import FormatError, Unsupported
from refmaker.hdf5.checksum import verify
from refmaker.hdf5.selection import decode_selection
from refmaker.hdf5.sizes import Sizes, need
from refmaker.model import VirtualMapping

__all__ = ["decode_mappings", "is_numbered", "numbered_name"]

WHAT = "global heap block for virtual datasets"
_FILE_SHARED, _DATASET_SHARED, _SAME_FILE = 1, 2, 4
# Version 1: flags, two numbers of entries, two selections; the least that an entry can take is two selections.
_SMALLEST_ENTRY = 32


def decode_mappings(block: bytes, sizes: Sizes) -> tuple[VirtualMapping, ...]:
    """Decode a block: 0 version 1 | 1 number of entries L | entries | checksum 4."""
    need(block, 0, 1 + sizes.lengths + 4, WHAT)
    version = block[0]
    if version > 1:
        raise Unsupported("version", structure=WHAT, expected="0 or 1", got=version)
    verify(block, WHAT, 0)
    n, pos, stop = sizes.length(block, 1), 1 + sizes.lengths, len(block) - 4
    if n * _SMALLEST_ENTRY > len(block):
        raise FormatError("number of entries", structure=WHAT, expected=f"<= {len(block) // _SMALLEST_ENTRY}", got=n)
    mappings: list[VirtualMapping] = []
    for _ in range(n):
        flags = 0
        if version == 1:
            need(block, pos, 1, WHAT)
            flags, pos = block[pos], pos + 1
        mapping, pos = _entry(block, pos, flags, mappings, sizes)
        mappings.append(mapping)
    if pos > stop:
        raise FormatError("entries that reach into the checksum", structure=WHAT, expected=f"<= {stop}", got=pos)
    return tuple(mappings)


def _entry(
    block: bytes, pos: int, flags: int, earlier: list[VirtualMapping], sizes: Sizes
) -> tuple[VirtualMapping, int]:
    """Decode an entry: source file, source dataset, source selection, virtual selection."""
    file = "."
    if flags & _FILE_SHARED:
        shared, pos = _earlier(block, pos, earlier, sizes)
        file = shared.file
    elif not flags & _SAME_FILE:
        file, pos = _name(block, pos)
    if flags & _DATASET_SHARED:
        shared, pos = _earlier(block, pos, earlier, sizes)
        dataset = shared.dataset
    else:
        dataset, pos = _name(block, pos)
    source, pos = decode_selection(block, pos)
    virtual, pos = decode_selection(block, pos)
    return VirtualMapping(file, dataset, source, virtual), pos


def _earlier(block: bytes, pos: int, earlier: list[VirtualMapping], sizes: Sizes) -> tuple[VirtualMapping, int]:
    need(block, pos, sizes.lengths, WHAT)
    number = sizes.length(block, pos)
    if number >= len(earlier):
        raise FormatError("number of an earlier entry", structure=WHAT, expected=f"< {len(earlier)}", got=number)
    return earlier[number], pos + sizes.lengths


def _name(block: bytes, pos: int) -> tuple[str, int]:
    stop = block.find(b"\0", pos)
    if stop < 0:
        raise FormatError("a name without an end", structure=WHAT, got=block[pos : pos + 40])
    return block[pos:stop].decode("utf-8", "surrogateescape"), stop + 1


def is_numbered(name: str) -> bool:
    """Return whether `%b` in a name stands for the number of a block."""
    return "%b" in name.replace("%%", "")


def numbered_name(name: str, number: int) -> str:
    """Return the name of the source for a block: `%b` becomes its number, `%%` a percent sign.

    Raises
    ------
    FormatError
        `%` before anything else.
    """
    parts, pos = [], 0
    while (at := name.find("%", pos)) >= 0:
        parts.append(name[pos:at])
        code = name[at + 1 : at + 2]
        if code not in ("b", "%"):
            raise FormatError("format specifier in a source name", structure=WHAT, expected="%b or %%", got=name)
        parts.append(str(number) if code == "b" else "%")
        pos = at + 2
    return "".join([*parts, name[pos:]])
