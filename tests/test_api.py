"""The public interface: what it names, what it takes, what its records are to Python."""

from __future__ import annotations

import copy
import gzip
import inspect
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import h5py
import numpy as np
import pytest

import refmaker
from refmaker import errors

URL = "https://example.org/air.h5"


@pytest.fixture
def air(tmp_path: Path) -> Path:
    path = tmp_path / "air.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("group/t", data=np.arange(40.0).reshape(8, 5), chunks=(2, 5), compression="gzip")
        file["n"] = 7
        file.attrs["title"] = "<b>air & sea</b>"
    return path


def test_every_name_is_there_and_listed() -> None:
    assert len(set(refmaker.__all__)) == len(refmaker.__all__)
    for name in refmaker.__all__:
        assert getattr(refmaker, name) is not None
        assert name in dir(refmaker)
    for name in ["scan", "scan_many", "combine", "append", "verify", "check", "open_manifest", "write_manifest"]:
        assert inspect.isfunction(getattr(refmaker, name)), name
        assert name in refmaker.__all__


@pytest.mark.parametrize(
    ("options", "function"),
    [("ScanOptions", "scan_file"), ("CombineOptions", "combine_with_report")],
)
def test_typed_options_are_those_of_the_function(options: str, function: str) -> None:
    named = getattr(refmaker, options).__annotations__
    of = inspect.signature(getattr(refmaker, function)).parameters
    own = {"source", "inputs", "url", "filesystem", "store", "memory_budget"}
    assert set(named) == set(of) - own
    for name, kind in named.items():
        assert getattr(kind, "__forward_arg__", kind) == of[name].annotation, name


@pytest.mark.parametrize("name", ["scan", "scan_many", "combine", "append", "append_with_report"])
def test_signatures_spell_options_out(name: str) -> None:
    parameters = inspect.signature(getattr(refmaker, name)).parameters
    assert "storage_options" in parameters
    assert all(one.kind is not inspect.Parameter.VAR_KEYWORD for one in parameters.values())


@pytest.mark.parametrize("name", ["scan", "scan_many", "combine"])
def test_misspelt_option_is_named_with_the_one_meant(name: str) -> None:
    with pytest.raises(TypeError, match=rf"^{name}\(\) got .*'inline_limt'; did you mean 'inline_limit'\?"):
        getattr(refmaker, name)("x", inline_limt=3)


def test_misspelt_options_fail_type_checking(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    right = """
import refmaker
from pathlib import Path
m = refmaker.scan(Path("a"), inline_threshold=3, zarr_format=3)
m = refmaker.scan(b"", url="s3://b/k", portable=True)
for url, found in refmaker.scan_many(["a"], group="/g", concurrency=2):
    print(url, found)
c: refmaker.Manifest = refmaker.append(refmaker.combine(["a"], concat="time"), "b", jobs=2)
r: refmaker.VerifyReport = refmaker.verify(c, sample=3)
refmaker.write_manifest(c, Path("c.json"))
d: refmaker.CheckReport = refmaker.check(Path("out"))
"""
    wrong = """
import refmaker
refmaker.scan("a", inline_treshold=3)
refmaker.scan("a", zarr_format=4)
list(refmaker.scan_many(["a"], grup="/g"))
refmaker.combine(["a"], concatt="time")
refmaker.append("a", "b", jobs="2")
refmaker.verify("a", samples=3)
refmaker.check("a", leger="b")
refmaker.open_manifest("a", missing_shards="none")
"""
    (tmp_path / "right.py").write_text(right)
    (tmp_path / "wrong.py").write_text(wrong)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file=", "right.py"]
    environment = {**os.environ, "MYPYPATH": str(Path(refmaker.__file__).parent.parent)}
    done = subprocess.run(
        [*command, "wrong.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    lines = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert {int(line.split(":")[1]) for line in lines if line.startswith("wrong.py")} == set(range(3, 11)), done.stdout
    assert [line for line in lines if line.startswith("right.py")] == []


# What can be scanned.


def _same(found: refmaker.Manifest, air: Path) -> bool:
    return found.arrays == refmaker.scan(air).arrays


def test_bytes_are_scanned(air: Path) -> None:
    data = air.read_bytes()
    for given in (data, bytearray(data), memoryview(data), io.BytesIO(data)):
        found = refmaker.scan(given, url=URL)
        assert _same(found, air)
        assert found.targets == (refmaker.Target(URL, len(data)),)


def test_open_files_are_scanned_and_left_where_they_were(air: Path) -> None:
    with open(air, "rb") as file:
        file.seek(3)
        found = refmaker.scan(file)
        again = refmaker.scan(file, url=URL)
        assert file.tell() == 3
    assert found == refmaker.scan(air)
    assert _same(again, air)
    assert again.targets[0].url == URL


def test_filesystem_and_path(air: Path, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/api/air.h5", air.read_bytes())
    found = refmaker.scan("/api/air.h5", filesystem=memory)
    assert _same(found, air)
    assert found.targets[0].url == "memory://api/air.h5"
    local = fsspec.filesystem("file")
    assert refmaker.scan(air, filesystem=local) == refmaker.scan(air)
    copied = refmaker.scan(air, filesystem=local, url=URL)
    assert copied.targets == (refmaker.Target(URL, air.stat().st_size),), "time of a copy"


def test_store_and_path(air: Path, tmp_path: Path) -> None:
    stores = pytest.importorskip("obstore.store")
    memory = stores.MemoryStore()
    memory.put("a/air.h5", air.read_bytes())
    found = refmaker.scan("a/air.h5", store=memory, url=URL)
    assert _same(found, air)
    assert found.targets == (refmaker.Target(URL, air.stat().st_size),)
    assert refmaker.scan("air.h5", store=stores.LocalStore(str(tmp_path))) == refmaker.scan(air)
    with pytest.raises(refmaker.SourceError, match="cannot be reached"):
        refmaker.scan("none", store=memory, url=URL)


def test_any_store_of_obspec(air: Path) -> None:
    class Store:
        def head(self, path: str) -> dict[str, Any]:
            return {"size": air.stat().st_size, "e_tag": '"1"', "last_modified": None}

        def get_ranges(self, path: str, *, starts: list[int], ends: list[int]) -> list[bytes]:
            data = air.read_bytes()
            return [data[start:end] for start, end in zip(starts, ends, strict=True)]

    found = refmaker.scan("x", store=Store(), url=URL)
    assert _same(found, air)
    assert found.targets[0].etag == '"1"'


def test_store_that_gives_less_is_an_error(air: Path) -> None:
    class Store:
        def head(self, path: str) -> dict[str, Any]:
            return {"size": air.stat().st_size}

        def get_ranges(self, path: str, *, starts: list[int], ends: list[int]) -> list[bytes]:
            return [bytes(end - start - 1) for start, end in zip(starts, ends, strict=True)]

    with pytest.raises(refmaker.SourceError, match="another length"):
        refmaker.scan("x", store=Store(), url=URL)


def _unpacked(air: Path) -> Any:
    packed = air.with_suffix(".gz")
    packed.write_bytes(gzip.compress(air.read_bytes()))
    return gzip.open(packed)


def _replaced(air: Path) -> Any:
    file = open(air, "rb")  # noqa: SIM115
    data = air.read_bytes()
    air.unlink()
    air.write_bytes(data + b"more")
    return file


@pytest.mark.parametrize(
    "make",
    [Path.read_bytes, lambda air: io.BytesIO(air.read_bytes()), _unpacked, _replaced],
    ids=["bytes", "BytesIO", "unpacked", "replaced"],
)
def test_what_does_not_tell_its_url_is_refused(air: Path, make: Callable[[Path], Any]) -> None:
    given = make(air)
    try:
        with pytest.raises(refmaker.SourceError, match="give `url`"):
            refmaker.scan(given)
    finally:
        if hasattr(given, "close"):
            given.close()


def test_sources_that_are_none(air: Path) -> None:
    with open(air, encoding="latin1") as file, pytest.raises(TypeError, match="'rb'"):
        refmaker.scan(file)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="got int"):
        refmaker.scan(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="give `url` with bytes"):
        refmaker.scan(air, url=URL)
    with pytest.raises(refmaker.FormatError, match="empty"):
        refmaker.scan(b"", url=URL)


def test_paths_everywhere(air: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    expected = refmaker.scan(air)
    for path in (Path("~/air.h5"), "~/air.h5", f"file://{air}"):
        assert refmaker.scan(path) == expected
        assert [found for _, found in refmaker.scan_many([path])] == [expected]
        assert refmaker.combine(path).arrays == expected.arrays
    for target in (Path("~/m.json"), f"file://{tmp_path}/m.parq", "~/m.json.gz"):
        refmaker.write_manifest(expected, target)
        assert refmaker.open_manifest(target) == expected
    assert {"m.json", "m.parq", "m.json.gz"} <= {path.name for path in tmp_path.iterdir()}
    refmaker.write_manifest(expected, "memory://everywhere/m.json")
    assert refmaker.open_manifest("memory://everywhere/m.json") == expected
    with pytest.raises(refmaker.BatchError):
        refmaker.check(tmp_path)


# Records.


@pytest.fixture
def manifest(air: Path) -> refmaker.Manifest:
    return refmaker.scan(air, inline_threshold=20)


def test_equality_is_that_of_content(manifest: refmaker.Manifest, air: Path) -> None:
    other = refmaker.scan(air, inline_threshold=20)
    assert manifest == other
    assert manifest == copy.deepcopy(manifest)
    other.arrays["group/t"].references.offset[1] += np.uint64(1)
    assert manifest != other
    assert manifest.arrays["group/t"] != other.arrays["group/t"]
    assert manifest != refmaker.scan(air, zarr_format=3)
    assert manifest != "manifest"
    for one in (manifest, manifest.arrays["n"], manifest.arrays["n"].references):
        with pytest.raises(TypeError, match="unhashable"):
            hash(one)
    assert len({*manifest.targets, *other.targets}) == 1


def test_references_of_a_parquet_set_are_equal_too(manifest: refmaker.Manifest, tmp_path: Path) -> None:
    refmaker.write_manifest(manifest, tmp_path / "m.parq")
    assert refmaker.open_manifest(tmp_path / "m.parq") == manifest


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_dict_and_arrow_are_exact(air: Path, zarr_format: Any) -> None:
    manifest = refmaker.scan(air, inline_threshold=20, zarr_format=zarr_format)
    assert refmaker.Manifest.from_dict(manifest.to_dict()) == manifest
    pytest.importorskip("pyarrow")
    table = manifest.to_arrow()
    assert refmaker.Manifest.from_arrow(table) == manifest
    assert table.num_rows == manifest.chunks == 5
    with pytest.raises(refmaker.ManifestError, match="to_arrow"):
        refmaker.Manifest.from_arrow(table.drop_columns(["url"]))


def test_frames_have_the_chunks_of_h5py(air: Path) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = refmaker.scan(air).to_pandas()
    rows = frame[frame.path == "/group/t"]
    with h5py.File(air) as file:
        chunks = [file["group/t"].id.get_chunk_info(i) for i in range(4)]
    assert rows.offset.tolist() == [chunk.byte_offset for chunk in chunks]
    assert rows["size"].tolist() == [chunk.size for chunk in chunks]
    assert rows.key.tolist() == [f"group/t/{i}.0" for i in range(4)]
    assert set(rows.url) == {str(air)}


def test_repr_has_twenty_lines(tmp_path: Path, manifest: refmaker.Manifest) -> None:
    assert repr(manifest).splitlines()[0] == "<refmaker.Manifest: Zarr 2, 2 arrays, 5 chunks, 1 target, 0 refused>"
    with h5py.File(tmp_path / "many.h5", "w") as file:
        for number in range(50):
            file[f"name\n{number}" + "x" * 200] = [number]
    text = repr(refmaker.scan(tmp_path / "many.h5"))
    assert len(text.splitlines()) == 20
    assert max(map(len, text.splitlines())) < 250
    assert "32 more arrays" in text


def test_html_is_escaped_and_counts_the_grid(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data = file.create_dataset("<script>alert(1)</script>", (6,), "f8", chunks=(2,))
        data[2:4] = 1.0
    manifest = refmaker.scan(tmp_path / "x.h5")
    (array,) = manifest.arrays.values()
    array.references.inline = {2: b"12345678"}
    html = manifest._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    told = re.findall(r"chunks (\d) to \d: (\d \w+)", html)
    assert told == [("0", "1 missing"), ("1", "1 stored"), ("2", "1 inlined")]


# Errors.


def _tree(kind: type, depth: int = 0) -> list[tuple[int, str]]:
    found = [(depth, kind.__name__)]
    for one in sorted(kind.__subclasses__(), key=lambda k: k.__name__):
        if getattr(refmaker, one.__name__, None) is one:
            found += _tree(one, depth + 1)
    return found


def test_the_tree_of_errors_is_drawn() -> None:
    assert refmaker.CombineError
    drawn = re.findall(r"^    ([ │├└─]*)(\w+(?:Error|Changed|Unsupported)|Unsupported)\b", errors.__doc__ or "", re.M)
    assert sorted((len(lead) // 4, name) for lead, name in drawn) == sorted(_tree(refmaker.RefmakerError))
    above = [0]
    for lead, name in drawn:
        del above[len(lead) // 4 :]
        above.append(name)
        if lead:
            assert getattr(refmaker, name).__bases__[0].__name__ == above[-2]
