"""Inputs, whatever they are, into one collection.

Contract: an input is a `Manifest`, the path or url of one, or a source file, which is scanned; which of these a path
is, its content says. Targets become absolute, because the combined manifest lies elsewhere, and a manifest from the
network may not lead to this machine: once it is combined, nobody could tell. Inputs are let go of as soon as their
columns are taken over. With several jobs, slices of the inputs are read by processes, each into a collection of its
own, and those are joined: a tree of two levels, in the order of the inputs.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, Literal, TypeAlias

from refmaker.combining.collection import Collection
from refmaker.combining.records import Progress
from refmaker.combining.rows import Spill
from refmaker.combining.template_reader import QuickReader
from refmaker.engines.engine import Engine, Item, TaskFailed
from refmaker.engines.executor import EngineLike, as_engine
from refmaker.engines.local import LocalEngine
from refmaker.errors import EngineError, RefmakerError, SourceError
from refmaker.hdf5.checksum import Deferred, deferring, wrong
from refmaker.kerchunk.compression import unpacked
from refmaker.kerchunk.fetch import load_bytes
from refmaker.kerchunk.json_writer import read_json
from refmaker.kerchunk.open import is_parquet
from refmaker.kerchunk.parquet_writer import load_parquet
from refmaker.kerchunk.sniff import looks_like_manifest, manifest_head
from refmaker.manifest.manifest import Manifest
from refmaker.replay.policy import Policy
from refmaker.stores.gates import most_in_flight
from refmaker.urls import is_local, locate, resolve, text_of

__all__ = ["Input", "collect", "is_manifest"]

Input: TypeAlias = str | os.PathLike[str] | Manifest

_FETCHED = 16
"""Remote manifests that are fetched at a time; twice as many are held."""

_WHOLE = 1 << 18
"""Bytes that are asked for first: most manifests of single files are shorter, and are one request."""

_SCANNED = 64
"""Files of which checksums are verified together."""

_WAITING = 1 << 20
"""Their references, at most."""

_SLICE = 256
"""Inputs that a process reads at a time."""

_SENT = 64
"""Inputs that an engine reads at a time."""


_BOUNDED = 16
"""Inputs that are read at a time where memory is to be bounded."""


def collect(
    inputs: Sequence[Input],
    *,
    storage_options: Mapping[str, Any],
    zarr_format: Literal[2, 3] | None = None,
    jobs: int = 1,
    engine: EngineLike | None = None,
    spill: str | os.PathLike[str] | None = None,
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
    engine
        Reads the inputs instead.
    spill
        Folder for a temporary file that takes the rows of references; None: they stay in memory.

    Raises
    ------
    RefmakerError
        An input cannot be read.
    EngineError
        A process that read inputs was lost.
    """
    loader = _Loader(storage_options, zarr_format, None if spill is None else Spill(spill))
    names = [text_of(one) for one in inputs if not isinstance(one, Manifest)]
    if len(inputs) == len(names) > 1 and (jobs > 1 or engine is not None):
        if engine is not None:
            return _by_engine(names, loader, as_engine(engine), _SENT if spill is None else _BOUNDED, progress)
        size = max(min(_SLICE if spill is None else _BOUNDED, -(-(len(names) - 1) // jobs)), 1)
        with closing(LocalEngine(jobs)) as local:
            return _by_engine(names, loader, local, size, progress)
    for done, (one, data) in enumerate(_read_ahead(inputs, storage_options)):
        loader.add(one, data)
        if progress is not None:
            progress(Progress(done + 1, len(inputs)))
    loader.flush()
    return loader.collection


def _by_engine(
    names: Sequence[str], loader: _Loader, engine: Engine, size: int, progress: Callable[[Progress], None] | None
) -> Collection:
    """Read slices of so many inputs by an engine, and join them in their order."""
    # What the first input is decides about the format in which the others are scanned.
    loader.add(names[0])
    loader.flush()
    rest = names[1:]
    work = partial(_collect_slice, loader.settings)
    slices = (Item(i, rest[start : start + size]) for i, start in enumerate(range(0, len(rest), size)))
    found: dict[int, Collection | RefmakerError | TaskFailed] = {}
    joined, done = 0, 1
    with closing(engine.run(work, slices)) as outcomes:
        for pairs in outcomes:
            found.update((item.key, result) for item, result in pairs)
            for key, part in found.items():
                if key != joined and isinstance(part, Collection):
                    part.settle(loader.collection.spill)  # it waits for those before it
            while joined in found:
                part = _sound(found.pop(joined))
                loader.collection.take(part)
                joined, done = joined + 1, done + len(part)
                if progress is not None:
                    progress(Progress(done, len(names)))
    return loader.collection


def _sound(part: Collection | RefmakerError | TaskFailed) -> Collection:
    if isinstance(part, RefmakerError):
        raise part
    if isinstance(part, TaskFailed):
        raise EngineError(f"cannot read inputs: {part.reason}")
    return part


def _collect_slice(
    settings: tuple[Mapping[str, Any], Literal[2, 3] | None], names: Sequence[str]
) -> Collection | RefmakerError:
    loader = _Loader(*settings)
    try:
        for name, data in _read_ahead(names, loader.storage_options):
            loader.add(name, data)
        loader.flush()
    except RefmakerError as error:
        return error
    loader.collection.pack()
    return loader.collection


def _read_ahead(
    inputs: Sequence[Input], storage_options: Mapping[str, Any]
) -> Iterator[tuple[Input, Callable[[], bytes | None] | None]]:
    """Yield inputs in their order, with what gives the bytes of a remote manifest that is being fetched meanwhile."""
    remote = sum(not isinstance(one, Manifest) and not is_local(text_of(one)) for one in inputs)
    if remote < 2:
        yield from ((one, None) for one in inputs)
        return
    pool = ThreadPoolExecutor(most_in_flight(_FETCHED), "refmaker-combine")
    waiting: deque[tuple[Input, Callable[[], bytes | None] | None]] = deque()
    todo = iter(inputs)
    try:
        while True:
            for one in islice(todo, 2 * _FETCHED - len(waiting)):
                if isinstance(one, Manifest) or is_local(text_of(one)):
                    waiting.append((one, None))
                else:
                    waiting.append((one, pool.submit(_manifest_at, text_of(one), storage_options).result))
            if not waiting:
                return
            yield waiting.popleft()
    finally:
        pool.shutdown(cancel_futures=True)


def _manifest_at(name: str, storage_options: Mapping[str, Any]) -> bytes | None:
    """Fetch a remote manifest; None for a Parquet set, or what is no manifest."""
    if is_parquet(name, dict(storage_options)):
        return None
    head = manifest_head(name, _WHOLE, storage_options)
    if head is None:
        return None
    # An answer that is shorter than what was asked for is all of the file.
    return unpacked(head, name) if len(head) < _WHOLE else load_bytes(name, storage_options=storage_options)


class _Loader:
    """Reads inputs into a collection, one after the other."""

    def __init__(
        self, storage_options: Mapping[str, Any], zarr_format: Literal[2, 3] | None, spill: Spill | None = None
    ) -> None:
        self.collection = Collection(spill=spill)
        self.storage_options = storage_options
        self.zarr_format = zarr_format
        self.quick = QuickReader(self.collection)
        self.scanned: list[tuple[str, Manifest, Deferred]] = []
        self.waiting = 0

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
        from refmaker.scanning.scan import scan

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
        from refmaker.scanning.scan import scan

        scanned, self.scanned, self.waiting = self.scanned, [], 0
        damaged = set(wrong([later for _, _, later in scanned]))
        for number, (name, manifest, _) in enumerate(scanned):
            if number in damaged:
                options = {} if is_local(name) else self.storage_options
                manifest = scan(name, storage_options=options, zarr_format=manifest.zarr_format)
            self.collection.add(name, manifest)

    def add(self, one: Input, fetched: Callable[[], bytes | None] | None = None) -> None:
        """Read an input; `fetched` gives its bytes where it is a manifest that somebody has fetched."""
        if isinstance(one, Manifest):
            self.flush()
            urls = [target.url for target in one.targets]
            name = urls[0] if len(urls) == 1 else f"manifest {len(self.collection) + 1}"
            self.collection.add(name, one)
            return
        name = text_of(one)
        try:
            data = None if fetched is None else fetched()
            if data is None:
                self._add(name)
            else:
                self._add_manifest(name, data)
        except RefmakerError as error:
            if error.source is None:
                error.source = name
            raise

    def _add(self, name: str) -> None:
        options = {} if is_local(name) else dict(self.storage_options)
        if not is_manifest(name, self.storage_options):
            manifest, later = self._scan(name)
            self.scanned.append((name, manifest, later))
            self.waiting += manifest.chunks
            if len(self.scanned) >= _SCANNED or self.waiting >= _WAITING:
                self.flush()
            return
        if is_parquet(name, options):
            self.flush()
            held = load_parquet(name, storage_options=options)
            if not isinstance(held.targets, tuple):
                held.load()  # it says which targets there are as it is read
            self.collection.add(name, placed(held, locate(name).rstrip("/")))
            return
        self._add_manifest(name, load_bytes(name, storage_options=options))

    def _add_manifest(self, name: str, data: bytes) -> None:
        self.flush()
        base = locate(name)
        if not self.quick.add(name, data, base):
            self.collection.add(name, placed(read_json(data, source=name), base))


def placed(manifest: Manifest, base: str) -> Manifest:
    """Return a manifest whose targets are absolute.

    Parameters
    ----------
    base
        Where it lies, from `refmaker.urls.locate`.
    """
    targets = []
    for target in manifest.targets:
        url = resolve(target.url, base)
        Policy(base).check(url)
        targets.append(target if url == target.url else replace(target, url=url))
    return replace(manifest, targets=tuple(targets))


def is_manifest(path: str | os.PathLike[str], storage_options: Mapping[str, Any] | None) -> bool:
    """Return whether an input is a manifest, not a file to scan."""
    name = text_of(path)
    options = {} if is_local(name) else storage_options
    return is_parquet(name, {} if options is None else options) or looks_like_manifest(name, storage_options=options)
