"""Links: Link message (0x06), Link Info message (0x02), and the records that a group's members become.

Contract: pure. Specification 4.0, IV.A.2.g and IV.A.2.c.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from refmaker.errors import FormatError, Unsupported
from refmaker.hdf5.sizes import Sizes, need, unsigned

__all__ = ["Link", "LinkInfo", "checked_name", "decode_link", "decode_link_info"]

_HARD, _SOFT, _EXTERNAL = 0, 1, 64
_CREATION_ORDER, _TYPE, _CHARSET = 0x04, 0x08, 0x10


@dataclass(slots=True)
class Link:
    """A member of a group.

    `address` is set for hard links, `target` for soft links (a path) and external ones (path in `file`). `user_type` is
    the link type of user-defined links.
    """

    name: str
    kind: Literal["hard", "soft", "external", "user"]
    address: int = 0
    target: str = ""
    file: str = ""
    user_type: int = 0
    creation_order: int = 0


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """Where links are stored densely (None: they are not), and whether creation order is tracked."""

    tracks_order: bool
    heap: int | None
    name_index: int | None


def decode_link_info(body: bytes, sizes: Sizes) -> LinkInfo:
    """Decode a Link Info message: 0 version | 1 flags (| max creation index 8) | heap | name index (| order index)."""
    need(body, 0, 2, "link info message")
    if body[0] != 0:
        raise Unsupported("version", structure="link info message", expected=0, got=body[0])
    flags = body[1]
    pos = 2 + (8 if flags & 1 else 0)
    need(body, pos, 2 * sizes.offsets, "link info message")
    heap, index = sizes.struct("2O").unpack_from(body, pos)
    undefined = sizes.undefined
    return LinkInfo(bool(flags & 1), None if heap == undefined else heap, None if index == undefined else index)


def decode_link(body: bytes, sizes: Sizes) -> Link:
    """Decode a Link message.

    0 version | 1 flags (| type 1) (| creation order 8) (| character set 1) | size of name 1, 2, 4 or 8 | name | link
    """
    what = "link message"
    need(body, 0, 2, what)
    if body[0] != 1:
        raise Unsupported("version", structure=what, expected=1, got=body[0])
    flags, pos, kind, order = body[1], 2, _HARD, 0
    if flags & _TYPE:
        need(body, pos, 1, what)
        kind, pos = body[pos], pos + 1
    if flags & _CREATION_ORDER:
        need(body, pos, 8, what)
        order, pos = unsigned(body, pos, 8), pos + 8
    if flags & _CHARSET:
        pos += 1
    width = 1 << (flags & 3)
    need(body, pos, width, what)
    size, pos = unsigned(body, pos, width), pos + width
    need(body, pos, size, what)
    name = checked_name(body[pos : pos + size].decode("utf-8", "surrogateescape"), what)
    link = _link_value(body, pos + size, kind, name, sizes)
    link.creation_order = order
    return link


def checked_name(name: str, structure: str) -> str:
    """Return the name of a link, or raise `FormatError` if it cannot be one."""
    if not name or "\0" in name or "/" in name:
        raise FormatError(
            "name of a link", structure=structure, expected="no NUL, no slash, not empty", got=repr(name[:80])
        )
    return name


def _link_value(body: bytes, pos: int, kind: int, name: str, sizes: Sizes) -> Link:
    what = "link message"
    if kind == _HARD:
        need(body, pos, sizes.offsets, what)
        return Link(name, "hard", sizes.address(body, pos))
    need(body, pos, 2, what)
    size, pos = unsigned(body, pos, 2), pos + 2
    need(body, pos, size, what)
    value = body[pos : pos + size]
    if kind == _SOFT:
        return Link(name, "soft", target=value.split(b"\0", 1)[0].decode("utf-8", "surrogateescape"))
    if kind == _EXTERNAL:
        parts = value[1:].split(b"\0")
        if len(parts) < 2:
            raise FormatError("value of an external link", structure=what, expected="file and path", got=value)
        file, target = (p.decode("utf-8", "surrogateescape") for p in parts[:2])
        return Link(name, "external", target=target, file=file)
    return Link(name, "user", user_type=kind)
