"""Inputs, whatever they are, into one collection.

Contract: an input is a `Manifest`, the path or url of one, or a source file, which is scanned; which of these a path
is, its content says. Targets become absolute, because the combined manifest lies elsewhere, and a manifest from the
network may not lead to this machine: once it is combined, nobody could tell. Inputs are let go of as soon as their
columns are taken over. With several jobs, slices of the inputs are read by processes, each into a collection of its
own, and those are joined: a tree of two levels, in the order of the inputs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any, Literal, TypeAlias

from refmaker.combining.collecting import Collection
from refmaker.combining.quick import QuickReader
from refmaker.combining.records import Progress
from refmaker.errors import RefmakerError, SourceError
from refmaker.hdf5.checksum import Deferred, deferring, wrong
from refmaker.manifest.forms import is_parquet
from refmaker.manifest.kerchunk_json import read_json
from refmaker.manifest.kerchunk_parquet import load_parquet
from refmaker.manifest.load import load_bytes
from refmaker.manifest.manifest import Manifest
from refmaker.manifest.sniff import looks_like_manifest
from refmaker.replay.location import is_local, locate, resolve
from refmaker.replay.policy import Policy

__all__ = ["Input", "collect", "is_manifest"]

Input: TypeAlias = str | os.PathLike[str] | Manifest

_SCANNED = 64
"""Files of which checksums are verified together."""

_SLICE = 256
"""Inputs that a process reads at a time."""


def collect(
    inputs: Sequence[Input],
    *,
    storage_options: Mapping[str, Any],
    zarr_format: Literal[2, 3] | None = None,
    jobs: int = 1,
    progress: Callable[[Progress], None] | None = None,
) -> Collection:
    """Read all inputs.

    Parameters
    ----------
    storage_options
        Of the filesystem of manifests and source files that are not local.
    zarr_format
        Of what is scanned; None: as the first input that is a manifest, else 2.
    jobs
        Processes.

    Raises
    ------
    RefmakerError
        An input cannot be read.
    """
    loader = _Loader(storage_options, zarr_format)
    if jobs > 1 and len(inputs) > 1 and not any(isinstance(one, Manifest) for one in inputs):
        return _in_processes(
            [os.fspath(one) for one in inputs if not isinstance(one, Manifest)], loader, jobs, progress
        )
    for done, one in enumerate(inputs):
        loader.add(one)
        if progress is not None:
            progress(Progress(done + 1, len(inputs)))
    loader.flush()
    return loader.collection


def _in_processes(
    names: Sequence[str], loader: _Loader, jobs: int, progress: Callable[[Progress], None] | None
) -> Collection:
    from multiprocessing import get_context

    # What the first input is decides about the format in which the others are scanned.
    loader.add(names[0])
    loader.flush()
    rest, settings = names[1:], loader.settings
    size = max(min(_SLICE, -(-len(rest) // jobs)), 1)
    slices = [rest[start : start + size] for start in range(0, len(rest), size)]
    done = 1
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        for part in pool.map(_collect_slice, slices, [settings] * len(slices)):
            loader.collection.take(part)
            done += len(part)
            if progress is not None:
                progress(Progress(done, len(names)))
    return loader.collection


def _collect_slice(names: Sequence[str], settings: tuple[Mapping[str, Any], Literal[2, 3] | None]) -> Collection:
    loader = _Loader(*settings)
    for name in names:
        loader.add(name)
    loader.flush()
    loader.collection.pack()
    return loader.collection


class _Loader:
    """Reads inputs into a collection, one after the other."""

    def __init__(self, storage_options: Mapping[str, Any], zarr_format: Literal[2, 3] | None) -> None:
        self.collection = Collection()
        self.storage_options = storage_options
        self.zarr_format = zarr_format
        self.quick = QuickReader(self.collection)
        self.scanned: list[tuple[str, Manifest, Deferred]] = []

    @property
    def settings(self) -> tuple[Mapping[str, Any], Literal[2, 3] | None]:
        """Options for a loader that goes on elsewhere."""
        return self.storage_options, self._format

    @property
    def _format(self) -> Literal[2, 3]:
        if self.zarr_format is not None:
            return self.zarr_format
        return 3 if self.collection.zarr_formats[:1] == [3] else 2

    def _scan(self, name: str) -> tuple[Manifest, Deferred]:
        """Scan a file, and leave its checksums for later; a file that cannot be read so is scanned as it should be."""
        from refmaker.scanning import scan

        options = {} if is_local(name) else self.storage_options
        try:
            with deferring() as later:
                return scan(name, storage_options=options, zarr_format=self._format), later
        except SourceError:
            raise
        except RefmakerError:
            return scan(name, storage_options=options, zarr_format=self._format), Deferred()

    def flush(self) -> None:
        """Verify the checksums of what was scanned, and take it over. Where one is wrong, the file is scanned again.

        A damaged object is refused by name, which takes an ordinary scan.
        """
        from refmaker.scanning import scan

        scanned, self.scanned = self.scanned, []
        damaged = set(wrong([later for _, _, later in scanned]))
        for number, (name, manifest, _) in enumerate(scanned):
            if number in damaged:
                options = {} if is_local(name) else self.storage_options
                manifest = scan(name, storage_options=options, zarr_format=manifest.zarr_format)
            self.collection.add(name, manifest)

    def add(self, one: Input) -> None:
        """Read an input."""
        if isinstance(one, Manifest):
            self.flush()
            urls = [target.url for target in one.targets]
            name = urls[0] if len(urls) == 1 else f"manifest {len(self.collection) + 1}"
            self.collection.add(name, one)
            return
        name = os.fspath(one)
        try:
            self._add(name)
        except RefmakerError as error:
            if error.source is None:
                error.source = name
            raise

    def _add(self, name: str) -> None:
        options = {} if is_local(name) else dict(self.storage_options)
        if not is_manifest(name, self.storage_options):
            self.scanned.append((name, *self._scan(name)))
            if len(self.scanned) >= _SCANNED:
                self.flush()
            return
        self.flush()
        base = locate(name)
        if is_parquet(name, options):
            held = load_parquet(name, storage_options=options)
            held.load()
            self.collection.add(name, placed(held, base.rstrip("/")))
            return
        data = load_bytes(name, storage_options=options)
        if not self.quick.add(name, data, base):
            self.collection.add(name, placed(read_json(data, source=name), base))


def placed(manifest: Manifest, base: str) -> Manifest:
    """Give a manifest whose targets are absolute.

    Parameters
    ----------
    base
        Where it lies, from `refmaker.replay.location.locate`.
    """
    targets = []
    for target in manifest.targets:
        url = resolve(target.url, base)
        Policy(base).check(url)
        targets.append(target if url == target.url else replace(target, url=url))
    return replace(manifest, targets=tuple(targets))


def is_manifest(path: str | os.PathLike[str], storage_options: Mapping[str, Any] | None) -> bool:
    """Tell whether an input is a manifest, not a file to scan."""
    name = os.fspath(path)
    options = {} if is_local(name) else storage_options
    return is_parquet(name, {} if options is None else options) or looks_like_manifest(name, storage_options=options)
