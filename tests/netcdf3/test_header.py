"""Every structure of the header: whole, truncated, damaged."""

from __future__ import annotations

import pytest

from refmaker.errors import FormatError, TruncatedError
from refmaker.netcdf3.header import TruncatedHeader, decode_header
from tests.netcdf3.classic import STREAMING, Var, build

VERSIONS = (1, 2, 5)

# The example of the specification: `short vx(dim)`, dim = 5, data 3, 1, 4, 1, 5.
TINY = bytes.fromhex(
    "434446010000000000000 00a00000001 0000000364696d000000000500000000 000000000000000b0000000100000002"
    "767800000000000100000000 00000000 0000000000000003 0000000c00000050 000300010004000100058001".replace(" ", "")
)


def sample(version: int) -> bytes:
    return build(
        version,
        dims=[("time", 0), ("x", 3)],
        attributes=[("title", "S1", b"a title"), ("levels", "f8", [1.5, -2.0])],
        variables=[
            Var("x", [1], "i2", [("units", "S1", b"m"), ("_FillValue", "i2", [7])]),
            Var("t", [0], "f8"),
            Var("data", [0, 1], "i1", [("valid", "i1", [1, 2, 3])]),
            Var("scalar", [], "i4"),
        ],
        records=2,
    )


def decode(data: bytes):
    return decode_header(data, file_size=len(data))


def test_example_of_the_specification():
    header = decode(TINY)
    (vx,) = header.variables
    assert (header.version, header.records, header.record_dimension, header.size) == (1, 0, None, 80)
    assert [(d.name, d.length) for d in header.dimensions] == [("dim", 5)]
    assert (vx.name, vx.dimids, vx.type.name, vx.vsize, vx.begin) == ("vx", (0,), "NC_SHORT", 12, 80)


@pytest.mark.parametrize(("version", "size"), [(1, 32), (2, 32), (5, 48)])
def test_empty_file(version, size):
    data = build(version)
    assert len(data) == size
    header = decode(data)
    assert header.size == size
    assert header.dimensions == header.attributes == header.variables == ()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_entry(version):
    header = decode(sample(version))
    assert header.records == 2
    assert header.record_dimension == 0
    assert [(a.name, a.type.name, a.count) for a in header.attributes] == [
        ("title", "NC_CHAR", 7),
        ("levels", "NC_DOUBLE", 2),
    ]
    assert header.attributes[0].data == b"a title"
    assert [(v.name, v.dimids, v.type.name, v.vsize) for v in header.variables] == [
        ("x", (1,), "NC_SHORT", 8),
        ("t", (0,), "NC_DOUBLE", 8),
        ("data", (0, 1), "NC_BYTE", 4),
        ("scalar", (), "NC_INT", 4),
    ]
    assert [header.is_record(v) for v in header.variables] == [False, True, True, False]
    assert header.variables[0].begin == header.size
    assert len({v.address for v in header.variables}) == 4


@pytest.mark.parametrize("version", VERSIONS)
def test_file_cut_anywhere_in_the_header(version):
    data = sample(version)
    size = decode(data).size
    assert decode(data[:size]).size == size
    for stop in range(size):
        with pytest.raises(FormatError) as caught:
            decode(data[:stop])
        assert not isinstance(caught.value, TruncatedHeader)
        if stop >= 4:
            assert isinstance(caught.value, TruncatedError)


@pytest.mark.parametrize("version", VERSIONS)
def test_more_bytes_wanted_when_the_file_has_them(version):
    data = sample(version)
    header = decode(data)
    for stop in range(4, header.size):
        with pytest.raises(TruncatedHeader) as caught:
            decode_header(data[:stop], file_size=len(data))
        first_begin = caught.value.first_begin
        assert first_begin is None or first_begin >= header.size
    assert first_begin == header.size


@pytest.mark.parametrize("version", VERSIONS)
def test_every_bit_flipped(version):
    data = sample(version)
    size = decode(data).size
    refused = 0
    for bit in range(8 * size):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        try:
            decode(bytes(broken))
        except FormatError:
            refused += 1
    # Tags, counts, types, dimids and the sign bits are checked; lengths, text and numbers can be anything.
    assert refused > 8 * size // 4


def test_list_of_no_entries_may_have_its_tag():
    data = bytearray(build(1))
    data[11] = 10
    assert decode(bytes(data)).dimensions == ()
    data[11] = 11
    with pytest.raises(FormatError, match="tag"):
        decode(bytes(data))


def test_entries_without_tag():
    data = bytearray(build(1, dims=[("x", 1)]))
    data[11] = 0
    with pytest.raises(FormatError, match="tag"):
        decode(bytes(data))


@pytest.mark.parametrize(
    "magic", [b"", b"CD", b"CDF", b"HDF\x01", b"\x89HDF\r\n\x1a\n", b"CDF\x03", b"CDF\x00", b"CDF\x04"]
)
def test_other_magic(magic):
    with pytest.raises(FormatError):
        decode(magic + bytes(40))
    with pytest.raises(FormatError):
        decode(magic)


@pytest.mark.parametrize("version", VERSIONS)
def test_streaming(version):
    assert decode(build(version, records=STREAMING)).records is None


@pytest.mark.parametrize(("version", "records"), [(1, 2**31), (1, 2**32 - 2), (5, 2**63)])
def test_negative_number_of_records(version, records):
    with pytest.raises(FormatError, match="records"):
        decode(build(version, records=records))


@pytest.mark.parametrize(("version", "length"), [(1, 2**31), (2, 2**32 - 1), (5, 2**63)])
def test_negative_length_of_a_dimension(version, length):
    with pytest.raises(FormatError, match="dimension"):
        decode(build(version, dims=[("x", length)]))


def test_length_beyond_31_bits_in_cdf2():
    assert decode(build(2, dims=[("x", 3_000_000_000)])).dimensions[0].length == 3_000_000_000


@pytest.mark.parametrize("version", VERSIONS)
def test_negative_begin(version):
    data = build(version, variables=[Var("v", [], "i4", begin=-1)])
    with pytest.raises(FormatError, match="negative offset"):
        decode(data)


def test_two_record_dimensions():
    with pytest.raises(FormatError, match="more than one record dimension"):
        decode(build(dims=[("a", 0), ("b", 0)]))


@pytest.mark.parametrize("dimids", [[1, 0], [0, 0], [1, 1, 0]])
def test_record_dimension_not_first(dimids):
    with pytest.raises(FormatError, match="not the first"):
        decode(build(dims=[("t", 0), ("x", 2)], variables=[Var("v", dimids, "i4")]))


@pytest.mark.parametrize("dimid", [2, 2**31 - 1, -1])
def test_dimid_out_of_range(dimid):
    with pytest.raises(FormatError, match="no such dimension"):
        decode(build(dims=[("t", 0), ("x", 2)], variables=[Var("v", [1, dimid & 0xFFFFFFFF], "i4")]))


def test_too_many_dimensions():
    with pytest.raises(FormatError, match="too many dimensions"):
        decode(build(dims=[("x", 1)], variables=[Var("v", [0] * 1025, "i4")]))


@pytest.mark.parametrize(("version", "kind"), [(1, 0), (1, 7), (2, 11), (5, 12), (5, 2**31)])
def test_unknown_type(version, kind):
    with pytest.raises(FormatError, match="nc_type"):
        decode(build(version, variables=[Var("v", [], kind)]))


@pytest.mark.parametrize("version", VERSIONS)
def test_same_name_twice(version):
    twice = [
        {"dims": [("x", 1), ("x", 2)]},
        {"attributes": [("a", "i4", [1]), ("a", "i4", [1])]},
        {"variables": [Var("v", [], "i4"), Var("v", [], "i4")]},
        {"variables": [Var("v", [], "i4", [("a", "i4", [1]), ("a", "i4", [1])])]},
    ]
    for parts in twice:
        with pytest.raises(FormatError, match="twice"):
            decode(build(version, **parts))


@pytest.mark.parametrize("name", ["", "\x00\x00", "n" * 4097])
def test_length_of_names(name):
    with pytest.raises(FormatError, match="name"):
        decode(build(attributes=[(name, "i4", [1])], variables=[Var("v", [], "i4")]))


def test_names_keep_their_bytes():
    header = decode(build(variables=[Var("température", [], "i4"), Var(b"latin-\xe9", [], "i4")]))
    assert [v.name for v in header.variables] == ["température", "latin-\udce9"]
    assert header.variables[1].name.encode("utf-8", "surrogateescape") == b"latin-\xe9"


def test_names_that_were_shortened_in_place():
    header = decode(build(dims=[("x\x00\x00", 2)], variables=[Var("yy\x00", [0], "i4")]))
    assert (header.dimensions[0].name, header.variables[0].name) == ("x", "yy")
    with pytest.raises(FormatError, match="twice"):
        decode(build(variables=[Var("yy\x00", [], "i4"), Var("yy", [], "i4")]))


def test_rubbish_in_the_padding_is_ignored():
    data = bytearray(build(attributes=[("a", "S1", b"xyz")]))
    start = data.index(b"xyz")
    data[start + 3] = 0xEE
    assert decode(bytes(data)).attributes[0].data == b"xyz"


@pytest.mark.parametrize("version", VERSIONS)
def test_counts_beyond_the_file_take_no_memory(version):
    wide = 8 if version == 5 else 4
    data = build(version)
    huge = (2**62 if version == 5 else 2**30).to_bytes(wide, "big")
    position = 4 + wide
    for tag in (10, 12, 11):
        broken = data[:position] + bytes([0, 0, 0, tag]) + huge + data[position + 4 + wide :]
        with pytest.raises(TruncatedError, match="more elements"):
            decode(broken)
        position += 4 + wide
