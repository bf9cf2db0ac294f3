"""What a manifest holds, array by array, in terms that do not depend on the Zarr format.

Contract: reads columns and metadata only, never a chunk. Metadata may come from a manifest that others wrote: what is
not as the Zarr specifications have it is shown as it stands, never an error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refmaker.manifest.composite import Composite
from refmaker.manifest.manifest import Manifest
from refmaker.manifest.references import References
from refmaker.model import JSON, Chunked, Contiguous, Dataset, Tree

__all__ = ["ArraySummary", "summarise"]


@dataclass(slots=True)
class ArraySummary:
    """One array of a manifest.

    Attributes
    ----------
    path
        Path in the manifest, "/" in front.
    dimensions
        Names of the dimensions; None where the manifest has no names.
    dtype
        As the Zarr metadata names it.
    codecs
        Names of the codecs, in the order in which they were applied.
    stored_size
        Bytes of all chunks together, encoded. Chunks that are whole targets count as far as those are known.
    chunks_stored, chunks_inlined
        Chunks in the manifest, and how many of them hold their data in it.
    chunks_total
        Chunks of the whole grid. Those that are not stored hold the fill value.
    """

    path: str
    shape: tuple[int, ...]
    dimensions: list[str | None] | None
    chunks: tuple[int, ...]
    dtype: JSON
    codecs: list[str]
    stored_size: int
    chunks_stored: int
    chunks_inlined: int
    chunks_total: int

    @property
    def chunks_missing(self) -> int:
        """Chunks of the grid that are not stored."""
        return self.chunks_total - self.chunks_stored


def summarise(manifest: Manifest, tree: Tree | None = None) -> list[ArraySummary]:
    """Summarise every array of a manifest, in its order.

    Parameters
    ----------
    tree
        What the source holds, where the manifest comes from a scan. A manifest may have to write out chunks that the
        source does not store; with the tree, these count as missing.
    """
    summaries = []
    for path, array in manifest.arrays.items():
        metadata = array.metadata
        dataset = None if tree is None else _dataset(tree, "/" + path)
        stored, size = _in_source(dataset) or _in_manifest(manifest, array.references)
        summaries.append(
            ArraySummary(
                path="/" + path,
                shape=metadata.shape,
                dimensions=_names(metadata.dimension_names(array.attributes)),
                chunks=metadata.chunk_shape,
                dtype=metadata.data_type,
                codecs=metadata.codec_names,
                stored_size=size,
                chunks_stored=stored,
                chunks_inlined=len(array.references.inline),
                chunks_total=array.cells,
            )
        )
    return [*summaries, *(_composed(manifest, path, one) for path, one in manifest.composites.items())]


def _composed(manifest: Manifest, path: str, one: Composite) -> ArraySummary:
    """Summarise an array that is put together: of its codecs, those of all pieces."""
    stored, size = _in_manifest(manifest, one.references)
    return ArraySummary(
        path="/" + path,
        shape=one.metadata.shape,
        dimensions=_names(one.metadata.dimension_names(one.attributes)),
        chunks=one.metadata.chunk_shape,
        dtype=one.metadata.data_type,
        codecs=["composite", *dict.fromkeys(name for form in one.forms for name in form.metadata.codec_names)],
        stored_size=size,
        chunks_stored=stored,
        chunks_inlined=len(one.references.inline),
        chunks_total=int(one.base[-1]),
    )


def _dataset(tree: Tree, path: str) -> Dataset | None:
    link = tree.links.get(path)
    return tree.datasets.get(path if link is None else link.first)


def _in_source(dataset: Dataset | None) -> tuple[int, int] | None:
    """Return number and bytes of the chunks that a source stores, None where chunks are not its own unit of storage."""
    storage = None if dataset is None else dataset.storage
    if isinstance(storage, Chunked):
        return len(storage.index), int(storage.index.size.sum(dtype=np.uint64))
    if isinstance(storage, Contiguous) and storage.offset is None:
        return 0, 0
    return None


def _in_manifest(manifest: Manifest, references: References) -> tuple[int, int]:
    """Return number and bytes of the chunks of an array that a manifest refers to or holds."""
    size = int(references.size.sum(dtype=np.uint64)) + sum(map(len, references.inline.values()))
    size += sum(manifest.targets[code].size or 0 for code in references.whole.values())
    return len(references), size


def _names(dimensions: object) -> list[str | None] | None:
    if not isinstance(dimensions, list):
        return None
    return [None if name is None else str(name) for name in dimensions]
