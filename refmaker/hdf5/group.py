"""The members of a group: old-style symbol tables, compact links, dense links.

Contract: `read_links` reads through the Window of a `File`. Specification 4.0, IV.A.2.c, g, r and III.A, III.B, III.G.
"""

from __future__ import annotations

from refmaker.errors import FormatError
from refmaker.hdf5 import btree_v1, btree_v2
from refmaker.hdf5.file import File, announce_dense, read_heap
from refmaker.hdf5.link import Link, LinkInfo, decode_link, decode_link_info
from refmaker.hdf5.object_header import Message
from refmaker.hdf5.symbol_table import (
    SNOD_HEAD_SIZE,
    decode_entries,
    decode_local_heap,
    decode_snod_count,
    decode_symbol_table,
    entry_size,
    local_heap_size,
)

__all__ = ["GROUP_MESSAGES", "read_links"]

LINK_INFO, LINK, GROUP_INFO, SYMBOL_TABLE = 0x02, 0x06, 0x0A, 0x11
GROUP_MESSAGES = frozenset({LINK_INFO, SYMBOL_TABLE})
_NAME_INDEX_TYPE = 5
_HEAP_ID_AT = 4  # records of type 5: hash of the name 4 | heap id 7


def read_links(file: File, messages: list[Message]) -> tuple[list[Link], bool]:
    """Read the links of a group; give them, and whether creation order is tracked (and is in the links)."""
    links: list[Link] = []
    tracked = False
    for message in messages:
        if message.kind == SYMBOL_TABLE:
            links += _symbol_table(file, *decode_symbol_table(message.body, file.sizes))
        elif message.kind == LINK:
            links.append(decode_link(message.body, file.sizes))
        elif message.kind == LINK_INFO:
            info = decode_link_info(message.body, file.sizes)
            tracked = info.tracks_order
            links += _dense(file, info)
    names = {link.name for link in links}
    if len(names) != len(links):
        raise FormatError("two links of one name", structure="group")
    return links, tracked


def _dense(file: File, info: LinkInfo) -> list[Link]:
    if info.heap is None or info.name_index is None:
        return []
    announce_dense(file, info.heap, info.name_index)
    records = btree_v2.read_records(file.metered, info.name_index, _NAME_INDEX_TYPE, file.sizes)
    ids = [row[_HEAP_ID_AT:].tobytes() for row in records]
    return [decode_link(body, file.sizes) for body in read_heap(file, info.heap, ids)]


def _symbol_table(file: File, btree: int, heap: int) -> list[Link]:
    window, sizes = file.metered, file.sizes
    size = local_heap_size(sizes)
    window.want((heap,), size)
    addresses = btree_v1.group_nodes(window, btree, file.group_internal_k, sizes)
    if len(addresses) == 0:
        return []
    buf, pos = window.at(heap, size)
    segment, segment_size = decode_local_heap(buf, pos, sizes, heap)
    width = entry_size(sizes)
    window.want((segment,), segment_size)
    window.want(addresses, SNOD_HEAD_SIZE + 2 * file.group_leaf_k * width)
    buf, pos = window.at(segment, segment_size)
    names = bytes(buf[pos : pos + segment_size])
    links: list[Link] = []
    if len(set(addresses.tolist())) != len(addresses):
        raise FormatError("a symbol table node twice", structure="version 1 B-tree", address=btree)
    for address in addresses.tolist():
        buf, pos = window.at(address, SNOD_HEAD_SIZE)
        count = decode_snod_count(buf, pos, address)
        buf, pos = window.at(address, SNOD_HEAD_SIZE + count * width)
        links += decode_entries(buf, pos + SNOD_HEAD_SIZE, count, names, sizes, address)
        file.reading.spend(sum(len(link.name) + len(link.target) for link in links[-count:]) if count else 0)
    return links
