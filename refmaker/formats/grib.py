"""GRIB edition 2 by way of `kerchunk.grib2.scan_grib`, message by message.

Contract: each message is given to kerchunk by itself, so that one that it cannot take costs that message only; the
messages are then put together (`refmaker.formats.grib_datasets`). Every message is decoded as readers will decode it,
and compared with what eccodes says, values and coordinates: what differs is refused by name. Known of kerchunk: it
takes the length of edition 1 messages from the wrong place, never ends on bytes behind the last message, shows the
first of several fields in one message, writes small messages into the manifest with missing values as numbers, masks
values that happen to equal the number that stands for missing ones, and rounds steps to whole units. Source: WMO Manual
on Codes 306, FM 92 GRIB edition 2.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from refmaker.errors import FormatError, RefmakerError, Unsupported
from refmaker.formats.grib_datasets import put_together
from refmaker.formats.kerchunk_references import Found, codecs_of, dtype_of, manifest_of, settled
from refmaker.formats.messages import Message
from refmaker.manifest.manifest import Manifest, ManifestArray

__all__ = ["scan_grib"]

MAX_GAP: Final = 64 * 1024
UNITS: Final = frozenset((0, 1, 2, 10, 11, 12, 13, 14, 15))
"""Units of time (code table 4.4) of a fixed number of seconds. Over others, eccodes may never come to an end."""
_SENTINEL: Final = -1.2345678e300
# Scalars are written into the manifest up to here, fields are not: kerchunk would write them with their missing values
# as numbers.
_SCALARS_ONLY: Final = 9


def scan_grib(
    url: str, storage_options: Mapping[str, Any], size: int, alive: Callable[[], None] = lambda: None
) -> Found:
    """Scan a GRIB file; parameters as in `scanners.scan_here`."""
    import fsspec

    messages: list[Message] = []
    refusals: dict[str, str] = {}
    with fsspec.open(url, "rb", **storage_options) as file:
        try:
            for number, (offset, data) in enumerate(_messages(file, size), 1):
                try:
                    messages.append(_message(number, offset, data, size))
                except RefmakerError as error:
                    refusals[f"/message{number}"] = error.message
                alive()
        except FormatError as error:  # where the next message begins is not known any more
            refusals[f"/message{len(messages) + len(refusals) + 1}"] = str(error)
    if not messages and refusals:
        raise Unsupported(f"no message of it can be expressed; the first: {next(iter(refusals.values()))}")
    found = put_together(messages)
    found.refusals.update(refusals)
    return found


def _messages(file: Any, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield offset and bytes of every message."""
    position = 0
    while True:
        file.seek(position)
        head = file.read(16)
        if head[:4] == b"GRIB" and len(head) < 16:
            raise FormatError("the file ends in it", structure="section 0", address=position, got=f"{len(head)} bytes")
        if head[:4] != b"GRIB":
            file.seek(position)
            gap = file.read(MAX_GAP)
            skipped = gap.find(b"GRIB")
            if skipped < 0 and len(gap) == MAX_GAP:
                raise FormatError(f"no message in {MAX_GAP} bytes", structure="section 0", address=position)
            if skipped <= 0:
                return
            position += skipped
            continue
        length = int.from_bytes(head[8:16] if head[7] == 2 else head[4:7], "big")
        if length < 16 or position + length > size:
            message = "the message is longer than the file" if length >= 16 else "wrong length of a message"
            raise FormatError(message, structure="section 0", address=position, expected=size - position, got=length)
        file.seek(position)
        yield position, file.read(length)
        position += length


def _message(number: int, offset: int, data: bytes, size: int) -> Message:
    """Have kerchunk scan one message, and compare what it makes of it with what eccodes says."""
    if data[7] != 2:
        raise Unsupported(f"GRIB edition {data[7]}: kerchunk takes edition 2")
    fields = _fields(data)
    if fields != 1:
        raise Unsupported(f"a message of {fields} fields, of which kerchunk shows the first")
    with _Handle(data) as handle:
        _check(handle)
        manifest = _by_kerchunk(data)
        name = _field_name(manifest)
        _prove(manifest, name, handle, data)
        return _described(number, name, manifest, handle, offset, size)


def _fields(data: bytes) -> int:
    """Count the data sections of a message."""
    position, found = 16, 0
    while position + 5 <= len(data) and data[position : position + 4] != b"7777":
        length = int.from_bytes(data[position : position + 4], "big")
        found += data[position + 4] == 7
        if length < 5:
            raise FormatError("wrong length of a section", structure="section", address=position, got=length)
        position += length
    if data[position : position + 4] != b"7777":
        raise FormatError("the message does not end with 7777", structure="section 8", address=position)
    return found


def _by_kerchunk(data: bytes) -> Manifest:
    """Have kerchunk scan a message that is a file by itself."""
    import fsspec
    import kerchunk.grib2

    memory = fsspec.filesystem("memory")
    path = f"/refmaker-{uuid.uuid4().hex}.grib2"
    memory.pipe_file(path, data)
    url = f"memory://{path}"
    try:
        (document,) = kerchunk.grib2.scan_grib(url, inline_threshold=_SCALARS_ONLY)
    except Exception as error:  # kerchunk, cfgrib and eccodes raise errors of their own
        cause = f"{type(error).__name__}: {error}".split("\n", 1)[0]
        raise Unsupported(f"kerchunk cannot scan this message: {cause}") from error
    finally:
        memory.rm_file(path)
    refs = {key: [url, *value[1:]] if isinstance(value, list) else value for key, value in document["refs"].items()}
    return manifest_of(refs, url)


def _field_name(manifest: Manifest) -> str:
    names = [path for path, array in manifest.arrays.items() if "GRIB_paramId" in array.attributes]
    if len(names) != 1 or not len(manifest.arrays[names[0]].references.cell):
        raise Unsupported("kerchunk makes no reference to its field")
    return names[0]


class _Handle:
    """A message as eccodes has it."""

    def __init__(self, data: bytes) -> None:
        import eccodes

        self.eccodes: Any = eccodes
        try:
            self.id = eccodes.codes_new_from_message(data)
        except eccodes.CodesInternalError as error:
            raise FormatError(f"eccodes cannot read this message: {error}") from error

    def __enter__(self) -> _Handle:
        return self

    def __exit__(self, *_: object) -> None:
        self.eccodes.codes_release(self.id)

    def get(self, key: str, default: Any, kind: type | None = None) -> Any:
        """Return a key, or `default` where the message has none."""
        try:
            return self.eccodes.codes_get(self.id, key, kind)
        except self.eccodes.KeyValueNotFoundError:
            return default

    def array(self, key: str) -> np.ndarray:
        """Return a key that has many values."""
        found: np.ndarray = self.eccodes.codes_get_array(self.id, key)
        return found

    def field(self) -> np.ndarray:
        """Return the values, missing ones as NaN: marked by a number that no field holds, not by one that some do."""
        self.eccodes.codes_set(self.id, "missingValue", _SENTINEL)
        values = self.array("values").astype("f8")
        values[values == _SENTINEL] = np.nan
        return values


def _check(handle: _Handle) -> None:
    """Raise `Unsupported` for a message whose values are no plain rows, which kerchunk takes all for."""
    for key in ("jPointsAreConsecutive", "alternativeRowScanning"):
        if handle.get(key, 0):
            raise Unsupported(f"a scanning mode (with {key}) that kerchunk takes for plain rows")
    for key in ("stepUnits", "indicatorOfUnitForForecastTime", "indicatorOfUnitForTimeRange"):
        unit = handle.get(key, 1, int)
        if unit not in UNITS:
            raise Unsupported(f"steps in a unit ({key} {unit}) that is no number of seconds")
    rows, columns = handle.get("Ny", 0), handle.get("Nx", 0)
    values = handle.eccodes.codes_get_size(handle.id, "values")
    if rows * columns != values:
        raise Unsupported(f"a grid that is no rectangle ({handle.get('gridType', '', str)}, {values} values)")


def _prove(manifest: Manifest, name: str, handle: _Handle, data: bytes) -> None:
    """Raise `Unsupported` where what readers will see is not what eccodes says."""
    array = manifest.arrays[name]
    shape = array.metadata.shape
    expected = handle.field()
    if expected.size != np.prod(shape, dtype="i8"):
        raise Unsupported(f"{expected.size} values on a grid of {shape}")
    got = _decoded(array, data)
    if not np.array_equal(got, expected.astype(got.dtype), equal_nan=True):
        raise Unsupported("kerchunk's codec decodes other values than eccodes: some equal its number for missing ones")
    for coordinate in ("latitude", "longitude"):
        if coordinate not in manifest.arrays:
            raise Unsupported(f"kerchunk gives it no {coordinate}")
        shown = _decoded(manifest.arrays[coordinate], data)
        if len(manifest.arrays[coordinate].attributes["_ARRAY_DIMENSIONS"]) == 1:
            shown = np.broadcast_to(shown[:, None] if coordinate == "latitude" else shown[None, :], shape)
        if not np.array_equal(shown.ravel(), handle.array(f"{coordinate}s")):
            raise Unsupported(f"kerchunk's {coordinate} is not that of its points: a scanning mode or grid it mistakes")


def _decoded(array: ManifestArray, data: bytes) -> np.ndarray:
    """Return the values of an array that is one chunk, in the message or in the manifest."""
    import numcodecs
    from kerchunk.codecs import GRIBCodec

    numcodecs.register_codec(GRIBCodec, "grib")
    references = array.references
    dtype = dtype_of(array)
    stored: Any = references.inline.get(0)
    if stored is None:
        start = int(references.offset[0])
        stored = data[start : start + int(references.size[0])]
    for config in reversed(codecs_of(array)):
        stored = numcodecs.get_codec(config).decode(stored)
    return np.frombuffer(np.ascontiguousarray(stored) if isinstance(stored, np.ndarray) else stored, dtype)


def _described(number: int, name: str, manifest: Manifest, handle: _Handle, offset: int, size: int) -> Message:
    """Gather what putting messages together needs to know of one."""
    level = str(handle.get("typeOfLevel", "", str))
    values: dict[str, float | int] = {}
    for path, array in manifest.arrays.items():
        if not array.metadata.shape and path != name:
            values[path] = np.frombuffer(array.references.inline[0], dtype_of(array))[0].item()
    if "time" in values and "valid_time" in values:
        # kerchunk has whole units of the step only.
        hours, rest = divmod(values["valid_time"] - values["time"], 3600)
        values["step"] = int(hours) if not rest else (values["valid_time"] - values["time"]) / 3600
    parameter = tuple(int(handle.get(k, -1)) for k in ("paramId", "discipline", "parameterCategory", "parameterNumber"))
    grid = str(handle.get("md5GridSection", "", str))
    moved = {path: _moved(array, offset, size) for path, array in manifest.arrays.items()}
    kind = (level, str(handle.get("stepType", "", str)), grid, dtype_of(moved[name]).str)
    return Message(
        number,
        name,
        parameter,
        kind,
        level if level in values else "",
        values,
        {path: array.attributes for path, array in manifest.arrays.items()},
        moved[name],
        {path: moved[path] for path in ("latitude", "longitude")},
        {key: value for key, value in manifest.groups[""].items() if key != "coordinates"},
    )


def _moved(array: ManifestArray, offset: int, size: int) -> ManifestArray:
    """Return an array of a message with its references counted from the beginning of the file."""
    references = replace(array.references, offset=array.references.offset + np.uint64(offset))
    return settled(replace(array, references=references), size)
