"""What hostile input may cost: every limit of the library, in one place.

Contract: pure data. A limit has a name, a value, a unit, what it guards, and how it is changed: by an option where
people need another value for one file, by the environment where they need it for a machine, else not at all. Modules
take their bounds from here, so that `LIMITS` (`refmaker limits`) is what holds. Numbers that only make things faster
are not here.

`REFMAKER_LIMITS` changes those that say so, before the first import: `manifest-size=8GiB,links=100000`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from refmaker.errors import RefmakerError

__all__ = ["ENVIRONMENT", "LIMITS", "Limit", "given_limits"]

ENVIRONMENT: Final = "REFMAKER_LIMITS"
"""Name of the variable that changes limits."""

BY_ENVIRONMENT: Final = f"${ENVIRONMENT}"
FIXED: Final = "fixed"

_NUMBER = re.compile(r"([0-9]{1,18})(?:([KMGT])iB)?")
_POWERS = {None: 0, "K": 10, "M": 20, "G": 30, "T": 40}

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit.

    Attributes
    ----------
    default, value
        As the library has it, and as it is in this process.
    change
        How it is changed: options, `$REFMAKER_LIMITS`, or "fixed".
    """

    name: str
    default: int | float
    value: int | float
    unit: str
    guards: str
    change: str


LIMITS: dict[str, Limit] = {}
"""All limits by name."""


def given_limits(text: str) -> dict[str, int]:
    """Read the value of `REFMAKER_LIMITS`: `name=number`, separated by commas, with KiB, MiB, GiB or TiB."""
    found: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = part.partition("=")
        match = _NUMBER.fullmatch(number.strip())
        if match is None or not int(match[1]):
            raise RefmakerError(f"{ENVIRONMENT}: no limit", expected="name=number, such as links=20000", got=part[:100])
        found[name.strip()] = int(match[1]) << _POWERS[match[2]]
    return found


_given: Mapping[str, int] = given_limits(os.environ.get(ENVIRONMENT, ""))


def _limit(name: str, default: Number, unit: str, guards: str, change: str = FIXED) -> Number:
    """Add a limit; give its value."""
    value = default
    if BY_ENVIRONMENT in change and name in _given:
        value = type(default)(_given[name])
    LIMITS[name] = Limit(name, default, value, unit, guards, change)
    return value


# What a source file may cost.

INLINE = _limit(
    "inline", 16 << 20, "bytes", "values of one array that are kept in the manifest",
    "scan, combine and batch --inline-limit; inline_limit=",
)  # fmt: skip
FEW_REFERENCES = _limit(
    "few-references", 64, "references", "an array whose values are not worth keeping in the manifest in their place"
)
INLINED = _limit(
    "inlined", 1 << 30, "bytes", "chunks that a scan makes or decodes, of all arrays, beyond four times the file",
    BY_ENVIRONMENT,
)  # fmt: skip
EDGES = _limit(
    "edges", 4 << 20, "bytes", "edge chunks that a scan decodes to see whether they are whole, each beyond 16 KiB",
    BY_ENVIRONMENT,
)  # fmt: skip
READINGS = _limit("readings", 4, "times the file", "bytes that a walk reads in all: structures that overlap")
DECODINGS = _limit("decodings", 16, "times the file", "bytes that a walk decodes, beyond `decoded`")
DECODED = _limit("decoded", 1 << 27, "bytes", "bytes that a walk decodes of any file", BY_ENVIRONMENT)
PATHS = _limit("paths", 4, "times the file", "text of all paths, beyond 16 MiB: deep groups with long names")
STEPS = _limit("soft-link-steps", 4, "times the file", "names that soft links lead through")
SOFT_LINKS = _limit("soft-links", 64, "links", "soft links that lead to one another")
SOURCE_LINKS = _limit("source-links", 16, "links", "on the way to a source of a virtual dataset; libhdf5's own")
DATATYPE_DEPTH = _limit("datatype-depth", 64, "levels", "datatypes within datatypes")
TREE_DEPTH = _limit("tree-depth", 64, "levels", "B-trees and fractal heaps that point to themselves")
RANK = _limit("rank", 32, "dimensions", "a dataspace; libhdf5's own")
FILTERS = _limit("filters", 32, "filters", "a pipeline; libhdf5's own")
ITEM_SIZE = _limit("item-size", (1 << 31) - 1, "bytes", "an element; numpy's own")
FILL_ELEMENT = _limit(
    "fill-element", 1 << 16, "bytes", "an element that metadata have to hold, as it is the fill value", BY_ENVIRONMENT
)
LINKED_ELEMENT = _limit(
    "linked-element", 1 << 20, "bytes", "an element of a virtual or external dataset", BY_ENVIRONMENT
)
SELECTION_RUNS = _limit("selection-runs", 1 << 20, "blocks", "a selection of a virtual dataset, along an axis")
NETCDF3_HEADER = _limit("netcdf3-header", 256 << 20, "bytes", "the header of a netCDF classic file", BY_ENVIRONMENT)
NETCDF3_RECORDS = _limit(
    "netcdf3-records", 1 << 27, "records", "of all variables of a netCDF classic file", BY_ENVIRONMENT
)
NETCDF3_NAME = _limit("netcdf3-name", 4096, "bytes", "a name in a netCDF classic file")
NETCDF3_RANK = _limit("netcdf3-rank", 1024, "dimensions", "a variable of a netCDF classic file; netCDF-C's own")
ATTRIBUTE = _limit("attribute", 16 << 20, "bytes", "values of an attribute, which JSON has one by one", BY_ENVIRONMENT)
LINK_DEPTH = _limit("link-depth", 16, "files", "external links and virtual datasets that lead from file to file")
LINKS = _limit("links", 10_000, "links", "external links of one file", BY_ENVIRONMENT)
VIRTUAL_CELLS = _limit("virtual-cells", 1 << 26, "chunks", "a virtual or external dataset", BY_ENVIRONMENT)
VIRTUAL_PLACES = _limit("virtual-places", 1 << 17, "places", "pieces that one virtual chunk is put together from")
ROUNDS = _limit("rounds", 10_000, "rounds", "of fetching in a remote scan")
STORE_KEYS = _limit("store-keys", 10_000_000, "files", "of a Zarr store, or chunks that are looked for", BY_ENVIRONMENT)
STORE_REQUESTS = _limit(
    "store-requests", 100_000, "requests", "for chunks of a Zarr store whose server lists nothing", BY_ENVIRONMENT
)
SHARD_DEPTH = _limit("shard-depth", 8, "levels", "shards of a Zarr array within shards")
HARD_LINKS = _limit("tar-hard-links", 16, "links", "hard links of a tar file that lead to one another")
FORMATS_MEMORY = _limit(
    "formats-memory", 4 << 30, "bytes", "scanning a GRIB, TIFF or FITS file, in a process of its own", BY_ENVIRONMENT
)
FORMATS_SILENCE = _limit(
    "formats-silence", 300.0, "seconds", "a part of a GRIB, TIFF or FITS file that is scanned", BY_ENVIRONMENT
)

# What a server may cost.

REMOTE_MEMORY = _limit(
    "remote-memory", 1 << 30, "bytes", "of a remote file that a scan holds", f"{BY_ENVIRONMENT}; scan_many(memory=)"
)
WHOLE_FILE = _limit(
    "whole-file", 1 << 28, "bytes", "a file that a server sends whole, as it ignores ranges", BY_ENVIRONMENT
)
WHOLE_TARGET = _limit(
    "whole-target", 1 << 30, "bytes", "a target of unknown size that a manifest refers to as a whole", BY_ENVIRONMENT
)
MANIFEST_SIZE = _limit("manifest-size", 4 << 30, "bytes", "a manifest that is fetched, as it is sent", BY_ENVIRONMENT)
SCAN_ATTEMPTS = _limit("scan-attempts", 6, "attempts", "a request of a scan that fails for a passing reason")
SCAN_TIMEOUT = _limit("scan-timeout", 30.0, "seconds", "an attempt, beside the time for its bytes")
SLOWEST = _limit("slowest", 1e5, "bytes a second", "a server that sends less for longer than `scan-timeout` failed")
LONGEST_PAUSE = _limit("longest-pause", 20.0, "seconds", "before an attempt, whatever the server asks for")
READ_TIMEOUT = _limit("read-timeout", 300.0, "seconds", "a read through refmaker://", "timeout= of the filesystem")
OPEN_FILES = _limit(
    "open-files", 512, "files", "local targets that are open at a time, of a quarter of what the process may",
    BY_ENVIRONMENT,
)  # fmt: skip
READ_ATTEMPTS = _limit("read-attempts", 4, "attempts", "a read through refmaker://", "attempts= of the filesystem")

# What a manifest may cost.

UNPACKED = _limit("unpacked", 1 << 30, "bytes", "a packed manifest, unpacked", BY_ENVIRONMENT)
UNPACKED_RATIO = _limit("unpacked-ratio", 200, "times its size", "a packed manifest, where that is more")
METADATA_ELSEWHERE = _limit("metadata-elsewhere", 10_000, "files", "metadata of a manifest that stand in other files")
METADATA_SIZE = _limit("metadata-size", 16 << 20, "bytes", "metadata of a node that stand in another file")
NODE_DEPTH = _limit("node-depth", 1000, "levels", "groups of a manifest within groups")
AXIS_CHUNKS = _limit("axis-chunks", 1 << 24, "chunks", "an axis of a rectilinear chunk grid, written as runs")
ZARR_RANK = _limit("zarr-rank", 64, "dimensions", "an array of a manifest; numpy's own")
GENERATED = _limit("generated", 1 << 20, "references", "what the generators of a manifest make", BY_ENVIRONMENT)
TEMPLATED_URL = _limit("templated-url", 8192, "characters", "the url of a target, where templates make it")
TEMPLATED = _limit(
    "templated", 1 << 28, "characters", "what templates and generators of a manifest make", BY_ENVIRONMENT
)
SHARD_ROWS = _limit("shard-rows", 1 << 24, "rows", "a shard of a Parquet set")
SHARD_UNPACKED = _limit("shard-unpacked", 1 << 28, "bytes", "a shard of a Parquet set, unpacked", BY_ENVIRONMENT)
SHARD_RATIO = _limit("shard-ratio", 200, "times its size", "a shard of a Parquet set, where that is more")
SHARD_COLUMNS = _limit("shard-columns", 64, "columns", "a shard of a Parquet set")
SHARDS = _limit("shards", 1_000_000, "shards", "an array of a set that does not say which shards it has")
CODEC_CHUNK = _limit("codec-chunk", (1 << 32) - 1, "bytes", "a chunk that libhdf5 decodes; libhdf5's own")
DECODER_MEMORY = _limit(
    "decoder-memory", 1 << 28, "bytes", "a process that decodes a chunk, beyond four times the chunk", BY_ENVIRONMENT
)
DECODER_TIME = _limit(
    "decoder-time",
    3.0,
    "seconds",
    "of a processor, to decode a chunk in a process of its own, beside the time for its bytes",
)
DTYPE_DEPTH = _limit("dtype-depth", 32, "levels", "dtypes in configurations of codecs")
ELEMENT_SIZE = _limit("element-size", 1 << 20, "bytes", "an element in the decoded view")
DECODED_KEPT = _limit("decoded-kept", 1 << 26, "bytes", "decoded chunks that are kept, of a manifest")
DECODED_FLIGHT = _limit("decoded-flight", 1 << 28, "bytes", "decoded chunks that are under way")
UNSIZED_CHUNK = _limit("unsized-chunk", 1 << 30, "bytes", "a decoded chunk whose size follows from its bytes")
AHEAD_KEPT = _limit("ahead-kept", 1 << 26, "bytes", "chunks that are read ahead, of a process")
CACHED_RANGE = _limit("cached-range", 1 << 26, "bytes", "a range that is kept on disk")
CACHED_WAITING = _limit("cached-waiting", 1 << 26, "bytes", "ranges that wait to be written to disk")
COMBINED_VALUES = _limit(
    "combined-values",
    1 << 30,
    "bytes",
    "values of an array of one input that combining looks at",
    BY_ENVIRONMENT,
)
COMBINED_TEXT = _limit("combined-text", 1 << 28, "bytes", "a chunk of text that combining decodes", BY_ENVIRONMENT)
VALUE_STEPS = _limit("value-steps", 8, "steps", "from a stored value to the one that is seen, and operands of one")
PIECES = _limit("pieces", 1 << 20, "pieces", "of a composite array", BY_ENVIRONMENT)
PIECE_ROWS = _limit("piece-rows", 1 << 24, "chunks", "stored ones, of all pieces of a composite array", BY_ENVIRONMENT)
COMPOSITE_CELLS = _limit("composite-cells", 1 << 24, "chunks", "that are seen of a composite array", BY_ENVIRONMENT)
PIECE_FORMS = _limit("piece-forms", 1 << 16, "forms", "that the pieces of a composite array have")
COMPOSITE_CHUNK = _limit("composite-chunk", 1 << 30, "bytes", "a chunk that is put together of pieces")
COMPOSITE_TOUCHED = _limit("composite-touched", 1 << 20, "chunks", "stored ones that one of those is made of")
NOTES_KEPT = _limit("notes-kept", 1000, "notes", "that a manifest holds of its objects")
NOTE_LENGTH = _limit("note-length", 500, "characters", "a note in a manifest")
CACHE_ROOM = _limit("cache-room", 2 << 30, "bytes", "parsed manifests on the disk", BY_ENVIRONMENT)

_unknown = sorted(name for name in _given if name not in LIMITS or BY_ENVIRONMENT not in LIMITS[name].change)
if _unknown:
    raise RefmakerError(
        f"{ENVIRONMENT}: no limit that it changes",
        expected=", ".join(name for name, one in LIMITS.items() if BY_ENVIRONMENT in one.change),
        got=", ".join(_unknown)[:200],
    )
