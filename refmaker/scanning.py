"""From a source file to a manifest: the driver of steps, and the stages one after the other.

Contract: `scan` gives a manifest in which every dataset of the file is mapped, inlined or refused by name. Nothing
here is specific to a format: walkers give steps, the driver runs them; what they miss is fetched together (a *round*),
and the interrupted steps run again. Local files miss nothing, so their scan is one pass without an event loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Literal, TypeAlias

from refmaker.conventions.netcdf4 import annotate, zarr_name_problem
from refmaker.conventions.view import JSON, Variable, View
from refmaker.errors import FormatError, RefmakerError, Unsupported
from refmaker.hdf5.resolve import resolve
from refmaker.hdf5.superblock import SIGNATURE, signature_addresses
from refmaker.hdf5.walk import Walk
from refmaker.linked.follow import follow
from refmaker.linked.space import Space
from refmaker.linked.virtual import Workshop
from refmaker.manifest.manifest import Manifest, ManifestArray, ObjectReport, Target
from refmaker.model import Tree
from refmaker.netcdf3.walk import walk as walk_netcdf3
from refmaker.sources.recording import RecordingWindow
from refmaker.sources.source import Source, open_source
from refmaker.window import MissingBytes, Window
from refmaker.zarr.build import BuildOptions
from refmaker.zarr.members import NOTE, build_arrays

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
    progress: Callable[[Progress], None] | None = None,
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
    progress
        Called now and then.

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
        zarr_format=zarr_format, inline_threshold=inline_threshold, inline_limit=inline_limit, portable=portable
    )
    selection = Selection(group, tuple(include), tuple(exclude))
    try:
        space = Space(open_source(url, storage_options), storage_options)
        recorder = RecordingWindow(space.window) if measure else None
        driver = Driver(space, progress)
        tree = _read_tree(recorder or space.window, driver, url, inline_limit, strict)
        if recorder is not None:
            tree.metadata_size, tree.metadata_blocks = recorder.extent()
        workshop = Workshop(space, driver.run, inline_limit, options.subchunk_size)
        follow(tree, workshop, strict=strict, links=follow_external_links, wanted=selection.takes)
        manifest = _Assembly(tree, annotate(tree), space, selection, options, strict).run(driver)
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


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a file are asked for."""

    group: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]

    @property
    def prefix(self) -> str:
        """The Zarr path of the group, "" for the root."""
        return self.group.strip("/")

    def inside(self, zarr_path: str) -> bool:
        """Say whether a path lies in the group asked for."""
        return not self.prefix or zarr_path == self.prefix or zarr_path.startswith(self.prefix + "/")

    def takes(self, path: str) -> bool:
        """Say whether an array's path is asked for."""
        path = path.strip("/")
        included = not self.include or any(_matches(path, glob) for glob in self.include)
        return self.inside(path) and included and not any(_matches(path, glob) for glob in self.exclude)

    def relative(self, zarr_path: str) -> str:
        """Give a path relative to the group."""
        return zarr_path[len(self.prefix) :].strip("/")


def _matches(path: str, glob: str) -> bool:
    """Say whether a glob matches the path or a group above it."""
    parts, glob = path.split("/"), glob.strip("/")
    return any(fnmatchcase("/".join(parts[: i + 1]), glob) for i in range(len(parts)))


@dataclass(slots=True)
class _Assembly:
    """The last stage: a view of the tree to a manifest, one array a step."""

    tree: Tree
    view: View
    space: Space
    selection: Selection
    options: BuildOptions
    strict: bool
    arrays: dict[str, ManifestArray] = field(default_factory=dict)
    reports: dict[str, ObjectReport] = field(default_factory=dict)
    sources: dict[str, tuple[int, str]] = field(default_factory=dict)
    renamed: set[str] = field(default_factory=set)
    paths: dict[str, list[str]] = field(default_factory=dict)
    divided: dict[str, dict[str, JSON]] = field(default_factory=dict)

    def run(self, driver: Driver) -> Manifest:
        """Build all arrays, then the manifest."""
        prefix = self.selection.prefix
        if prefix and prefix not in self.view.groups:
            raise FormatError(f"no group {self.selection.group!r}; list the groups with `refmaker info`")
        chosen = [v for v in self.view.variables if self.selection.takes(v.zarr_path)]
        driver.run([partial(self._build, variable) for variable in chosen])
        self._report_others()
        order = dict.fromkeys(path for v in chosen for path in self.paths.get(v.zarr_path, ()))
        reports = list(self.reports.values())
        return Manifest(
            zarr_format=self.options.zarr_format,
            groups=self._groups(),
            arrays={path: self.arrays[path] for path in order},
            targets=tuple(Target(seen.url, seen.size, seen.etag, seen.mtime) for seen in self.space.identities),
            refusals={r.path: r.reason or "" for r in reports if r.status == "refused" and r.path not in self.renamed},
            objects=reports,
            history=[f"scanned {self.space.identity.url}"],
            sources={path: self.sources[path] for path in order if path in self.sources},
        )

    def _build(self, variable: Variable) -> list[Step]:
        """Build one array; its report stands under the first path of its dataset."""
        path = variable.path
        link = self.tree.links.get(path)
        kind: Literal["dataset", "link"] = "dataset" if link is None else "link"
        try:
            problem = next((p for name in path.split("/")[1:] if (p := zarr_name_problem(name))), None)
            if problem is not None:
                raise Unsupported(problem)
            arrays, status, need, notes = build_arrays(
                variable, read=self.space.read, options=self.options, target=0, path_of=self.tree.paths.get
            )
            moved = [self._settle(array) for array in arrays.values()]
        except RefmakerError as error:
            if self.strict:
                error.path = path
                raise
            self.reports[path] = ObjectReport(path, kind, "refused", str(error), notes=variable.notes)
            return []
        if any(moved) and not any(len(array.references.cell) for array in arrays.values()):
            status = "inlined"
        reason = self._keep(variable, arrays)
        reason = reason if link is None else f"{link.kind} link to {link.first}"
        report = self.reports[path] = ObjectReport(path, kind, status, reason, need, [*variable.notes, *notes])
        shown = "/" + variable.zarr_path
        if shown.rpartition("/")[2] != path.rpartition("/")[2]:
            self._report_renamed(report, shown)
        return []

    def _settle(self, array: ManifestArray) -> bool:
        """Put the files of an array's references in; say whether there was anything to do."""
        settled, before = self.space.settle(array.references), array.references
        array.references = settled
        return settled is not before

    def _keep(self, variable: Variable, arrays: dict[str, ManifestArray]) -> str | None:
        """Keep the arrays of a variable, and its attributes where it is a group; say so."""
        shown = self.selection.relative(variable.zarr_path)
        self.paths[variable.zarr_path] = [shown + member for member in arrays]
        for member, array in arrays.items():
            self.arrays[shown + member] = array
            if variable.path != "/" + shown:
                self.sources[shown + member] = (0, variable.path + member)
        if "" not in arrays:
            self.divided[shown] = variable.attributes
        return NOTE if "" not in arrays else None

    def _report_renamed(self, report: ObjectReport, shown: str) -> None:
        """Report an array whose netCDF name is not the dataset's: no values are lost, but no array has its name."""
        self.renamed.add(report.path)
        self.reports[shown] = replace(report, path=shown, kind="link", reason=f"netCDF-4 name of {report.path}")
        reason = f"netCDF-4 keeps this name for itself: the values are in the array {shown}"
        self.reports[report.path] = ObjectReport(report.path, report.kind, "refused", reason, notes=report.notes)

    def _groups(self) -> dict[str, dict[str, Any]]:
        """Give the groups in the selection, those that hold nothing asked for left out when there are globs."""
        groups = {}
        for path, attributes in self.view.groups.items():
            inside = self.selection.inside(path) and not any(
                zarr_name_problem(name) for name in path.split("/") if name
            )
            relative = self.selection.relative(path)
            holds = not (self.selection.include or self.selection.exclude) or any(
                array.startswith(relative + "/") for array in self.arrays
            )
            if inside and (holds or not relative):
                groups[relative] = attributes
        groups.setdefault("", {})
        return groups | self.divided

    def _report_others(self) -> None:
        """Report what is not an array: groups, types, links, refusals of the walk."""
        for path, reason in self.view.hidden.items():
            if self.selection.takes(path):
                kind: Literal["dataset", "link"] = "dataset" if path in self.tree.datasets else "link"
                self.reports[path] = ObjectReport(path, kind, "mapped", reason)
        for path, refusal in self.tree.refusals.items():
            if self.selection.takes(path):
                if self.strict:
                    raise Unsupported(refusal.reason, path=path)
                self.reports[path] = ObjectReport(path, refusal.kind, "refused", refusal.reason)
        for path in self.tree.groups:
            if self.selection.inside(path.strip("/")):
                notes = self.view.group_notes.get(path.strip("/"), [])
                notes = [*notes, *(self.tree.notes if path == "/" else [])]
                self.reports[path] = ObjectReport(path, "group", "mapped", notes=notes)
        for path in self.tree.types:
            if self.selection.inside(path.strip("/")):
                reason = "committed datatype: resolved where it is used"
                self.reports[path] = ObjectReport(path, "type", "mapped", reason)
        for path, link in self.tree.links.items():
            if path not in self.reports and self.selection.takes(path):
                self.reports[path] = ObjectReport(path, "link", "mapped", f"{link.kind} link to {link.first}")
