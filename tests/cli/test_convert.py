"""`refmaker convert`."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

import refmaker
from refmaker.manifest import Manifest

from .conftest import Run


def values(manifest: Path | Manifest, path: str) -> np.ndarray:
    zarr = pytest.importorskip("zarr", minversion="3")
    fs = refmaker.FileSystem(manifest if isinstance(manifest, Manifest) else str(manifest), asynchronous=True)
    return zarr.open_group(zarr.storage.FsspecStore(fs, read_only=True), mode="r", use_consolidated=False)[path][...]


@pytest.fixture
def scanned(run: Run, source: Path, tmp_path: Path) -> Path:
    path = tmp_path / "m.json"
    assert run("scan", source, "-o", path).exit_code == 0
    return path


def content(path: Path) -> tuple[object, ...]:
    held = refmaker.open_manifest(path)
    arrays = {}
    for name, array in held.arrays.items():
        r = array.references
        columns = [column.tolist() for column in (r.cell, r.target, r.offset, r.size)]
        arrays[name] = (array.metadata, array.attributes, columns, r.inline, r.whole)
    return held.groups, arrays, list(held.targets), held.refusals


@pytest.mark.parametrize("suffix", [".json", ".json.gz", ".json.zst", ".json.zstd", ".parq", ".parquet"])
def test_forms(run: Run, scanned: Path, source: Path, tmp_path: Path, suffix: str) -> None:
    if suffix.startswith(".parq"):
        pytest.importorskip("pyarrow")
    path, back = tmp_path / f"n{suffix}", tmp_path / "back.json"
    result = run("convert", scanned, "-o", path)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"{scanned} -> {path}: 4 arrays, 7 chunks\n".replace(
        "7 chunks", result.stderr.split(", ")[1][:-1]
    )
    assert content(path) == content(scanned)
    assert run("convert", path, "-o", back, "-q").stderr == ""
    assert back.read_bytes() == scanned.read_bytes()
    with h5py.File(source) as file:
        np.testing.assert_array_equal(values(path, "chunked"), file["chunked"][...])
        np.testing.assert_array_equal(values(path, "group/sparse"), file["group/sparse"][...])
    assert run("verify", path, "--full").exit_code == 0
    assert json.loads(run("info", path, "--json").stdout)["kind"] == "manifest"


def test_scan_writes_by_suffix(run: Run, source: Path, scanned: Path, tmp_path: Path) -> None:
    for suffix in (".json.gz", ".json.zst"):
        assert run("scan", source, "-o", tmp_path / f"n{suffix}").exit_code == 0
        assert content(tmp_path / f"n{suffix}") == content(scanned)
    assert gzip.decompress((tmp_path / "n.json.gz").read_bytes()) == scanned.read_bytes()
    pytest.importorskip("pyarrow")
    for _ in range(2):  # a set may be replaced
        assert run("scan", source, "-o", tmp_path / "n.parq").exit_code == 0
    assert content(tmp_path / "n.parq") == content(scanned)


def test_stdout(run: Run, scanned: Path) -> None:
    result = run("convert", scanned, "-o", "-")
    assert result.stdout_bytes == scanned.read_bytes()
    assert "stdout" in result.stderr


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
def test_zarr_formats(run: Run, scanned: Path, source: Path, tmp_path: Path) -> None:
    v3, v2 = tmp_path / "v3.json", tmp_path / "v2.json"
    assert run("convert", scanned, "-o", v3, "--zarr-format", 3).exit_code == 0
    assert refmaker.open_manifest(v3).zarr_format == 3
    with h5py.File(source) as file:
        np.testing.assert_array_equal(values(v3, "chunked"), file["chunked"][...])
    assert run("convert", v3, "-o", v2, "--zarr-format", 2).exit_code == 0
    assert {name: array.metadata for name, array in refmaker.open_manifest(v2).arrays.items()} == {
        name: array.metadata for name, array in refmaker.open_manifest(scanned).arrays.items()
    }
    pytest.importorskip("pyarrow")
    assert run("convert", v3, "-o", tmp_path / "v3.parq").exit_code == 0
    assert content(tmp_path / "v3.parq") == content(v3)
    assert "usage" in run("convert", scanned, "-o", v3, "--zarr-format", 4).stderr.lower()


def test_what_is_refused_is_named(run: Run, scanned: Path, tmp_path: Path) -> None:
    text = json.loads(scanned.read_text())
    document = json.loads(text["refs"]["chunked/.zarray"]) | {"order": "F"}
    text["refs"]["chunked/.zarray"] = json.dumps(document)
    scanned.write_text(json.dumps(text))
    result = run("convert", scanned, "-o", tmp_path / "v3.json", "--zarr-format", 3)
    assert result.exit_code == 3
    assert "1 refused" in result.stderr
    assert "/chunked: not expressible in Zarr 3: elements in the order of Fortran" in result.stderr
    held = refmaker.open_manifest(tmp_path / "v3.json")
    assert list(held.refusals) == ["/chunked"]
    assert "chunked" not in held.arrays
    assert run("convert", tmp_path / "v3.json", "-o", tmp_path / "again.json").exit_code == 0


def test_relative_targets_stay_the_same_files(run: Run, scanned: Path, source: Path, tmp_path: Path) -> None:
    text = json.loads(scanned.read_text())
    text["refmaker"]["targets"][0]["url"] = source.name
    for key, value in text["refs"].items():
        if isinstance(value, list):
            text["refs"][key] = [source.name, *value[1:]]
    scanned.write_text(json.dumps(text))
    (tmp_path / "a/b").mkdir(parents=True)
    for output in (tmp_path / "a/b/n.json", tmp_path / "n.json"):
        assert run("convert", scanned, "-o", output).exit_code == 0
        with h5py.File(source) as file:
            np.testing.assert_array_equal(values(output, "chunked"), file["chunked"][...])
    assert refmaker.open_manifest(tmp_path / "a/b/n.json").targets[0].url == f"../../{source.name}"
    assert refmaker.open_manifest(tmp_path / "n.json").targets[0].url == source.name


def test_failures(run: Run, scanned: Path, tmp_path: Path) -> None:
    assert run("convert", tmp_path / "none.json", "-o", tmp_path / "n.json").exit_code == 1
    assert run("convert", tmp_path / "none.parq", "-o", tmp_path / "n.json").exit_code == 1
    assert run("convert", scanned, "-o", tmp_path / "none/n.json").exit_code == 1
    assert run("convert", scanned).exit_code == 2
    assert not (tmp_path / "n.json").exists()
    folder = tmp_path / "mine.parq"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    assert run("convert", scanned, "-o", folder).exit_code == 1
    assert (folder / "notes.txt").read_text() == "mine"


def test_missing_shards(run: Run, tmp_path: Path) -> None:
    """kerchunk writes no shard without references: a conversion can be told so."""
    pytest.importorskip("pyarrow")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (4,), "i4", chunks=(2,), fillvalue=7)
        file.create_dataset("y", data=np.arange(4), chunks=(2,))
    assert run("scan", tmp_path / "a.h5", "-o", tmp_path / "k.parq").exit_code == 0
    head = tmp_path / "k.parq" / ".zmetadata"
    document = json.loads(head.read_text())
    del document["refmaker"]
    document["metadata"]["x/.zarray"]["fill_value"] = 7
    head.write_text(json.dumps(document))
    (tmp_path / "k.parq" / "x" / "refs.0.parq").unlink()
    found = run("convert", tmp_path / "k.parq", "-o", tmp_path / "m.json")
    assert found.exit_code == 1
    assert "missing_shards" in found.stderr
    assert len(found.stderr.splitlines()) == 1
    for name in ("m.json", "m.parq"):
        options = ("--missing-shards", "empty", "-o", tmp_path / name)
        assert run("convert", tmp_path / "k.parq", *options).exit_code == 0
        assert values(tmp_path / name, "x").tolist() == [7] * 4
        assert values(tmp_path / name, "y").tolist() == [0, 1, 2, 3]
