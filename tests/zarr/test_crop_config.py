"""The configuration of `refmaker.crop`."""

from __future__ import annotations

import pytest

from refmaker.errors import ManifestError
from refmaker.zarr.crop_config import encoded_chunk


def test_lengths_and_one_null() -> None:
    assert encoded_chunk({"name": "refmaker.crop", "configuration": {"encoded_chunk": [3, None]}}) == (3, None)


@pytest.mark.parametrize("codec", ["refmaker.crop", None, {"name": "refmaker.crop"}, {"configuration": {}}])
def test_what_is_no_configuration(codec: object) -> None:
    with pytest.raises(ManifestError):
        encoded_chunk(codec)
