"""Manifests over HTTP: plain Zarr trees for any client, and a page to look at them; exported as files as well.

Contract: `app` gives an ASGI application, to be run by uvicorn (`refmaker serve`) or mounted in another one. What a
manifest does not record is 404; whatever else keeps bytes from a client is another status, never 404 and never 403,
which clients of object stores take for a missing chunk as well.
"""

from refmaker.serve.application import app

__all__ = ["app"]
