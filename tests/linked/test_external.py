from __future__ import annotations

import math
from pathlib import Path

import h5py
import numpy as np
import pytest

from refmaker import scan
from tests.linked.reading import read_array, reason, status


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty directory, so that what libhdf5 finds there is no accident."""
    monkeypatch.delenv("HDF5_EXTFILE_PREFIX", raising=False)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


def _make(
    folder: Path,
    segments: list[tuple[str, int, int]],
    files: dict[str, bytes],
    shape: tuple[int, ...] = (10,),
    dtype: str = "<i4",
    fillvalue: int | None = None,
) -> str:
    """Write raw data files, and a file whose dataset `d` they hold."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("d", shape, dtype, external=segments, fillvalue=fillvalue)
    return str(folder / "x.h5")


def _expected(monkeypatch: pytest.MonkeyPatch, path: str) -> np.ndarray:
    """Return what libhdf5 reads in the directory of the file, where it finds raw data without a prefix."""
    with monkeypatch.context() as context:
        context.chdir(Path(path).parent)
        with h5py.File(path) as file:
            return file["d"][()]


def _values(n: int, dtype: str = "<i4") -> bytes:
    return np.arange(n, dtype=dtype).tobytes()


def test_one_segment_is_one_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _make(tmp_path, [("a.bin", 8, 40)], {"a.bin": b"12345678" + _values(10)})
    manifest = scan(path)
    np.testing.assert_array_equal(read_array(manifest, "d"), _expected(monkeypatch, path))
    references = manifest.arrays["d"].references
    assert (references.target.tolist(), references.offset.tolist(), references.size.tolist()) == ([1], [8], [40])
    assert [Path(target.url).name for target in manifest.targets] == ["x.h5", "a.bin"]
    assert (manifest.targets[1].size, status(manifest, "/d")) == (48, "mapped")


@pytest.mark.parametrize("shape", [(10,), (2, 5), (5, 2), (1, 10), (10, 1), (2, 5, 1)])
@pytest.mark.parametrize("sizes", [(20, 20), (4, 36), (8, 8, 24), (40,), (13, 27), (1, 39), (20, 4, 99)])
def test_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    data, segments, files, at = _values(10), [], {}, 0
    for number, size in enumerate(sizes):
        files[f"{number}.bin"] = b"x" * number + data[at : at + size]
        segments.append((f"{number}.bin", number, size))
        at += size
    path = _make(tmp_path, segments, files, shape)
    manifest = scan(path)
    expected = _expected(monkeypatch, path)
    np.testing.assert_array_equal(expected.ravel(), np.arange(10))
    np.testing.assert_array_equal(read_array(manifest, "d"), expected)


def test_segments_end_where_chunks_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, width = 12, 1024
    data = _values(rows * width)
    size = 4 * width * 4
    files = {f"{n}.bin": data[n * size : (n + 1) * size] for n in range(3)}
    path = _make(tmp_path, [(name, 0, size) for name in files], files, (rows, width))
    manifest = scan(path)
    np.testing.assert_array_equal(read_array(manifest, "d"), _expected(monkeypatch, path))
    array = manifest.arrays["d"]
    assert (array.metadata.document["chunks"], array.references.target.tolist()) == ([4, width], [1, 2, 3])


def test_chunks_over_an_end_are_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = _values(100_000)
    files = {"a.bin": data[:150_001], "b.bin": data[150_001:]}
    path = _make(tmp_path, [("a.bin", 0, 150_001), ("b.bin", 0, 249_999)], files, (100_000,))
    manifest = scan(path)
    np.testing.assert_array_equal(read_array(manifest, "d"), _expected(monkeypatch, path))
    references = manifest.arrays["d"].references
    assert len(references.inline) == 1
    assert len(references.cell) > 3
    assert "more than one raw data file" in reason(scan(path, inline_limit=100), "/d")


@pytest.mark.parametrize("fillvalue", [None, 7])
@pytest.mark.parametrize(
    ("offset", "there"),
    [(0, 5), (0, 0), (20, 10), (400, 10), (0, 9)],
    ids=["half", "empty", "offset", "behind", "most"],
)
def test_short_files_read_as_zeros(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fillvalue: int | None, offset: int, there: int
) -> None:
    path = _make(tmp_path, [("a.bin", offset, 40)], {"a.bin": _values(there)}, fillvalue=fillvalue)
    manifest = scan(path)
    np.testing.assert_array_equal(read_array(manifest, "d"), _expected(monkeypatch, path))


def test_short_file_of_many_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _make(tmp_path, [("a.bin", 0, 800_000)], {"a.bin": _values(77_777)}, (200_000,), fillvalue=3)
    manifest = scan(path)
    np.testing.assert_array_equal(read_array(manifest, "d"), _expected(monkeypatch, path))
    (note,) = (n for o in manifest.objects for n in o.notes if "read as zeros" in n)
    assert "488892 bytes" in note


def test_missing_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _make(tmp_path, [("a.bin", 0, 20), ("none.bin", 0, 20)], {"a.bin": _values(5)})
    with pytest.raises(OSError, match="unable to open external raw data file"):
        _expected(monkeypatch, path)
    manifest = scan(path)
    assert "d" not in manifest.arrays
    assert "'none.bin' is not there" in reason(manifest, "/d")


def test_files_that_are_not_needed_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _make(tmp_path, [("a.bin", 0, 40), ("none.bin", 0, 20)], {"a.bin": _values(10)})
    np.testing.assert_array_equal(read_array(scan(path), "d"), _expected(monkeypatch, path))


def test_directory_is_refused(tmp_path: Path) -> None:
    path = _make(tmp_path, [("cwd", 0, 40)], {})
    assert "directory" in reason(scan(path), "/d")


def test_current_directory_comes_first(tmp_path: Path) -> None:
    """As in libhdf5, which knows no other place by default."""
    path = _make(tmp_path, [("a.bin", 0, 40)], {"a.bin": bytes(40)})
    Path("a.bin").write_bytes(_values(10))
    manifest = scan(path)
    assert manifest.targets[1].url == str(tmp_path / "cwd" / "a.bin")
    with h5py.File(path) as file:
        np.testing.assert_array_equal(read_array(manifest, "d"), file["d"][()])


@pytest.mark.parametrize("prefix", ["${ORIGIN}/raw", "ABSOLUTE", ".", ""])
def test_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.bin").write_bytes(_values(10))
    path = _make(tmp_path, [("a.bin", 0, 40)], {"a.bin": bytes(40)})
    monkeypatch.setenv("HDF5_EXTFILE_PREFIX", prefix.replace("ABSOLUTE", str(tmp_path / "raw")))
    found = scan(path).targets[1].url
    assert found == str(tmp_path / "raw" / "a.bin" if len(prefix) > 1 else tmp_path / "a.bin")


def test_beside_the_file_is_noted(tmp_path: Path) -> None:
    path = _make(tmp_path, [("a.bin", 0, 40)], {"a.bin": _values(10)})
    (note,) = (n for o in scan(path).objects for n in o.notes)
    assert "HDF5_EXTFILE_PREFIX" in note


def test_absolute_names(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "a.bin").write_bytes(_values(10))
    path = _make(tmp_path, [(str(tmp_path / "far" / "a.bin"), 0, 40)], {})
    manifest = scan(path)
    np.testing.assert_array_equal(read_array(manifest, "d"), np.arange(10))
    assert [o.notes for o in manifest.objects if o.path == "/d"] == [[]]


def test_names_that_look_like_urls_stay_local(tmp_path: Path) -> None:
    name = "memory://a::b.bin"
    (tmp_path / "memory:").mkdir()
    (tmp_path / "memory:" / "a::b.bin").write_bytes(_values(10))
    path = _make(tmp_path, [(name, 0, 40)], {})
    assert scan(path).targets[1].url == str(tmp_path / "memory:" / "a::b.bin")


def test_large_blocks_are_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file is a contiguous block like any other."""
    rows = 80
    with (tmp_path / "a.bin").open("wb") as file:
        file.truncate(rows << 20)
    path = _make(tmp_path, [("a.bin", 0, h5py.h5f.UNLIMITED)], {}, (rows, 1 << 20), "u1")
    array = scan(path).arrays["d"]
    assert math.prod(array.grid) == len(array.references.cell) == 2
    assert array.metadata.document["chunks"] == [40, 1 << 20]


def test_strict(tmp_path: Path) -> None:
    from refmaker.errors import Unsupported

    path = _make(tmp_path, [("none.bin", 0, 40)], {})
    with pytest.raises(Unsupported, match="not there"):
        scan(path, strict=True)


def test_huge_extents_are_bounded(tmp_path: Path) -> None:
    """Nearly all of it lies behind the end of the file."""
    shape = (1 << 57,)
    path = _make(tmp_path, [("a.bin", 0, h5py.h5f.UNLIMITED)], {"a.bin": _values(10)}, shape)
    assert "more than" in reason(scan(path), "/d")
