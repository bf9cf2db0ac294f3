"""One Parquet file of references: between its bytes and columns.

Contract: columns `path` (utf8), `offset` and `size` (integers), `raw` (binary), one row for a chunk; a file may lack
columns that it does not need. `raw` is data, in base64 where it begins with `base64:`; else a `path` with offset and
size 0 is a whole target, any other one a range; neither of the two is an absent chunk. What is read may be from
anyone: whatever is not so is a `ManifestError`, and memory is bounded by what the size of the file can mean. Source:
fsspec's `LazyReferenceMapper`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from refmaker import limits
from refmaker.errors import ManifestError, Unsupported
from refmaker.extras import install_command
from refmaker.kerchunk.parquet_bounds import bounds_of
from refmaker.manifest.references import References
from refmaker.ranges import distinct

__all__ = ["MAX_ROWS", "Digest", "decode_shard", "digest_of", "encode_shard", "pyarrow"]

MAX_ROWS = limits.SHARD_ROWS
"""Rows of a file, at most: runs let a few bytes claim any number of them."""

_COLUMNS = ("path", "offset", "size", "raw")
_UNPACKED = limits.SHARD_UNPACKED
_RATIO = limits.SHARD_RATIO
"""A file may unpack to `_UNPACKED` bytes, or to so many times its size."""

_DICTIONARY = 1 << 30
"""Bytes of the urls of a shard, which are written as one dictionary up to there."""

_MARK = b"base64:"
"""Before data in base64: fsspec and VirtualiZarr look for it in `raw` too."""

_Table: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Digest:
    """What a set says of one of its files: bytes, SHA-256 in hexadecimal digits, and the references in it."""

    size: int
    sha256: str
    references: int


def pyarrow() -> Any:
    """Load pyarrow with its Parquet part.

    Raises
    ------
    Unsupported
        It is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise Unsupported(f"Parquet sets need the package pyarrow: {install_command('parquet')}") from error
    return pa


def digest_of(data: bytes, references: int) -> Digest:
    """Return the digest of a file."""
    return Digest(len(data), hashlib.sha256(data).hexdigest(), references)


def encode_shard(part: References, first: int, rows: int, urls: Sequence[str]) -> bytes:
    """Write references as a Parquet file.

    Parameters
    ----------
    part
        References of the cells from `first` to before `first + rows`.
    urls
        Of all targets.

    Raises
    ------
    ManifestError
        An offset or a size that the format's signed 64 bits do not hold.
    """
    pa = pyarrow()
    row = part.cell - first
    target, offset, size = np.zeros(rows, "i4"), np.zeros(rows, "i8"), np.zeros(rows, "i8")
    has_path, raw = np.zeros(rows, bool), dict(part.inline)
    if len(row) and max(int(part.offset.max()), int(part.size.max())) >= 2**63:
        raise ManifestError("offset or size of 2**63 or more, which Parquet sets cannot hold")
    used, codes = np.unique(np.concatenate([part.target, [*part.whole.values()]]).astype("i8"), return_inverse=True)
    target[row], offset[row], size[row], has_path[row] = codes[: len(row)], part.offset, part.size, True
    whole = np.fromiter(part.whole, "i8", len(part.whole)) - first
    target[whole], has_path[whole] = codes[len(row) :], True
    # At offset 0, size 0 means the whole file here: no bytes at all are written as such.
    empty = row[(part.offset == 0) & (part.size == 0)]
    has_path[empty] = False
    raw.update((int(cell), b"") for cell in empty + first)
    columns = [_paths(pa, target, has_path, [urls[code] for code in used]), offset, size, _raws(pa, raw, first, rows)]
    # Offset and size are never null, and have to say so: fastparquet makes floats of integers that may be.
    fields = [("path", columns[0].type, True), ("offset", pa.int64(), False), ("size", pa.int64(), False)]
    schema = pa.schema([pa.field(*field) for field in (*fields, ("raw", pa.binary(), True))])
    return _written(pa, pa.table(columns, schema=schema))


def _paths(pa: Any, target: npt.NDArray[np.int32], has_path: npt.NDArray[np.bool_], urls: list[str]) -> Any:
    codes = pa.array(target, mask=~has_path)
    return pa.DictionaryArray.from_arrays(codes, pa.array(urls, pa.string()))


def _raws(pa: Any, raw: dict[int, bytes], first: int, rows: int) -> Any:
    if not raw:
        return pa.nulls(rows, pa.binary())  # typed all the same: others cannot read a column of type null
    values: list[bytes | None] = [None] * rows
    for cell, data in raw.items():
        values[cell - first] = _MARK + base64.b64encode(data) if data.startswith(_MARK) else data
    return pa.array(values, pa.binary())


def _written(pa: Any, table: _Table) -> bytes:
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(
        table,
        sink,
        row_group_size=max(len(table), 1),
        compression="zstd",
        use_dictionary=["path"],
        # All paths through the dictionary: of paths in pages, fastparquet makes text in which a null is NaN.
        dictionary_pagesize_limit=_DICTIONARY,
        write_statistics=["offset", "size"],  # that none is null, fastparquet takes from there
        store_schema=False,  # so that `path` is read as text and not as a category
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data


def decode_shard(
    data: bytes, first: int, rows: int, code_of: Callable[[str], int], *, structure: str, source: str
) -> References:
    """Read a Parquet file of references.

    Parameters
    ----------
    first, rows
        The cells that the file stands for; it may have more rows, which are padding.
    code_of
        Gives the index of a target, by its url.
    structure, source
        Named in errors.

    Raises
    ------
    ManifestError
        It is not such a file.
    """
    pa = pyarrow()
    try:
        table = _table(pa, data, rows)
        return _references(pa, table.slice(0, rows), first, code_of)
    except ManifestError as error:
        error.structure, error.source = error.structure or structure, source
        raise
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise ManifestError(
            f"not a Parquet file of references: {reason}", structure=structure, source=source
        ) from error


def _table(pa: Any, data: bytes, rows: int) -> _Table:
    bounds = bounds_of(data)
    if bounds.unpacked > max(_UNPACKED, _RATIO * len(data)):
        raise ManifestError("unpacks to more than its size can mean", got=f"{bounds.unpacked} bytes from {len(data)}")
    # As dictionaries: else a row that repeats a long value would take its length.
    texts = [name for name in ("path", "raw") if name in bounds.columns]
    try:
        file = pa.parquet.ParquetFile(pa.BufferReader(data), read_dictionary=texts)
    except KeyError as error:
        raise ManifestError("wrong columns", expected=", ".join(_COLUMNS), got=f"none that is {error}") from error
    found = file.metadata.num_rows
    if found != bounds.rows or not rows <= found <= MAX_ROWS:
        raise ManifestError("wrong number of rows", expected=f"{rows} to {MAX_ROWS}", got=found)
    schema = file.schema_arrow
    present = [name for name in _COLUMNS if name in schema.names]
    if not {"path", "raw"} & set(present) or len(set(schema.names)) != len(schema.names):
        raise ManifestError("wrong columns", expected=", ".join(_COLUMNS), got=", ".join(schema.names)[:200])
    for name in present:
        if not _fits(pa, name, schema.field(name).type):
            raise ManifestError(f"column {name!r} of a wrong type", got=str(schema.field(name).type)[:200])
    table = file.read(columns=present, use_threads=False)
    if len(table) != found:
        raise ManifestError("wrong number of rows", expected=found, got=len(table))
    return table.combine_chunks()


def _fits(pa: Any, name: str, kind: Any) -> bool:
    types = pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    if name in ("offset", "size"):
        return bool(types.is_integer(kind))
    if name == "path":
        return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind))
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_null(kind))


def _references(pa: Any, table: _Table, first: int, code_of: Callable[[str], int]) -> References:
    rows = len(table)
    has_raw = _valid(table, "raw")
    has_path = _valid(table, "path") & ~has_raw
    offset, size = _numbers(table, "offset", has_path), _numbers(table, "size", has_path)
    whole = has_path & (offset == 0) & (size == 0)
    in_range = np.flatnonzero(has_path & ~whole)
    codes = _codes(pa, table, has_path, code_of) if has_path.any() else np.zeros(rows, "u1")
    target = codes[in_range]
    if len(target) and (target == target[0]).all():
        target = np.broadcast_to(target[:1].copy(), len(target))
    first_byte, length = offset[in_range].astype("u8"), size[in_range].astype("u8")
    if (first_byte + length < first_byte).any():
        raise ManifestError("a reference ends at 2**64 or beyond")
    raws = _inlined(pa, table, has_raw) if has_raw.any() else []
    whole_rows = np.flatnonzero(whole)
    return References(
        in_range + np.int64(first),
        target,
        first_byte,
        length,
        dict(zip((np.flatnonzero(has_raw) + first).tolist(), raws, strict=True)),
        dict(zip((whole_rows + first).tolist(), codes[whole_rows].tolist(), strict=True)),
    )


def _plain(data: bytes) -> bytes:
    if not data.startswith(_MARK):
        return data
    try:
        return base64.b64decode(data[len(_MARK) :], validate=True)
    except binascii.Error as error:
        raise ManifestError(f"bad inlined data: {error}") from error


def _inlined(pa: Any, table: _Table, has_raw: npt.NDArray[np.bool_]) -> list[bytes]:
    """Return the data of the rows that have some; equal ones are one object."""
    column = _array(table, "raw")
    if not pa.types.is_dictionary(column.type):
        return [_plain(data) for data in column.to_pylist() if data is not None]
    held = column.dictionary.to_pylist()
    index = _values(column.indices)[has_raw]
    if len(index) and not 0 <= int(index.min()) <= int(index.max()) < len(held):
        raise ManifestError("data beyond the dictionary", expected=f"fewer than {len(held)}", got=int(index.max()))
    plain: dict[int, bytes] = {}
    for i in distinct(index).tolist():
        if held[i] is None:
            raise ManifestError("data in the dictionary are null")
        plain[i] = _plain(held[i])
    return [plain[i] for i in index.tolist()]


def _valid(table: _Table, name: str) -> npt.NDArray[np.bool_]:
    if name not in table.column_names or table.schema.field(name).type == "null":
        return np.zeros(len(table), bool)
    return _validity(_array(table, name))


# Buffers are looked at directly: most of what pyarrow offers for it imports pandas where that is installed.


def _array(table: _Table, name: str) -> Any:
    """Return a column as one array."""
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _validity(array: Any) -> npt.NDArray[np.bool_]:
    bitmap = array.buffers()[0]
    if bitmap is None:
        return np.ones(len(array), bool)
    bits = np.unpackbits(np.frombuffer(bitmap, "u1"), bitorder="little")
    return bits[array.offset : array.offset + len(array)].astype(bool)


def _values(array: Any) -> npt.NDArray[Any]:
    """Return the values of an array of integers; those of nulls are anything."""
    dtype = np.dtype(str(array.type))
    data = array.buffers()[1]
    if data is None:
        return np.zeros(len(array), dtype)
    return np.frombuffer(data, dtype)[array.offset : array.offset + len(array)]


def _numbers(table: _Table, name: str, needed: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    if name not in table.column_names:  # then every path is a whole target
        return np.zeros(len(table), "i8")
    array = _array(table, name)
    if (needed & ~_validity(array)).any():
        raise ManifestError(f"{name} of a reference is null")
    numbers = _values(array)
    if numbers.dtype.kind == "i" and (numbers[needed] < 0).any():
        row = int(np.flatnonzero(needed & (numbers < 0))[0])
        raise ManifestError(f"negative {name} in row {row}", expected="0 or more", got=int(numbers[row]))
    return numbers


def _codes(
    pa: Any, table: _Table, needed: npt.NDArray[np.bool_], code_of: Callable[[str], int]
) -> npt.NDArray[np.integer[Any]]:
    """Return the target of every row that has one, 0 in the others."""
    column = _array(table, "path")
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    index = np.where(needed, _values(column.indices), 0)
    urls = column.dictionary
    used = distinct(index[needed])
    if len(used) and not 0 <= used[0] <= used[-1] < len(urls):
        raise ManifestError("a path beyond the dictionary", expected=f"fewer than {len(urls)}", got=int(used[-1]))
    code = np.zeros(len(urls), "i8")
    for position in used.tolist():
        url = urls[position].as_py()
        if url is None:
            raise ManifestError("a path in the dictionary is null")
        code[position] = code_of(url)
    code = code.astype(np.min_scalar_type(int(code.max(initial=0))))
    codes: npt.NDArray[np.integer[Any]] = np.where(needed, code[index], code.dtype.type(0))
    return codes
