"""A manifest drawn: the file from its first byte to its last, chunk grids, sizes.

Contract: no state of matplotlib is changed, and no display is needed. What is drawn is bounded, see `layout`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from refmaker.errors import OutputError
from refmaker.extras import install_command
from refmaker.manifest.manifest import Manifest
from refmaker.model import Tree
from refmaker.plots.layout import FileLayout, grid_image, layout_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "draw"]

FORMATS: Final = (".svg", ".png", ".pdf")
_COLUMNS: Final = 128
_GRIDS: Final = 4
_METADATA, _NOTHING = "#222222", "#e8e8e8"


def draw(manifest: Manifest, path: str | os.PathLike[str] | None = None, *, tree: Tree | None = None) -> Figure:
    """Return a figure of a manifest, and write it where a path is given. See `Manifest.plot`.

    Raises
    ------
    OutputError
        matplotlib is not installed, the name ends in no format that is known, or the file cannot be written.
    """
    name = "" if path is None else os.fspath(path)
    suffix = os.path.splitext(name)[1].lower()
    if path is not None and suffix not in FORMATS:
        raise OutputError(f"cannot draw to {name!r}: the name has to end in {', '.join(FORMATS)}")
    figure = _figure(manifest, layout_of(manifest, tree=tree))
    if path is not None:
        _save(figure, name, suffix[1:])
    return figure


def _figure(manifest: Manifest, layout: FileLayout | None) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OutputError(f"plots are drawn with matplotlib: {install_command('plot')}") from error
    figure = Figure(figsize=(11, 8), layout="constrained")
    if layout is None:
        figure.text(0.5, 0.5, "no chunks in files: everything is in the manifest", ha="center")
        return figure
    above, below = np.asarray(figure.subfigures(2, 1, height_ratios=(3, 2)))
    file, sizes = above.subplots(1, 2, width_ratios=(5, 2))
    colours = _colours(layout)
    _draw_file(file, layout, colours)
    _draw_sizes(sizes, layout, colours)
    arrays = {f"/{path}": array for path, array in manifest.arrays.items()}
    shown = [name for name in layout.names if name in arrays][:_GRIDS]
    for axes, name in zip(np.atleast_1d(below.subplots(1, max(len(shown), 1))), shown or [""], strict=True):
        if name:
            _draw_grid(axes, name, arrays[name])
        else:
            axes.set_axis_off()
    return figure


def _colours(layout: FileLayout) -> list[Any]:
    from matplotlib import colormaps

    palette = colormaps["tab10"]
    own = {"metadata": _METADATA, "gaps": _NOTHING, "metadata and gaps": _NOTHING}
    return [own.get(name, palette(number % 10)) for number, name in enumerate(layout.names)]


def _draw_file(axes: Axes, layout: FileLayout, colours: list[Any]) -> None:
    """Draw the file in rows: each pixel has the colour of what most of its bytes are."""
    from matplotlib.colors import BoundaryNorm, ListedColormap

    image = np.argmax(layout.covered, axis=0).reshape(-1, _COLUMNS)
    norm = BoundaryNorm(np.arange(len(colours) + 1) - 0.5, len(colours))
    axes.imshow(image, cmap=ListedColormap(colours), norm=norm, aspect="auto", interpolation="nearest")
    axes.set_title(f"{_short(layout.url)}, {layout.size:,} bytes", fontsize=10)
    part = layout.size / layout.covered.shape[1]
    axes.set_xlabel(f"first byte top left; {_bytes(part)} a pixel, {_bytes(part * _COLUMNS)} a row", fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])


def _draw_sizes(axes: Axes, layout: FileLayout, colours: list[Any]) -> None:
    position = np.arange(len(layout.names))
    axes.barh(position, layout.totals, color=colours, edgecolor="#888888", linewidth=0.5)
    chunks = [len(layout.chunk_sizes.get(name, ())) for name in layout.names]
    labels = [f"{_short(n, 28)}\n{_bytes(t)}{f', {c} chunks' if c else ''}" for n, t, c in _rows(layout, chunks)]
    axes.set_yticks(position, labels, fontsize=7)
    axes.invert_yaxis()
    axes.yaxis.tick_right()
    axes.set_xticks([])
    axes.set_title("bytes of the file", fontsize=10)


def _rows(layout: FileLayout, chunks: list[int]) -> list[tuple[str, int, int]]:
    return list(zip(layout.names, layout.totals, chunks, strict=True))


def _draw_grid(axes: Axes, name: str, array: Any) -> None:
    image = grid_image(array)
    drawn = axes.imshow(image, aspect="auto", interpolation="nearest", cmap="viridis")
    axes.set_facecolor(_NOTHING)
    grid = " x ".join(map(str, array.grid)) or "one chunk"
    axes.set_title(f"{_short(name, 28)}: {grid}", fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    kept = f", {len(array.references.inline)} in the manifest" if array.references.inline else ""
    axes.set_xlabel(f"{len(array.references.cell)} of {array.cells} chunks in files{kept}", fontsize=8)
    if np.isfinite(image).any():
        bar = axes.figure.colorbar(drawn, ax=axes, location="bottom", shrink=0.8)
        bar.ax.tick_params(labelsize=7)
        bar.set_label("bytes a chunk", fontsize=7)


def _save(figure: Figure, path: str, form: str) -> None:
    from io import BytesIO

    from refmaker.atomic import atomic_write

    made = BytesIO()
    figure.savefig(made, format=form, dpi=150)
    with atomic_write(path) as file:
        file.write(made.getvalue())


def _short(text: str, most: int = 60) -> str:
    shown = text if len(text) <= most else "…" + text[1 - most :]
    shown = "".join(c if c.isprintable() else "?" for c in shown)
    return shown.replace("$", r"\$")


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
