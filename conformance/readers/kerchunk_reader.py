"""kerchunk's engine of xarray, without decoding of CF conventions: what is asked is what the manifest holds."""

from __future__ import annotations

from typing import Any

import xarray as xr
from serving import Keys, Values, answer_with


def open_manifest(request: dict[str, Any]) -> tuple[Values, Keys]:
    def values(path: str) -> Any:
        group, _, name = path.rpartition("/")
        options = {"decode_cf": False, **({"group": group} if group else {})}
        storage = {"remote_protocol": "file", "skip_instance_cache": True}
        opened = xr.open_dataset(
            request["manifest"], engine="kerchunk", storage_options=storage, open_dataset_options=options
        )
        return opened.variables[name].values

    return values, None


if __name__ == "__main__":
    answer_with(open_manifest, "kerchunk", "xarray", "fsspec", "zarr")
