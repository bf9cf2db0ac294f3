from __future__ import annotations

import contextlib

import pytest

from refmaker.errors import FormatError, RefmakerError, TruncatedError, Unsupported
from refmaker.hdf5.link import Link, LinkInfo, decode_link, decode_link_info
from refmaker.hdf5.sizes import Sizes
from tests.hdf5.assembling import UNDEFINED, hard_link, link_info, number, soft_link

WIDE = Sizes(8, 8)


def test_link_info():
    assert decode_link_info(link_info(), WIDE) == LinkInfo(False, None, None)
    assert decode_link_info(link_info(5, 6), WIDE) == LinkInfo(False, 5, 6)
    ordered = bytes([0, 3]) + number(99) + number(5) + number(6) + number(7)
    assert decode_link_info(ordered, WIDE) == LinkInfo(True, 5, 6)
    with pytest.raises(Unsupported, match="version"):
        decode_link_info(bytes([1, 0]) + bytes(16), WIDE)
    for size in range(18):
        with pytest.raises(TruncatedError):
            decode_link_info(link_info()[:size], WIDE)


def test_kinds():
    assert decode_link(hard_link(b"a", 700), WIDE) == Link("a", "hard", 700)
    assert decode_link(soft_link(b"a", b"/b/c"), WIDE) == Link("a", "soft", target="/b/c")
    value = b"\0" + b"other.h5\0" + b"/x\0"
    external = bytes([1, 8, 64, 1]) + b"a" + number(len(value), 2) + value
    assert decode_link(external, WIDE) == Link("a", "external", target="/x", file="other.h5")
    user = bytes([1, 8, 187, 1]) + b"a" + number(3, 2) + b"xyz"
    assert decode_link(user, WIDE) == Link("a", "user", user_type=187)


@pytest.mark.parametrize("width", [0, 1, 2, 3])
def test_optional_fields(width):
    """Type, creation order, character set; sizes of names in 1, 2, 4 or 8 bytes."""
    name = "nämé".encode()
    for flags in range(0, 32, 4):
        body = bytes([1, flags | width])
        body += b"\0" if flags & 8 else b""
        body += number(77) if flags & 4 else b""
        body += b"\1" if flags & 16 else b""
        found = decode_link(body + number(len(name), 1 << width) + name + number(700), WIDE)
        assert found == Link("nämé", "hard", 700, creation_order=77 if flags & 4 else 0)


def test_narrow_addresses():
    assert decode_link(bytes([1, 0, 1]) + b"a" + number(700, 2), Sizes(2, 8)).address == 700
    assert decode_link(hard_link(b"a", UNDEFINED), WIDE).address == UNDEFINED


@pytest.mark.parametrize(
    "body", [hard_link(b"a", 700), soft_link(b"a", b"/b/c"), bytes([1, 8, 64, 1]) + b"a\5\0\0a\0b\0"]
)
def test_truncated_and_flipped(body):
    for size in range(len(body)):
        with pytest.raises(TruncatedError):
            decode_link(body[:size], WIDE)
    for i in range(len(body) * 8):
        bad = bytearray(body)
        bad[i // 8] ^= 1 << i % 8
        with contextlib.suppress(RefmakerError):
            decode_link(bytes(bad), WIDE)


@pytest.mark.parametrize("name", [b"", b"a/b", b"/", b"a\0b"])
def test_names_that_cannot_be(name):
    with pytest.raises(FormatError, match="name of a link"):
        decode_link(hard_link(name, 0), WIDE)


def test_what_cannot_be():
    with pytest.raises(Unsupported, match="version"):
        decode_link(bytes([2]) + hard_link(b"a", 0)[1:], WIDE)
    with pytest.raises(FormatError, match="external link"):
        decode_link(bytes([1, 8, 64, 1]) + b"a" + number(4, 2) + b"\0abc", WIDE)
