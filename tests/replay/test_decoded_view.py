"""The decoded view: the same values by every reader, absent chunks, and errors where there are any."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refmaker.errors import FormatError, ManifestError, RefmakerError, SourceError, TargetChanged, Unsupported
from refmaker.manifest.manifest import Manifest, Target
from refmaker.replay import decoded_view as module
from refmaker.replay import pieces
from refmaker.replay.filesystem import FileSystem
from refmaker.replay.rechunked import rechunked
from tests.replay.readers import READERS, ZARR, Reader, stored
from tests.replay.scenes import DATA, FILL, HEAD, VALUES, array, manifest, references, scene
from tests.servers import RangeServer

FORMATS = [2] if ZARR == 2 else [2, 3]
EXPECTED = VALUES.copy()
EXPECTED[2:4] = FILL
zarr3 = pytest.mark.skipif(ZARR != 3, reason="needs zarr 3")


@pytest.fixture(params=sorted(READERS.keys() - {"filesystem"}))
def reader(request: pytest.FixtureRequest) -> Reader:
    return READERS[request.param]


@pytest.mark.parametrize("zarr_format", FORMATS)
@pytest.mark.parametrize("chunk_target", [1, 64, "1MiB"])
def test_readers(reader: Reader, zarr_format: Any, chunk_target: Any, tmp_path: Path) -> None:
    (tmp_path / "a.nc").write_bytes(DATA)
    scene("a.nc", zarr_format=zarr_format).to_json(str(tmp_path / "m.json"))
    found = reader(fo=str(tmp_path / "m.json"), view="decoded", chunk_target=chunk_target)
    np.testing.assert_array_equal(found, EXPECTED)


@pytest.mark.parametrize("text", ["1 MiB", "64K", "5MB", 7, "12"])
def test_chunk_target(text: Any) -> None:
    assert FileSystem("m", chunk_target=text).chunk_target == {"1 MiB": 1 << 20, "64K": 1 << 16, "5MB": 5_000_000}.get(
        text, int(text) if str(text).isdigit() else 0
    )


@pytest.mark.parametrize(
    "options", [{"chunk_target": "much"}, {"chunk_target": 0}, {"chunk_target": True}, {"view": "x"}]
)
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(options))):
        FileSystem("m", **options)


# Any array


def compressed(values: np.ndarray, chunks: tuple[int, ...], rng: Any, order: str = "C") -> tuple[bytes, Manifest]:
    """Make a file of compressed chunks in any order, some of them absent and some in the manifest, and its manifest."""
    grid = tuple(-(-extent // chunk) for extent, chunk in zip(values.shape, chunks, strict=True))
    data, rows, inline = bytearray(b"head"), {}, {}
    for cell in rng.permutation(int(np.prod(grid, dtype=int))).tolist():
        index = np.unravel_index(cell, grid) if grid else ()
        place = tuple(slice(i * chunk, (i + 1) * chunk) for i, chunk in zip(index, chunks, strict=True))
        what = rng.random()
        if what < 0.2:
            values[place] = FILL
            continue
        block = np.zeros(chunks, values.dtype)
        block[tuple(slice(0, extent) for extent in values[place].shape)] = values[place]
        stored = zlib.compress(block.tobytes(order=order))
        if what < 0.4:
            inline[cell] = stored
            continue
        rows[cell] = (0, len(data), len(stored))
        data += stored + bytes(int(rng.integers(0, 9)))
    node = array(values.shape, chunks, references(rows, inline))
    node.metadata.document.update({"compressor": {"id": "zlib", "level": 1}, "order": order, "dtype": values.dtype.str})
    return bytes(data), manifest({"v": node}, [Target("memory://decoded/v")])


def assembled(fs: FileSystem) -> np.ndarray:
    """Put an array together from nothing but its keys."""
    metadata = json.loads(fs.cat("v/.zarray"))
    assert (metadata["compressor"], metadata["filters"], metadata["order"]) == (None, None, "C")
    shape, chunks = metadata["shape"], metadata["chunks"]
    grid = tuple(-(-extent // chunk) for extent, chunk in zip(shape, chunks, strict=True))
    out = np.full([n * chunk for n, chunk in zip(grid, chunks, strict=True)], FILL, metadata["dtype"])
    keys = [key for key in fs.find("v") if not key.rpartition("/")[2].startswith(".")]
    assert all(fs.info(key)["size"] == out.dtype.itemsize * np.prod(chunks, dtype=int) for key in keys)
    for key, data in fs.cat(keys).items():
        index = [int(i) for i in key.removeprefix("v/").split(".")][: len(grid)]
        place = tuple(slice(i * chunk, (i + 1) * chunk) for i, chunk in zip(index, chunks, strict=True))
        out[place] = np.frombuffer(data, metadata["dtype"]).reshape(chunks)
    return out[tuple(slice(0, extent) for extent in shape)]


@settings(max_examples=60)
@given(data=st.data())
def test_any_array(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 12), max_size=3)))
    chunks = tuple(data.draw(st.integers(1, 5)) for _ in shape)
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    dtype = data.draw(st.sampled_from(["<i4", ">i2", "<i8", "<f8"]))
    values = rng.integers(0, 1000, shape).astype(dtype)
    file, held = compressed(values, chunks, rng, data.draw(st.sampled_from("CF")))
    fsspec.filesystem("memory").pipe("/decoded/v", file)
    fs = FileSystem(held, view="decoded", chunk_target=data.draw(st.integers(1, 3000)))
    np.testing.assert_array_equal(assembled(fs), values)
    view, decoded = rechunked(held, 100)
    assert [one.path for one in decoded.values()] == ["v"]
    for path, node in view.arrays.items():
        assert np.all(np.diff(node.references.cell) > 0)
        assert all(n <= m for n, m in zip(node.grid, held.arrays[path].grid, strict=True))


class Dirty(pieces.Unset):
    """Memory that somebody else has used."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.view[:] = b"\xaa" * size


@pytest.mark.parametrize("fill", [0, 5])
@pytest.mark.parametrize(("shape", "chunks"), [((5, 7), (2, 7)), ((5, 7), (2, 2)), ((9,), (2,))])
def test_every_byte_is_written(fill: int, shape: Any, chunks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those of chunks that are absent, or beyond the end of the array."""
    monkeypatch.setattr(pieces, "Unset", Dirty)
    grid = tuple(-(-extent // chunk) for extent, chunk in zip(shape, chunks, strict=True))
    ones = np.ones(chunks, "<i4").tobytes()
    for size, here in ((1 << 20, [0, 2]), (1, [1]), (60, range(int(np.prod(grid))))):
        node = array(shape, chunks, references({}, dict.fromkeys(here, ones)))
        node.metadata.document.update({"compressor": None, "dtype": "<i4", "fill_value": fill})
        fs = FileSystem(manifest({"v": node}, []), view="decoded", chunk_target=size)
        found = np.concatenate(
            [np.frombuffer(data, "<i4") for data in fs.cat(fs.find("v")).values() if data[:1] != b"{"]
        )
        assert set(found.tolist()) <= {1, fill}
        assert (found == 1).sum() == len(here) * np.prod(chunks)


def test_slices_and_repetitions(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(64, dtype="<i4").reshape(8, 8)
    file, held = compressed(values, (2, 2), np.random.default_rng(5))
    fsspec.filesystem("memory").pipe("/decoded/v", file)
    fs = FileSystem(held, view="decoded")
    whole = fs.cat("v/0.0")
    decoded = []
    monkeypatch.setattr(module.DecodedView, "_assembled", lambda *args: decoded.append(args))
    assert [fs.cat_file("v/0.0", *part) for part in ((4, 9), (-4, None), (None, 3))] == [
        whole[4:9],
        whole[-4:],
        whole[:3],
    ]
    assert decoded == []


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MEMORY", 1024)
    rows = references({i: (0, i * 16, 16) for i in range(100)})
    fsspec.filesystem("memory").pipe("/decoded/v", bytes(1600))
    fs = FileSystem(
        manifest({"v": array((400,), (4,), rows)}, [Target("memory://decoded/v")]), view="decoded", chunk_target=64
    )
    assert len(fs.cat([f"v/{i}" for i in range(25)])) == 25
    assert fs._view._held == sum(len(data) for _, data in fs._view._kept.values()) <= 1024


# What is shown otherwise, or not at all


def test_text_and_unknown_codecs_are_as_they_are() -> None:
    rows = references({0: (0, len(HEAD), 32)})
    text, other = array((4,), (4,), references({}, {0: b"text"})), array((6, 4), (2, 4), rows)
    text.metadata.document.update({"dtype": "|O", "filters": [{"id": "vlen-utf8"}]})
    other.metadata.document.update({"filters": [{"id": "delta", "dtype": "<i4"}]})
    fsspec.filesystem("memory").pipe("/decoded/a", DATA)
    held = manifest({"t": text, "o": other}, [Target("memory://decoded/a")])
    fs, plain = FileSystem(held, view="decoded"), FileSystem(held)
    assert fs.find("") == plain.find("")
    assert fs.cat(fs.find("")) == plain.cat(fs.find(""))


def test_consolidated_metadata_say_what_is_shown() -> None:
    rows = references({i: (0, i * 16, 16) for i in range(4)})
    held = manifest({"g/v": array((16,), (4,), rows)}, [Target("memory://decoded/v")])
    held.extra[".zmetadata"] = json.dumps({"metadata": {"g/v/.zarray": {"chunks": [4]}}}).encode()
    found = json.loads(FileSystem(held, view="decoded").cat(".zmetadata"))["metadata"]
    assert found["g/v/.zarray"]["chunks"] == [16]
    assert {"g/v/.zattrs", "g/.zgroup", ".zgroup"} <= found.keys()


def test_arrays_without_chunks() -> None:
    held = manifest({"v": array((0, 5), (1, 5), references({})), "w": array((5,), (5,), references({}))})
    fs = FileSystem(held, view="decoded")
    assert [key for key in fs.find("") if key[0] in "vw"] == ["v/.zarray", "v/.zattrs", "w/.zarray", "w/.zattrs"]
    for key in ("v/0.0", "w/0"):
        with pytest.raises(FileNotFoundError):
            fs.cat(key)


# Errors


def faulty(tmp_path: Path, change: Any, **recorded: Any) -> FileSystem:
    """Return a view of four chunks, deflated with checksums inside, of which `change` makes the third another."""
    import numcodecs

    configs = [{"id": "fletcher32"}, {"id": "zlib", "level": 1}]
    data, rows = bytearray(), {}
    for i in range(4):
        block: Any = VALUES[:2].tobytes()
        for config in configs:
            block = bytes(numcodecs.get_codec(config).encode(block))
        block = change(block) if i == 2 else block
        rows[i] = (0, len(data), len(block))
        data += block
    (tmp_path / "a").write_bytes(data)
    node = array((8, 4), (2, 4), references(rows))
    node.metadata.document.update({"filters": configs[:1], "compressor": configs[1]})
    return FileSystem(manifest({"g/x": node}, [Target(str(tmp_path / "a"), **recorded)]), view="decoded")


def other_checksum(block: bytes) -> bytes:
    raw = bytearray(zlib.decompress(block))
    raw[3] ^= 1
    return zlib.compress(bytes(raw))


@pytest.mark.parametrize(
    "change",
    [other_checksum, lambda b: b[:-1], lambda b: b"", lambda b: b"\0" * len(b), lambda b: zlib.compress(bytes(99))],
)
def test_damage(tmp_path: Path, change: Any) -> None:
    assert faulty(tmp_path, lambda block: block).cat("g/x/0.0") == VALUES[:2].tobytes() * 4
    fs = faulty(tmp_path, change)
    for reading in (lambda: fs.cat("g/x/0.0"), lambda: fs.cat_ranges(["g/x/0.0"], 0, 4, on_error="raise")):
        with pytest.raises(FormatError) as error:
            reading()
        assert error.value.path == "g/x/0.0"
        assert error.value.source == str(tmp_path / "a")
        assert error.value.address is not None


def test_targets_and_refusals(tmp_path: Path, range_server: RangeServer) -> None:
    fs = FileSystem(scene("/nowhere/a.nc"), view="decoded")
    with pytest.raises(SourceError) as error:
        fs.cat("g/x/0.0")
    assert error.value.path == "g/x/0.0"
    with pytest.raises(Unsupported):
        fs.cat("g/bad/0.0")
    with pytest.raises(ManifestError, match="not a chunk key"):
        fs.cat("g/x/0/0")
    url = range_server.add("a", DATA)
    with pytest.raises(TargetChanged):
        FileSystem(scene(url, size=len(DATA), etag="other"), view="decoded").cat("g/x/0.0")
    held = scene(str(tmp_path / "a"), size=20)
    with pytest.raises(ManifestError, match="beyond the end"):
        FileSystem(held, view="decoded").cat("g/x/0.0")


@pytest.mark.parametrize("fault", ["404", "503", "truncated", "html", "short", "hang"])
def test_faults_by_every_reader(fault: str, reader: Reader, range_server: RangeServer, tmp_path: Path) -> None:
    scene(range_server.add("a.nc", DATA)).to_json(str(tmp_path / "m.json"))
    range_server.fault = fault
    with pytest.raises(RefmakerError):
        reader(fo=str(tmp_path / "m.json"), view="decoded", timeout=0.2 if fault == "hang" else 30)
    range_server.fault = None
    np.testing.assert_array_equal(reader(fo=str(tmp_path / "m.json"), view="decoded"), EXPECTED)


# Files of HDF5


@zarr3
@pytest.mark.filterwarnings("ignore::UserWarning")  # zarr, of codecs and dtypes that are numcodecs' or its own
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_every_filter(tmp_path: Path, zarr_format: Any) -> None:
    """All that a scan maps, with plain codecs or through libhdf5, is the same uncompressed."""
    h5py = pytest.importorskip("h5py")
    hdf5plugin = pytest.importorskip("hdf5plugin")
    import zarr

    import refmaker

    rng = np.random.default_rng(0)
    filters: dict[str, Any] = {
        "plain": {},
        "deflate": {"compression": "gzip", "shuffle": True},
        "inside": {"compression": "gzip", "fletcher32": True},
        "checksum": {"fletcher32": True},
        "lzf": {"compression": "lzf"},
        "szip": {"compression": "szip"},
        "scaled": {"scaleoffset": 2},
        "blosc": hdf5plugin.Blosc(cname="lz4"),
        "zstd": hdf5plugin.Zstd(),
        "bz2": hdf5plugin.BZip2(),
        "bitshuffle": hdf5plugin.Bitshuffle(),
    }
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, options in filters.items():
            values = np.round(rng.normal(size=(13, 17)).cumsum(axis=1), 2).astype("f4")
            data = file.create_dataset(name, (13, 17), "f4", chunks=(3, 5), fillvalue=-9, **options)
            data[:7] = values[:7]
        file.create_dataset("text", data=["a", "bc"], dtype=h5py.string_dtype())
        file.create_dataset("big", data=np.arange(30, dtype=">i8").reshape(5, 6), chunks=(2, 2))
        file.create_dataset("point", data=5.5)
    found: Any = refmaker.scan(str(tmp_path / "a.h5"), zarr_format=zarr_format)
    assert not found.refusals
    plain = zarr.open_group(stored(fo=found), mode="r")
    decoded = zarr.open_group(stored(fo=found, view="decoded", chunk_target=400), mode="r")
    names = sorted(name for name, _ in plain.arrays())
    assert names == sorted(name for name, _ in decoded.arrays())
    assert set(filters) <= set(names)
    for name in names:
        np.testing.assert_array_equal(decoded[name][...], plain[name][...])
        if name != "text":
            assert all(a >= b for a, b in zip(decoded[name].chunks, plain[name].chunks, strict=True))
            assert decoded[name].metadata.to_dict().get("compressor") is None
    assert decoded["deflate"].chunks != plain["deflate"].chunks
