"""Items and collections: valid for pystac, read back by its extensions, opened by xpystac."""

from __future__ import annotations

import datetime as dt
import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from refmaker.catalogues import StacOptions, stac_collection, stac_item
from refmaker.errors import Unsupported
from tests.bridges.conftest import QUIET
from tests.catalogues.conftest import Make

pytestmark = [pytest.mark.filterwarnings(line) for line in QUIET]


def validate(record: dict[str, Any]) -> None:
    """By pystac, with the schemas that it has itself: those of extensions are on the network."""
    pytest.importorskip("pystac")
    pytest.importorskip("jsonschema")
    from pystac.validation import validate_dict

    validate_dict({**record, "stac_extensions": []})


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_item(globe: Make, zarr_format: int) -> None:
    manifest = globe(zarr_format=zarr_format)
    item = stac_item(manifest)
    validate(item)
    assert (item["id"], item["bbox"]) == ("air", [-10, 10, 20, 30])
    assert item["properties"]["datetime"] is None
    assert item["properties"]["end_datetime"] == "2000-01-03T00:00:00Z"
    assert item["links"][0]["rel"] == "store"
    assert item["links"][0]["type"] == f"application/vnd.zarr; version={zarr_format}"
    assert item["assets"]["data"]["roles"] == ["data", "virtual"]
    assert item["assets"]["source"]["roles"] == ["source"]
    assert item["assets"]["source"]["file:size"] == manifest.with_suffix(".nc").stat().st_size


def test_pystac_reads_the_cube(globe: Make) -> None:
    pystac = pytest.importorskip("pystac")
    from pystac.extensions.datacube import DatacubeExtension

    cube = DatacubeExtension.ext(pystac.Item.from_dict(stac_item(globe())))
    assert {name: one.dim_type for name, one in cube.dimensions.items()} == {
        "time": "temporal",
        "lat": "spatial",
        "lon": "spatial",
    }
    assert cube.dimensions["lon"].axis == "x"
    assert cube.variables["t"].unit == "K"


def test_pystac_reads_the_projection(utm: Path) -> None:
    pystac = pytest.importorskip("pystac")
    pytest.importorskip("pyproj")
    from pystac.extensions.projection import ProjectionExtension

    item = stac_item(utm)
    validate(item)
    assert item["properties"]["datetime"] == "2001-02-03T04:05:06Z"
    found = ProjectionExtension.ext(pystac.Item.from_dict(item))
    assert found.shape == [3, 4]
    assert found.wkt2 is not None
    assert item["geometry"]["type"] == "Polygon"


def test_groups_have_assets(tmp_path: Path) -> None:
    import refmaker

    time = ("time", np.array(["2000-01-01"], "M8[ns]"))
    tree = {name: xr.Dataset({"v": ("time", [1.0])}, {"time": time}) for name in ("/a", "/b/c")}
    xr.DataTree.from_dict(tree).to_netcdf(tmp_path / "a.nc")
    refmaker.scan(tmp_path / "a.nc").to_json(str(tmp_path / "a.json"))
    item = stac_item(tmp_path / "a.json", identifier="own", options=StacOptions(href="https://host/a.json", sources=0))
    validate(item)
    assert set(item["assets"]) == {"references", "data/a", "data/b/c"}
    assert item["assets"]["data/b/c"]["xarray:open_kwargs"] == {"engine": "refmaker", "group": "/b/c"}
    assert "cube:dimensions" in item["assets"]["data/a"]
    assert "cube:dimensions" not in item["properties"]
    assert (item["geometry"], "bbox" in item) == (None, False)
    assert {one["href"] for one in item["assets"].values()} == {"https://host/a.json"}


def test_targets_relative_to_the_manifest(globe: Make, tmp_path: Path) -> None:
    manifest = globe()
    document = json.loads(manifest.read_text().replace(str(tmp_path) + "/", ""))
    (tmp_path / "relative.json").write_text(json.dumps(document))
    assert "/" not in {entry[0] for entry in document["refs"].values() if isinstance(entry, list)}.pop()
    assert stac_item(tmp_path / "relative.json")["bbox"] == stac_item(manifest)["bbox"]


def test_a_time_is_needed(globe: Make) -> None:
    manifest = globe(time=None)
    with pytest.raises(Unsupported, match="needs a time"):
        stac_item(manifest)
    item = stac_item(manifest, options=StacOptions(datetime=dt.datetime(1999, 1, 1)))
    assert item["properties"]["datetime"] == "1999-01-01T00:00:00Z"
    validate(item)


def test_a_collection(globe: Make) -> None:
    west = stac_item(globe("west"))
    east = stac_item(globe("east", lon=("lon", [100.0, 110.0], {"units": "degrees_east"})))
    collection = stac_collection("air", [west, east], title="Air", license="CC-BY-4.0")
    validate(collection)
    assert collection["extent"]["spatial"]["bbox"] == [[-10, 10, 110, 30]]
    assert collection["extent"]["temporal"]["interval"] == [["2000-01-01T00:00:00Z", "2000-01-03T00:00:00Z"]]
    with pytest.raises(ValueError, match="'west'"):
        stac_collection("air", [west, west])
    with pytest.raises(ValueError, match="needs an item"):
        stac_collection("air", [])


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.filterwarnings("ignore")
def test_xpystac_opens_it(globe: Make, served: str) -> None:
    pytest.importorskip("xpystac")
    pytest.importorskip("kerchunk")
    import pystac

    item = pystac.Item.from_dict(stac_item(globe(), options=StacOptions(href=f"{served}/air.json")))
    opened = xr.open_dataset(item.assets["references"], engine="stac")
    np.testing.assert_array_equal(opened["t"].values, np.arange(24).reshape(2, 3, 4))


def test_the_asset_says_how_xarray_opens_it(globe: Make) -> None:
    asset = stac_item(globe())["assets"]["data"]
    with xr.open_dataset(asset["href"], **asset["xarray:open_kwargs"]) as opened:
        assert opened["t"].shape == (2, 3, 4)
