from __future__ import annotations

import base64

import pytest

from refmaker.serve.guard import LOOPBACK, Guard

BASIC = b"Basic " + base64.b64encode(b"me:secret")


@pytest.mark.parametrize(
    ("header", "let_in"),
    [
        (b"Bearer secret", True),
        (b"bearer  secret", True),
        (BASIC, True),
        (b"", False),
        (b"secret", False),
        (b"Bearer other", False),
        (b"Basic ???", False),
        (b"Digest secret", False),
    ],
)
def test_tokens(header: bytes, let_in: bool) -> None:
    refusal = Guard("secret").refusal("/air.json/t/0.0", {b"authorization": header})
    assert (refusal is None) == let_in
    assert refusal is None or refusal.status == 401


def test_health_is_nobodys_secret() -> None:
    assert Guard("secret").refusal("/healthz", {}) is None


@pytest.mark.parametrize(
    ("host", "let_in"),
    [
        (b"localhost:8000", True),
        (b"LOCALHOST", True),
        (b"127.0.0.1:1", True),
        (b"[::1]:8000", True),
        (b"[::1]", True),
        (b"evil.example:8000", False),
        (b"", False),
    ],
)
def test_names_of_the_server(host: bytes, let_in: bool) -> None:
    refusal = Guard(hosts=LOOPBACK).refusal("/", {b"host": host})
    assert (None if refusal is None else refusal.status) == (None if let_in else 421)


def test_a_token_is_not_shown() -> None:
    assert "secret" not in repr(Guard("secret"))
