"""Names that are not UTF-8, wherever a file has them: they cost their object at most, and are never changed unsaid."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest

from refmaker.manifest.manifest import Manifest
from refmaker.scanning.scan import scan

BAD = b"t\xb0C"
SPACE = (3,)


def compound(*names: bytes) -> h5py.h5t.TypeCompoundID:
    made = h5py.h5t.create(h5py.h5t.COMPOUND, 4 * len(names))
    for position, name in enumerate(names):
        made.insert(name, 4 * position, h5py.h5t.IEEE_F32LE)
    return made


def dataset(file: h5py.File, datatype: h5py.h5t.TypeID, name: bytes = b"d") -> h5py.h5d.DatasetID:
    return h5py.h5d.create(file.id, name, datatype, h5py.h5s.create_simple(SPACE))


def member(file: h5py.File) -> None:
    dataset(file, compound(b"a", BAD))


def inner_member(file: h5py.File) -> None:
    outer = h5py.h5t.create(h5py.h5t.COMPOUND, 12)
    outer.insert(b"n", 0, h5py.h5t.STD_I32LE)
    outer.insert(b"c", 4, compound(b"a", BAD))
    dataset(file, outer)


def sequence(file: h5py.File) -> None:
    dataset(file, h5py.h5t.vlen_create(compound(b"a", BAD)))


def enumeration(file: h5py.File) -> None:
    made = h5py.h5t.enum_create(h5py.h5t.STD_I8LE)
    made.enum_insert(BAD, 1)
    dataset(file, made)


def scale(file: h5py.File) -> None:
    made = dataset(file, h5py.h5t.STD_I32LE, BAD)
    h5py.h5ds.set_scale(made)
    h5py.h5ds.attach_scale(dataset(file, h5py.h5t.STD_I32LE), made, 0)


def reference(file: h5py.File) -> None:
    dataset(file, h5py.h5t.STD_I32LE, BAD)
    file["good"].attrs["r"] = h5py.h5r.create(file.id, BAD, h5py.h5r.OBJECT)


def references(file: h5py.File) -> None:
    dataset(file, h5py.h5t.STD_I32LE, BAD)
    file.create_dataset("d", data=[h5py.h5r.create(file.id, BAD, h5py.h5r.OBJECT)], dtype=h5py.ref_dtype)


def attribute_member(file: h5py.File) -> None:
    h5py.h5a.create(file["good"].id, b"c", compound(BAD), h5py.h5s.create(h5py.h5s.SCALAR))


def opaque(file: h5py.File) -> None:
    made = h5py.h5t.create(h5py.h5t.OPAQUE, 4)
    made.set_tag(b"NUMPY:" + BAD)
    dataset(file, made)


def group(file: h5py.File) -> None:
    h5py.h5d.create(h5py.h5g.create(file.id, BAD), b"d", h5py.h5t.STD_I32LE, h5py.h5s.create_simple(SPACE))


def external(file: h5py.File) -> None:
    (Path(file.filename).parent / BAD.decode("utf-8", "surrogateescape")).write_bytes(bytes(12))
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_external(BAD, 0, 12)
    h5py.h5d.create(file.id, b"d", h5py.h5t.STD_I32LE, h5py.h5s.create_simple(SPACE), made)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("make", "refused", "noted"),
    [
        (member, "/d", ""),
        (inner_member, "/d", ""),
        (sequence, "/d", ""),
        (enumeration, "", "/d"),
        (scale, "/t\udcb0C", "/d"),
        (reference, "/t\udcb0C", "/good"),
        (references, "/d /t\udcb0C", ""),
        (attribute_member, "", "/good"),
        (opaque, "/d", ""),
        (group, "/t\udcb0C/d", ""),
        (external, "/d", ""),
    ],
)
def test_the_file_goes_on(
    tmp_path: Path, make: Callable[[h5py.File], None], refused: str, noted: str, zarr_format: int
) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["good"] = np.arange(3)
        make(file)
    manifest = written(scan(str(path), zarr_format=zarr_format), tmp_path)
    assert "good" in manifest.arrays
    assert list(manifest.refusals) == refused.split()
    notes = {line.path: line.notes for line in manifest.objects}
    assert not noted or any("UTF-8" in note or "no JSON form" in note for note in notes[noted])


def written(manifest: Manifest, folder: Path) -> Manifest:
    """Write a manifest, as strict JSON."""
    manifest.to_json(str(folder / "m.json"))
    json.loads((folder / "m.json").read_bytes().decode())
    return manifest


def test_dimensions_are_spelled(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["good"] = np.arange(3)
        scale(file)
    attributes = written(scan(str(path)), tmp_path).arrays["d"].attributes
    assert attributes["_ARRAY_DIMENSIONS"] == ["t\\xb0C"]


def test_dimensions_of_classic_files(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as file:
        file.createDimension("tempC", 3)
        file.createVariable("v", "i4", ("tempC",))
    path.write_bytes(path.read_bytes().replace(b"tempC", b"temp\xb0"))
    manifest = written(scan(str(path)), tmp_path)
    assert manifest.arrays["v"].attributes["_ARRAY_DIMENSIONS"] == ["temp\\xb0"]
    assert any("UTF-8" in note for line in manifest.objects for note in line.notes)


@pytest.mark.parametrize("name", ["tab\there", "line\nbreak", "bell\x07", "dé", "percent%20", "quote\"'", "\u202e"])
def test_odd_names_are_kept(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file[name] = np.zeros(2, [(name, "<i4"), ("b", "<f4")])
        file[name].attrs[name] = name
    manifest = written(scan(str(path)), tmp_path)
    assert list(manifest.arrays) == [name]
    assert manifest.arrays[name].attributes[name] == name
    assert manifest.arrays[name].metadata.document["dtype"][0][0] == name
