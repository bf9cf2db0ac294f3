from __future__ import annotations

import zlib

import numpy as np
import pytest
from h5py import h5d, h5f, h5s, h5t, h5z

from refmaker.codecs.decode import decode_chunk
from refmaker.codecs.image import DATASET_NAME, dataset_image
from refmaker.codecs.parameters import RequiredInput
from refmaker.codecs.size_check import refused, register, size_check
from refmaker.model import Filter

from .stored import integer_type, message


def test_registers_once_beside_any_filters() -> None:
    number = register(())
    assert 256 <= number <= 511
    assert register(()) == register((1, 2)) == number
    assert h5z.filter_avail(number)
    other = register((number,))
    assert other != number
    assert register((number,)) == other
    assert register(()) == number


def test_a_pipeline_may_use_the_same_id() -> None:
    """Whoever else uses the id gets an error, not data."""
    number = register(())
    file = h5f.open_file_image(dataset_image(message(h5t.STD_I8LE), (3,), 1, [Filter(number, "", False, (7,))]))
    with pytest.raises(OSError, match="filter"):
        h5d.open(file, DATASET_NAME).read(h5s.ALL, h5s.ALL, np.zeros(3, "i1"))
    # and where it stands in a pipeline of ours it is still theirs, skipped here
    filters = (Filter(number, "", False, ()), Filter(1, "", False, (6,)))
    assert decode_chunk(zlib.compress(b"abc"), integer_type(1, 8, 0), (3,), filters, 1, "|i1") == b"abc"


def test_refusal_is_told_once() -> None:
    assert refused() is None
    check = size_check(register(()), RequiredInput(5))
    # the placeholder is 8 bytes
    file = h5f.open_file_image(dataset_image(message(h5t.STD_I8LE), (3,), 1, [check]))
    h5d.open(file, DATASET_NAME).read(h5s.ALL, h5s.ALL, np.zeros(3, "i1"))
    assert refused() is None
    check = size_check(register(()), RequiredInput(2**40))
    file = h5f.open_file_image(dataset_image(message(h5t.STD_I8LE), (3,), 1, [check]))
    with pytest.raises(OSError, match="filter"):
        h5d.open(file, DATASET_NAME).read(h5s.ALL, h5s.ALL, np.zeros(3, "i1"))
    assert refused() == (8, 2**40)
    assert refused() is None
