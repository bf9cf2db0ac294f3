"""Paths: which one is an object's first, where soft links lead, what is refused."""

from __future__ import annotations

import itertools

import pytest

from refmaker.hdf5.resolve import MAX_SOFT_LINKS
from refmaker.model import Tree
from tests.hdf5.assembling import (
    DATATYPE,
    LINK,
    LINK_INFO,
    Image,
    compact,
    dataset,
    dataspace,
    group,
    hard_link,
    header_2,
    integer,
    number,
    soft_link,
)
from tests.hdf5.walking import tree_of


def placed(image: Image) -> int:
    return image.place(dataset(dataspace([1]), integer(1), compact(b"x")))


def test_the_first_path_is_that_of_a_depth_first_walk_by_name():
    """Upper case before lower case, bytes before their meaning; groups are entered where they stand."""
    image = Image()
    one, two = placed(image), placed(image)
    inner = image.place(group([hard_link(b"z", one), hard_link(b"B", two)]))
    names = [(b"a", inner), (b"b", one), (b"Z", two), ("ä".encode(), one), (b"\xff", two)]
    tree = tree_of(image.file(image.place(group([hard_link(*pair) for pair in names]))))
    assert list(tree.datasets) == ["/Z", "/a/z"]
    assert {path: link.first for path, link in tree.links.items()} == {
        "/a/B": "/Z",
        "/b": "/a/z",
        "/ä": "/a/z",
        "/\udcff": "/Z",
    }


def test_cycles_are_cut():
    image = Image()
    inner = image.next
    image.place(group([hard_link(b"again", inner), hard_link(b"top", 4096)]))
    image.data += bytes(4096 - len(image.data))
    root = image.place(group([hard_link(b"a", inner), hard_link(b"self", 4096)]))
    tree = tree_of(image.file(root))
    assert list(tree.groups) == ["/", "/a"]
    assert {path: (link.first, link.object_kind) for path, link in tree.links.items()} == {
        "/a/again": ("/a", "group"),
        "/a/top": ("/", "group"),
        "/self": ("/", "group"),
    }


def linked(**targets: bytes) -> Tree:
    """A file with /g/h/x and soft links of these targets in /g."""
    image = Image()
    inner = image.place(group([hard_link(b"x", placed(image))]))
    links = [hard_link(b"h", inner), *(soft_link(name.encode(), target) for name, target in targets.items())]
    return tree_of(image.file(image.place(group([hard_link(b"g", image.place(group(links)))]))))


@pytest.mark.parametrize("target", [b"h/x", b"./h/x", b"h//x", b"h/x/", b"/g/h/x", b"//g/./h/x", b"h/./x"])
def test_soft_links_that_lead_to_an_object(target):
    tree = linked(s=target)
    assert tree.links["/g/s"].first == "/g/h/x"
    assert tree.refusals == {}


@pytest.mark.parametrize("target", [b"nothing", b"h/nothing", b"h/x/more", b"/h/x", b"../g/h/x", b"s", b"./s/x"])
def test_soft_links_that_lead_nowhere(target):
    """A dot is this group; two dots are a name like any other."""
    tree = linked(s=target)
    assert tree.links == {}
    assert tree.refusals["/g/s"].kind == "link"
    assert repr(target.decode()) in tree.refusals["/g/s"].reason


def test_soft_links_to_the_groups_themselves():
    tree = linked(here=b".", root=b"/", up=b"/g")
    assert {path: link.first for path, link in tree.links.items()} == {"/g/here": "/g", "/g/root": "/", "/g/up": "/g"}


def test_chains():
    count = MAX_SOFT_LINKS + 1
    names = [f"s{i:03}" for i in range(count + 1)]
    chain = {name: following.encode() for name, following in itertools.pairwise(names)}
    tree = linked(**chain, **{names[-1]: b"h/x"})
    refused = {path.removeprefix("/g/") for path in tree.refusals}
    # A link itself is not counted, those that its target leads through are.
    assert refused == set(names[: len(names) - MAX_SOFT_LINKS - 1])
    assert {link.first for link in tree.links.values()} == {"/g/h/x"}


def test_chains_from_link_to_link_in_directories():
    tree = linked(a=b"b/x", b=b"c", c=b"/g/d", d=b"h", loop=b"loop2/x", loop2=b"loop")
    assert tree.links["/g/a"].first == "/g/h/x"
    assert tree.links["/g/c"].object_kind == "group"
    assert set(tree.refusals) == {"/g/loop", "/g/loop2"}


def test_broken_objects_have_one_refusal_and_links():
    image = Image()
    bad = placed(image)
    image.data[bad + 20] ^= 1
    tree = tree_of(image.file(image.place(group([hard_link(b"a", bad), hard_link(b"b", bad), soft_link(b"c", b"a")]))))
    assert list(tree.refusals) == ["/a"]
    assert {path: link.first for path, link in tree.links.items()} == {"/b": "/a", "/c": "/a"}


def test_children_in_order_of_creation():
    def ordered(name: bytes, address: int, order: int) -> bytes:
        return bytes([1, 4]) + number(order) + bytes([len(name)]) + name + number(address)

    image = Image()
    kind = image.place(header_2([(DATATYPE, integer())]))
    info = bytes([0, 1]) + number(2) + number((1 << 64) - 1) * 2
    links = [ordered(b"a", kind, 2), ordered(b"b", kind, 0), ordered(b"c", kind, 1)]
    tree = tree_of(image.file(image.place(header_2([(LINK_INFO, info), *((LINK, link) for link in links)]))))
    assert tree.groups["/"].children == ["b", "c", "a"]
    assert tree.types == ["/a"]
    assert set(tree.links) == {"/b", "/c"}
