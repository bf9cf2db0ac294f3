"""What metadata may say."""

from __future__ import annotations

from typing import Any

import pytest

from refmaker.zarr.metadata import ArrayMetadata
from refmaker.zarr.understood import not_understood


@pytest.mark.parametrize(
    "document",
    [
        {"zarr_format": 2, "dtype": "|O"},
        {"zarr_format": 2, "dtype": [["a", "<i4"]]},
        {"zarr_format": 3, "data_type": "string"},
        {"zarr_format": 3, "data_type": "r16", "codecs": []},
        {"zarr_format": 3, "data_type": {"name": "numpy.datetime64", "configuration": {"unit": "s", "scale_factor": 1}},
         "codecs": []},
        {"zarr_format": 3, "data_type": "int8", "codecs": [], "new": {"must_understand": False}},
    ],
)  # fmt: skip
def test_known(document: dict[str, Any]) -> None:
    assert not_understood(ArrayMetadata.from_json(document)) is None


@pytest.mark.parametrize(
    "document",
    [
        {"zarr_format": 2, "dtype": "what"},
        {"zarr_format": 2, "dtype": [["a"]]},
        {"zarr_format": 3, "data_type": {"name": "bfloat16"}, "codecs": []},
        {"zarr_format": 3, "data_type": None, "codecs": []},
        {"zarr_format": 3, "data_type": "int8", "codecs": [], "new": 1},
    ],
)
def test_unknown(document: dict[str, Any]) -> None:
    assert not_understood(ArrayMetadata.from_json(document)) is not None
