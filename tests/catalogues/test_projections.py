from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import refmaker
from refmaker.catalogues import projections
from refmaker.catalogues.describing import describe

WKT2 = 'PROJCRS["UTM",BASEGEOGCRS["WGS 84"],ID["EPSG",32632]]'


def test_parameters_of_cf(utm: Path) -> None:
    pyproj = pytest.importorskip("pyproj")
    (cube,) = describe(refmaker.open_manifest(utm))
    assert cube.projection is not None
    fields = cube.projection.fields
    assert fields["proj:shape"] == [3, 4]
    assert fields["proj:transform"] == [1000, 0, 500000, 0, -1000, 5004000, 0, 0, 1]
    assert fields["proj:bbox"] == [500000, 5001000, 504000, 5004000]
    assert pyproj.CRS.from_wkt(fields["proj:wkt2"]).coordinate_operation.method_name == "Transverse Mercator"
    lon, lat = pyproj.Transformer.from_crs(32632, 4326, always_xy=True).transform(500500, 5001500)
    assert cube.box is not None
    np.testing.assert_allclose(cube.box[:2], [lon, lat], atol=1e-3)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (WKT2, {"proj:wkt2": WKT2, "proj:code": "EPSG:32632"}),
        ('PROJCS["UTM",GEOGCS["WGS 84"],AUTHORITY["EPSG","32632"]]', {"proj:code": "EPSG:32632"}),
        ('PROJCS["own",GEOGCS["WGS 84",AUTHORITY["EPSG","4326"]]]', {}),
    ],
)
def test_texts_without_pyproj(
    tmp_path: Path, text: str, fields: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projections, "_crs", lambda attributes: None)
    data = {"a": ("x", [1.0]), "crs": ((), 0, {"grid_mapping_name": "x", "crs_wkt": text})}
    xr.Dataset(data).to_netcdf(tmp_path / "a.nc")
    (cube,) = describe(refmaker.scan(tmp_path / "a.nc"))
    assert (cube.projection.fields if cube.projection else {}) == fields


def test_several_mappings_tell_nothing(tmp_path: Path) -> None:
    mapping = ((), 0, {"grid_mapping_name": "x", "crs_wkt": WKT2})
    xr.Dataset({"a": mapping, "b": mapping}).to_netcdf(tmp_path / "a.nc")
    assert describe(refmaker.scan(tmp_path / "a.nc"))[0].projection is None
