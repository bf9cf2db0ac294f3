from __future__ import annotations

import datetime as dt
import json

import pytest

from refmaker.errors import TargetChanged
from refmaker.manifest.manifest import Target
from refmaker.replay.identity import Check, Seen, changed

NOW = 1732319999.1234567


@pytest.mark.parametrize(
    ("record", "seen", "strict", "size"),
    [
        (Target("u"), Seen(5, "e", 1.0), 0, 0),
        (Target("u", 5, "e", 1.0), Seen(None, None, None), 0, 0),
        (Target("u", 5), Seen(5, "e", 1.0), 0, 0),
        (Target("u", 5), Seen(6, "e", 1.0), 1, 1),
        (Target("u", 0), Seen(6, "e", 1.0), 1, 1),
        (Target("u", 5, "e", 1.0), Seen(5, "f", 1.0), 1, 0),
        (Target("u", 5, "e", 1.0), Seen(5, "e", 2.0), 0, 0),  # the same contents, uploaded again
        (Target("u", 5, None, 1.0), Seen(5, "e", 2.0), 1, 0),
        (Target("u", 5, "e", 1.0), Seen(5, None, 2.0), 1, 0),
        (Target("u", 5, 'W/"e"'), Seen(5, '"e"', None), 0, 0),
        (Target("u", 5, "e"), Seen(5, '"e"', None), 0, 0),
        (Target("u", 5, None, NOW), Seen(5, None, json.loads(json.dumps(NOW))), 0, 0),
        (Target("u", 5, None, NOW), Seen(5, None, NOW + 2e-6), 1, 0),
        (Target("u", 5, None, 0.0), Seen(5, None, 1.0), 1, 0),
        (Target("u", 5, "e"), Seen(6, "f", None), 2, 1),
    ],
)
def test_differences(record: Target, seen: Seen, strict: int, size: int) -> None:
    counts: dict[Check, int] = {"strict": strict, "size": size, "off": 0}
    assert {check: len(seen.differences(record, check)) for check in counts} == counts


@pytest.mark.parametrize(
    ("info", "seen"),
    [
        ({"size": 5, "ETag": '"e"', "LastModified": dt.datetime.fromtimestamp(7, dt.UTC)}, Seen(5, '"e"', 7.0)),
        ({"size": 5, "mtime": 7.5, "created": 8.5}, Seen(5, None, 7.5)),
        ({"size": None, "etag": "", "updated": "1970-01-01T00:00:07Z"}, Seen(None, None, 7.0)),
        ({"created": "yesterday", "mtime": True}, Seen(None, None, None)),
        ({}, Seen(None, None, None)),
    ],
)
def test_seen(info: dict[str, object], seen: Seen) -> None:
    assert Seen.of(info) == seen


def test_the_error_says_what_differs_and_what_to_do() -> None:
    differences = Seen(6, None, 2e18).differences(Target("u", 5, None, 0.0), "strict")
    error = changed("s3://b/a.nc", "t/0.0", differences)
    assert isinstance(error, TargetChanged)
    assert not isinstance(error, OSError)
    for part in (
        "s3://b/a.nc",
        "t/0.0",
        "5 bytes then, 6 now",
        "1970-01-01",
        "2e+18",
        "Scan it again",
        "verify",
        "off",
    ):
        assert part in str(error)
