"""The page for people, and the JSON that it shows.

Contract: the files of the page are those of this package, and load nothing from elsewhere, which a policy in the
headers holds browsers to. `answer_page` says whether there was something to answer.
"""

from __future__ import annotations

import asyncio
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs

from refmaker.errors import RefmakerError
from refmaker.redaction import redact
from refmaker.serve.answers import Receive, Scope, Send, headers_of, send_whole
from refmaker.serve.catalogue import Catalogue
from refmaker.serve.summary import manifest_summary, variable_summary
from refmaker.serve.tree import Tree, TreeKind
from refmaker.zarr import strict_json

__all__ = ["FILES", "answer_page"]

FILES = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "app.js": "text/javascript; charset=utf-8",
    "look.js": "text/javascript; charset=utf-8",
    "draw.js": "text/javascript; charset=utf-8",
    "zarrita.js": "text/javascript; charset=utf-8",
}
"""Files of the page, and what they are."""

LIMIT = 200
"""Rows of an answer, at most."""

_POLICY = (
    b"default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def answer_page(catalogue: Catalogue, path: str, scope: Scope, receive: Receive, send: Send) -> bool:
    """Answer a request for the page or for its data; return False where there is no such thing."""
    if not path.startswith("/~api/"):
        name = path.removeprefix("/~page/") if path.startswith("/~page/") else "index.html"
        if name not in FILES:
            return False
        await _send_file(name, scope, send)
        return True
    query = {name: values[-1] for name, values in parse_qs(scope.get("query_string", b"").decode("latin-1")).items()}
    found = await _data(catalogue, path.removeprefix("/~api/"), query)
    if found is None:
        return False
    body = redact(strict_json.text(found, structure="answer")).encode()
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await send_whole(send, 200, headers, body, head=scope["method"] == "HEAD")
    return True


async def _data(catalogue: Catalogue, what: str, query: dict[str, str]) -> dict[str, Any] | None:
    """Return what the page asks for; None where there is no such thing."""
    offset, limit = _number(query.get("offset"), 0), min(_number(query.get("limit"), LIMIT), LIMIT)
    search = query.get("q", "")
    found = await catalogue.manifests()
    if what == "manifests":
        names = [name for name in found if search.lower() in name.lower()]
        return {"total": len(names), "manifests": names[offset : offset + limit]}
    name = query.get("name", "")
    if name not in found:
        return None
    tree = await catalogue.tree(name, TreeKind())
    opened = await _opened(tree)
    if what == "manifest":
        return await asyncio.to_thread(manifest_summary, opened, offset, limit, search)
    if what == "variable" and query.get("path", "") in opened.lookup.manifest.arrays:
        return await asyncio.to_thread(variable_summary, opened, query.get("path", ""))
    return None


async def _opened(tree: Tree) -> Any:
    try:
        return await tree.opened()
    except RefmakerError as error:
        tree.conceal(error)
        raise


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else default


async def _send_file(name: str, scope: Scope, send: Send) -> None:
    data, etag = _file(name)
    headers = [
        (b"content-type", FILES[name].encode()),
        (b"cache-control", b"no-cache"),
        (b"etag", etag),
        (b"content-security-policy", _POLICY),
        (b"x-content-type-options", b"nosniff"),
    ]
    status = 304 if headers_of(scope).get(b"if-none-match") == etag else 200
    await send_whole(send, status, headers, data, head=status == 304 or scope["method"] == "HEAD")


@cache
def _file(name: str) -> tuple[bytes, bytes]:
    import hashlib

    data = files("refmaker.serve").joinpath("page", name).read_bytes()
    return data, f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"'.encode()
