"""Short last strips decode within bounds; whole files are in tests/formats/test_tiff.py."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

pytest.importorskip("imagecodecs")

from refmaker.errors import Unsupported
from refmaker.tiff.strips import decoded_strip

CODECS = [{"id": "zlib"}]


def test_a_short_strip():
    values = np.arange(6, dtype="u1").reshape(2, 3)
    got = decoded_strip(CODECS, zlib.compress(values.tobytes()), (2, 3), (4, 3), np.dtype("u1"))
    np.testing.assert_array_equal(got, values)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (zlib.compress(b"\0" * 5), "5 bytes instead of 6"),
        (zlib.compress(bytes(1 << 20)), "decode"),
        (b"junk", "decode"),
    ],
)
def test_strips_that_do_not_fit(data, why):
    with pytest.raises(Unsupported, match=why):
        decoded_strip(CODECS, data, (2, 3), (4, 3), np.dtype("u1"))


def test_codecs_with_loss():
    with pytest.raises(Unsupported, match="does not give back what it encodes"):
        decoded_strip([{"id": "imagecodecs_jpeg"}], b"", (2, 3), (4, 3), np.dtype("u1"))
