"""GDAL's driver for Zarr over `/vsikerchunk_json_ref/` and `/vsikerchunk_parquet_ref/` (GDAL 3.11 and later)."""

from __future__ import annotations

from typing import Any

from osgeo import gdal
from serving import Keys, Values, answer_with

gdal.UseExceptions()


def open_manifest(request: dict[str, Any]) -> tuple[Values, Keys]:
    kind = "parquet" if request["parquet"] else "json"
    name = f'ZARR:"/vsikerchunk_{kind}_ref/{{{request["manifest"]}}}"'
    opened = gdal.OpenEx(name, gdal.OF_MULTIDIM_RASTER)
    root = opened.GetRootGroup()
    return lambda path: root.OpenMDArrayFromFullname("/" + path).ReadAsArray(), None


if __name__ == "__main__":
    answer_with(open_manifest, "gdal")
