"""The writers and converters of manifests, by name: what `Manifest.to_json`, `to_arrow` and their like call.

Contract: records know no format. A writer is a function of a manifest and a path in a module above this one, which is
imported when it is first asked for; a new one is a line in `WRITERS` and a method of `Manifest`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, cast

if TYPE_CHECKING:
    from refmaker.manifest.manifest import Manifest

__all__ = [
    "CONVERTERS",
    "PLOTTER",
    "WRITERS",
    "ConverterName",
    "Writer",
    "WriterName",
    "converter",
    "plotter",
    "writer",
]

WriterName: TypeAlias = Literal["json", "parquet"]
WRITERS: Final[dict[WriterName, tuple[str, str]]] = {
    "json": ("refmaker.kerchunk.json_writer", "write_json"),
    "parquet": ("refmaker.kerchunk.parquet_writer", "write_parquet"),
}
"""Name -> the module of the writer and its function."""

ConverterName: TypeAlias = Literal["to_dict", "from_dict", "to_arrow", "from_arrow", "to_pandas"]
CONVERTERS: Final = "refmaker.kerchunk.tables"
"""The module whose functions of these names turn manifests into documents and tables, and back."""


PLOTTER: Final = ("refmaker.plots.figure", "draw")
"""The module and function that draw a manifest."""


class Writer(Protocol):
    """Writes a manifest to a path, whole or not at all."""

    def __call__(self, manifest: Manifest, path: str | os.PathLike[str], /) -> None: ...  # noqa: D102


def writer(name: WriterName) -> Writer:
    """Return the writer of that name."""
    module, function = WRITERS[name]
    return cast(Writer, getattr(import_module(module), function))


def plotter() -> Callable[..., Any]:
    """Return the function that draws a manifest."""
    module, function = PLOTTER
    return cast("Callable[..., Any]", getattr(import_module(module), function))


def converter(name: ConverterName) -> Callable[[Any], Any]:
    """Return the function of `CONVERTERS` of that name."""
    return cast("Callable[[Any], Any]", getattr(import_module(CONVERTERS), name))
