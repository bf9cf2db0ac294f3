"""How the Zarr metadata of an array cut it into chunks, and what the chunks are called.

Contract: pure functions over JSON that may come from anywhere. Sources: Zarr v2 specification, "Chunks"
(`dimension_separator`); Zarr v3 core, "Regular chunk grid" and "Chunk key encoding" (`default`, `v2`);
zarr-extensions, chunk-grids/rectilinear.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refmaker import limits
from refmaker.errors import ManifestError
from refmaker.zarr.rectilinear import lengths_of_axis
from refmaker.zarr.strict_json import malformed

__all__ = ["MAX_RANK", "ChunkLayout", "chunk_layout"]

MAX_RANK = limits.ZARR_RANK
"""Dimensions of an array, at most: numpy's limit, so no reader could hold more."""

_CELLS = 2**63
"""Chunks of a grid, fewer than: cells are int64."""

_SEPARATORS = (".", "/")


@dataclass(frozen=True, slots=True)
class ChunkLayout:
    """Chunk grid of an array and the spelling of its chunk keys.

    Attributes
    ----------
    grid
        Number of chunks along each dimension.
    head
        What stands before the first index: "" or "c/".
    separator
        Between indices.
    scalar
        The key of the only chunk of a scalar: "0" or "c".
    """

    grid: tuple[int, ...]
    head: str
    separator: str
    scalar: str

    def name(self, cell: int) -> str:
        """Return the key of a chunk below its array, from its ravelled position."""
        if not self.grid:
            return self.scalar
        indices = []
        for extent in reversed(self.grid):
            cell, index = divmod(cell, extent)
            indices.append(str(index))
        return self.head + self.separator.join(reversed(indices))


class _Reader:
    """Access to JSON that may have any shape; every miss is a `ManifestError` that names the key."""

    def __init__(self, key: str, source: str | None) -> None:
        self.structure = key
        self.source = source

    def error(self, message: str, expected: str, got: object) -> ManifestError:
        return malformed(message, structure=self.structure, expected=expected, got=got, source=self.source)

    def extents(self, name: str, value: object) -> list[int]:
        if not isinstance(value, list | tuple) or len(value) > MAX_RANK:
            raise self.error(f"bad {name}", f"a list of at most {MAX_RANK} integers", value)
        for extent in value:
            if type(extent) is not int or not 0 <= extent < _CELLS:
                raise self.error(f"bad {name}", "integers in [0, 2**63)", value)
        return list(value)

    def choice(self, name: str, value: object, choices: tuple[str, ...]) -> str:
        if not isinstance(value, str) or value not in choices:
            raise self.error(f"bad {name}", " or ".join(map(repr, choices)), value)
        return value

    def member(self, name: str, value: object) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise self.error(f"bad {name}", "an object", value)
        return value

    def rectilinear(self, shape: list[int], configuration: Mapping[str, Any]) -> tuple[int, ...]:
        self.choice("kind of a rectilinear grid", configuration.get("kind"), ("inline",))
        axes = configuration.get("chunk_shapes")
        if not isinstance(axes, list | tuple) or len(axes) != len(shape):
            raise self.error("chunk shapes and shape differ in rank", f"a list of {len(shape)}", axes)
        grid = []
        for stated, extent in zip(axes, shape, strict=True):
            try:
                grid.append(len(lengths_of_axis(stated, extent)))
            except ValueError as error:
                raise self.error("bad chunk_shapes", str(error), stated) from error
        if math.prod(max(count, 1) for count in grid) >= _CELLS:
            raise self.error("too many chunks", "fewer than 2**63", grid)
        return tuple(grid)

    def grid(self, shape: list[int], chunks: list[int]) -> tuple[int, ...]:
        if len(shape) != len(chunks):
            raise self.error("chunk shape and shape differ in rank", f"{len(shape)} extents", chunks)
        cells = 1
        grid = []
        for extent, chunk in zip(shape, chunks, strict=True):
            if chunk == 0 and extent > 0:
                raise self.error("chunk of no extent", "positive extents", chunks)
            grid.append(-(-extent // chunk) if chunk else 0)
            cells *= max(grid[-1], 1)
        if cells >= _CELLS:
            raise self.error("too many chunks", "fewer than 2**63", grid)
        return tuple(grid)


def chunk_layout(
    metadata: Mapping[str, Any], zarr_format: int, *, structure: str, source: str | None = None
) -> ChunkLayout:
    """Work out the chunk grid and the chunk keys of an array.

    Parameters
    ----------
    metadata
        JSON of `.zarray` (format 2) or `zarr.json` (format 3).
    structure, source
        Named in errors.

    Raises
    ------
    ManifestError
        Malformed metadata, or a chunk grid or key encoding that is not among those of the specifications.
    """
    reader = _Reader(structure, source)
    if type(metadata.get("zarr_format")) is not int or metadata["zarr_format"] != zarr_format:
        raise reader.error("bad zarr_format", str(zarr_format), metadata.get("zarr_format"))
    shape = reader.extents("shape", metadata.get("shape"))
    if zarr_format == 2:
        grid = reader.grid(shape, reader.extents("chunks", metadata.get("chunks")))
        separator = metadata.get("dimension_separator")
        separator = "." if separator is None else reader.choice("dimension_separator", separator, _SEPARATORS)
        return ChunkLayout(grid, "", separator, "0")
    return _layout3(reader, metadata, shape)


def _layout3(reader: _Reader, metadata: Mapping[str, Any], shape: list[int]) -> ChunkLayout:
    reader.choice("node_type", metadata.get("node_type"), ("array",))
    chunk_grid = reader.member("chunk_grid", metadata.get("chunk_grid"))
    kind = reader.choice("chunk_grid", chunk_grid.get("name"), ("regular", "rectilinear"))
    configuration = reader.member("chunk_grid", chunk_grid.get("configuration"))
    if kind == "rectilinear":
        grid = reader.rectilinear(shape, configuration)
    else:
        grid = reader.grid(shape, reader.extents("chunk_shape", configuration.get("chunk_shape")))
    encoding = reader.member("chunk_key_encoding", metadata.get("chunk_key_encoding"))
    kind = reader.choice("chunk_key_encoding", encoding.get("name"), ("default", "v2"))
    configuration = reader.member("chunk_key_encoding", encoding.get("configuration", {}))
    default = "/" if kind == "default" else "."
    separator = reader.choice("chunk_key_encoding", configuration.get("separator", default), _SEPARATORS)
    if kind == "default":
        return ChunkLayout(grid, "c" + separator, separator, "c")
    return ChunkLayout(grid, "", separator, "0")
