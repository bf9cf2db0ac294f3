from __future__ import annotations

import math

import h5py
import numpy as np
import pytest
from h5py import h5d, h5f, h5t
from hypothesis import given, settings
from hypothesis import strategies as st

from refmaker.codecs.image import DATASET_NAME, MAX_MESSAGE, dataset_image, encode_filter_pipeline
from refmaker.errors import ManifestError
from refmaker.hdf5.filter_pipeline import decode_filter_pipeline
from refmaker.model import Filter

from .stored import describe, message

DEFLATE = Filter(1, "deflate", True, (6,))


def opened(image: bytes) -> tuple[h5py.h5f.FileID, h5py.h5d.DatasetID]:
    file = h5f.open_file_image(image)
    return file, h5d.open(file, DATASET_NAME)


def test_header_is_verbatim() -> None:
    dtype = np.dtype([("a", ">i2"), ("b", "<f8", (3,))])
    filters = (Filter(2, "shuffle", False, (26,)), DEFLATE, Filter(32000, "", True, (4, 261, 26)))
    body = message(h5t.py_create(dtype))
    file, dataset = opened(dataset_image(body, (4, 5), dtype.itemsize, filters))
    found = describe(file, dataset)
    assert found.datatype == body
    assert found.chunk_shape == dataset.shape == (4, 5)
    # libhdf5 gives its own name where a message has none
    assert [(f.id, f.optional, f.client_data) for f in found.filters] == [
        (f.id, f.optional, f.client_data) for f in filters
    ]


@given(
    shape=st.lists(st.sampled_from([1, 2, 255, 256, 257, 65535, 65536, 70000]), min_size=1, max_size=5),
    item=st.sampled_from([1, 8, 255, 256, 300, 65536]),
)
@settings(deadline=None, max_examples=60)
def test_any_extents(shape: list[int], item: int) -> None:
    while math.prod(shape) * item >= 2**32:
        shape = shape[:-1] or [1]
    body = message(h5t.py_create(np.dtype(f"S{item}")))
    _, dataset = opened(dataset_image(body, shape, item, (DEFLATE,)))
    assert dataset.shape == tuple(shape)
    assert dataset.get_type().get_size() == item


def test_32_extents() -> None:
    body = message(h5t.STD_U8LE)
    _, dataset = opened(dataset_image(body, (1,) * 31 + (3,), 1, (DEFLATE,)))
    assert dataset.rank == 32


names = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=30)
some_filters = st.builds(
    Filter,
    id=st.integers(1, 65535),
    name=names,
    optional=st.booleans(),
    client_data=st.lists(st.integers(0, 2**32 - 1), max_size=9).map(tuple),
)


@given(filters=st.lists(some_filters, max_size=32))
@settings(deadline=None, max_examples=60)
def test_pipeline_is_read_back(filters: list[Filter]) -> None:
    assert decode_filter_pipeline(encode_filter_pipeline(filters)) == tuple(filters)


def test_too_large_a_message() -> None:
    filters = [Filter(300, "", True, tuple(range(MAX_MESSAGE // 4 + 1)))]
    with pytest.raises(ManifestError, match="too large"):
        dataset_image(message(h5t.STD_U8LE), (1,), 1, filters)
