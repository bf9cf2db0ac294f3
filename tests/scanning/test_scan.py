"""What of a file is asked for, and that nothing else is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest

from refmaker.scanning.scan import scan, scan_file


def same(one: Any, other: Any) -> bool:
    """Compare arrays of two manifests."""
    columns = ("cell", "offset", "size", "target")
    return (
        one.metadata == other.metadata
        and one.attributes == other.attributes
        and all(np.array_equal(getattr(one.references, c), getattr(other.references, c)) for c in columns)
        and one.references.inline == other.references.inline
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with what names, dimensions, links and sources can bring together."""
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("x", 40)
        file.createDimension("t", None)
        file.createVariable("x", "f8", ("x",), chunksizes=(10,))[:] = np.arange(40)
        file.createVariable("v", "f4", ("t", "x"), chunksizes=(1, 10), zlib=True)[:] = np.ones((3, 40))
        group = file.createGroup("g")
        group.createVariable("x", "i4", ("t",), chunksizes=(1,))[:] = np.arange(3)
        group.createVariable("w", "i2", ("x",), chunksizes=(10,))[:] = np.arange(40)
        group.createVariable("text", str, ("t",))[:] = np.array(["a", "b", "c"], object)
    with h5py.File(path, "a") as file:
        file["hard"] = file["v"]
        file["soft"] = h5py.SoftLink("/g/w")
        layout = h5py.VirtualLayout((2, 40), "f4")
        for row in range(2):
            layout[row] = h5py.VirtualSource(".", "v", (3, 40))[row]
        file.create_virtual_dataset("virtual", layout)
    return path


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"include": ["v"]}, ["v"]),
        ({"include": ["hard"]}, ["hard"]),
        ({"include": ["soft"]}, ["soft"]),
        ({"include": ["virtual"]}, ["virtual"]),
        ({"include": ["g"]}, ["g/text", "g/w", "g/x"]),
        ({"include": ["g/x", "x"]}, ["g/x", "x"]),
        ({"include": ["*w"]}, ["g/w"]),
        ({"exclude": ["g", "virtual"]}, ["hard", "soft", "v", "x"]),
        ({"include": ["nothing"]}, []),
    ],
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_what_is_asked_for_is_as_in_the_whole(path: Path, asked: Any, found: list[str], zarr_format: Any) -> None:
    whole = scan(str(path), zarr_format=zarr_format)
    assert whole.refusals == {}
    part = scan(str(path), zarr_format=zarr_format, **asked)
    assert sorted(part.arrays) == found
    assert part.refusals == {}
    assert all(same(part.arrays[name], whole.arrays[name]) for name in found)


def test_a_group(path: Path) -> None:
    whole, part = scan(str(path)), scan(str(path), group="g")
    assert sorted(part.arrays) == ["text", "w", "x"]
    assert all(same(array, whole.arrays[f"g/{name}"]) for name, array in part.arrays.items())


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_chunk_indexes_of_others_are_not_read(tmp_path: Path, libver: str) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=libver) as file:
        for name in ("a", "b"):
            file.create_dataset(name, data=np.arange(9000.0), chunks=(3,), maxshape=(None,))
    whole, part = scan_file(str(path), measure=True), scan_file(str(path), measure=True, include=["a"])
    assert same(part.manifest.arrays["a"], whole.manifest.arrays["a"])
    assert part.tree.metadata_size < 0.6 * whole.tree.metadata_size


def test_damage_elsewhere_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for name in ("a", "b"):
            file.create_dataset(name, data=np.arange(9.0), chunks=(3,))
        address = file["b"].id.get_chunk_info(0).byte_offset
    content = path.read_bytes()
    trees = [at for at in range(len(content) - 5) if content[at : at + 5] == b"TREE\x01"]
    assert len(trees) == 2
    assert address > 0
    path.write_bytes(content[: trees[1]] + b"WOOD" + content[trees[1] + 4 :])
    assert sorted(scan(str(path)).refusals) == ["/b"]
    part = scan(str(path), include=["a"])
    assert (sorted(part.arrays), part.refusals) == (["a"], {})
    assert sorted(scan(str(path), include=["b"]).refusals) == ["/b"]


@pytest.mark.parametrize("include", ["there/v", "there/*", "*/v", "there", "th*/v", "[t]here/v"])
def test_external_links_that_lead_to_what_is_asked_for(path: Path, tmp_path: Path, include: str) -> None:
    link = tmp_path / "link.h5"
    with h5py.File(link, "w") as file:
        file["there"] = h5py.ExternalLink(path.name, "/")
        file["own"] = np.arange(3)
    whole, part = scan(str(link)), scan(str(link), include=[include])
    assert "there/v" in part.arrays
    assert same(part.arrays["there/v"], whole.arrays["there/v"])


def test_external_links_that_lead_elsewhere_are_not_followed(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.h5"
    with h5py.File(link, "w") as file:
        file["there"] = h5py.ExternalLink(path.name, "/")
        file["own"] = np.arange(3)
    for options in ({"include": ["own"]}, {"exclude": ["there"]}, {"include": ["there"], "exclude": ["there"]}):
        assert [target.url for target in scan(str(link), **options).targets] == [str(link)]
    assert sorted(scan(str(link), group="there/g").arrays) == ["text", "w", "x"]
