from __future__ import annotations

import datetime as dt

import pytest

from refmaker.errors import TargetChanged
from refmaker.sources.identity import Identity, etag_of, opaque, time_of

MOMENT = dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


@pytest.mark.parametrize(("info", "etag", "mtime"), [
    ({"ETag": '"abc"'}, '"abc"', None),
    ({"etag": "abc", "LastModified": MOMENT}, "abc", MOMENT.timestamp()),
    ({"ETag": "", "mtime": 7.5}, None, 7.5),
    ({"updated": "2020-01-02T03:04:05+00:00"}, None, MOMENT.timestamp()),
    ({"Last-Modified": "Thu, 02 Jan 2020 03:04:05 GMT"}, None, MOMENT.timestamp()),
    ({"Last-Modified": "yesterday", "created": 3}, None, 3.0),
    ({"updated": "yesterday"}, None, None),
    ({"mtime": True}, None, None),
    ({"mtime": None}, None, None),
])  # fmt: skip
def test_what_is_told(info, etag, mtime):
    assert (etag_of(info), time_of(info)) == (etag, mtime)


@pytest.mark.parametrize(("seen", "now", "differs"), [
    (('"a"', 5.0), ('"a"', 5.0), ""),
    (('"a"', 5.0), ('"b"', 5.0), "ETag"),
    (('"a"', 5.0), ('"a"', 6.0), ""),
    (('"a"', 5.0), ("a", 6.0), ""),
    (('W/"a"', 5.0), ('"a"', 5.0), ""),
    (('W/"a"', 5.0), ('W/"a"', 6.0), "modified"),
    (('"a"', 5.0), (None, 6.0), "modified"),
    (('"a"', 5.0), (None, 5.0), ""),
    (('"a"', None), (None, 6.0), ""),
    ((None, None), ('"b"', 6.0), ""),
    ((None, 5.0), (None, None), ""),
])  # fmt: skip
def test_differences(seen, now, differs):
    identity = Identity("u", 10, *seen)
    assert differs in " ".join(identity.differences(10, *now))
    assert bool(identity.differences(10, *now)) == bool(differs)
    assert identity.differences(None, *now) == identity.differences(10, *now)
    with pytest.raises(TargetChanged, match=r"u: .*10 bytes then, 11 now"):
        identity.check(11, *now)


def test_opaque():
    assert [opaque(etag) for etag in ('W/"a"', '"a"', "a")] == ["a"] * 3
