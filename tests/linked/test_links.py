from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from refmaker import scan
from refmaker.errors import RefmakerError
from refmaker.linked import resolve_external as follow_module
from tests.linked.reading import read_array, reason


def _file(folder: Path, name: str, objects: dict[str, Any]) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "a") as file:
        for key, value in objects.items():
            file[key] = value
    return path


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HDF5_EXT_PREFIX", raising=False)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


def _check(path: Path, name: str) -> Any:
    manifest = scan(str(path))
    with h5py.File(path) as file:
        np.testing.assert_array_equal(read_array(manifest, name), file[name][()])
    return manifest


def test_dataset(tmp_path: Path) -> None:
    other = tmp_path / "b.h5"
    with h5py.File(other, "w", userblock_size=512) as file:
        dataset = file.create_dataset("g/x", data=np.arange(20).reshape(4, 5), chunks=(2, 5), compression="gzip")
        dataset.attrs["units"] = "m"
        offset = dataset.id.get_chunk_info(0).byte_offset
    path = _file(tmp_path, "a.h5", {"own": np.arange(3), "g/x": h5py.ExternalLink("b.h5", "/g/x")})
    manifest = _check(path, "g/x")
    array = manifest.arrays["g/x"]
    assert array.attributes["units"] == "m"
    assert (array.references.target.tolist(), array.references.offset[0]) == ([1, 1], offset)
    assert manifest.targets[1].url == str(other)
    assert [o.notes for o in manifest.objects if o.path == "/g/x"] == [[f"external link to /g/x in {other}"]]
    assert "/g/x" not in manifest.refusals


def test_values_in_other_forms(tmp_path: Path) -> None:
    """Compact, unallocated, text, padded compounds: all read from the right file."""
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["text"] = ["one", "two"]
        padded = np.dtype({"names": ["x", "y"], "formats": ["<i4", "<f8"], "offsets": [0, 8], "itemsize": 24})
        file["padded"] = np.array([(1, 2.5)], padded)
        file.create_dataset("unwritten", (3,), "<i4", fillvalue=4)
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        compact = h5py.h5d.create(file.id, b"compact", h5py.h5t.STD_I32LE, h5py.h5s.create_simple((3,)), plist)
        compact.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(3, dtype="<i4"))
    names = ("padded", "unwritten", "compact")
    path = _file(tmp_path, "a.h5", {n: h5py.ExternalLink("b.h5", n) for n in (*names, "text")})
    for name in names:
        _check(path, name)
    assert next(iter(scan(str(path)).arrays["text"].references.inline.values())).endswith(b"two")


def test_group(tmp_path: Path) -> None:
    """Everything below, with its own links; object references and dimension scales keep their meaning."""
    with h5py.File(tmp_path / "b.h5", "w") as file:
        group = file.create_group("g")
        group.attrs["title"] = "far"
        file["g/x"] = np.arange(4.0)
        file["g/x"].make_scale("x")
        file["g/y"] = np.arange(4)
        file["g/y"].dims[0].attach_scale(file["g/x"])
        file["g/again"] = file["g/y"]
        file["g/soft"] = h5py.SoftLink("y")
        file["g/loop"] = file["g"]
        file["g/sub/z"] = np.arange(2)
        file["g/reference"] = np.array([file["g/y"].ref, file["g/sub"].ref], h5py.ref_dtype)
        file["g/type"] = np.dtype("<i4")
    manifest = _check(_file(tmp_path, "a.h5", {"far": h5py.ExternalLink("b.h5", "/g")}), "far/sub/z")
    assert manifest.groups["far"] == {"title": "far"}
    for name in ("far/y", "far/again", "far/soft"):
        assert manifest.arrays[name].attributes["_ARRAY_DIMENSIONS"] == ["x"]
        np.testing.assert_array_equal(read_array(manifest, name), np.arange(4))
    (text,) = manifest.arrays["far/reference"].references.inline.values()
    assert b"/far/again" in text
    assert b"/far/sub" in text
    kinds = {o.path: (o.kind, o.reason) for o in manifest.objects}
    assert kinds["/far/type"][0] == "type"
    assert kinds["/far/loop"] == ("link", "a link back to the enclosing group /far")


def test_root_of_the_other_file(tmp_path: Path) -> None:
    _file(tmp_path, "b.h5", {"x": np.arange(3), "g/y": np.arange(4)})
    path = _file(tmp_path, "a.h5", {"far": h5py.ExternalLink("b.h5", "/")})
    _check(path, "far/x")
    _check(path, "far/g/y")


def test_chains(tmp_path: Path) -> None:
    """Links in other files count from their directories."""
    _file(tmp_path, "c/c.h5", {"x": np.arange(3)})
    _file(tmp_path, "b/b.h5", {"g/x": h5py.ExternalLink("../c/c.h5", "/x")})
    path = _file(tmp_path, "a.h5", {"far": h5py.ExternalLink("b/b.h5", "/g")})
    manifest = _check(path, "far/x")
    assert [Path(target.url).name for target in manifest.targets] == ["a.h5", "b.h5", "c.h5"]


def test_virtual_and_external_data_there(tmp_path: Path) -> None:
    """Their sources count from the file they are in."""
    folder = tmp_path / "b"
    _file(folder, "s.h5", {"a": np.arange(4)})
    (folder / "raw.bin").write_bytes(np.arange(4, dtype="<i4").tobytes())
    layout = h5py.VirtualLayout((4,), "<i8")
    layout[...] = h5py.VirtualSource("s.h5", "a", (4,))
    with h5py.File(folder / "b.h5", "w") as file:
        file.create_virtual_dataset("v", layout)
        file.create_dataset("e", (4,), "<i4", external=[("raw.bin", 0, 16)])
    path = _file(tmp_path, "a.h5", {"far": h5py.ExternalLink("b/b.h5", "/")})
    manifest = _check(path, "far/v")
    np.testing.assert_array_equal(read_array(manifest, "far/e"), np.arange(4))


def test_to_itself(tmp_path: Path) -> None:
    objects = {"own": np.arange(3), "g/x": np.arange(2), "alias": h5py.ExternalLink("a.h5", "/own")}
    path = _file(tmp_path, "a.h5", objects | {"other": h5py.ExternalLink("a.h5", "/g")})
    manifest = _check(path, "alias")
    _check(path, "other/x")
    assert len(manifest.targets) == 1
    assert next(o.reason for o in manifest.objects if o.path == "/alias") == "external link to /own"


@pytest.mark.parametrize("target", ["/", "/g"])
def test_circles_end(tmp_path: Path, target: str) -> None:
    _file(tmp_path, "b.h5", {"x": np.arange(2), "g/back": h5py.ExternalLink("a.h5", target)})
    _file(tmp_path, "b.h5", {"self": h5py.ExternalLink("b.h5", "/"), "g/x": np.arange(4)})
    path = _file(tmp_path, "a.h5", {"own": np.arange(3), "g/far": h5py.ExternalLink("b.h5", "/")})
    manifest = _check(path, "g/far/x")
    assert "in circles" in reason(manifest, "/g/far/self")
    assert len(manifest.arrays) < 10


def test_chains_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(30):
        link = h5py.ExternalLink(f"f{n + 1}.h5", "/")
        _file(
            tmp_path, f"f{n}.h5", {"x": np.arange(2), "a": link, "b": link} if n < 4 else {"x": np.arange(2), "a": link}
        )
    manifest = scan(str(tmp_path / "f0.h5"))
    assert any("too many files" in r for r in manifest.refusals.values())
    monkeypatch.setattr(follow_module, "MAX_LINKS", 20)
    manifest = scan(str(tmp_path / "f0.h5"))
    assert any("more than 20 external links" in r for r in manifest.refusals.values())


def test_refused_by_name(tmp_path: Path) -> None:
    _file(tmp_path, "b.h5", {"x": np.arange(2), "far": h5py.ExternalLink("c.h5", "/x"), "t": np.dtype("<i4")})
    (tmp_path / "junk.h5").write_bytes(b"junk" * 20)
    cases = {
        "file": (h5py.ExternalLink("none.h5", "/x"), "the file is missing"),
        "object": (h5py.ExternalLink("b.h5", "/y"), "no such object"),
        "group": (h5py.ExternalLink("b.h5", "/y/z"), "no group /y"),
        "below": (h5py.ExternalLink("b.h5", "/x/z"), "no group /x"),
        "junk": (h5py.ExternalLink("junk.h5", "/x"), "not an HDF5 file"),
        "second": (h5py.ExternalLink("b.h5", "/far"), "the file is missing"),
        "third": (h5py.ExternalLink("b.h5", "/far/z"), "is an external link"),
    }
    path = _file(tmp_path, "a.h5", {name: link for name, (link, _) in cases.items()})
    manifest = scan(str(path))
    for name, (_, words) in cases.items():
        assert words in reason(manifest, f"/{name}"), name
    assert [o.kind for o in manifest.objects if o.path == "/file"] == ["link"]
    with pytest.raises(RefmakerError):
        scan(str(path), strict=True)


def test_links_to_links_and_types(tmp_path: Path) -> None:
    _file(tmp_path, "c/c.h5", {"x": np.arange(2)})
    _file(tmp_path, "b.h5", {"far": h5py.ExternalLink("c/c.h5", "/x"), "t": np.dtype("<i4")})
    _file(tmp_path, "b.h5", {"here": h5py.ExternalLink("a.h5", "/there")})
    objects = {"x": h5py.ExternalLink("b.h5", "/far"), "t": h5py.ExternalLink("b.h5", "/t")}
    path = _file(tmp_path, "a.h5", objects | {"there": h5py.ExternalLink("b.h5", "/here")})
    manifest = _check(path, "x")
    assert next(o.kind for o in manifest.objects if o.path == "/t") == "type"
    assert "in circles" in reason(manifest, "/there")


def test_not_followed_when_told_so(tmp_path: Path) -> None:
    _file(tmp_path, "b.h5", {"x": np.arange(2)})
    path = _file(tmp_path, "a.h5", {"x": h5py.ExternalLink("b.h5", "/x"), "y": np.arange(2)})
    manifest = scan(str(path), follow_external_links=False)
    assert list(manifest.arrays) == ["y"]
    assert "not followed" in reason(manifest, "/x")
    assert len(manifest.targets) == 1
    assert len(scan(str(path), include=["y"]).targets) == 1


def test_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _file(tmp_path, "far/b.h5", {"x": np.arange(2)})
    path = _file(tmp_path, "a.h5", {"x": h5py.ExternalLink("b.h5", "/x")})
    assert "x" not in scan(str(path)).arrays
    monkeypatch.setenv("HDF5_EXT_PREFIX", f"{tmp_path / 'none'}{os.pathsep}{tmp_path / 'far'}")
    _check(path, "x")
