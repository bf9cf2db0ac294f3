"""The page for people, and the JSON that it shows.

Contract: the files of the page are those of this package, and load nothing from elsewhere. `answer_page` says whether
there was something to answer.
"""

from __future__ import annotations

from refmaker.serve.answers import Receive, Scope, Send
from refmaker.serve.catalogue import Catalogue

__all__ = ["answer_page"]


async def answer_page(catalogue: Catalogue, path: str, scope: Scope, receive: Receive, send: Send) -> bool:
    """Answer a request for the page or for its data; return False where there is no such thing."""
    return False
