"""The walk over one HDF5 file, as steps.

Contract: a *step* is a function without arguments that reads through the Window, keeps its result with its last
statement, and gives the steps that follow from it. A step interrupted by `MissingBytes` is run again and has left
nothing behind. Each object header is one step, each dataset's storage another; any order will do, and all that are
ready can be missing bytes at once. When no step is left, `resolve` puts the objects under their paths.

An object that cannot be read costs that object: it becomes `Broken` with the reason. Only the superblock and the
root group are fatal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeAlias

import numpy as np

from refmaker.errors import FormatError, RefmakerError, Unsupported
from refmaker.hdf5.attributes import read_attributes
from refmaker.hdf5.checksum import defer, lookup3_groups, verified
from refmaker.hdf5.dataset import (
    DATASPACE,
    DATATYPE,
    LAYOUT,
    DatasetHeader,
    announce_index,
    decode_dataset,
    read_storage,
    read_values,
)
from refmaker.hdf5.datatype import decode_datatype
from refmaker.hdf5.file import File, Header, read_header, shared_body
from refmaker.hdf5.group import GROUP_MESSAGES, read_links
from refmaker.hdf5.link import Link
from refmaker.hdf5.object_header import Message
from refmaker.hdf5.opening import open_file
from refmaker.model import Attribute, Datatype, Storage, Unread
from refmaker.window import Window

__all__ = ["Broken", "Step", "Walk", "WalkedObject"]

Step: TypeAlias = Callable[[], Sequence["Step"]]

MUST_UNDERSTAND = 0x80
# The types that the specification defines: all but 0x09, which libhdf5 keeps for its own tests.
KNOWN_MESSAGES = frozenset(range(0x19)) - {0x09}


@dataclass(slots=True)
class WalkedObject:
    """An object by its header's address, its links not yet followed."""

    address: int
    kind: Literal["dataset", "group", "type"]
    attributes: dict[str, Attribute]
    links: list[Link] = field(default_factory=list)
    tracks_order: bool = False
    dataset: DatasetHeader | None = None
    storage: Storage | None = None
    values: np.ndarray | None = None
    definition: Datatype | None = None
    problem: str | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Broken:
    """An object whose header could not be read."""

    address: int
    reason: str


@dataclass(slots=True)
class Walk:
    """The walk over one file.

    Parameters
    ----------
    window
        The whole source file.
    inline_limit
        Bytes that the values of one variable-length dataset may take.
    strict
        Raise the error of an object instead of keeping it as `Broken`.
    narrow
        Read storage only of those datasets that `storage_of` is asked for.
    """

    window: Window
    inline_limit: int
    strict: bool = False
    narrow: bool = False
    file: File | None = None
    objects: dict[int, WalkedObject | Broken] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    blocks: list[tuple[int, int, bytes]] = field(default_factory=list)

    def start(self) -> list[Step]:
        """Return the first step."""
        return [self._open]

    def _open(self) -> list[Step]:
        self.file = open_file(self.window)
        return self._visit([self.file.superblock.root])

    def _visit(self, addresses: list[int]) -> list[Step]:
        """Return a step for every object not seen yet."""
        steps: list[Step] = []
        for address in addresses:
            if address not in self.seen:
                self.seen.add(address)
                steps.append(partial(self._object, address))
        return steps

    def _object(self, address: int) -> list[Step]:
        """Read an object header and what its messages need; then its links' targets and its storage are ready."""
        file = _opened(self.file)
        file.begin()
        try:
            found, header = _read_object(file, address, announce=not self.narrow)
        except RefmakerError as error:
            if self.strict or address == file.superblock.root:
                raise
            file.commit()
            self.objects[address] = Broken(address, str(error))
            return []
        file.commit()
        self.objects[address] = found
        self.blocks += [(address, *block) for block in header.blocks]
        if found.kind == "group":
            return self._visit([link.address for link in found.links if link.kind == "hard"])
        if found.dataset is None:
            return []
        if self.narrow:
            found.storage = Unread()
            return []
        return [partial(self._storage, found)]

    def storage_of(self, addresses: Iterable[int]) -> list[Step]:
        """Return the steps that read the storage of datasets where `narrow` left it out, by the addresses of.

        Eaders.
        """
        chosen = [self.objects.get(address) for address in sorted(addresses)]
        waiting = [one for one in chosen if isinstance(one, WalkedObject) and isinstance(one.storage, Unread)]
        return [partial(self._storage, found) for found in waiting]

    def _storage(self, found: WalkedObject) -> list[Step]:
        """Read where a dataset's values are, and variable-length values themselves."""
        file, header = _opened(self.file), found.dataset
        if header is None:
            return []
        file.begin()
        try:
            storage = read_storage(file, header)
            values = read_values(file, header, storage, self.inline_limit)
        except RefmakerError as error:
            if self.strict:
                raise
            file.commit()
            found.problem = str(error)
            return []
        file.commit()
        found.storage, found.values = storage, values
        return []

    def verify(self) -> None:
        """Verify the checksums of all object headers together; those that fail become `Broken`."""
        if not verified():
            return
        if defer([block for _, _, block in self.blocks]):
            return
        by_size: dict[int, list[tuple[int, int, bytes]]] = {}
        for entry in self.blocks:
            by_size.setdefault(len(entry[2]), []).append(entry)
        groups = [
            np.frombuffer(b"".join(block for _, _, block in entries), "u1").reshape(len(entries), -1)
            for entries in by_size.values()
        ]
        sums = lookup3_groups([rows[:, :-4] for rows in groups])
        for entries, rows, computed in zip(by_size.values(), groups, sums, strict=True):
            stored = np.ascontiguousarray(rows[:, -4:]).view("<u4")[:, 0]
            for i in np.flatnonzero(computed != stored).tolist():
                self._fail(entries[i][0], entries[i][1])

    def _fail(self, owner: int, address: int) -> None:
        error = FormatError("checksum", structure="object header", address=address)
        if self.strict or owner == _opened(self.file).superblock.root:
            raise error
        self.objects[owner] = Broken(owner, str(error))


def _opened(file: File | None) -> File:
    if file is None:
        raise FormatError("a step before the superblock was read")
    return file


def _read_object(file: File, address: int, *, announce: bool) -> tuple[WalkedObject, Header]:
    header = read_header(file, address)
    messages = header.messages
    kinds = {m.kind for m in messages}
    _check_known(messages)
    if DATATYPE in kinds and (DATASPACE in kinds or LAYOUT in kinds):
        dataset, problem = _read_dataset(file, messages, announce=announce)
        attributes, notes = read_attributes(file, messages)
        return WalkedObject(address, "dataset", attributes, dataset=dataset, problem=problem, notes=notes), header
    attributes, notes = read_attributes(file, messages)
    if kinds & GROUP_MESSAGES:
        found = WalkedObject(address, "group", attributes, notes=notes)
        found.links, found.tracks_order = read_links(file, messages)
    elif DATATYPE in kinds:
        found = WalkedObject(address, "type", attributes, notes=notes)
        found.definition = _definition(file, messages)
    else:
        raise FormatError(
            "neither group, dataset nor datatype", structure="object header", address=address, got=sorted(kinds)
        )
    return found, header


def _read_dataset(file: File, messages: list[Message], *, announce: bool) -> tuple[DatasetHeader | None, str | None]:
    """Decode what makes a dataset, or give the reason why that cannot be done.

    Its chunk index can be announced, to come together with what the attributes need.
    """
    try:
        dataset = decode_dataset(file, messages)
    except RefmakerError as error:
        return None, str(error)
    if announce:
        announce_index(file, dataset)
    return dataset, None


def _definition(file: File, messages: list[Message]) -> Datatype | None:
    """Return a committed datatype, None where it is of a kind that cannot be decoded: only its users need it."""
    try:
        return next(decode_datatype(shared_body(file, m)) for m in messages if m.kind == DATATYPE)
    except RefmakerError:
        return None


def _check_known(messages: list[Message]) -> None:
    for message in messages:
        if message.kind not in KNOWN_MESSAGES and message.flags & MUST_UNDERSTAND:
            raise Unsupported(f"message of type {message.kind:#x}, which a reader must understand")
