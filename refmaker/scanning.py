"""From a source file to a manifest: the driver of steps, and the stages one after the other.

Contract: `scan` gives a manifest in which every dataset of the file is mapped, inlined or refused by name. Nothing
here is specific to a format: walkers give steps, the driver runs them; what they miss is fetched together (a *round*),
and the interrupted steps run again. Local files miss nothing, so their scan is one pass without an event loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from refmaker import limits
from refmaker.assembly import Assembly, Selection
from refmaker.conventions.netcdf4 import annotate
from refmaker.errors import FormatError, RefmakerError, conceal
from refmaker.hdf5.checksum import unverified
from refmaker.hdf5.resolve import resolve
from refmaker.hdf5.superblock import SIGNATURE, signature_addresses
from refmaker.hdf5.walk import Walk
from refmaker.linked.follow import follow
from refmaker.linked.permission import Permission
from refmaker.linked.space import Space
from refmaker.linked.virtual import Workshop
from refmaker.manifest.manifest import Manifest
from refmaker.model import Tree
from refmaker.netcdf3.walk import walk as walk_netcdf3
from refmaker.redaction import secrets_in, secrets_of
from refmaker.sources.recording import RecordingWindow
from refmaker.sources.room import Room
from refmaker.sources.source import Source, open_source
from refmaker.window import MissingBytes, Window
from refmaker.zarr.build import BuildOptions

__all__ = ["Inspection", "Progress", "inspect", "scan"]

Step: TypeAlias = Callable[[], Sequence["Step"]]

DEFAULT_INLINE_LIMIT = limits.INLINE
NETCDF3_MAGIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05")
# A step that misses bytes again and again although all it asked for was fetched is a defect, not a slow file.
MAX_ROUNDS = limits.ROUNDS


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a scan has come: steps done and known so far, rounds of fetching, size of the source in bytes."""

    done: int
    known: int
    rounds: int
    size: int


@dataclass(slots=True)
class Inspection:
    """A scan with what it found on the way."""

    manifest: Manifest
    tree: Tree


def scan(url: str, **options: Any) -> Manifest:
    """Scan a source file and give its manifest. Takes the options of `inspect`."""
    return inspect(url, **options).manifest


def inspect(
    url: str,
    *,
    storage_options: Mapping[str, Any] | None = None,
    group: str = "/",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    inline_threshold: int = 0,
    inline_limit: int = DEFAULT_INLINE_LIMIT,
    zarr_format: Literal[2, 3] = 2,
    portable: bool = False,
    strict: bool = False,
    measure: bool = False,
    follow_external_links: bool = True,
    other_files: bool = True,
    allow: Sequence[str] | None = None,
    keep_checksums: bool = False,
    verify_checksums: bool = True,
    progress: Callable[[Progress], None] | None = None,
    room: Room | None = None,
) -> Inspection:
    """Scan a source file; give its manifest and the tree it was made from.

    Parameters
    ----------
    url
        A local path or any fsspec url.
    storage_options
        Options of the fsspec filesystem.
    group
        The group of the file that becomes the root of the manifest.
    include, exclude
        Globs on paths in the file (`/a/b*`); a group's name stands for all in it.
    inline_threshold
        Chunks of at most so many stored bytes are read and kept in the manifest.
    inline_limit
        Bytes that the values of one array may take in the manifest where Zarr cannot address them in place.
    zarr_format
        Format of the Zarr metadata: 2 is read by more clients.
    portable
        Use no codec that only readers with refmaker installed have: what needs one is inlined, or refused.
    strict
        Raise the first refusal instead of recording it.
    measure
        Also find out how much of the file is metadata, in how many blocks (`Tree.metadata_size`, `metadata_blocks`).
    follow_external_links
        Show what external links lead to under the links' paths, as far as the files are reachable.
    other_files
        Open other files than this one at all: external links, virtual datasets, raw data. What needs one is refused.
    allow
        Where other files may be: directories, files, prefixes of urls. Without, HDF5 files may be where libhdf5 finds
        them, and raw data in the directory of the file that names them or below it.
    keep_checksums
        Leave the checksums of the fletcher32 filter in the references, for readers to verify.
    verify_checksums
        Verify the checksums of the file's own structures.
    progress
        Called now and then.
    room
        Bounds the bytes that are held of remote files; for scans side by side, see `scan_many`.

    Raises
    ------
    SourceError
        If the file cannot be read, or changes while it is scanned.
    FormatError
        If it is not HDF5 or netCDF classic, or is damaged where nothing can be read without it.
    Unsupported
        With `strict`, if anything would be refused.
    """
    options = BuildOptions(
        zarr_format=zarr_format,
        inline_threshold=inline_threshold,
        inline_limit=inline_limit,
        portable=portable,
        keep_checksums=keep_checksums,
    )
    permission = Permission(other_files, None if allow is None else tuple(allow))
    selection = Selection(group, tuple(include), tuple(exclude))
    room = Room() if room is None else room
    try:
        with nullcontext() if verify_checksums else unverified():
            space = Space(open_source(url, storage_options, room), storage_options, room)
            recorder = RecordingWindow(space.window) if measure else None
            driver = Driver(space, progress)
            tree = _read_tree(recorder or space.window, driver, url, inline_limit, strict)
            if recorder is not None:
                tree.metadata_size, tree.metadata_blocks = recorder.extent()
            workshop = Workshop(space, driver.run, inline_limit, options.subchunk_size)
            follow(
                tree,
                workshop,
                strict=strict,
                links=follow_external_links,
                permission=permission,
                wanted=selection.takes,
            )
            manifest = Assembly(tree, annotate(tree), space, selection, options, strict).run(driver.run)
            space.check_unchanged()
    except RefmakerError as error:
        if error.source is None:
            error.source = url
        conceal(error, secrets_of(storage_options or {}) | secrets_in(url))
        raise
    return Inspection(manifest, tree)


class Driver:
    """Runs steps until none is left."""

    def __init__(self, source: Source, progress: Callable[[Progress], None] | None) -> None:
        self.source = source
        self.progress = progress
        self.done = 0
        self.rounds = 0

    def run(self, steps: Sequence[Step]) -> None:
        """Run steps and those that follow from them; fetch what they miss, all of a round together."""
        ready: deque[Step] = deque(steps)
        while ready:
            blocked: list[Step] = []
            missing: list[MissingBytes] = []
            while ready:
                step = ready.popleft()
                try:
                    ready.extend(step())
                except MissingBytes as missed:
                    blocked.append(step)
                    missing.append(missed)
                else:
                    self._count(len(ready) + len(blocked))
            if blocked:
                self.rounds += 1
                if self.rounds > MAX_ROUNDS:
                    raise RefmakerError("the scan does not end", got=f"{self.rounds} rounds")
                self.source.fetch(missing)
                ready.extend(blocked)

    def _count(self, left: int) -> None:
        self.done += 1
        if self.progress is not None and self.done % 64 == 0:
            self.progress(Progress(self.done, self.done + left, self.rounds, self.source.identity.size))


def _read_tree(window: Window, driver: Driver, url: str, inline_limit: int, strict: bool) -> Tree:
    """Find the format and walk the file."""
    found: list[str] = []

    def detect() -> list[Step]:
        found.append(_detect(window))
        return []

    driver.run([detect])
    if found[-1] == "netcdf3":
        trees: list[Tree] = []

        def classic() -> list[Step]:
            trees.append(walk_netcdf3(window, source=url))
            return []

        driver.run([classic])
        return trees[-1]
    walk = Walk(window, inline_limit, strict)
    driver.run(walk.start())
    walk.verify()
    return resolve(walk, url)


def _detect(window: Window) -> str:
    for address in signature_addresses(window.size):
        if address + len(SIGNATURE) > window.size:
            break
        buf, pos = window.at(address, len(SIGNATURE))
        head = bytes(buf[pos : pos + len(SIGNATURE)])
        if head == SIGNATURE:
            return "hdf5"
        if address == 0 and head[:4] in NETCDF3_MAGIC:
            return "netcdf3"
    buf, pos = window.at(0, min(8, window.size))
    raise FormatError(
        "neither HDF5 nor netCDF: no signature at the start or behind a user block",
        structure="superblock",
        address=0,
        got=bytes(buf[pos : pos + 8]),
    )


def read_tree(url: str, storage_options: Mapping[str, Any] | None = None) -> Tree:
    """Walk a file without making a manifest of it."""
    source = open_source(url, storage_options)
    return _read_tree(source.window, Driver(source, None), url, DEFAULT_INLINE_LIMIT, strict=False)
