"""Where data lies: padding, record sizes, order, the end of the file."""

from __future__ import annotations

import pytest

from refmaker.errors import FormatError, TruncatedError
from refmaker.netcdf3.header import decode_header
from refmaker.netcdf3.layout import check_in_file, lay_out
from tests.netcdf3.classic import STREAMING, Var, build

DIMS = [("t", 0), ("x", 3)]


def parts(data: bytes, file_size: int | None = None):
    file_size = len(data) if file_size is None else file_size
    header = decode_header(data, file_size=len(data))
    return header, lay_out(header, file_size=file_size)


@pytest.mark.parametrize("kind", ["i1", "S1", "i2"])
def test_only_record_variable_stands_without_padding(kind):
    size = 3 * int(kind[1])
    _, layout = parts(build(dims=DIMS, variables=[Var("v", [0, 1], kind)], records=5))
    assert (layout.record_size, layout.sizes, layout.records_in_file) == (size, (size,), 5)


def test_several_record_variables_are_padded():
    variables = [Var("a", [0, 1], "i1"), Var("b", [0, 1], "i2"), Var("c", [0], "f8")]
    _, layout = parts(build(dims=DIMS, variables=variables, records=5))
    assert layout.sizes == (3, 6, 8)
    assert layout.record_size == 4 + 8 + 8


def test_no_record_variable():
    _, layout = parts(build(dims=DIMS, variables=[Var("a", [1, 1], "i2"), Var("s", [], "f8")], records=9))
    assert (layout.sizes, layout.record_size, layout.records, layout.records_in_file) == ((18, 8), 0, 9, 0)


@pytest.mark.parametrize("vsize", [0, 1, 2**32 - 1])
def test_vsize_is_not_believed(vsize):
    variables = [Var("a", [0, 1], "i2", vsize=vsize), Var("b", [0], "i4", vsize=vsize)]
    _, layout = parts(build(dims=DIMS, variables=variables, records=3))
    assert (layout.sizes, layout.record_size) == ((6, 4), 12)


def test_variable_beyond_4_gib():
    data = build(2, dims=[("y", 2**31), ("x", 2**31)], variables=[Var("v", [0, 1], "f8", vsize=2**32 - 1, begin=200)])
    header = decode_header(data[:200], file_size=2**66)
    layout = lay_out(header, file_size=2**66)
    assert layout.sizes == (2**65,)
    check_in_file(header, layout, 0, file_size=200 + 2**65)
    with pytest.raises(TruncatedError):
        check_in_file(header, layout, 0, file_size=199 + 2**65)


@pytest.mark.parametrize("variables", [[Var("a", [0, 1], "i1")], [Var("a", [0, 1], "i1"), Var("b", [0], "i2")]])
def test_streaming_counts_what_is_there(variables):
    data = build(dims=DIMS, variables=variables, records=STREAMING, tail=4)
    header, layout = parts(data)
    assert layout.records == 4
    # The last record is whole as soon as its last value is, with or without the padding behind it.
    values_stop = layout.record_size * 3 + header.variables[-1].begin + layout.sizes[-1]
    assert parts(data, values_stop)[1].records == 4
    assert parts(data, values_stop - 1)[1].records == 3
    assert parts(data, header.size)[1].records == 0


def test_streaming_without_record_variables():
    assert parts(build(dims=DIMS, records=STREAMING))[1].records == 0


@pytest.mark.parametrize("count", [1, 2])
def test_last_byte_of_the_last_record(count):
    variables = [Var(f"v{i}", [0, 1], "i2") for i in range(count)]
    data = build(dims=DIMS, variables=variables, records=3)
    header, layout = parts(data)
    stop = header.variables[-1].begin + 2 * layout.record_size + 6
    check_in_file(header, layout, count - 1, file_size=stop)
    with pytest.raises(TruncatedError, match="2 of 3 records"):
        check_in_file(header, layout, count - 1, file_size=stop - 1)


def test_no_records_need_no_bytes():
    data = build(dims=DIMS, variables=[Var("v", [0, 1], "i2", begin=10**6)])
    header, layout = parts(data)
    check_in_file(header, layout, 0, file_size=len(data))


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ([Var("a", [1], "i4", begin=4)], "lies over"),
        ([Var("a", [0], "i4", begin=4)], "lies over"),
        ([Var("a", [1], "i4", begin=1000), Var("b", [1], "i4", begin=1011)], "lies over"),
        ([Var("a", [0], "i4", begin=1000), Var("b", [0], "i4", begin=1003)], "lies over"),
        ([Var("a", [0], "i4", begin=1000), Var("b", [1], "i4", begin=1004)], "lies over"),
        ([Var("a", [0], "i4", begin=1000), Var("b", [0], "i4", begin=1005)], "further apart"),
    ],
)
def test_offsets_that_contradict(variables, message):
    with pytest.raises(FormatError, match=message) as caught:
        parts(build(dims=DIMS, variables=variables, records=1))
    assert caught.value.path in ("/a", "/b")


def test_gaps_between_fixed_variables_are_allowed():
    data = build(dims=DIMS, variables=[Var("a", [1], "i1", begin=1000), Var("b", [1], "i1", begin=1003)])
    assert parts(data)[1].sizes == (3, 3)
