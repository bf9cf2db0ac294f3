"""Where the structures of a sound HDF5 file are, and mutations that get past their checksums.

Contract: `study` walks a file and returns its `Anatomy`; `mutated` returns a damaged copy in which the checksum
(lookup3) of every structure that was touched is right again, so that what lies behind it is reached. The same random
numbers give the same bytes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from refmaker.hdf5.checksum import lookup3
from refmaker.hdf5.native_checksum import native_lookup3
from tests.fuzz.fuzz_hdf5 import INTERESTING, Span, study

__all__ = ["Anatomy", "anatomy", "mutated", "sign"]

_UNDEFINED = b"\xff" * 8
_LITTLE = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 17, 24, 32, 40, 64, 100, 128, 255)


@dataclass(slots=True)
class Anatomy:
    """A sound file.

    Attributes
    ----------
    spans
        Its structures that have a checksum.
    metadata
        Positions of the bytes that a walk reads.
    dense
        Those of them that are in a structure with a checksum, or near a byte that is not zero.
    addresses
        Positions of fields that hold the address of something that a walk reads, and these addresses.
    """

    name: str
    data: bytes
    spans: list[Span]
    metadata: list[int]
    dense: list[int]
    addresses: list[tuple[int, int]] = field(default_factory=list)


def anatomy(name: str, data: bytes) -> Anatomy | None:
    """Study a file; None for one that is not sound."""
    seed = study(name, data)
    if seed is None:
        return None
    read = seed.read
    near = [at for at in read if any(data[max(at - 3, 0) : at + 4])]
    starts = {at for at, before in zip(read, [-2, *read], strict=False) if before != at - 1}
    starts |= {span.address for span in seed.spans}
    fields = []
    for at in near:
        number = int.from_bytes(data[at : at + 8], "little")
        if number in starts and number:
            fields.append((at, number))
    return Anatomy(name, data, seed.spans, read, near, fields)


def sign(data: bytearray, spans: Sequence[Span]) -> None:
    """Make the checksums of structures right."""
    native = native_lookup3()
    for span in spans:
        if span.address + span.size > len(data):
            continue
        at = span.address + span.at
        last = span.at == span.size - 4
        if not last:
            data[at : at + 4] = bytes(4)
        block = bytes(data[span.address : at if last else span.address + span.size])
        checksum = lookup3(block) if native is None else native(block, len(block), 0)
        data[at : at + 4] = checksum.to_bytes(4, "little")


def mutated(file: Anatomy, others: Sequence[Anatomy], rng: random.Random) -> bytes:
    """Return a damaged copy; parts of `others` may be put into it."""
    data, touched = bytearray(file.data), []
    for _ in range(rng.choice((1, 1, 1, 1, 2, 2, 3, 5))):
        at = rng.choice(file.dense if rng.random() < 0.9 else file.metadata)
        size = _damage(data, at, file, others, rng)
        touched.append((at, at + size))
    if rng.random() < 0.97:
        sign(data, [s for s in file.spans if any(a < s.address + s.size and b > s.address for a, b in touched)])
    if rng.random() < 0.02:
        del data[rng.choice(file.metadata) :]
    return bytes(data)


def _damage(data: bytearray, at: int, file: Anatomy, others: Sequence[Anatomy], rng: random.Random) -> int:
    """Change something at a position; return how many bytes, about."""
    left = len(data) - at
    action = rng.randrange(12)
    if action <= 2:
        data[at] ^= 1 << rng.randrange(8)
        return 1
    if action == 3:
        data[at] = rng.choice(_LITTLE)
        return 1
    if action <= 5:  # a number near the one that is there
        width = min(rng.choice((1, 2, 4, 8)), left)
        number = int.from_bytes(data[at : at + width], "little") + rng.choice((-8, -4, -2, -1, 1, 2, 3, 4, 8, 256))
        data[at : at + width] = (number % (1 << 8 * width)).to_bytes(width, "little")
        return width
    if action == 6:
        width = min(rng.choice((2, 4, 8)), left)
        number = rng.choice((rng.choice(INTERESTING), len(data) + rng.randrange(-9, 9), rng.choice(file.metadata)))
        data[at : at + width] = (number % (1 << 8 * width)).to_bytes(width, "little")
        return width
    if action <= 8 and file.addresses:  # an address leads elsewhere
        place, _ = rng.choice(file.addresses)
        number = rng.choice(file.addresses)[1].to_bytes(8, "little") if rng.random() < 0.8 else _UNDEFINED
        data[place : place + 8] = number
        sign(data, [s for s in file.spans if s.address <= place < s.address + s.size])
        return 1
    if action == 9:
        width = min(rng.randrange(1, 17), left)
        data[at : at + width] = rng.randbytes(width)
        return width
    if action == 10:  # a part of the same file, or of another
        other = rng.choice(others) if rng.random() < 0.5 else file
        start = rng.choice(other.dense)
        part = other.data[start : start + min(rng.choice((2, 4, 8, 16, 24, 40)), left)]
        data[at : at + len(part)] = part
        return len(part)
    width = min(rng.choice((1, 2, 4, 8)), left // 2)  # two fields that follow one another change places
    data[at : at + 2 * width] = data[at + width : at + 2 * width] + data[at : at + width]
    return 2 * width
