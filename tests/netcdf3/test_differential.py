"""Values at the mapped offsets against those that netCDF-C reads."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from refmaker.errors import RefmakerError
from refmaker.netcdf3.walk import walk
from tests.netcdf3.classic import Var, build, dtype_of, values
from tests.windows import MemoryWindow

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
FORMATS = {1: "NETCDF3_CLASSIC", 2: "NETCDF3_64BIT_OFFSET", 5: "NETCDF3_64BIT_DATA"}
OLD_TYPES = ("i1", "S1", "i2", "i4", "f4", "f8")
NEW_TYPES = ("u1", "u2", "u4", "i8", "u8")


def types(version: int) -> tuple[str, ...]:
    return OLD_TYPES + NEW_TYPES if version == 5 else OLD_TYPES


def some_values(kind: str, shape: tuple[int, ...]) -> np.ndarray:
    raw = np.random.default_rng(len(shape)).integers(1, 120, shape)
    return raw.astype("u1").view("S1") if kind == "S1" else raw.astype(kind)


def compare(path: Path) -> int:
    """Compare a whole file with netCDF-C, and give the number of variables."""
    data = path.read_bytes()
    tree = walk(MemoryWindow(data), source=str(path))
    assert tree.refusals == {}
    with netCDF4.Dataset(path) as nc:
        nc.set_auto_maskandscale(False)
        nc.set_auto_chartostring(False)
        assert tree.groups["/"].children == list(nc.variables)
        compare_attributes(tree.groups["/"].attributes, nc)
        for name, variable in nc.variables.items():
            dataset = tree.datasets[f"/{name}"]
            assert dataset.dimensions == variable.dimensions
            assert dataset.dataspace.shape == variable.shape
            unlimited = tuple(nc.dimensions[d].isunlimited() for d in variable.dimensions)
            assert tuple(n is None for n in dataset.dataspace.max_shape) == unlimited
            expected = np.asarray(variable[...])
            found = values(dataset, data)
            assert dtype_of(dataset).newbyteorder("=") == expected.dtype
            assert found.astype(expected.dtype).tobytes() == expected.tobytes(), name
            compare_attributes(dataset.attributes, variable)
        return len(nc.variables)


def compare_attributes(found, owner) -> None:
    assert list(found) == owner.ncattrs()
    for name, attribute in found.items():
        expected = owner.getncattr(name)
        if isinstance(expected, str):
            text = attribute.value[()].decode("utf-8", "replace").replace("\x00", "")
            assert text == expected.replace("\x00", "")
        else:
            np.testing.assert_array_equal(attribute.value, np.atleast_1d(expected))
            assert attribute.value.dtype.newbyteorder("=") == np.asarray(expected).dtype


@pytest.mark.parametrize("version", FORMATS)
def test_every_type_fixed_and_records(tmp_path, version):
    path = tmp_path / "all.nc"
    with netCDF4.Dataset(path, "w", format=FORMATS[version]) as nc:
        nc.createDimension("t", None)
        nc.createDimension("x", 3)
        nc.createDimension("y", 5)
        nc.title = "every type"
        nc.numbers = np.array([1.5, 2.5])
        for kind in types(version):
            for label, dims in {"s": (), "f": ("y", "x"), "r": ("t",), "q": ("t", "x", "y")}.items():
                variable = nc.createVariable(f"{label}_{kind}", kind, dims)
                variable.units = "m"
                shape = tuple({"t": 4, "x": 3, "y": 5}[d] for d in dims)
                variable[...] = some_values(kind, shape)
                if kind != "S1":
                    variable.limits = np.array([1, 2], kind)
    assert compare(path) == 4 * len(types(version))


@pytest.mark.parametrize("version", FORMATS)
@pytest.mark.parametrize("width", [1, 2, 3])
def test_one_record_variable(tmp_path, version, width):
    for kind in types(version):
        path = tmp_path / f"{kind}.nc"
        with netCDF4.Dataset(path, "w", format=FORMATS[version]) as nc:
            nc.createDimension("x", width)
            nc.createDimension("t", None)
            nc.createVariable("before", "i1", ("x",))[...] = 1
            nc.createVariable("v", kind, ("t", "x"))[...] = some_values(kind, (7, width))
            nc.createVariable("after", "f8", ("x",))[...] = 2
        assert compare(path) == 3


@pytest.mark.parametrize("version", FORMATS)
def test_partly_written_records(tmp_path, version):
    path = tmp_path / "partial.nc"
    with netCDF4.Dataset(path, "w", format=FORMATS[version]) as nc:
        nc.createDimension("t", None)
        nc.createDimension("x", 3)
        a = nc.createVariable("a", "i2", ("t", "x"), fill_value=-5)
        nc.createVariable("b", "f4", ("t",))
        nc.createVariable("never", "i1", ("x",))
        a[6, 1] = 9
    assert compare(path) == 3


@pytest.mark.parametrize("version", FORMATS)
def test_no_fill_mode(tmp_path, version):
    path = tmp_path / "nofill.nc"
    with netCDF4.Dataset(path, "w", format=FORMATS[version]) as nc:
        nc.set_fill_off()
        nc.createDimension("t", None)
        nc.createVariable("a", "i2", ("t",))[:3] = [1, 2, 3]
        nc.createVariable("b", "i1", ("t",))
    assert compare(path) == 2


@pytest.mark.parametrize("version", FORMATS)
def test_no_records(tmp_path, version):
    path = tmp_path / "none.nc"
    with netCDF4.Dataset(path, "w", format=FORMATS[version]) as nc:
        nc.createDimension("t", None)
        nc.createVariable("a", "i2", ("t",))
        nc.createVariable("b", "i1", ("t",))
    assert compare(path) == 2


@pytest.mark.parametrize("version", FORMATS)
def test_variables_added_later(tmp_path, version):
    path = tmp_path / "grown.nc"
    with netCDF4.Dataset(path, "w", format=FORMATS[version]) as nc:
        nc.createDimension("t", None)
        nc.createVariable("a", "i2", ("t",))[:] = [1, 2, 3]
    with netCDF4.Dataset(path, "a") as nc:
        nc.createVariable("b", "i1", ("t",))[:] = [4, 5, 6]
        nc.createDimension("x", 2)
        nc.createVariable("c", "i1", ("x",))[:] = [7, 8]
        nc.history = "grown " * 100
    assert compare(path) == 3


@pytest.mark.parametrize("version", FORMATS)
def test_files_written_field_by_field(tmp_path, version):
    path = tmp_path / "built.nc"
    path.write_bytes(
        build(
            version,
            dims=[("t", 0), ("x", 3)],
            attributes=[("title", "S1", "grüße".encode()), ("none", "S1", b"")],
            variables=[
                Var("größe", [0, 1], "i2"),
                Var("fixed", [1], "i1"),
                Var("b", [0], "f8", [("limits", "f4", [1.5, 2.5])], vsize=2**31 - 1),
                Var("text", [0, 1], "S1"),
            ],
            records=5,
        )
    )
    assert compare(path) == 4


def corpus_files() -> list[str]:
    truth = CORPUS / "truth.jsonl.gz"
    if not truth.exists():
        return []
    with gzip.open(truth, "rt", encoding="utf-8") as lines:
        found = [row for row in map(json.loads, lines) if str(row.get("kind", "")).startswith("cdf")]
    return sorted(row["file"] for row in found)


@pytest.mark.parametrize("name", corpus_files() or [None])
def test_corpus(name):
    if name is None:
        pytest.skip("no corpus here")
    path = CORPUS / "files" / name
    try:
        netCDF4.Dataset(path).close()
    except OSError:
        with pytest.raises(RefmakerError):
            walk(MemoryWindow(path.read_bytes()), source=name)
    else:
        compare(path)
