"""RefmakerParser: VirtualiZarr reads through it what h5py reads, whatever the file is called and wherever it is."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

pytest.importorskip("virtualizarr", reason="VirtualiZarr needs Python 3.12 and the extra of its name")

import virtualizarr
import zarr
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore, MemoryStore
from virtualizarr.parsers import KerchunkJSONParser
from virtualizarr.parsers.typing import Parser

import refmaker
from refmaker.bridges.virtualizarr import REFUSALS, RefmakerParser, from_virtual, to_manifest_store
from refmaker.errors import SourceError, Unsupported
from tests.bridges.conftest import QUIET

pytestmark = [pytest.mark.filterwarnings(line) for line in QUIET]


@pytest.fixture
def registry() -> Any:
    return ObjectStoreRegistry({"file://": LocalStore()})


def url_of(path: Path) -> str:
    return f"file://{path}"


def assert_same_values(store: Any, path: Path) -> None:
    """Every dataset of a file reads the same through a store as through h5py."""
    root = zarr.open_group(store, mode="r", zarr_format=3)
    with h5py.File(path) as file:
        names: list[str] = []
        file.visititems(lambda name, one: names.append(name) if isinstance(one, h5py.Dataset) else None)
        for name in names:
            if name == "x":  # a dimension without coordinate, which netCDF-4 does not show
                continue
            text = h5py.check_string_dtype(file[name].dtype) is not None
            expected = file[name].asstr()[()] if text else file[name][()]
            found = root[name][()]
            np.testing.assert_array_equal(np.asarray(found).astype(object), np.asarray(expected).astype(object), name)


def test_follows_the_protocol() -> None:
    assert isinstance(RefmakerParser(), Parser)


def test_reads_what_h5py_reads(air: Path, registry: Any) -> None:
    assert_same_values(RefmakerParser()(url_of(air), registry), air)


def test_xarray_shows_what_netcdf4_has(air: Path, registry: Any) -> None:
    with xr.open_dataset(air, engine="netcdf4") as expected:
        names = [str(name) for name in expected.variables]
        found = RefmakerParser()(url_of(air), registry).to_virtual_dataset(loadable_variables=names)
        for name in names:
            np.testing.assert_array_equal(found[name].values, expected[name].values, name)
            assert found[name].dims == expected[name].dims
            assert found[name].attrs.get("units") == expected[name].attrs.get("units")
        assert np.isnan(found["t"].values[0, 0])


def test_groups_are_a_tree(air: Path, registry: Any) -> None:
    tree = virtualizarr.open_virtual_datatree(
        url_of(air), registry=registry, parser=RefmakerParser(), loadable_variables=[]
    )
    assert [node.path for node in tree.subtree] == ["/", "/forecast", "/forecast/deep"]
    assert tree["/forecast/deep"]["q"].shape == (6,)
    assert tree.attrs["title"] == "air"


def test_one_group_of_a_file(air: Path, registry: Any) -> None:
    store = RefmakerParser(group="forecast/deep")(url_of(air), registry)
    np.testing.assert_array_equal(zarr.open_group(store, mode="r", zarr_format=3)["q"][:], np.arange(6) / 3)


def test_variables_are_dropped_by_name(tmp_path: Path, registry: Any) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in ("a", "b", "[b]", "g/b"):
            file[name] = [1]
    store = RefmakerParser(drop_variables=["[b]", "a"])(url_of(tmp_path / "a.h5"), registry)
    assert sorted(from_virtual(store).arrays) == ["b", "g/b"]


def test_long_chunks_are_trimmed(air: Path, registry: Any) -> None:
    store = RefmakerParser()(url_of(air), registry)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        dataset = store.to_virtual_dataset(loadable_variables=[])
    assert dataset["time"].data.metadata.chunk_grid.chunk_shape == (4,)
    assert [str(one.message) for one in seen if "chunk shape larger" in str(one.message)] == []


def test_files_are_concatenated(tmp_path: Path, registry: Any) -> None:
    for at in range(3):
        data = {"t": (("time", "x"), np.full((2, 3), at, "f4"))}
        xr.Dataset(data, {"time": [2 * at, 2 * at + 1]}).to_netcdf(tmp_path / f"{at}.nc", unlimited_dims=["time"])
    found = virtualizarr.open_virtual_mfdataset(
        [url_of(tmp_path / f"{at}.nc") for at in range(3)], registry=registry, parser=RefmakerParser()
    )
    manifest = from_virtual(found)
    with xr.open_dataset(manifest, engine="refmaker") as opened:
        np.testing.assert_array_equal(opened["t"].values[:, 0], [0, 0, 1, 1, 2, 2])
        np.testing.assert_array_equal(opened["time"].values, np.arange(6))


@pytest.mark.parametrize("name", ["p+q", "a b", "é", "x%20y", "100%", "[z]", "a&b=c;d", "~a"])
@pytest.mark.parametrize("encoded", [True, False])
def test_names_of_files(tmp_path: Path, registry: Any, name: str, encoded: bool) -> None:
    path = tmp_path / f"{name}.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.arange(4), chunks=(2,))
    (tmp_path / "x y.h5").write_bytes(b"another file, of the decoded name")
    url = path.as_uri() if encoded else url_of(path)
    store = RefmakerParser()(url, registry)
    np.testing.assert_array_equal(zarr.open_group(store, mode="r", zarr_format=3)["x"][:], np.arange(4))


def test_a_path_as_users_give_it(tmp_path: Path, registry: Any) -> None:
    path = tmp_path / "a b+é.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(4)
    found = virtualizarr.open_virtual_dataset(str(path), registry=registry, parser=RefmakerParser())
    assert found["x"].shape == (4,)


@pytest.mark.parametrize("name", ["h#h", "q?q"])
def test_names_that_virtualizarr_cannot_read(tmp_path: Path, registry: Any, name: str) -> None:
    """It cuts urls there, and would read another file."""
    path = tmp_path / f"{name}.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.arange(4), chunks=(2,))
    with pytest.raises(SourceError):
        RefmakerParser()(url_of(path), registry)
    with pytest.raises(Unsupported, match="'\\?' or '#'"):
        to_manifest_store(refmaker.scan(path), registry, on_refusal="error")


def test_a_store_in_memory(air: Path) -> None:
    store = MemoryStore()
    store.put("dir/air.nc", air.read_bytes())
    registry = ObjectStoreRegistry({"s3://bucket": store})
    found = RefmakerParser()("s3://bucket/dir/air.nc", registry)
    assert_same_values(found, air)
    assert [target.url for target in from_virtual(found).targets] == ["s3://bucket/dir/air.nc"]


def test_a_store_with_a_prefix(air: Path) -> None:
    """It stands for a bucket: files are read where it is, and called what the url says."""
    registry = ObjectStoreRegistry({"s3://bucket": LocalStore(prefix=air.parent)})
    parser = RefmakerParser()
    assert [target.url for target in parser.manifest("s3://bucket/air.nc", registry).targets] == ["s3://bucket/air.nc"]
    assert_same_values(parser("s3://bucket/air.nc", registry), air)


def test_other_files_are_not_looked_for_without_credentials(tmp_path: Path) -> None:
    """Where they cannot be found, libhdf5 has fill values: that must not be taken for what they hold."""
    layout = h5py.VirtualLayout((4,), "i4")
    with h5py.File(tmp_path / "source.h5", "w") as file:
        file["x"] = np.arange(4, dtype="i4")
    layout[:] = h5py.VirtualSource("source.h5", "x", (4,))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_virtual_dataset("x", layout, fillvalue=-1)
    store = MemoryStore()
    for name in ("a.h5", "source.h5"):
        store.put(name, (tmp_path / name).read_bytes())
    registry = ObjectStoreRegistry({"s3://bucket": store})
    with pytest.raises(Unsupported, match="/x"):
        RefmakerParser(on_refusal="error")("s3://bucket/a.h5", registry)


@pytest.fixture
def refused(tmp_path: Path) -> Path:
    """A file with a dataset that Zarr 3 has no form for, and one that it has."""
    path = tmp_path / "refused.h5"
    with h5py.File(path, "w") as file:
        file["x"] = [1, 2]
        ragged = file.create_dataset("ragged", (2,), h5py.vlen_dtype("i4"))
        ragged[0], ragged[1] = [1], [2, 3]
    return path


def test_refusals_are_a_warning(refused: Path, registry: Any) -> None:
    with pytest.warns(UserWarning, match="/ragged: "):
        store = RefmakerParser()(url_of(refused), registry)
    assert sorted(from_virtual(store).arrays) == ["x"]


def test_refusals_are_an_error(refused: Path, registry: Any) -> None:
    with pytest.raises(Unsupported, match="/ragged: "):
        RefmakerParser(on_refusal="error")(url_of(refused), registry)


def test_refusals_are_an_attribute(refused: Path, registry: Any) -> None:
    store = RefmakerParser(on_refusal="attribute")(url_of(refused), registry)
    assert list(zarr.open_group(store, mode="r", zarr_format=3).attrs[REFUSALS]) == ["/ragged"]


def test_a_choice_that_there_is_not(air: Path, registry: Any) -> None:
    with pytest.raises(ValueError, match="on_refusal"):
        RefmakerParser(on_refusal="ignore")(url_of(air), registry)  # type: ignore[arg-type]


def test_options_of_a_scan(air: Path, registry: Any) -> None:
    store = RefmakerParser(inline_threshold=1 << 20, include=["t"])(url_of(air), registry)
    manifest = from_virtual(store)
    assert list(manifest.arrays) == ["t"]
    assert len(manifest.arrays["t"].references.inline) == 4


@pytest.mark.parametrize("name", ["m.json", "m.json.zst", "m.parq"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_manifests_are_parsed_too(air: Path, registry: Any, name: str, zarr_format: Any) -> None:
    """In Zarr 2 a float `_FillValue` is a number, of which VirtualiZarr's own parser makes an error."""
    manifest = air.parent / name
    refmaker.write_manifest(refmaker.scan(air, zarr_format=zarr_format), manifest)
    store = RefmakerParser()(url_of(manifest), registry)
    assert_same_values(store, air)
    found = store.to_virtual_dataset(loadable_variables=["t"])["t"].values
    assert np.isnan(found[0, 0])
    assert found[0, 1] == 1


def test_a_manifest_in_zarr_3_is_read_by_virtualizarr_itself(air: Path, registry: Any) -> None:
    refmaker.scan(air, zarr_format=3, include=["t"]).to_json(air.parent / "m.json")
    found = KerchunkJSONParser()(url_of(air.parent / "m.json"), registry)
    assert np.isnan(found.to_virtual_dataset(loadable_variables=["t"])["t"].values[0, 0])


def test_there_and_back(air: Path, registry: Any) -> None:
    parser = RefmakerParser()
    manifest, back = parser.manifest(url_of(air), registry), from_virtual(parser(url_of(air), registry))
    assert sorted(back.arrays) == sorted(manifest.arrays)
    assert back.groups == manifest.groups
    for path, array in manifest.arrays.items():
        if path != "time":  # which is trimmed
            assert back.arrays[path].references == array.references, path
            assert back.arrays[path].attributes == array.attributes, path
            assert back.arrays[path].grid == array.grid, path
    assert [target.url for target in back.targets] == [str(air)]


def test_a_virtual_dataset_is_verified(air: Path, registry: Any) -> None:
    dataset = virtualizarr.open_virtual_dataset(url_of(air), registry=registry, parser=RefmakerParser())
    refmaker.write_manifest(from_virtual(dataset), air.parent / "back.json")
    with (
        xr.open_dataset(air, engine="netcdf4") as expected,
        xr.open_dataset(air.parent / "back.json", engine="refmaker") as found,
    ):
        for name in expected.variables:
            np.testing.assert_array_equal(found[name].values, expected[name].values, str(name))


def test_a_virtual_tree_as_a_manifest(air: Path, registry: Any) -> None:
    tree = virtualizarr.open_virtual_datatree(url_of(air), registry=registry, parser=RefmakerParser())
    found = xr.open_datatree(from_virtual(tree), engine="refmaker")
    np.testing.assert_array_equal(found["/forecast/deep"]["q"].values, np.arange(6) / 3)


def test_what_is_not_virtual() -> None:
    with pytest.raises(TypeError, match="virtual"):
        from_virtual([1])


def test_a_process_that_pickles_parsers(air: Path, registry: Any) -> None:
    """Executors send parsers to their workers."""
    import pickle

    parser = pickle.loads(pickle.dumps(RefmakerParser(group="forecast/deep", portable=True)))
    assert_same = zarr.open_group(parser(url_of(air), registry), mode="r", zarr_format=3)
    assert assert_same["q"].shape == (6,)


def test_nothing_heavy_is_loaded_with_it() -> None:
    code = "import sys, refmaker.bridges.virtualizarr; print('virtualizarr' in sys.modules or 'zarr' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
