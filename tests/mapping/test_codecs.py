from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest

from refmaker.codecs.hdf5_filters import fletcher32
from refmaker.errors import Unsupported
from refmaker.mapping.codecs import zarr_codecs
from refmaker.model import Filter
from refmaker.scanning.scan import scan
from tests.mapping.stock import open_array, open_group

DEFLATE = Filter(1, "deflate", True, (4,))
SHUFFLE = Filter(2, "shuffle", True, (4,))
FLETCHER32 = Filter(3, "fletcher32", False, ())
NO_SHUFFLE = Filter(2, "shuffle", True, (1,))


def ids(*filters: Filter, size: int = 64) -> tuple[list[str], str | None, int]:
    codecs = zarr_codecs(filters, size)
    return [c["id"] for c in codecs.filters or []], (codecs.compressor or {}).get("id"), codecs.trim


def test_the_last_compressor_stands_apart() -> None:
    assert ids() == ([], None, 0)
    assert ids(DEFLATE) == ([], "zlib", 0)
    assert ids(SHUFFLE) == (["shuffle"], None, 0)
    assert ids(SHUFFLE, DEFLATE) == (["shuffle"], "zlib", 0)
    assert ids(DEFLATE, DEFLATE) == (["zlib"], "zlib", 0)


def test_a_checksum_at_the_end_is_trimmed() -> None:
    assert ids(FLETCHER32) == ([], None, 4)
    assert ids(SHUFFLE, DEFLATE, FLETCHER32) == (["shuffle"], "zlib", 4)
    assert ids(DEFLATE, FLETCHER32, NO_SHUFFLE) == ([], "zlib", 4)
    assert ids(FLETCHER32, DEFLATE) == (["fletcher32"], "zlib", 0)
    assert ids(FLETCHER32, FLETCHER32) == ([], None, 8)


def test_a_checksum_at_the_end_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=np.arange(100, dtype="<i4"), chunks=(30,), fletcher32=True, compression="gzip")
    kept = scan(str(path), keep_checksums=True)
    assert kept.arrays["d"].metadata.document["filters"] == [{"id": "zlib", "level": 4}, {"id": "fletcher32"}]
    assert (kept.arrays["d"].references.size == scan(str(path)).arrays["d"].references.size + 4).all()
    np.testing.assert_array_equal(open_array(kept, tmp_path, "d")[...], np.arange(100))
    content = bytearray(path.read_bytes())
    content[int(kept.arrays["d"].references.offset[1] + kept.arrays["d"].references.size[1]) - 1] ^= 1
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match="fletcher32"):
        open_array(kept, tmp_path, "d")[...]


def test_configurations_are_plain() -> None:
    codecs = zarr_codecs((SHUFFLE, DEFLATE), 64)
    assert codecs.configs == ({"id": "shuffle", "elementsize": 4}, {"id": "zlib", "level": 4})


@pytest.mark.parametrize(
    ("filters", "size", "why"),
    [
        ((DEFLATE, SHUFFLE), 64, "behind a compressor"),
        ((SHUFFLE,), 63, "remainder"),
        ((FLETCHER32, Filter(2, "", True, (8,))), 64, "remainder"),
        ((Filter(2, "", True, ()),), 64, "element size"),
        ((Filter(2, "", True, (0,)),), 64, "element size"),
        ((Filter(4, "szip", True, (1, 2)),), 64, r"filter 4 \(szip\)"),
        ((Filter(65000, "mine", True, ()),), 64, r"filter 65000 \(mine\)"),
        ((Filter(65000, "", True, ()),), 64, "unnamed"),
        ((Filter(32001, "blosc", True, (2, 2, 4, 64, 5, 1, 3)),), 64, "snappy"),
        ((Filter(32001, "blosc", True, (2, 2, 4, 64, 5, 1, 9)),), 64, "number 9"),
    ],
)
def test_refused_by_name(filters: tuple[Filter, ...], size: int, why: str) -> None:
    with pytest.raises(Unsupported, match=why):
        zarr_codecs(filters, size)


@pytest.mark.parametrize("size", [1, 2, 3, 101, 1000, 70001])
def test_numcodecs_fletcher32_is_that_of_hdf5(size: int) -> None:
    import numcodecs

    for data in (np.random.default_rng(size).bytes(size), b"\xff" * size, b"\0" * size):
        assert bytes(numcodecs.Fletcher32().encode(data))[-4:] == fletcher32(data).to_bytes(4, "little")


PIPELINES: dict[str, dict[str, Any]] = {
    "none": {},
    "gzip": {"compression": "gzip"},
    "gzip0": {"compression": "gzip", "compression_opts": 0},
    "shuffle": {"shuffle": True},
    "all": {"compression": "gzip", "shuffle": True, "fletcher32": True},
    "fletcher32": {"fletcher32": True},
    "bzip2": dict(hdf5plugin.BZip2(3)),
    "zstd": dict(hdf5plugin.Zstd(5)),
    "shuffle_zstd": {"shuffle": True, **hdf5plugin.Zstd()},
    **{
        f"blosc_{name}_{shuffle}": dict(hdf5plugin.Blosc(cname=name, clevel=5, shuffle=shuffle))
        for name in ("blosclz", "lz4", "lz4hc", "zlib", "zstd")
        for shuffle in (0, 1, 2)
    },
}


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_decodes_what_libhdf5_encodes(tmp_path: Path, zarr_format: Any) -> None:
    path = tmp_path / "a.h5"
    rng = np.random.default_rng(0)
    smooth = rng.normal(size=(40, 24)).cumsum(0).round(1)
    values = {"i4": (smooth * 10).astype("i4"), "f8": smooth, "u1": rng.integers(0, 3, (40, 24), "u1")}
    noise = rng.integers(0, 256, (40, 24), "u1")
    with h5py.File(path, "w") as f:
        for name, options in PIPELINES.items():
            for kind, data in {**values, "noise": noise}.items():
                f.create_dataset(f"{name}/{kind}", data=data, chunks=(16, 20), **options)
    manifest = scan(str(path), zarr_format=zarr_format)
    assert not manifest.refusals
    group = open_group(manifest, tmp_path)
    for name in PIPELINES:
        for kind, data in {**values, "noise": noise}.items():
            assert (group[f"{name}/{kind}"][...] == data).all(), (name, kind)


@pytest.mark.parametrize(
    "order", ["deflate_shuffle", "deflate_twice", "fletcher32_deflate", "deflate_fletcher32_shuffle"]
)
def test_unusual_orders(tmp_path: Path, order: str) -> None:
    path = tmp_path / "a.h5"
    data = np.arange(1000, dtype="<i4")
    with h5py.File(path, "w") as f:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((300,))
        for step in order.replace("twice", "deflate").split("_"):
            plist.set_deflate(5) if step == "deflate" else getattr(plist, f"set_{step}")()
        d = h5py.h5d.create(f.id, b"v", h5py.h5t.STD_I32LE, h5py.h5s.create_simple((1000,)), plist)
        d.write(h5py.h5s.ALL, h5py.h5s.ALL, data)
    manifest = scan(str(path))
    assert not manifest.refusals
    assert (open_array(manifest, tmp_path, "v")[...] == data).all()
    in_place = order in ("deflate_twice", "fletcher32_deflate")
    assert bool(manifest.arrays["v"].references.inline) is not in_place


def test_over_the_inline_limit_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as f:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((300,))
        plist.set_deflate(5)
        plist.set_shuffle()
        d = h5py.h5d.create(f.id, b"v", h5py.h5t.STD_I32LE, h5py.h5s.create_simple((1000,)), plist)
        d.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(1000, dtype="<i4"))
    assert "inline limit" in scan(str(path), inline_limit=1000, portable=True).refusals["/v"]


@pytest.mark.parametrize("number", [32022, 32023])
def test_filters_that_round_what_is_written_are_left_out(tmp_path: Path, number: int) -> None:
    """Their plugins give back what is stored, so that nobody needs them for reading."""
    from h5py import h5d, h5p, h5s, h5t, h5z

    values = np.arange(21, dtype="<f4")
    path = tmp_path / "rounded.h5"
    with h5py.File(path, "w") as file:
        plist = h5p.create(h5p.DATASET_CREATE)
        plist.set_chunk((7,))
        plist.set_filter(number, h5z.FLAG_OPTIONAL, (3, 4, 0, 0, 0))
        plist.set_deflate(4)
        dataset = h5d.create(file.id, b"d", h5t.IEEE_F32LE, h5s.create_simple((21,)), plist)
        for start in (0, 7):
            dataset.write_direct_chunk((start,), zlib.compress(values[start : start + 7].tobytes()), 0)
        dataset.write_direct_chunk((14,), values[14:].tobytes(), 3)
    manifest = scan(str(path))
    assert not manifest.refusals
    assert manifest.arrays["d"].metadata.document["filters"] is None
    assert len(manifest.arrays["d"].references.cell) == 2
    np.testing.assert_array_equal(open_array(manifest, tmp_path, "d")[...], values)
