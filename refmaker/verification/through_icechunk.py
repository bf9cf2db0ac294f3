"""A repository of Icechunk held against the original files.

Contract: as for `verify`, but what is compared is what zarr reads of a branch of the repository. Icechunk does not tell
which bytes a virtual chunk is: manifests say which object of which file an array shows, and where its chunks begin. An
array that the repository lacks, or has in another shape, differs; so does one along the dimension that only it has.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from refmaker.bridges.icechunk import in_zarr_3, open_repository
from refmaker.bridges.packages import needed
from refmaker.errors import SourceError
from refmaker.manifest.manifest import Manifest
from refmaker.verification.verify import DEFAULT_SAMPLE, ArrayResult, Progress, VerifyReport, verify

__all__ = ["verify_repository"]


def verify_repository(
    manifests: str | os.PathLike[str] | Manifest | Iterable[str | os.PathLike[str] | Manifest],
    repo: str | os.PathLike[str],
    *,
    branch: str = "main",
    group: str = "",
    append_dim: str | None = None,
    sample: int | None = DEFAULT_SAMPLE,
    storage_options: Mapping[str, Any] | None = None,
    repo_options: Mapping[str, Any] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> VerifyReport:
    """Hold a repository against the files that were committed to it.

    Parameters
    ----------
    manifests
        All that were committed to the group, in their order, or the one that they were combined to.
    repo
        Where the repository is: a path, `s3://` or `gs://`.
    branch, group
        Where in it the arrays are.
    append_dim
        The dimension along which the manifests were appended.
    sample, storage_options, progress
        As for `refmaker.verify`.
    repo_options
        Of the repository, as fsspec has them.

    Returns
    -------
    VerifyReport
        Its `manifest` is the repository.

    Raises
    ------
    SourceError
        There is no such repository, branch or group.
    Unsupported
        Icechunk is not installed, or has no counterpart of a url or option.

    Examples
    --------
    >>> verify_repository(["2023.json", "2024.json"], "/data/repo", append_dim="time")  # doctest: +SKIP
    """
    store = _store(repo, branch, storage_options, repo_options)
    root = _group(store, repo, group)
    manifest = in_zarr_3(manifests, append_dim, storage_options)
    shapes = {path: tuple(array.metadata.shape) for path, array in manifest.arrays.items()}

    def open_array(path: str, form: int) -> Any:
        found = root[path]
        if tuple(found.shape) != shapes[path]:
            raise SourceError(f"its shape is {found.shape} in the repository, {shapes[path]} in the manifests")
        return _Shown(found, tuple(manifest.arrays[path].metadata.chunk_shape))

    report = verify(
        manifest, sample=sample, storage_options=storage_options, progress=progress, xarray=False, open_array=open_array
    )
    report.manifest = os.fspath(repo)
    report.arrays += [
        ArrayResult("/" + path, "skipped", reason="the manifests do not have it", chunks=array.nchunks)
        for path, array in root.members(max_depth=None)
        if path not in shapes and hasattr(array, "nchunks")
    ]
    return report


@dataclass(frozen=True, slots=True)
class _Shown:
    """An array of a repository in the chunks of the manifest: those of appended values may be others."""

    array: Any
    chunks: tuple[int, ...]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.array, name)

    def __getitem__(self, selection: Any) -> Any:
        return self.array[selection]


def _store(repo: Any, branch: str, options: Mapping[str, Any] | None, repo_options: Mapping[str, Any] | None) -> Any:
    """Return the store of a branch."""
    opened = open_repository(repo, storage_options=options, repo_options=repo_options)
    try:
        return opened.readonly_session(branch).store
    except needed("icechunk").IcechunkError as error:
        raise SourceError(f"the repository has no branch {branch!r}", source=os.fspath(repo)) from error


def _group(store: Any, repo: Any, group: str) -> Any:
    """Return a group of a store."""
    import zarr

    try:
        return zarr.open_group(store, mode="r", path=group.strip("/") or None)
    except (FileNotFoundError, zarr.errors.ContainsArrayError) as error:
        raise SourceError(f"the repository has no group {group!r}", source=os.fspath(repo)) from error
