"""GDAL's driver for Zarr over `/vsikerchunk_json_ref/` and `/vsikerchunk_parquet_ref/` (GDAL 3.11 and later).

By GDAL's own bindings, and where these are not there by rasterio's, which show arrays of one dimension as
one row: shapes are not compared.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from serving import Keys, Values, answer_with


def _name(request: dict[str, Any]) -> str:
    kind = "parquet" if request["parquet"] else "json"
    return f'ZARR:"/vsikerchunk_{kind}_ref/{{{request["manifest"]}}}"'


def by_gdal(request: dict[str, Any]) -> tuple[Values, Keys]:
    from osgeo import gdal

    gdal.UseExceptions()
    root = gdal.OpenEx(_name(request), gdal.OF_MULTIDIM_RASTER).GetRootGroup()
    return lambda path: root.OpenMDArrayFromFullname("/" + path).ReadAsArray(), None


def by_rasterio(request: dict[str, Any]) -> tuple[Values, Keys]:
    import rasterio

    def values(path: str) -> Any:
        with rasterio.open(f"{_name(request)}:/{path}") as opened:
            return opened.read(1)

    return values, None


if __name__ == "__main__":
    if importlib.util.find_spec("osgeo") is not None:
        answer_with(by_gdal, "gdal")
    else:
        import rasterio

        answer_with(by_rasterio, "rasterio", versions={"GDAL": rasterio.__gdal_version__}, flat=True)
