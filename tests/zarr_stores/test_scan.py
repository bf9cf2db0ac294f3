"""Zarr stores as manifests, held against zarr-python."""

from __future__ import annotations

import json
import random
import zipfile
from pathlib import Path
from typing import Any

import netCDF4  # noqa: F401  (xarray reads with it)
import numpy as np
import pytest
import xarray as xr
import zarr

import refmaker
from refmaker.errors import FormatError, RefmakerError, Unsupported
from tests.zarr_stores.making import files_of, read_back, same_as_zarr, write_store

pytestmark = pytest.mark.filterwarnings("ignore")  # zarr's remarks on data types and consolidated metadata


@pytest.mark.parametrize("index", ["start", "end"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_folders(tmp_path: Path, zarr_format: int, index: str) -> None:
    group = write_store(str(tmp_path / "a.zarr"), zarr_format, index=index)
    manifest = refmaker.scan(tmp_path / "a.zarr")
    assert manifest.zarr_format == zarr_format
    assert manifest.refusals == {}
    assert same_as_zarr(manifest, group) == (7 if zarr_format == 3 else 5)
    assert len(manifest.arrays["none"].references) == 0


@pytest.mark.parametrize("consolidated", [False, True])
def test_zip(tmp_path: Path, consolidated: bool) -> None:
    store = zarr.storage.ZipStore(tmp_path / "a.zip", mode="w")
    write_store(store, 3, consolidated=consolidated)
    store.close()
    manifest = refmaker.scan(tmp_path / "a.zip")
    assert len(manifest.targets) == 1
    group = zarr.open_group(zarr.storage.ZipStore(tmp_path / "a.zip", mode="r"), mode="r")
    assert same_as_zarr(manifest, group) == 7


def test_verify(tmp_path: Path) -> None:
    """The truth is zarr-python; a store that changed is said to be another."""
    write_store(str(tmp_path / "a.zarr"), 3)
    refmaker.scan(tmp_path / "a.zarr").to_json(tmp_path / "a.json")
    report = refmaker.verify(tmp_path / "a.json", sample=None)
    assert (report.differences, report.skipped, len(report.arrays)) == (0, 0, 7)
    zarr.open_group(str(tmp_path / "a.zarr"), mode="a")["z"][:2] = 0
    report = refmaker.verify(tmp_path / "a.json", sample=None)
    assert any(target.status == "changed" for target in report.targets)
    assert {one.path for one in report.arrays if one.status != "same"} == {"/z"}


def test_every_shard_is_a_target(tmp_path: Path) -> None:
    write_store(str(tmp_path / "a.zarr"), 3)
    manifest = refmaker.scan(tmp_path / "a.zarr", include=["/z"])
    shards = files_of(tmp_path / "a.zarr" / "z" / "c")
    assert [target.url for target in manifest.targets] == [str(tmp_path / "a.zarr" / "zarr.json"), *map(str, shards)]
    assert [target.size for target in manifest.targets[1:]] == [shard.stat().st_size for shard in shards]
    held = manifest.arrays["z"].references
    assert (held.offset + held.size <= np.array([t.size for t in manifest.targets], "u8")[held.target]).all()
    assert manifest.arrays["z"].metadata.chunk_shape == (2, 3)


def test_nested_shards(tmp_path: Path) -> None:
    from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec, ZstdCodec

    inner = ShardingCodec(chunk_shape=(2, 2), codecs=[BytesCodec(), ZstdCodec()], index_location="start")
    outer = ShardingCodec(chunk_shape=(4, 4), codecs=[inner], index_codecs=[BytesCodec(endian="big"), Crc32cCodec()])
    array = zarr.create(store=str(tmp_path / "a.zarr"), shape=(10, 9), chunks=(8, 8), dtype="u2", codecs=[outer])
    array[:7, :5] = np.arange(35).reshape(7, 5) + 1
    manifest = refmaker.scan(tmp_path / "a.zarr")
    assert manifest.arrays[""].metadata.chunk_shape == (2, 2)
    store = zarr.storage.FsspecStore(refmaker.FileSystem(manifest, asynchronous=True), read_only=True, path="")
    np.testing.assert_array_equal(zarr.open_array(store, mode="r")[...], array[...])


def test_shards_that_cannot_be_looked_into_are_chunks(tmp_path: Path) -> None:
    from zarr.codecs import BytesCodec, GzipCodec, ShardingCodec

    codecs = [ShardingCodec(chunk_shape=(2,), codecs=[BytesCodec()]), GzipCodec()]
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    array = zarr.create(store=group.store, path="a", shape=(8,), chunks=(4,), dtype="u2", codecs=codecs)
    array[:] = np.arange(8)
    manifest = refmaker.scan(tmp_path / "a.zarr")
    assert manifest.arrays["a"].metadata.chunk_shape == (4,)
    (line,) = [line for line in manifest.objects if line.path == "/a"]
    assert "have no place of their own" in line.notes[0]
    np.testing.assert_array_equal(read_back(manifest)["a"][:], np.arange(8))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_both_formats(tmp_path: Path, zarr_format: Any) -> None:
    """Converted where that is exact, refused by name where it is not."""
    group = write_store(str(tmp_path / "a.zarr"), 5 - zarr_format)
    manifest = refmaker.scan(tmp_path / "a.zarr", zarr_format=zarr_format)
    found = read_back(manifest)
    assert {path.strip("/") for path in manifest.refusals} | set(manifest.arrays) >= {"x", "scalar", "s/deep/y"}
    for path in manifest.arrays:
        np.testing.assert_array_equal(found[path][...], group[path][...])
    assert all("not expressible in Zarr" in reason for reason in manifest.refusals.values())
    assert {"scalar", "s/deep/y"} <= set(manifest.arrays)


def test_group_include_inline_strict(tmp_path: Path) -> None:
    group = write_store(str(tmp_path / "a.zarr"), 3)
    manifest = refmaker.scan(tmp_path / "a.zarr", group="/s", inline_threshold=10_000)
    assert list(manifest.arrays) == ["deep/y"]
    assert manifest.sources == {"deep/y": (0, "/s/deep/y")}
    assert (len(manifest.arrays["deep/y"].references.inline), len(manifest.targets)) == (3, 1)
    np.testing.assert_array_equal(read_back(manifest)["deep/y"][:], group["s/deep/y"][:])
    with pytest.raises(FormatError, match="no group"):
        refmaker.scan(tmp_path / "a.zarr", group="/nothing")


def documents(tmp_path: Path, **members: Any) -> Path:
    """Write an array whose metadata say something else."""
    array = zarr.create_array(str(tmp_path / "a.zarr" / "a"), shape=(4,), chunks=(2,), dtype="i4", compressors=None)
    array[:] = np.arange(4)
    path = tmp_path / "a.zarr" / "a" / "zarr.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **members}))
    (tmp_path / "a.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    return tmp_path / "a.zarr"


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "new"}]}, "the codec 'new'"),
        ({"codecs": ["numcodecs.pickle"]}, "a codec that runs"),
        ({"data_type": "int7"}, "data type 'int7'"),
        ({"chunk_grid": {"name": "hexagonal", "configuration": {}}}, "chunk"),
        ({"chunk_grid": {"name": "rectilinear", "configuration": {}}}, "rectilinear grid"),
        ({"storage_transformers": [1]}, "storage transformers"),
        ({"extra": {"must_understand": True}}, "the member 'extra'"),
        ({"shape": [-1]}, "shape"),
        ({"shape": [2**62], "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}}}, "count"),
        ({"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4]}}}, "not as long as its elements"),
        ({"chunk_key_encoding": {"name": "v2"}}, "spelt otherwise"),
    ],
)
def test_refused_by_name(tmp_path: Path, members: dict[str, Any], reason: str) -> None:
    path = documents(tmp_path, **members)
    manifest = refmaker.scan(path)
    assert list(manifest.refusals) == ["/a"]
    assert reason in manifest.refusals["/a"]
    assert manifest.arrays == {}
    with pytest.raises(RefmakerError):
        refmaker.scan(path, strict=True)


def test_harmless_members_are_kept(tmp_path: Path) -> None:
    manifest = refmaker.scan(documents(tmp_path, extra={"must_understand": False}))
    assert manifest.refusals == {}
    assert manifest.arrays["a"].metadata.document["extra"] == {"must_understand": False}


def test_an_array_of_the_other_format(tmp_path: Path) -> None:
    path = documents(tmp_path)
    zarr.create_array(str(path / "b"), shape=(2,), dtype="i4", zarr_format=2)
    assert "array of Zarr 2" in refmaker.scan(path).refusals["/b"]


def test_chunks_outside_the_array_are_counted(tmp_path: Path) -> None:
    manifest = refmaker.scan(documents(tmp_path, shape=[2]))
    (line,) = [line for line in manifest.objects if line.path == "/a"]
    assert line.notes == ["1 chunks in the store lie outside the array, and are left out"]


def test_damaged_index(tmp_path: Path) -> None:
    write_store(str(tmp_path / "a.zarr"), 3)
    shard = files_of(tmp_path / "a.zarr" / "z" / "c")[0]
    data = bytearray(shard.read_bytes())
    data[-10] ^= 1
    shard.write_bytes(data)
    manifest = refmaker.scan(tmp_path / "a.zarr")
    assert list(manifest.refusals) == ["/z"]
    assert "checksum of the index is wrong" in manifest.refusals["/z"]


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    write_store(str(tmp_path / "a.zarr"), 3)
    (tmp_path / "a.zarr" / "x" / "c" / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(RefmakerError, match="cannot be listed"):
        refmaker.scan(tmp_path / "a.zarr")


def test_circles(tmp_path: Path) -> None:
    write_store(str(tmp_path / "a.zarr"), 3)
    (tmp_path / "a.zarr" / "x" / "round").symlink_to(tmp_path / "a.zarr")
    with pytest.raises(FormatError, match="circles"):
        refmaker.scan(tmp_path / "a.zarr")


def test_n5(tmp_path: Path) -> None:
    (tmp_path / "a.n5").mkdir()
    (tmp_path / "a.n5" / "attributes.json").write_text('{"n5": "2.0.0"}')
    with pytest.raises(Unsupported, match="N5"):
        refmaker.scan(tmp_path / "a.n5")


def test_compressed_members_of_zip_files(tmp_path: Path) -> None:
    group = write_store(str(tmp_path / "a.zarr"), 3)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in files_of(tmp_path / "a.zarr"):
            name = path.relative_to(tmp_path / "a.zarr").as_posix()
            archive.write(path, name, zipfile.ZIP_DEFLATED if name.startswith("x/c/") else zipfile.ZIP_STORED)
    manifest = refmaker.scan(tmp_path / "a.zip")
    assert list(manifest.refusals) == ["/x"]
    assert "compressed in its zip file" in manifest.refusals["/x"]
    np.testing.assert_array_equal(read_back(manifest)["z"][...], group["z"][...])


def test_a_shard_a_netcdf4_file_and_a_classic_file(tmp_path: Path) -> None:
    """One manifest along time, which xarray shows as it shows the three; held against all of them."""

    def made(start: int) -> xr.Dataset:
        times = ("time", np.arange(start, start + 4.0), {"units": "days since 2000-01-01"})
        values = np.arange(start, start + 4)[:, None] * 10.0 + np.arange(6.0)
        return xr.Dataset({"v": (("time", "x"), values)}, {"time": times, "x": ("x", np.arange(6.0))})

    plain: dict[str, Any] = {"time": {"_FillValue": None}, "x": {"_FillValue": None}}
    shards = {"compressors": None, "chunks": (2, 6), "shards": (4, 6), "_FillValue": -1.0}
    bare = {name: {"compressors": None, **one} for name, one in plain.items()}
    made(0).to_zarr(tmp_path / "a.zarr", zarr_format=3, encoding={"v": shards, **bare})
    made(4).to_netcdf(tmp_path / "b.nc", encoding={"v": {"chunksizes": (2, 6), "_FillValue": -1.0}, **plain})
    made(8).to_netcdf(tmp_path / "c.nc", format="NETCDF3_CLASSIC", encoding={"v": {"_FillValue": -1.0}, **plain})
    manifests = [refmaker.scan(tmp_path / name, zarr_format=2) for name in ("a.zarr", "b.nc", "c.nc")]
    refmaker.combine(manifests, concat="time", on_mismatch="inline").to_json(tmp_path / "all.json")
    with xr.open_dataset(tmp_path / "all.json", engine="refmaker") as found:
        parts = [xr.open_zarr(tmp_path / "a.zarr"), *(xr.open_dataset(tmp_path / name) for name in ("b.nc", "c.nc"))]
        xr.testing.assert_identical(found.load(), xr.concat(parts, "time").load())
        for part in parts:
            part.close()
    report = refmaker.verify(tmp_path / "all.json", sample=None)
    assert (report.differences, report.skipped) == (0, 0)


def test_damaged_stores(tmp_path: Path) -> None:
    """An answer or a RefmakerError, and no reference beyond its file."""
    store = zarr.storage.ZipStore(tmp_path / "a.zip", mode="w")
    write_store(store, 3, index="start")
    store.close()
    sound, rng = (tmp_path / "a.zip").read_bytes(), random.Random("zarr")
    outcomes = {"answer": 0, "error": 0}
    for _ in range(300):
        changed = bytearray(sound)
        for _ in range(rng.choice((1, 1, 2, 8))):
            at = rng.randrange(4, len(changed))
            changed[at] = rng.choice((0, 0xFF, changed[at] ^ 1 << rng.randrange(8), rng.randrange(256)))
        if rng.random() < 0.1:
            del changed[rng.randrange(4, len(changed)) :]
        (tmp_path / "b.zip").write_bytes(changed)
        try:
            manifest = refmaker.scan(tmp_path / "b.zip")
        except RefmakerError:
            outcomes["error"] += 1
            continue
        outcomes["answer"] += 1
        for array in manifest.arrays.values():
            assert (array.references.offset + array.references.size <= len(changed)).all()
    assert min(outcomes.values()) > 0
