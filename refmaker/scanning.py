"""From a source file to a manifest: the driver of steps, and the stages one after the other.

Contract: `scan` gives a manifest in which every dataset of the file is mapped, inlined or refused by name. Files of
formats that refmaker does not walk are handed over (`refmaker.formats`). Nothing else here is specific to a format:
walkers give steps, the driver runs them; what they miss is fetched together (a *round*), and the interrupted steps run
again. Local files miss nothing, so their scan is one pass without an event loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from refmaker.assembly import Assembly, Selection
from refmaker.conventions.netcdf4 import annotate
from refmaker.errors import FormatError, RefmakerError
from refmaker.formats.kinds import HEAD_SIZE, Kind, format_of
from refmaker.hdf5.checksum import unverified
from refmaker.hdf5.resolve import resolve
from refmaker.hdf5.superblock import SIGNATURE, signature_addresses
from refmaker.hdf5.walk import Walk
from refmaker.linked.follow import follow
from refmaker.linked.space import Space
from refmaker.linked.virtual import Workshop
from refmaker.manifest.manifest import Manifest
from refmaker.model import Tree
from refmaker.netcdf3.walk import walk as walk_netcdf3
from refmaker.sources.recording import RecordingWindow
from refmaker.sources.room import Room
from refmaker.sources.source import Source, open_source
from refmaker.window import MissingBytes, Window
from refmaker.zarr.build import BuildOptions

__all__ = ["Inspection", "Progress", "inspect", "scan"]

Step: TypeAlias = Callable[[], Sequence["Step"]]

DEFAULT_INLINE_LIMIT = 16 << 20
NETCDF3_MAGIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05")
# A step that misses bytes again and again although all it asked for was fetched is a defect, not a slow file.
MAX_ROUNDS = 100_000


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
    keep_checksums: bool = False,
    verify_checksums: bool = True,
    records_per_chunk: int | None = None,
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
    keep_checksums
        Leave the checksums of the fletcher32 filter in the references, for readers to verify.
    verify_checksums
        Verify the checksums of the file's own structures.
    records_per_chunk
        netCDF classic: records in a chunk of a variable whose records follow one another without anything between them,
        as those of the only record variable of a file. What is left over is kept in the manifest as the last chunk.
        Of other variables one record is a chunk, and a note in the report says so. Without the option, chunks of
        records that follow one another have about 4 MiB, and only whole divisors of the number of records.
    progress
        Called now and then.
    room
        Bounds the bytes that are held of remote files; for scans side by side, see `scan_many`.

    Raises
    ------
    SourceError
        If the file cannot be read, or changes while it is scanned.
    FormatError
        If it is of no format that can be scanned, or is damaged where nothing can be read without it.
    Unsupported
        With `strict`, if anything would be refused; if packages for its format are not installed.
    """
    options = BuildOptions(
        zarr_format=zarr_format,
        inline_threshold=inline_threshold,
        inline_limit=inline_limit,
        portable=portable,
        keep_checksums=keep_checksums,
    )
    if records_per_chunk is not None and records_per_chunk < 1:
        raise ValueError(f"records_per_chunk must be at least 1, not {records_per_chunk}")
    selection = Selection(group, tuple(include), tuple(exclude))
    room = Room() if room is None else room
    try:
        with nullcontext() if verify_checksums else unverified():
            space = Space(open_source(url, storage_options, room), storage_options, room)
            recorder = RecordingWindow(space.window) if measure else None
            driver = Driver(space, progress)
            window = recorder or space.window
            kind = _kind_of(window, driver)
            if kind == "hdf5" or kind == "netcdf3":
                tree = _read_tree(window, driver, kind, url, inline_limit, strict, records_per_chunk)
                if recorder is not None:
                    tree.metadata_size, tree.metadata_blocks = recorder.extent()
                workshop = Workshop(space, driver.run, inline_limit, options.subchunk_size)
                follow(tree, workshop, strict=strict, links=follow_external_links, wanted=selection.takes)
                manifest = Assembly(tree, annotate(tree), space, selection, options, strict).run(driver.run)
            else:
                from refmaker.formats.handover import Wishes, hand_over

                tree = Tree(url, space.window.size, kind)
                wishes = Wishes(selection, inline_threshold, zarr_format, strict)
                manifest = hand_over(kind, url, storage_options, space, driver.run, wishes)
            space.check_unchanged()
    except RefmakerError as error:
        if error.source is None:
            error.source = url
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


def _kind_of(window: Window, driver: Driver) -> Literal["hdf5", "netcdf3"] | Kind:
    found: list[Literal["hdf5", "netcdf3"] | Kind] = []

    def detect() -> list[Step]:
        found.append(_detect(window))
        return []

    driver.run([detect])
    return found[-1]


def _read_tree(
    window: Window,
    driver: Driver,
    kind: Literal["hdf5", "netcdf3"],
    url: str,
    inline_limit: int,
    strict: bool,
    records_per_chunk: int | None = None,
) -> Tree:
    """Walk a file of a format that refmaker reads itself."""
    if kind == "netcdf3":
        trees: list[Tree] = []

        def classic() -> list[Step]:
            trees.append(walk_netcdf3(window, source=url, records_per_chunk=records_per_chunk))
            return []

        driver.run([classic])
        return trees[-1]
    walk = Walk(window, inline_limit, strict)
    driver.run(walk.start())
    walk.verify()
    return resolve(walk, url)


def _detect(window: Window) -> Literal["hdf5", "netcdf3"] | Kind:
    """Tell the format by content: at the start, or HDF5 behind a user block, which may be of any format."""
    buf, pos = window.at(0, min(HEAD_SIZE, window.size))
    head = bytes(buf[pos : pos + min(HEAD_SIZE, window.size)])
    if head.startswith(SIGNATURE):
        return "hdf5"
    if head[:4] in NETCDF3_MAGIC:
        return "netcdf3"
    addresses = [a for a in signature_addresses(window.size) if a + len(SIGNATURE) <= window.size]
    window.want(addresses, len(SIGNATURE))
    for address in addresses:
        buf, pos = window.at(address, len(SIGNATURE))
        if bytes(buf[pos : pos + len(SIGNATURE)]) == SIGNATURE:
            return "hdf5"
    other = format_of(head)
    if other is not None:
        return other
    raise FormatError(
        "neither HDF5 nor netCDF, TIFF, FITS or GRIB: no signature at the start or behind a user block",
        structure="superblock",
        address=0,
        got=head[: len(SIGNATURE)],
    )


def read_tree(url: str, storage_options: Mapping[str, Any] | None = None) -> Tree:
    """Walk a file without making a manifest of it."""
    source = open_source(url, storage_options)
    driver = Driver(source, None)
    kind = _kind_of(source.window, driver)
    if not (kind == "hdf5" or kind == "netcdf3"):
        raise FormatError("neither HDF5 nor netCDF", structure="superblock", address=0, got=kind)
    return _read_tree(source.window, driver, kind, url, DEFAULT_INLINE_LIMIT, strict=False)
