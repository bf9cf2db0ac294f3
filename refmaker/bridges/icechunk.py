"""Icechunk: manifests committed to repositories as virtual chunks.

    from refmaker.bridges.icechunk import commit, open_repository
    commit(["2024.json"], "s3://bucket/repo")
    xarray.open_zarr(open_repository("s3://bucket/repo").readonly_session("main").store)

Contract: one commit a run, whole or not at all. Arrays are created, or appended to along a dimension; chunks are
virtual references, which Icechunk checks whenever it reads them; what the manifest holds itself become chunks of the
repository. A commit that another one has overtaken is made again. See docs/icechunk.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from refmaker._version import __version__
from refmaker.bridges import icechunk_places as places
from refmaker.bridges.icechunk_session import Placement, write_session
from refmaker.bridges.icechunk_writing import Located, checksum
from refmaker.bridges.locations import icechunk_location
from refmaker.bridges.opening import opened
from refmaker.bridges.packages import needed
from refmaker.errors import OutputError, SourceError, Unsupported
from refmaker.manifest.manifest import Manifest
from refmaker.manifest.zarr_conversion import with_zarr_format

__all__ = ["CommitReport", "commit", "in_zarr_3", "open_repository"]

_ATTEMPTS = 8
"""Commits that are begun again because another one came first."""


@dataclass(slots=True)
class CommitReport:
    """What a commit holds.

    Attributes
    ----------
    snapshot
        Its identifier in the repository.
    arrays, chunks, inlined
        Arrays written; their chunks, and how many of these are in the repository.
    files
        Files that virtual chunks lie in.
    unchecked
        Those of them of which neither a strong ETag nor a time is known: Icechunk reads them even if they have changed.
    appended
        Path of an array -> length of the dimension that grew, before.
    refused
        Path -> reason: what the manifest or Icechunk cannot hold.
    notes
        What was left as it is in the repository.
    attempts
        How often the commit was begun.
    """

    snapshot: str
    arrays: int = 0
    chunks: int = 0
    inlined: int = 0
    files: int = 0
    unchecked: int = 0
    appended: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    attempts: int = 1


def open_repository(
    url: str | os.PathLike[str],
    *,
    storage_options: Mapping[str, Any] | None = None,
    repo_options: Mapping[str, Any] | None = None,
) -> Any:
    """Open a repository with access to all its containers; return an `icechunk.Repository`.

    Icechunk reads virtual chunks only of containers that the opener names. This names all that the repository
    declares: open repositories this way only if you trust who wrote them.

    Parameters
    ----------
    url
        A path, `s3://` or `gs://`.
    storage_options
        Of the files that virtual chunks lie in, as fsspec has them.
    repo_options
        Of the repository, likewise.

    Raises
    ------
    Unsupported
        Icechunk is not installed, or has no counterpart of a url or option.
    SourceError
        There is no repository.
    """
    icechunk = needed("icechunk")
    place = places.storage(url, repo_options)
    try:
        if not icechunk.Repository.exists(place):
            raise SourceError("there is no Icechunk repository", source=os.fspath(url))
        config = icechunk.Repository.fetch_config(place)
        declared = sorted((config.virtual_chunk_containers if config is not None else None) or {})
        access = places.access(declared, storage_options)
        return icechunk.Repository.open(place, authorize_virtual_chunk_access=access)
    except icechunk.IcechunkError as error:
        raise SourceError(f"the repository cannot be opened: {_line(error)}", source=os.fspath(url)) from error


def commit(
    manifests: str | os.PathLike[str] | Manifest | Iterable[str | os.PathLike[str] | Manifest],
    repo: str | os.PathLike[str],
    *,
    branch: str = "main",
    append_dim: str | None = None,
    group: str = "",
    overwrite: bool = False,
    message: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    repo_options: Mapping[str, Any] | None = None,
) -> CommitReport:
    """Commit manifests to an Icechunk repository, which is created where there is none.

    Parameters
    ----------
    manifests
        A manifest, or several, which are combined first, as `refmaker.combine` does: along `append_dim`, if given.
    repo
        Where the repository is: a path, `s3://` or `gs://`.
    branch
        The branch that the commit is made on; it is created from `main` where it does not exist.
    append_dim
        The dimension along which arrays grow that the repository has already.
    group
        The group of the repository that takes the root of the manifest.
    overwrite
        Replace arrays that the repository has already.
    message
        Of the commit; by default it says what the commit holds.
    storage_options
        Of the manifests and of the files they refer to, as fsspec has them.
    repo_options
        Of the repository, likewise.

    Returns
    -------
    CommitReport

    Raises
    ------
    OutputError
        The repository has an array already, or one cannot be appended, or the commit fails. Nothing was committed.
    Unsupported
        Icechunk is not installed, or has no counterpart of a url or option.
    RefmakerError
        A manifest cannot be read, or they cannot be combined.

    Examples
    --------
    >>> commit(["2023.json", "2024.json"], "/data/repo", append_dim="time")  # doctest: +SKIP
    """
    icechunk = needed("icechunk")
    if append_dim is not None and overwrite:
        raise ValueError("give append_dim or overwrite, not both")
    manifest = in_zarr_3(manifests, append_dim, storage_options)
    targets, refused = _located(manifest)
    placement = Placement(group.strip("/"), append_dim, overwrite, frozenset(path[1:] for path in refused))
    try:
        repository = _repository(repo, targets, storage_options, repo_options)
        if branch not in repository.list_branches():
            repository.create_branch(branch, repository.lookup_branch("main"))
        for attempt in range(1, _ATTEMPTS + 1):
            session = repository.writable_session(branch)
            report = write_session(session, manifest, targets, placement)
            found = CommitReport("", **report, attempts=attempt, refused=refused, files=len(targets))
            found.unchecked = sum(target.checksum is None for target in targets.values())
            try:
                found.snapshot = session.commit(message or _message(found, append_dim), metadata=_metadata(found))
            except icechunk.ConflictError:
                continue
            return found
    except icechunk.IcechunkError as error:
        raise OutputError(f"cannot commit: {_line(error)}", source=os.fspath(repo)) from error
    raise OutputError(f"other commits came first {_ATTEMPTS} times: try again", source=os.fspath(repo))


def in_zarr_3(manifests: Any, append_dim: str | None, options: Mapping[str, Any] | None) -> Manifest:
    """Return one manifest of all, in Zarr 3. Parameters are those of `commit`."""
    given = [manifests] if isinstance(manifests, str | os.PathLike | Manifest) else list(manifests)
    if not given:
        raise ValueError("no manifests: give at least one")
    found = [opened(one, options) for one in given]
    if len(found) == 1:
        return with_zarr_format(found[0].without_composites(), 3)
    from refmaker.combining.combine import combine_with_report

    combined = combine_with_report(found, concat=append_dim, storage_options=options).manifest
    return with_zarr_format(combined.without_composites(), 3)


def _located(manifest: Manifest) -> tuple[dict[int, Located], dict[str, str]]:
    """Return the targets that arrays refer to; the refusals of the manifest, and of arrays in files without a url."""
    known: dict[int, Located] = {}
    refused = dict(manifest.refusals)
    for path, array in manifest.arrays.items():
        try:
            if not array.metadata.is_regular:
                raise Unsupported("chunks of different lengths along an axis are not committed yet")
            used = {
                int(number) for number in set(array.references.target.tolist()) | set(array.references.whole.values())
            }
            for number in sorted(used - known.keys()):
                target = manifest.targets[number]
                location = icechunk_location(target.url)
                places.prefixes([location])
                known[number] = Located(location, checksum(target), target.size)
        except Unsupported as error:
            refused["/" + path] = error.message
    return known, refused


def _repository(
    repo: str | os.PathLike[str],
    targets: Mapping[int, Located],
    storage_options: Mapping[str, Any] | None,
    repo_options: Mapping[str, Any] | None,
) -> Any:
    """Open or create a repository that has containers for all targets."""
    icechunk = needed("icechunk")
    place = places.storage(repo, repo_options)
    there = icechunk.Repository.exists(place)
    config = (icechunk.Repository.fetch_config(place) if there else None) or icechunk.RepositoryConfig.default()
    declared = set(config.virtual_chunk_containers or {})
    locations = [target.location for target in targets.values()]
    missing = places.prefixes(one for one in locations if not one.startswith(tuple(declared)))
    for prefix in missing:
        config.set_virtual_chunk_container(places.container(prefix, storage_options))
    access = places.access(sorted({*declared, *missing}), storage_options)
    if not there:
        return icechunk.Repository.create(place, config, authorize_virtual_chunk_access=access)
    repository = icechunk.Repository.open(place, config, authorize_virtual_chunk_access=access)
    if missing:
        repository.save_config()
    return repository


def _message(found: CommitReport, dimension: str | None) -> str:
    along = f", appended along {dimension}" if found.appended else ""
    return f"{found.arrays} arrays, {found.chunks} chunks in {found.files} files{along} (refmaker {__version__})"


def _metadata(found: CommitReport) -> dict[str, Any]:
    counts = {name: getattr(found, name) for name in ("arrays", "chunks", "inlined", "files", "unchecked")}
    return {"refmaker": {"version": __version__, **counts, "refused": len(found.refused)}}


def _line(error: BaseException) -> str:
    """Return the first line of an error of Icechunk's, which shows its own source code behind it."""
    return str(error).strip().partition("\n")[0][:300]
