from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from refmaker import scan
from refmaker.errors import RefmakerError, TargetChanged, Unsupported
from refmaker.linked import address_space as space_module
from refmaker.linked import virtual as virtual_module
from tests.linked.random_files import make_virtual
from tests.linked.reading import read_array, reason, status


def _source(folder: Path, name: str, values: np.ndarray, dataset: str = "a", **options: Any) -> Path:
    path = folder / name
    with h5py.File(path, "a") as file:
        file.create_dataset(dataset, data=values, **options)
    return path


def _virtual(folder: Path, layout: h5py.VirtualLayout, name: str = "v.h5", fillvalue: Any = None) -> str:
    with h5py.File(folder / name, "w", libver="latest") as file:
        file.create_virtual_dataset("v", layout, fillvalue=fillvalue)
    return str(folder / name)


def _check(path: str, **options: Any) -> Any:
    """Scan, compare with libhdf5, give the manifest."""
    manifest = scan(path, **options)
    with h5py.File(path) as file:
        expected = file["v"][()]
    got = read_array(manifest, "v")
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)
    return manifest


def _rows(folder: Path, n: int, rows: int = 4, width: int = 6, **options: Any) -> h5py.VirtualLayout:
    """Put `n` files one behind the other."""
    layout = h5py.VirtualLayout((n * rows, width), "<i4")
    for k in range(n):
        _source(folder, f"s{k}.h5", np.arange(rows * width, dtype="<i4").reshape(rows, width) + 1000 * k, **options)
        layout[k * rows : (k + 1) * rows] = h5py.VirtualSource(f"s{k}.h5", "a", (rows, width))
    return layout


GZIP = {"chunks": (2, 3), "compression": "gzip", "shuffle": True}


@pytest.mark.parametrize("seed", range(80))
def test_against_libhdf5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Whatever is not refused has libhdf5's values; with room to put it together, nothing is refused."""
    rng = np.random.default_rng(seed)
    path, kind = make_virtual(rng, tmp_path)
    if seed % 2:
        monkeypatch.setattr(virtual_module, "REFERENCE_SIZE", 0)
    limit = int(rng.choice([16 << 20, 300]))
    with h5py.File(path) as file:
        expected = file["v"][()]
    manifest = scan(str(path), inline_limit=limit)
    if "v" in manifest.arrays:
        np.testing.assert_array_equal(read_array(manifest, "v"), expected, err_msg=kind)
    else:
        assert limit == 300, reason(manifest, "/v")


def test_filtered_chunks_become_references(tmp_path: Path) -> None:
    manifest = _check(_virtual(tmp_path, _rows(tmp_path, 3, **GZIP)))
    array = manifest.arrays["v"]
    assert array.metadata.document["chunks"] == [2, 3]
    assert array.metadata.document["compressor"]["id"] == "zlib"
    assert status(manifest, "/v") == "mapped"
    references = array.references
    assert (len(references.cell), references.inline) == (12, {})
    for k in range(3):
        with h5py.File(tmp_path / f"s{k}.h5") as file:
            stored = {(i.byte_offset, i.size) for i in map(file["a"].id.get_chunk_info, range(4))}
        own = references.target == k + 1
        assert set(zip(references.offset[own].tolist(), references.size[own].tolist(), strict=True)) == stored
    assert [Path(target.url).name for target in manifest.targets] == ["v.h5", "s0.h5", "s1.h5", "s2.h5"]
    assert all(target.mtime for target in manifest.targets)


def test_new_axis(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((2, 4, 6), "<i4")
    for k in range(2):
        _source(tmp_path, f"s{k}.h5", np.full((4, 6), k, "<i4"), **GZIP)
        layout[k] = h5py.VirtualSource(f"s{k}.h5", "a", (4, 6))
    manifest = _check(_virtual(tmp_path, layout))
    assert manifest.arrays["v"].metadata.document["chunks"] == [1, 2, 3]
    assert not manifest.arrays["v"].references.inline


@pytest.mark.parametrize("turns", [True, False])
def test_contiguous_rows(tmp_path: Path, turns: bool) -> None:
    layout = h5py.VirtualLayout((12, 100), "<i4")
    for k in range(3):
        _source(tmp_path, f"s{k}.h5", np.arange(400, dtype="<i4").reshape(4, 100) + 1000 * k)
        where = slice(k, None, 3) if turns else slice(4 * k, 4 * k + 4)
        layout[where] = h5py.VirtualSource(f"s{k}.h5", "a", (4, 100))
    manifest = _check(_virtual(tmp_path, layout))
    array = manifest.arrays["v"]
    assert array.metadata.document["chunks"] == ([1, 100] if turns else [4, 100])
    assert not array.references.inline


def test_contiguous_files_of_different_length(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((100, 64), "<i4")
    at = 0
    for k, rows in enumerate((30, 40, 20)):
        _source(tmp_path, f"s{k}.h5", np.full((rows, 64), k + 1, "<i4"))
        layout[at : at + rows] = h5py.VirtualSource(f"s{k}.h5", "a", (rows, 64))
        at += rows
    manifest = _check(_virtual(tmp_path, layout, fillvalue=-1))
    assert manifest.arrays["v"].metadata.document["chunks"] == [10, 64]
    assert len(manifest.arrays["v"].references.cell) == 9


def test_plane_of_a_contiguous_source(tmp_path: Path) -> None:
    """A chunk of several rows would not be a run of bytes."""
    _source(tmp_path, "s.h5", np.arange(4 * 5 * 100, dtype="<i4").reshape(4, 5, 100))
    layout = h5py.VirtualLayout((4, 100), "<i4")
    layout[...] = h5py.VirtualSource("s.h5", "a", (4, 5, 100))[:, 2, :]
    manifest = _check(_virtual(tmp_path, layout))
    assert manifest.arrays["v"].metadata.document["chunks"] == [1, 100]
    assert not manifest.arrays["v"].references.inline


def test_unfiltered_chunks_are_divided(tmp_path: Path) -> None:
    """Sources of 6 rows in chunks of 4: their chunks do not line up, but runs of 2 rows do."""
    manifest = _check(_virtual(tmp_path, _rows(tmp_path, 3, rows=6, width=50, chunks=(4, 50))))
    assert manifest.arrays["v"].metadata.document["chunks"] == [2, 50]
    assert not manifest.arrays["v"].references.inline


def test_misaligned_chunks_are_put_together(tmp_path: Path) -> None:
    path = _virtual(tmp_path, _rows(tmp_path, 3, rows=3, chunks=(2, 6), compression="gzip"))
    manifest = _check(path)
    assert manifest.arrays["v"].references.inline
    refused = scan(path, inline_limit=100)
    assert "more than the inline limit of 100 bytes" in reason(refused, "/v")
    assert "chunks of shape (2, 6)" in reason(refused, "/v")


def test_only_the_misaligned_part_is_put_together(tmp_path: Path) -> None:
    _source(tmp_path, "s.h5", np.arange(1000, dtype="<i4").reshape(100, 10), chunks=(10, 10), compression="gzip")
    layout = h5py.VirtualLayout((100, 10), "<i4")
    layout[:95] = h5py.VirtualSource("s.h5", "a", (100, 10))[:95]
    manifest = _check(_virtual(tmp_path, layout, fillvalue=-5), inline_limit=500)
    references = manifest.arrays["v"].references
    assert (len(references.cell), list(references.inline)) == (9, [9])


def test_same_file(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((4, 6), "<i4")
    layout[...] = h5py.VirtualSource(".", "a", (4, 6))
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_dataset("a", data=np.arange(24, dtype="<i4").reshape(4, 6), **GZIP)
        file.create_virtual_dataset("v", layout)
    manifest = _check(str(tmp_path / "v.h5"))
    assert len(manifest.targets) == 1
    assert manifest.arrays["v"].references.offset.tolist() == manifest.arrays["a"].references.offset.tolist()


def test_own_name_is_the_same_file(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((4, 6), "<i4")
    layout[...] = h5py.VirtualSource("v.h5", "a", (4, 6))
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["a"] = np.arange(24, dtype="<i4").reshape(4, 6)
        file.create_virtual_dataset("v", layout)
    assert len(_check(str(tmp_path / "v.h5")).targets) == 1


def test_source_behind_links(tmp_path: Path) -> None:
    path = _source(tmp_path, "s.h5", np.arange(24, dtype="<i4").reshape(4, 6))
    with h5py.File(path, "a") as file:
        file.create_group("g")["soft"] = h5py.SoftLink("/a")
        file["group"] = h5py.SoftLink("/g")
        file["dangling"] = h5py.SoftLink("/nowhere")
        file["external"] = h5py.ExternalLink("s.h5", "/a")

    def virtual(name: str) -> str:
        layout = h5py.VirtualLayout((4, 6), "<i4")
        layout[...] = h5py.VirtualSource("s.h5", name, (4, 6))
        return _virtual(tmp_path, layout, fillvalue=3)

    for name in ("/g/soft", "group/soft", "dangling", "g/none"):
        _check(virtual(name))
    # libhdf5 fails at the first, and crashes at the second.
    for name, words in (("g/none/x", "no group /g/none"), ("external", "libhdf5 itself crashes")):
        assert words in reason(scan(virtual(name)), "/v")


_LINKED: dict[str, Any] = {
    "soft": h5py.SoftLink("/nowhere"),
    "soft to a dangling one": h5py.SoftLink("/external to no file"),
    "external to no file": h5py.ExternalLink("none.h5", "/a"),
    "external to nothing": h5py.ExternalLink("s.h5", "/nowhere"),
    "external to nothing, deeper": h5py.ExternalLink("s.h5", "/nowhere/at/all"),
    "external to a dangling soft one": h5py.ExternalLink("s.h5", "/dangling"),
    "external to a dangling external one": h5py.ExternalLink("s.h5", "/gone"),
    "external in circles": h5py.ExternalLink("s.h5", "/circle"),
    "external": h5py.ExternalLink("s.h5", "/a"),
    "external to an external one": h5py.ExternalLink("s.h5", "/external"),
    "soft to an external one": h5py.SoftLink("external"),
    "soft in circles": h5py.SoftLink("/soft in circles"),
    "soft to nothing, deeper": h5py.SoftLink("/nowhere/at/all"),
    "external to a group": h5py.ExternalLink("s.h5", "/g"),
    "group of another file": h5py.ExternalLink("s.h5", "/g"),
    "soft to a group of another file": h5py.SoftLink("/group of another file"),
    "group of no file": h5py.ExternalLink("none.h5", "/g"),
    "no group": h5py.SoftLink("/nowhere"),
}


@pytest.mark.parametrize(
    "source",
    [*_LINKED, *(f"{name}/a" for name in _LINKED if "group" in name or name == "external"), "nothing", "nothing/a"],
)
def test_sources_that_dangle(tmp_path: Path, source: str) -> None:
    """Where libhdf5 takes a source for missing, it reads as the fill value; where it fails, the dataset is refused."""
    path = _source(tmp_path, "s.h5", np.arange(24, dtype="<i4").reshape(4, 6))
    with h5py.File(path, "a") as file:
        file["g/a"] = np.arange(100, 124, dtype="<i4").reshape(4, 6)
        file["dangling"] = h5py.SoftLink("/nowhere")
        file["gone"] = h5py.ExternalLink("none.h5", "/a")
        file["circle"] = h5py.ExternalLink("s.h5", "/circle")
        file["external"] = h5py.ExternalLink("s.h5", "/a")
    layout = h5py.VirtualLayout((4, 6), "<i4")
    layout[...] = h5py.VirtualSource(".", source, (4, 6))
    virtual = _virtual(tmp_path, layout, fillvalue=3)
    with h5py.File(virtual, "a") as file:
        for name, link in _LINKED.items():
            file[name] = link
    try:
        with h5py.File(virtual) as file:
            file["v"][...]
    except (OSError, KeyError, RuntimeError):
        assert "cannot be read" in reason(scan(virtual), "/v")
    else:
        _check(virtual)


def test_virtual_of_virtual(tmp_path: Path) -> None:
    _virtual(tmp_path, _rows(tmp_path, 2, **GZIP), "inner.h5")
    layout = h5py.VirtualLayout((16, 6), "<i4")
    for k in range(2):
        layout[8 * k : 8 * k + 8] = h5py.VirtualSource("inner.h5", "v", (8, 6))
    manifest = _check(_virtual(tmp_path, layout))
    assert not manifest.arrays["v"].references.inline
    assert len(manifest.arrays["v"].references.cell) == 16


def test_virtual_of_external(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.bin").write_bytes(np.arange(24, dtype="<i4").tobytes())
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file.create_dataset("a", (4, 6), "<i4", external=[("a.bin", 0, 96)])
    layout = h5py.VirtualLayout((8, 6), "<i4")
    layout[4:] = h5py.VirtualSource("s.h5", "a", (4, 6))
    path = _virtual(tmp_path, layout)
    monkeypatch.chdir(tmp_path)
    manifest = _check(path)
    assert [manifest.targets[t].url[-5:] for t in manifest.arrays["v"].references.target.tolist()] == ["a.bin"]


@pytest.mark.parametrize("names", [["v.h5"], ["v.h5", "w.h5"]])
def test_circles_are_refused(tmp_path: Path, names: list[str]) -> None:
    for name, following in zip(names, [*names[1:], names[0]], strict=True):
        layout = h5py.VirtualLayout((4,), "<i4")
        layout[...] = h5py.VirtualSource(following, "v", (4,))
        _virtual(tmp_path, layout, name)
    assert "itself among its sources" in reason(scan(str(tmp_path / "v.h5")), "/v")


def test_depth_is_bounded(tmp_path: Path) -> None:
    _source(tmp_path, "v0.h5", np.arange(4, dtype="<i4"), "v")
    for k in range(1, 20):
        layout = h5py.VirtualLayout((4,), "<i4")
        layout[...] = h5py.VirtualSource(f"v{k - 1}.h5", "v", (4,))
        _virtual(tmp_path, layout, f"v{k}.h5")
    _check(str(tmp_path / "v16.h5"))
    assert "16 deep" in reason(scan(str(tmp_path / "v19.h5")), "/v")


def test_missing_sources_read_as_the_fill_value(tmp_path: Path) -> None:
    layout = _rows(tmp_path, 3, **GZIP)
    (tmp_path / "s1.h5").unlink()
    with h5py.File(tmp_path / "s2.h5", "a") as file:
        del file["a"]
    manifest = _check(_virtual(tmp_path, layout, fillvalue=-9))
    assert manifest.arrays["v"].references.target.tolist() == [1, 1, 1, 1]
    (note,) = (n for o in manifest.objects for n in o.notes)
    assert note == "missing, reads as the fill value: a in s1.h5, a in s2.h5"


def test_nothing_there(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((4, 6), "<f8")
    layout[...] = h5py.VirtualSource("none.h5", "a", (4, 6))
    _check(_virtual(tmp_path, layout, fillvalue=np.nan))
    assert len(scan(str(tmp_path / "v.h5")).targets) == 1


@pytest.mark.parametrize("covered", [True, False])
def test_chunks_that_sources_lack(tmp_path: Path, covered: bool) -> None:
    """They have the source's fill value, not the virtual dataset's."""
    with h5py.File(tmp_path / "s.h5", "w") as file:
        dataset = file.create_dataset("a", (8, 6), "<i4", chunks=(2, 6), compression="gzip", fillvalue=5)
        dataset[:2] = 1
    layout = h5py.VirtualLayout((8 if covered else 12, 6), "<i4")
    layout[:8] = h5py.VirtualSource("s.h5", "a", (8, 6))
    manifest = _check(_virtual(tmp_path, layout, fillvalue=-1))
    assert len(manifest.arrays["v"].references.cell) == 1


@pytest.mark.parametrize("dtype", ["<i8", ">i4", "<f8"])
def test_exact_conversions(tmp_path: Path, dtype: str) -> None:
    layout = h5py.VirtualLayout((5,), dtype)
    _source(tmp_path, "s.h5", np.arange(5, dtype="<i4") - 2, chunks=(2,), fillvalue=7)
    layout[...] = h5py.VirtualSource("s.h5", "a", (5,))
    manifest = _check(_virtual(tmp_path, layout))
    assert status(manifest, "/v") == "inlined"


@pytest.mark.parametrize(
    ("dtype", "values"), [("u1", [1, 300]), ("<f4", [1, 2]), ("<i4", [1.5, 2]), ("S3", ["a", "b"])]
)
def test_other_conversions_are_refused(tmp_path: Path, dtype: str, values: list[Any]) -> None:
    data = np.array(values, "<i4") if isinstance(values[0], int) else np.array(values)
    _source(tmp_path, "s.h5", data.astype("S2") if data.dtype.kind == "U" else data)
    layout = h5py.VirtualLayout((2,), dtype)
    layout[...] = h5py.VirtualSource("s.h5", "a", (2,))
    assert "in a virtual dataset of" in reason(scan(_virtual(tmp_path, layout)), "/v")


def test_compounds_strings_and_booleans(tmp_path: Path) -> None:
    for n, values in enumerate(
        (
            np.array([(1, 2.5), (3, 4.5)], [("x", "<i4"), ("y", "<f8")]),
            np.array([b"abc", b"d"]),
            np.array([True, False]),
        )
    ):
        _source(tmp_path, f"s{n}.h5", values, chunks=(1,))
        layout = h5py.VirtualLayout((2,), values.dtype)
        layout[...] = h5py.VirtualSource(f"s{n}.h5", "a", (2,))
        _check(_virtual(tmp_path, layout, f"v{n}.h5"))


def test_variable_length_is_refused(tmp_path: Path) -> None:
    _source(tmp_path, "s.h5", np.array(["a", "b"], object), dtype=h5py.string_dtype())
    layout = h5py.VirtualLayout((2,), h5py.string_dtype())
    layout[...] = h5py.VirtualSource("s.h5", "a", (2,))
    assert "variable-length" in reason(scan(_virtual(tmp_path, layout)), "/v")


def test_filter_masks(tmp_path: Path) -> None:
    """A chunk that skipped a filter is decoded as it is stored."""
    with h5py.File(tmp_path / "s.h5", "w") as file:
        dataset = file.create_dataset("a", (4, 6), "<i4", chunks=(2, 6), compression="gzip")
        dataset[...] = np.arange(24).reshape(4, 6)
        dataset.id.write_direct_chunk((0, 0), np.arange(12, dtype="<i4").tobytes(), filter_mask=1)
    layout = h5py.VirtualLayout((2, 4, 6), "<i4")
    layout[1] = h5py.VirtualSource("s.h5", "a", (4, 6))
    _check(_virtual(tmp_path, layout))


def test_mixed_pipelines(tmp_path: Path) -> None:
    """References for most, the others put together; compression levels do not matter."""
    layout = h5py.VirtualLayout((12, 6), "<i4")
    for k, options in enumerate(({"compression_opts": 2}, {"compression_opts": 9}, {"shuffle": True})):
        values = np.arange(24, dtype="<i4").reshape(4, 6) + k
        _source(tmp_path, f"s{k}.h5", values, chunks=(2, 6), compression="gzip", **options)
        layout[4 * k : 4 * k + 4] = h5py.VirtualSource(f"s{k}.h5", "a", (4, 6))
    references = _check(_virtual(tmp_path, layout)).arrays["v"].references
    assert (len(references.cell), len(references.inline)) == (4, 2)


def test_overlap_takes_the_last(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((4, 6), "<i4")
    for k in range(3):
        _source(tmp_path, f"s{k}.h5", np.full((4, 6), k, "<i4"), **GZIP)
    layout[...] = h5py.VirtualSource("s0.h5", "a", (4, 6))
    layout[1:3] = h5py.VirtualSource("s1.h5", "a", (4, 6))[1:3]
    layout[2:] = h5py.VirtualSource("s2.h5", "a", (4, 6))[2:]
    references = _check(_virtual(tmp_path, layout)).arrays["v"].references
    assert (set(references.target.tolist()), len(references.inline)) == ({3}, 2)


def test_unreadable_sources_are_refused(tmp_path: Path) -> None:
    """libhdf5 reads none of these either, but for the first."""
    _source(tmp_path, "s.h5", np.arange(5, dtype="<i4"))
    with h5py.File(tmp_path / "s.h5", "a") as file:
        file.create_group("g")
    (tmp_path / "junk.h5").write_bytes(b"junk" * 100)
    (tmp_path / "empty.h5").touch()
    (tmp_path / "folder.h5").mkdir()
    beyond = h5py.VirtualSource("s.h5", "a", (10,))[:8]
    cases = {
        "beyond": (beyond, 8, "beyond the extent"),
        "whole": (h5py.VirtualSource("s.h5", "a", (4,)), 4, "5 elements of a source to 4"),
        "rank": (h5py.VirtualSource("s.h5", "a", (2, 4))[:, :3], 6, "rank 2"),
        "group": (h5py.VirtualSource("s.h5", "g", (4,)), 4, "it is no dataset"),
        "junk": (h5py.VirtualSource("junk.h5", "a", (4,)), 4, "not an HDF5 file"),
        "empty": (h5py.VirtualSource("empty.h5", "a", (4,)), 4, "empty"),
        "folder": (h5py.VirtualSource("folder.h5", "a", (4,)), 4, "directory"),
    }
    for name, (source, n, words) in cases.items():
        layout = h5py.VirtualLayout((10,), "<i4")
        layout[:n] = source
        assert words in reason(scan(_virtual(tmp_path, layout)), "/v"), name


def test_strict(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((4,), "<i4")
    layout[...] = h5py.VirtualSource("v.h5", "v", (4,))
    with pytest.raises(Unsupported, match="itself"):
        scan(_virtual(tmp_path, layout), strict=True)


def test_unlimited_grows_with_its_sources(tmp_path: Path) -> None:
    path = str(tmp_path / "v.h5")
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file.create_dataset("a", (0, 3), "<i4", maxshape=(None, 3), chunks=(2, 3))
    space = h5py.h5s.create_simple((0, 3), (h5py.h5s.UNLIMITED, 3))
    space.select_hyperslab((0, 0), (1, 1), block=(h5py.h5s.UNLIMITED, 3))
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_virtual(space, b"s.h5", b"a", space)
    with h5py.File(path, "w") as file:
        h5py.h5d.create(file.id, b"v", h5py.h5t.STD_I32LE, space, plist)
    for rows in (0, 3, 8):
        with h5py.File(tmp_path / "s.h5", "a") as file:
            file["a"].resize(rows, 0)
            file["a"][...] = np.arange(rows * 3).reshape(rows, 3)
        manifest = _check(path)
        assert manifest.arrays["v"].metadata.document["shape"] == [rows, 3]


@pytest.mark.parametrize("where", ["prefix", "origin", "absolute", "last-part", "cwd", "symlink"])
def test_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Sources are found where libhdf5 finds them. It reads HDF5_VDS_PREFIX when it is loaded: no comparison there."""
    (tmp_path / "far").mkdir()
    (tmp_path / "near").mkdir()
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    folder = {"last-part": "near", "cwd": "cwd"}.get(where, "far")
    _source(tmp_path / folder, "s.h5", np.arange(4, dtype="<i4"))
    name = "s.h5"
    if where == "prefix":
        monkeypatch.setenv("HDF5_VDS_PREFIX", f"{tmp_path / 'none'}:{tmp_path / 'far'}")
    elif where == "origin":
        monkeypatch.setenv("HDF5_VDS_PREFIX", "${ORIGIN}/../far")
    elif where == "absolute":
        name = str(tmp_path / "far" / "s.h5")
    elif where == "last-part":
        name = "/no/such/place/s.h5"
    layout = h5py.VirtualLayout((4,), "<i4")
    layout[...] = h5py.VirtualSource(name, "a", (4,))
    path = _virtual(tmp_path / ("far" if where == "symlink" else "near"), layout)
    if where == "symlink":
        (tmp_path / "near" / "link.h5").symlink_to(path)
        path = str(tmp_path / "near" / "link.h5")
    manifest = scan(path)
    np.testing.assert_array_equal(read_array(manifest, "v"), np.arange(4))
    assert manifest.targets[1].url == str(tmp_path / folder / "s.h5")
    if where not in ("prefix", "origin"):
        _check(path)


def test_many_files_are_not_all_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space_module, "MAX_OPEN", 2)
    layout = _rows(tmp_path, 7, chunks=(3, 6), compression="gzip")
    _check(_virtual(tmp_path, layout))


def test_reopened_files_have_to_be_the_same(tmp_path: Path) -> None:
    from refmaker.sources.open import open_source

    _source(tmp_path, "v.h5", np.arange(4))
    path = _source(tmp_path, "s.h5", np.arange(4))
    space = space_module.AddressSpace(open_source(str(tmp_path / "v.h5")))
    number = space.open(str(path))
    assert number == 1
    space.files[number].source = None
    _source(tmp_path, "s.h5", np.arange(9), "b")
    with pytest.raises(TargetChanged):
        space.source(number)
    with pytest.raises(TargetChanged):
        space.check_unchanged()


def test_only_what_is_asked_for_is_followed(tmp_path: Path) -> None:
    layout = _rows(tmp_path, 2)
    path = _virtual(tmp_path, layout)
    _source(tmp_path, "v.h5", np.arange(3), "own")
    manifest = scan(path, include=["own"])
    assert len(manifest.targets) == 1
    assert list(manifest.arrays) == ["own"]


def test_stock_readers(tmp_path: Path) -> None:
    """The written manifest, read by fsspec's own reference filesystem and zarr."""
    import fsspec
    import zarr

    path = _virtual(tmp_path, _rows(tmp_path, 3, **GZIP))
    scan(path).to_json(str(tmp_path / "m.json"))
    references = json.loads((tmp_path / "m.json").read_text())
    options = {"asynchronous": True, "remote_options": {"asynchronous": True}}
    filesystem = fsspec.filesystem("reference", fo=references, **options)
    store = zarr.storage.FsspecStore(filesystem, read_only=True, path="")
    with h5py.File(path) as file:
        np.testing.assert_array_equal(zarr.open_group(store, mode="r")["v"][...], file["v"][()])


def _hostile(folder: Path, shape: tuple[int, ...], slab: tuple[int, int, int, int]) -> str:
    """Map a source of one element a million times over."""
    start, stride, count, block = slab
    space = h5py.h5s.create_simple(shape)
    space.select_hyperslab((start,), (count,), (stride,), (block,))
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_virtual(space, b".", b"a", space)
    with h5py.File(folder / "v.h5", "w", libver="latest") as file:
        h5py.h5d.create(file.id, b"v", h5py.h5t.STD_I32LE, h5py.h5s.create_simple(shape), plist)
        h5py.h5d.create(file.id, b"a", h5py.h5t.STD_I32LE, h5py.h5s.create_simple(shape))
    return str(folder / "v.h5")


@pytest.mark.parametrize(
    "slab", [(0, 2, 1 << 58, 1), (0, 1, 1, 1 << 59), (3, 7, 1 << 50, 5)], ids=["blocks", "whole", "offset"]
)
def test_huge_selections_are_bounded(tmp_path: Path, slab: tuple[int, int, int, int]) -> None:
    """Answered without taking memory for what the selection says: all but nothing of it is stored."""
    path = _hostile(tmp_path, (1 << 60,), slab)
    try:
        manifest = scan(path)
    except RefmakerError:
        return
    assert "v" in manifest.refusals or "/v" in manifest.refusals or not len(manifest.arrays["v"].references.cell)


@pytest.mark.parametrize("compression", ["lzf", "scaleoffset", "szip"])
def test_filters_of_libhdf5_alone(tmp_path: Path, compression: str) -> None:
    """Chunks that do not line up are decoded by libhdf5."""
    options: dict[str, Any] = {"scaleoffset": 0} if compression == "scaleoffset" else {"compression": compression}
    path = _virtual(tmp_path, _rows(tmp_path, 2, rows=3, chunks=(2, 6), shuffle=True, **options))
    manifest = scan(path)
    assert "v" in manifest.arrays
    _check(path)


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_huge_extents_are_bounded(tmp_path: Path, rank: int) -> None:
    shape = (1 << -(-62 // rank),) * rank
    space = h5py.h5s.create_simple(shape)
    space.select_hyperslab((0,) * rank, (1,) * rank, block=(4,) * rank)
    own = h5py.h5s.create_simple((4,) * rank)
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_virtual(space, b".", b"a", own)
    with h5py.File(tmp_path / "v.h5", "w", libver="latest") as file:
        h5py.h5d.create(file.id, b"v", h5py.h5t.STD_I32LE, h5py.h5s.create_simple(shape), plist)
        file["a"] = np.zeros((4,) * rank, "<i4")
    assert "too many elements" in reason(scan(str(tmp_path / "v.h5")), "/v")


def test_sources_far_apart(tmp_path: Path) -> None:
    """Numbered sources with a distance between them that no memory holds."""
    for k in range(3):
        _source(tmp_path, f"s{k}.h5", np.arange(4, dtype="<i4"))
    space = h5py.h5s.create_simple((0,), (h5py.h5s.UNLIMITED,))
    space.select_hyperslab((0,), (h5py.h5s.UNLIMITED,), (1 << 50,), (4,))
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_virtual(space, b"s%b.h5", b"a", h5py.h5s.create_simple((4,)))
    with h5py.File(tmp_path / "v.h5", "w", libver="latest") as file:
        h5py.h5d.create(file.id, b"v", h5py.h5t.STD_I32LE, space, plist)
    array = scan(str(tmp_path / "v.h5")).arrays["v"]
    assert array.metadata.document["shape"] == [(2 << 50) + 4]
    assert array.references.cell.tolist() == [0, 1 << 48, 2 << 48]
