"""Files in CAR archives, made by hand after the specifications."""

from __future__ import annotations

import base64
import hashlib
import io
import random
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest

import refmaker
from refmaker.errors import FormatError, RefmakerError, Unsupported
from refmaker.sources.containers.car import locate_in_car, read_archive


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def cid(data: bytes, codec: int = 0x55) -> bytes:
    return bytes([1, codec, 0x12, 0x20]) + hashlib.sha256(data).digest()


def text(one: bytes) -> str:
    return "b" + base64.b32encode(one).decode().lower().rstrip("=")


def message(*fields: tuple[int, bytes | int]) -> bytes:
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def node(kind: int, links: list[tuple[str, bytes]], data: bytes | None = None) -> bytes:
    """Return a node of UnixFS in DAG-PB: links, then the data."""
    own = message((1, kind), *(() if data is None else ((2, data),)))
    return message(*((2, message((1, one), (2, name.encode()))) for name, one in links), (1, own))


def archive(blocks: list[tuple[bytes, bytes]], roots: list[bytes], version: int = 1) -> bytes:
    listed = b"".join(b"\xd8\x2a\x58" + bytes([len(root) + 1]) + b"\0" + root for root in roots)
    header = b"\xa2eroots" + bytes([0x80 | len(roots)]) + listed + b"gversion\x01"
    out = varint(len(header)) + header
    for one, data in blocks:
        out += varint(len(one) + len(data)) + one + data
    if version == 1:
        return out
    return b"\x0a\xa1\x67version\x02" + bytes(16) + struct.pack("<QQQ", 60, len(out), 0) + bytes(9) + out + b"index"


def hdf5() -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        opened.create_dataset("t", data=np.arange(100), chunks=(10,), compression="gzip")
    return file.getvalue()


def tree(data: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return the blocks of `d/a.h5`, and the root."""
    leaf = cid(data)
    folder = node(1, [("a.h5", leaf)])
    root = node(1, [("d", cid(folder, 0x70))])
    return [(cid(root, 0x70), root), (cid(folder, 0x70), folder), (leaf, data)], cid(root, 0x70)


@pytest.mark.parametrize("version", [1, 2])
def test_an_hdf5_file_in_place(tmp_path: Path, version: int) -> None:
    data = hdf5()
    blocks, root = tree(data)
    path = tmp_path / "a.car"
    path.write_bytes(archive(blocks, [root], version))
    for name in ("d/a.h5", f"{text(root)}/d/a.h5", text(cid(data))):
        manifest = refmaker.scan(f"car://{name}::{path}")
        assert manifest.targets[0].url == str(path)
        assert manifest.refusals == {}
    manifest.to_json(tmp_path / "a.json")
    report = refmaker.verify(tmp_path / "a.json", sample=None, xarray=False)
    assert (report.differences, report.skipped, len(report.arrays)) == (0, 0, 1)


def test_kinds_of_files() -> None:
    inner = node(2, [], b"abc")
    one, two = cid(b"abc"), cid(b"def")
    many = node(2, [("", one), ("", two)])
    root = node(1, [("inner", cid(inner, 0x70)), ("many", cid(many, 0x70)), ("leaf", one), ("gone", cid(b"?"))])
    blocks = [(cid(each, 0x70), each) for each in (root, inner, many)] + [(one, b"abc"), (two, b"def")]
    data = archive(blocks, [cid(root, 0x70)])
    for name in ("inner", "leaf"):
        place = locate_in_car(io.BytesIO(data), name)
        assert place is not None
        assert data[place[0] : place[0] + place[1]] == b"abc"
    assert locate_in_car(io.BytesIO(data), "nothing") is None
    with pytest.raises(Unsupported, match="2 blocks"):
        locate_in_car(io.BytesIO(data), "many")
    with pytest.raises(FormatError, match="lacks a block"):
        locate_in_car(io.BytesIO(data), "gone")
    with pytest.raises(Unsupported, match="no file"):
        locate_in_car(io.BytesIO(data), text(cid(root, 0x70)))


def test_version_0() -> None:
    inner = node(2, [], b"abc")
    old = b"\x12\x20" + hashlib.sha256(inner).digest()
    number, name = int.from_bytes(old, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        name = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[rest] + name
    assert locate_in_car(io.BytesIO(archive([(old, inner)], [old])), name) is not None


def test_damage() -> None:
    blocks, root = tree(b"abc" * 100)
    data = archive(blocks, [root])
    with pytest.raises(FormatError, match="does not have the bytes"):
        locate_in_car(io.BytesIO(data[:-1] + b"?"), "d/a.h5")
    with pytest.raises(Unsupported, match="2 roots"):
        locate_in_car(io.BytesIO(archive(blocks, [root, root])), "d/a.h5")
    rng, outcomes = random.Random("car"), {"place": 0, "none": 0, "error": 0}
    for _ in range(2000):
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 5))):
            changed[rng.randrange(len(changed))] = rng.choice((0, 0x80, 0xFF, rng.randrange(256)))
        try:
            place = locate_in_car(io.BytesIO(changed), "d/a.h5")
        except RefmakerError:
            outcomes["error"] += 1
            continue
        outcomes["none" if place is None else "place"] += 1
        if place is not None:
            assert bytes(changed[place[0] : sum(place)]) == b"abc" * 100
    assert outcomes["error"] > 0
    assert outcomes["place"] > 0


def test_blocks() -> None:
    blocks, root = tree(b"abc")
    found = read_archive(io.BytesIO(archive(blocks, [root])))
    assert found.roots == [root]
    assert list(found.blocks) == [one for one, _ in blocks]
