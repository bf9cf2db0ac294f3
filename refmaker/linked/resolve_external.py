"""Following what a file says of other files: the stage between its tree and the conventions.

Contract: `resolve_external` changes a tree in place. After it, every dataset's storage is compact, contiguous or
chunked, with addresses of the space; virtual datasets have the extent that their sources give them; external links are
datasets and groups under the links' paths. What cannot be followed is refused by name. Virtual datasets of virtual
datasets and links into files with links are followed to a depth of `MAX_DEPTH`, never in circles.

Semantics: libhdf5 2.0, H5Dvirtual.c, H5Defl.c, H5Lexternal.c, with the defaults of its property lists (the extent of
an unlimited virtual dataset ends with the last element available, numbered sources with the first that is missing).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from refmaker import limits
from refmaker.errors import FormatError, RefmakerError, Unsupported
from refmaker.hdf5.selection import unlimited_axis
from refmaker.hdf5.values import is_variable
from refmaker.hdf5.virtual import is_numbered, numbered_name
from refmaker.linked.address_space import FILE_BITS, AddressSpace, file_of
from refmaker.linked.extents import Binding, bind, extent_of
from refmaker.linked.external import Segment, external_storage
from refmaker.linked.external_links import insert_subtree, object_kind
from refmaker.linked.files import COMMITTED, Files, find
from refmaker.linked.lookup import find_source
from refmaker.linked.open_named import NamedFiles, listed
from refmaker.linked.permission import Permission
from refmaker.linked.sources import SourceChunks, chunks_of, conversion, fill_element
from refmaker.linked.virtual import Part, ResolveContext, ResolvedStorage, virtual_storage
from refmaker.model import (
    Dataset,
    Dataspace,
    External,
    ExternalLink,
    FillValue,
    LinkNote,
    Refusal,
    Tree,
    Virtual,
    VirtualMapping,
)
from refmaker.redaction import redact

__all__ = ["resolve_external"]

MAX_DEPTH = limits.LINK_DEPTH
MAX_LINKS = limits.LINKS


def resolve_external(
    tree: Tree,
    context: ResolveContext,
    *,
    strict: bool,
    permission: Permission,
    links: Callable[[str], bool] | None,
    wanted: Callable[[str], bool],
) -> None:
    """Resolve external raw data, virtual datasets and external links of a tree.

    Parameters
    ----------
    workshop
        The space whose first file the tree is of, how to run steps, and limits.
    strict
        Raise the first refusal instead of recording it.
    links
        Says whether the external link at a path is followed; None: none is.
    permission
        Which other files may be opened.
    wanted
        Says whether the dataset at a path is asked for.
    """
    if tree.kind != "hdf5":
        return
    work = _Resolver(tree, context, strict, permission)
    if links is not None:
        work.follow_links([link for path, link in tree.external.items() if links(path)])
    for path, dataset in list(tree.datasets.items()):
        if isinstance(dataset.storage, External | Virtual) and wanted(path):
            work.place(path, dataset)


@dataclass(slots=True)
class _Resolver:
    """One run of `resolve_external`."""

    tree: Tree
    context: ResolveContext
    strict: bool
    permission: Permission
    files: Files = field(init=False)
    named: NamedFiles = field(init=False)
    done: dict[int, Dataset | RefmakerError] = field(default_factory=dict)
    underway: list[int] = field(default_factory=list)
    chunks: dict[int, SourceChunks] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.files = Files(self.space, self.context.run, self.context.inline_limit, {0: self.tree})
        self.named = NamedFiles(self.space, self.permission)

    @property
    def space(self) -> AddressSpace:
        """The files of the scan."""
        return self.context.space

    def place(self, path: str, dataset: Dataset) -> None:
        """Put a dataset whose values are elsewhere into the tree, or refuse it."""
        try:
            placed = self.resolved(dataset)
        except RefmakerError as error:
            if self.strict:
                raise
            del self.tree.datasets[path]
            self.tree.refusals[path] = Refusal(path, "dataset", str(error))
            return
        self.tree.datasets[path] = replace(placed, path=path, attributes=dataset.attributes)

    def resolved(self, dataset: Dataset) -> Dataset:
        """Return a dataset with storage in the space; each is resolved once."""
        if not isinstance(dataset.storage, External | Virtual):
            return dataset
        key = dataset.address
        if key in self.underway:
            raise Unsupported("a virtual dataset that has itself among its sources")
        if len(self.underway) >= MAX_DEPTH:
            raise Unsupported(f"virtual datasets of virtual datasets, more than {MAX_DEPTH} deep")
        if key not in self.done:
            self.underway.append(key)
            try:
                self.done[key] = self._resolve(dataset)
            except RefmakerError as error:
                self.done[key] = error
            finally:
                self.underway.pop()
        found = self.done[key]
        if isinstance(found, RefmakerError):
            raise found
        return found

    def _resolve(self, dataset: Dataset) -> Dataset:
        if is_variable(dataset.datatype):
            raise Unsupported("variable-length data in external or virtual storage")
        if isinstance(dataset.storage, External):
            return self._external(dataset, dataset.storage)
        if isinstance(dataset.storage, Virtual):
            return self._virtual(dataset, dataset.storage)
        return dataset

    # Raw data files.

    def _external(self, dataset: Dataset, storage: External) -> Dataset:
        """Open the raw data files as far as the dataset needs them."""
        shape, item = dataset.dataspace.shape, dataset.datatype.size
        left = dataset.dataspace.size * item
        origin = file_of(dataset.address)
        segments: list[Segment] = []
        notes: list[str] = []
        for part in storage.segments:
            if left == 0:
                break
            size = left if part.size is None else min(part.size, left)
            segments += self._segment(origin, part.name, part.offset, size, notes)
            left -= size
        if left:
            raise Unsupported(f"the raw data files are {left} bytes too short for the dataset")
        placed = external_storage(shape, item, fill_element(dataset), segments, self.context)
        return self._with(dataset, placed, dataset.dataspace, notes)

    def _segment(self, origin: int, name: str, offset: int, size: int, notes: list[str]) -> list[Segment]:
        """Return a slot of the list of files: what the file has of it, and zeros for what it has not."""
        try:
            number, places = self.named.open(origin, name, "raw")
        except FormatError:  # an empty file
            return [Segment(None, size)]
        if number is None:
            raise Unsupported(f"the raw data file {name!r} is not there; looked for {listed(places)}")
        if self.space.local and self.space.url_of(number) != places[0]:
            notes.append(f"raw data file {name!r}: found beside the file; libhdf5 needs HDF5_EXTFILE_PREFIX for that")
        available = max(0, min(size, self.space.size(number) - offset))
        if available < size:
            notes.append(f"raw data file {name!r}: {size - available} bytes behind its end read as zeros")
        return [Segment((number << FILE_BITS) + offset, available), Segment(None, size - available)]

    # Virtual datasets.

    def _virtual(self, dataset: Dataset, storage: Virtual) -> Dataset:
        origin = file_of(dataset.address)
        bindings: list[Binding] = []
        missing: dict[str, None] = {}
        self._prepare(origin, storage.mappings)
        for mapping in storage.mappings:
            for number, source in self._numbered(origin, mapping, missing):
                bindings.append(bind(mapping, number, source))
        shape = extent_of(dataset.dataspace, storage.mappings, bindings)
        parts = []
        for binding in bindings:
            part = binding.part(shape, self.context.inline_limit // dataset.datatype.size)
            if part is not None:
                region, virtual, own = part
                convert = conversion(binding.source.datatype, dataset.datatype)
                parts.append(Part(self._chunks(binding.source), region, virtual, own, convert))
        growing = any(n is None for n in dataset.dataspace.max_shape)
        placed = virtual_storage(shape, fill_element(dataset), parts, self.context, growing=growing)
        notes = [f"missing, reads as the fill value: {listed(list(missing))}"] if missing else []
        return self._with(dataset, placed, replace(dataset.dataspace, shape=shape), notes)

    def _chunks(self, source: Dataset) -> SourceChunks:
        """Return a source's chunks, the same for all its mappings."""
        if source.address not in self.chunks:
            self.chunks[source.address] = chunks_of(source, self.space)
        return self.chunks[source.address]

    def _prepare(self, origin: int, mappings: Sequence[VirtualMapping]) -> None:
        """Open and walk the files of all mappings together."""
        names = list(dict.fromkeys(m.file for m in mappings if m.file != "."))
        plain = [numbered_name(name, 0) for name in names if not is_numbered(name)]
        numbers = list(self.named.open_all(origin, plain))
        for name in names:
            if is_numbered(name):
                numbers += self.named.open_numbered(origin, name)
        self.files.walk([number for number in numbers if number is not None])

    def _numbered(
        self, origin: int, mapping: VirtualMapping, missing: dict[str, None]
    ) -> Iterator[tuple[int, Dataset]]:
        """Yield the sources of a mapping that are there, with their numbers.

        Those with `%b` up to the first missing.
        """
        several = is_numbered(mapping.file) or is_numbered(mapping.dataset)
        blocks = unlimited_axis(mapping.virtual) is not None and unlimited_axis(mapping.source) is None
        if several != blocks:
            raise Unsupported("numbered sources go with an unlimited virtual and a limited source selection")
        number = 0
        while True:
            file, name = numbered_name(mapping.file, number), numbered_name(mapping.dataset, number)
            source = self._source(origin, file, name)
            if source is None:
                if not several:
                    missing[f"{name} in {file}"] = None
                return
            yield number, source
            if not several:
                return
            number += 1

    def _source(self, origin: int, file: str, name: str) -> Dataset | None:
        """Find a source dataset; None when it, or its file, is missing."""
        number: int | None = origin
        if file != ".":
            number, _ = self.named.open(origin, file, "virtual")
        if number is None:
            return None
        try:
            found = find_source(self.files, self.named, number, name, own=file == ".")
        except Unsupported as error:
            raise Unsupported(f"the source {name!r} in {file!r} cannot be read: {error.message}") from error
        return None if found is None else self.resolved(found)

    def _with(self, dataset: Dataset, placed: ResolvedStorage, space: Dataspace, notes: list[str]) -> Dataset:
        fill = dataset.fill
        if placed.fill != fill_element(dataset):
            fill = FillValue(placed.fill, fill.write_time)
        return replace(
            dataset,
            dataspace=space,
            filters=placed.filters,
            fill=fill,
            storage=placed.storage,
            notes=[*dataset.notes, *notes],
        )

    # External links.

    def follow_links(self, links: Sequence[ExternalLink]) -> None:
        """Follow external links, those in the files they lead to as well."""
        # Each with the file it is in, and the objects that enclose it.
        pending: list[tuple[ExternalLink, int, tuple[int, ...]]] = [(link, 0, ()) for link in links]
        followed = 0
        while pending:
            link, origin, above = pending.pop(0)
            followed += 1
            try:
                if followed > MAX_LINKS:
                    raise Unsupported(f"more than {MAX_LINKS} external links")
                inner, number, enclosing = self._follow_link(link, origin, above)
            except RefmakerError as error:
                if self.strict:
                    error.path = link.path
                    raise
                reason = f"external link to {link.target!r} in file {link.file!r}: {error}"
                self.tree.refusals[link.path] = Refusal(link.path, "link", reason)
                continue
            pending += [(following, number, enclosing) for following in inner]

    def _follow_link(
        self, link: ExternalLink, origin: int, above: tuple[int, ...]
    ) -> tuple[list[ExternalLink], int, tuple[int, ...]]:
        """Follow one link; give the links among what it brings, its file, and what encloses them."""
        number, places = self.named.open(origin, link.file, "link")
        if number is None:
            raise Unsupported(f"the file is missing; looked for {listed(places)}")
        other = self.files.tree(number)
        found = find(other, link.target)
        if found is None:
            raise Unsupported("there is no such object in the file")
        if len(above) >= MAX_DEPTH or (not isinstance(found, str | ExternalLink) and found.address in above):
            raise Unsupported("external links that lead in circles, or through too many files")
        if isinstance(found, ExternalLink):
            return [replace(found, path=link.path)], number, (*above, -1)
        if found == COMMITTED:
            del self.tree.refusals[link.path]
            self.tree.types.append(link.path)
            return [], 0, ()
        if isinstance(found, str):
            raise Unsupported(found)
        del self.tree.refusals[link.path]
        if number == 0:
            kind = object_kind(self.tree, found.path)
            self.tree.links[link.path] = LinkNote(link.path, "external", found.path, kind)
            return [], 0, ()
        note = redact(f"external link to {link.target} in {self.space.url_of(number)}")
        return insert_subtree(self.tree, link.path, other, found, note), number, (*above, found.address)
