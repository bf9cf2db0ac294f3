"""Dimensions as netCDF-C finds them: every case is held against netCDF4-python on the same file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refmaker.conventions.netcdf4 import annotate
from refmaker.conventions.view import View
from refmaker.model import Contiguous, Dataset, Dataspace, FillValue, FixedPoint, Group, LinkNote, Tree
from refmaker.scanning.detect import read_tree

Shown = dict[str, tuple[tuple[str, ...], tuple[int, ...]]]


def shown_by_netcdf4(path: Path) -> Shown:
    found: Shown = {}
    with netCDF4.Dataset(path) as nc:
        stack = [nc]
        while stack:
            group = stack.pop()
            for name, variable in group.variables.items():
                found[f"{group.path}/{name}".strip("/")] = (variable.dimensions, variable.shape)
            stack.extend(group.groups.values())
    return found


def shown_here(view: View) -> Shown:
    return {v.zarr_path: (v.dimensions, v.shape) for v in view.variables}


def attach(f: h5py.File, variable: str, *scales: str | tuple[str, ...] | None) -> None:
    for axis, names in enumerate(scales):
        for name in (names,) if isinstance(names, str) else names or ():
            if not f[name].is_scale:
                f[name].make_scale(name)
            f[variable].dims[axis].attach_scale(f[name])


def no_scales(f: h5py.File) -> None:
    for name, shape in {"a": (3, 3), "b": (3,), "c": (4, 3), "d": (), "e": (3, 3, 3)}.items():
        f.create_dataset(name, shape, "f4")


def limits(f: h5py.File) -> None:
    f.create_dataset("v", (2, 3), "f4", maxshape=(None, 3), chunks=(1, 3))
    f.create_dataset("w", (2,), "f4", maxshape=(4,), chunks=(1,))
    f.create_dataset("x", (2,), "f4", maxshape=(None,), chunks=(1,))
    f.create_dataset("y", (0, 3), "f4")


def creation_order(f: h5py.File) -> None:
    g = f.create_group("g", track_order=True)
    for name, shape in {"z": (5,), "y": (4,), "a": (4, 5)}.items():
        g.create_dataset(name, shape, "f4")
    f.create_group("a/deep")["v"] = np.zeros((5, 4))
    f["v"] = np.zeros((4, 5))


def scales(f: h5py.File) -> None:
    f["v"], f["a"], f["c"], f["other"] = np.zeros((3, 4)), np.arange(3.0), np.arange(4.0), np.zeros((3, 7))
    attach(f, "v", "a", "c")


def several_scales(f: h5py.File) -> None:
    f["v"], f["a"], f["b"], f["c"] = np.zeros((3, 4)), np.arange(3.0), np.arange(3.0), np.arange(4.0)
    attach(f, "v", ("a", "b"), "c")


def second_axis_only(f: h5py.File) -> None:
    f["v"], f["c"] = np.zeros((3, 4)), np.arange(4.0)
    attach(f, "v", None, "c")


def parent_scales(f: h5py.File) -> None:
    f["x"], f["g/y"], f["g/h/v"] = np.arange(3.0), np.arange(4.0), np.zeros((3, 4))
    attach(f, "g/h/v", "x", "g/y")
    f["g/h/free"] = np.zeros((3, 4))


def unknown_types(f: h5py.File) -> None:
    f.create_dataset("a", (7,), h5py.ref_dtype)
    f.create_dataset("b", (3,), np.dtype(("i4", (5,))))
    f["c"] = np.zeros((7, 5))
    f["d"] = np.array([True, False])
    f["e"] = np.zeros(2, [("x", "i4"), ("y", "S3")])


def links(f: h5py.File) -> None:
    f["v"], f["x"] = np.zeros(3), np.arange(3.0)
    attach(f, "v", "x")
    f["hard"] = f["v"]
    f["soft"] = h5py.SoftLink("/v")
    f["x_again"] = f["x"]
    f["g/v"] = f["v"]
    f["g/alias"] = f.create_group("h")
    f["h/w"] = np.zeros((3, 2))


@pytest.mark.parametrize(
    "make",
    [
        no_scales,
        limits,
        creation_order,
        scales,
        several_scales,
        second_axis_only,
        parent_scales,
        unknown_types,
        links,
    ],
)
def test_plain_hdf5(tmp_path: Path, make: Callable[[h5py.File], None]) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as f:
        make(f)
    here = shown_here(annotate(read_tree(str(path))))
    want = shown_by_netcdf4(path)
    assert want
    assert {name: here.get(name) for name in want} == want


def test_datasets_of_unknown_types_get_dimensions_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as f:
        unknown_types(f)
    here = shown_here(annotate(read_tree(str(path))))
    assert here["a"] == ((here["c"][0][0],), (7,))
    (phony, five), shape = here["b"]
    assert shape == (3, 5)
    assert five == here["c"][0][1]
    assert phony not in here["c"][0]


def test_netcdf4_file(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("time", None)
        nc.createDimension("x", 4)
        nc.createDimension("y", 3)
        nc.createVariable("time", "f8", ("time",))[:] = range(5)
        nc.createVariable("x", "f4", ("x", "y"))[:] = 1
        nc.createVariable("v", "f4", ("time", "y", "x"))
        nc.createVariable("square", "f4", ("y", "y"))[:] = 1
        nc.createVariable("scalar", "i4", ())
        g = nc.createGroup("g")
        g.createDimension("x", 2)
        g.createDimension("time2", None)
        g.createVariable("w", "f4", ("time", "x"))[:2] = 1
        g.createVariable("t", "f4", ("time2",))
        g.createGroup("h").createVariable("x", "f4", ("x",))[:] = 1
    view = annotate(read_tree(str(path)))
    assert shown_here(view) == shown_by_netcdf4(path)
    assert set(view.hidden) == {"/y", "/g/x", "/g/time2"}
    # Written up to 2 and 0 of 5 along the unlimited dimension: netCDF-4 shows fill values beyond.
    assert {v.zarr_path: v.dataset.dataspace.shape for v in view.variables if v.zarr_path in ("v", "g/w")} == {
        "v": (0, 3, 4),
        "g/w": (2, 2),
    }


def test_variable_named_like_a_dimension_it_does_not_have(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("x", 4)
        nc.createDimension("y", 3)
        nc.createVariable("x", "f4", ("y",))[:] = [1, 2, 3]
    with h5py.File(path) as f:
        assert "_nc4_non_coord_x" in f
    view = annotate(read_tree(str(path)))
    (variable,) = view.variables
    assert (variable.zarr_path, variable.path, variable.dimensions) == ("x", "/_nc4_non_coord_x", ("y",))
    assert any("_nc4_non_coord_x" in note for note in variable.notes)


def test_prefix_is_kept_where_the_name_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as f:
        f["_nc4_non_coord_x"] = np.zeros(2)
        f["x"] = np.zeros(2)
    assert sorted(v.zarr_path for v in annotate(read_tree(str(path))).variables) == ["_nc4_non_coord_x", "x"]


def test_scale_of_another_length_does_not_name_the_axis(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as f:
        f["v"], f["w"], f["x"] = np.zeros(4), np.zeros(6), np.arange(6.0)
        attach(f, "v", "x")
        attach(f, "w", "x")
    view = annotate(read_tree(str(path)))
    here = shown_here(view)
    assert here["w"] == (("x",), (6,))
    assert here["v"][0][0].startswith("phony_dim_")
    assert any("6" in note for v in view.variables if v.zarr_path == "v" for note in v.notes)


def test_link_to_an_enclosing_group_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as f:
        f["g/h/v"] = np.zeros(2)
        f["g/h/up"] = f["g"]
        f["top"] = h5py.SoftLink("/")
    view = annotate(read_tree(str(path)))
    assert set(view.hidden) == {"/g/h/up", "/top"}
    assert [v.zarr_path for v in view.variables] == ["g/h/v"]


def test_names_of_names_are_bounded() -> None:
    """A chain of groups, each twice in the one above: 2**40 paths in a few kilobytes."""
    depth = 40
    tree = Tree("bomb", 0, "hdf5")
    path = ""
    for level in range(depth):
        tree.groups[path or "/"] = Group(path or "/", level + 1, children=["a", "b"])
        tree.links[f"{path}/b"] = LinkNote(f"{path}/b", "hard", f"{path}/a", "group")
        path += "/a"
    tree.groups[path] = Group(path, depth + 1, children=["v"])
    space = Dataspace("simple", (2,), (2,))
    integer = FixedPoint(4, "<", True, 0, 32)
    tree.datasets[f"{path}/v"] = Dataset(f"{path}/v", 99, space, integer, (), FillValue(), Contiguous(None, 8))
    view = annotate(tree)
    assert len(view.groups) < 5000
    assert any("too many" in reason for reason in view.hidden.values())


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_phony_dimensions_of_any_tree(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.h5"
    names = st.sampled_from(["a", "b", "c", "g/a", "g/b", "g/h/c", "z/a"])
    lengths = st.lists(st.integers(0, 3), max_size=3).map(tuple)
    shapes = data.draw(st.dictionaries(names, lengths, min_size=1, max_size=6))
    order = data.draw(st.booleans())
    with h5py.File(path, "w", track_order=order) as f:
        for name, shape in shapes.items():
            unlimited = bool(shape) and data.draw(st.booleans())
            maximum = (None, *(n or None for n in shape[1:])) if unlimited else None
            chunks = tuple(max(n, 1) for n in shape) if unlimited else None
            f.create_dataset(name, shape, "i2", maxshape=maximum, chunks=chunks)
    assert shown_here(annotate(read_tree(str(path)))) == shown_by_netcdf4(path)


@pytest.mark.parametrize(
    "dtype",
    [
        np.dtype([("r", "<f2"), ("i", "<f2")]),
        np.dtype([("a", "<f2"), ("b", "<f4")]),
        np.dtype([("a", "?")]),
        np.dtype([("a", "V4")]),
        h5py.vlen_dtype("<f2"),
        h5py.vlen_dtype("<f4"),
        np.dtype("V4"),
        np.dtype("?"),
        h5py.ref_dtype,
        np.dtype([("r", "<f4"), ("i", "<f8")]),
        np.dtype([("a", [("b", "<f4")])]),
        np.dtype([("a", h5py.ref_dtype)]),
        np.dtype([("a", "<f4", (2,))]),
        h5py.vlen_dtype(h5py.ref_dtype),
        np.dtype(("<f2", (2,))),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:.*(unsupported|WARNING)")
def test_numbers_beside_a_type_that_netcdf_may_not_know(tmp_path: Path, dtype: np.dtype) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as f:
        f.create_dataset("a", (5, 5), dtype)
        f["b"], f["c"] = np.arange(7), np.arange(5)
        f.create_dataset("g/a", (4,), dtype)
        f["g/b"] = np.zeros((5, 4))
        f.create_dataset("g/c", (6,), dtype)
        f["g/d"] = np.zeros((7, 6))
    here = shown_here(annotate(read_tree(str(path))))
    for name, found in shown_by_netcdf4(path).items():
        assert here[name] == found


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "c", "g/a", "g/b", "g/h/a", "g/h/b", "i/a", "i/c"]),
        st.lists(st.tuples(st.integers(1, 3), st.booleans()), max_size=3),
        min_size=1,
    ),
    st.sampled_from(["<f4", "S3", "S1", ">i2"]),
)
def test_phony_dimensions_of_any_shapes_in_groups(
    tmp_path: Path, shapes: dict[str, list[tuple[int, bool]]], dtype: str
) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as f:
        for name, axes in shapes.items():
            shape = tuple(length for length, _ in axes)
            limits = tuple(None if grows else length for length, grows in axes)
            f.create_dataset(name, shape, dtype, maxshape=limits if axes else None)
    assert shown_here(annotate(read_tree(str(path)))) == shown_by_netcdf4(path)


def test_a_scale_without_values_names_its_dimension(tmp_path: Path) -> None:
    """As h5netcdf has it; netCDF-C does not survive the file."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as f:
        f.create_dataset("g/x", data=h5py.Empty("f4")).make_scale("x")
        for name in ("g/y", "g/h/z", "g/longer"):
            f[name] = np.arange(4 if name == "g/longer" else 3)
            f[name].dims[0].attach_scale(f["g/x"])
        f["w"] = np.arange(3)
    here = {name: dimensions for name, (dimensions, _) in shown_here(annotate(read_tree(str(path)))).items()}
    assert here["g/h/z"] == ("x",)
    assert here["w"][0].startswith("phony_dim_")
    assert here["g/y"] == ("x",)
    assert here["g/longer"][0].startswith("phony_dim_")
