"""`refmaker serve`: manifests as Zarr trees over HTTP, and a page to look at them."""

from __future__ import annotations

from typing import Any, Literal

import click

from .output import counted, say
from .storage_options import filesystem_options

__all__ = ["serve"]


@click.command()
@click.argument("sources", metavar="[NAME=]MANIFEST|DIR…", nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for every network.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0 for a free one.")
@click.option(
    "--view",
    type=click.Choice(["as-stored", "decoded"]),
    default="as-stored",
    show_default=True,
    help="Chunks as they are in the files, or decoded, for clients without the codecs.",
)
@click.option(
    "--zarr-format",
    type=click.IntRange(2, 3),
    metavar="2|3",
    help="Serve the metadata in this Zarr format.  [default: that of each manifest]",
)
@click.option("--chunk-target", default="1MiB", show_default=True, help="Size of chunks of the decoded view.")
@click.option(
    "--cors", multiple=True, metavar="ORIGIN", help="Origin whose pages may read what is served; * for all. Repeatable."
)
@click.option(
    "--token",
    envvar="REFMAKER_SERVE_TOKEN",
    help="Token that clients must send as `Authorization: Bearer`. Better given as $REFMAKER_SERVE_TOKEN.",
)
@click.option(
    "--allow-host", multiple=True, metavar="NAME", help="Name by which clients address the server. Repeatable."
)
@click.option(
    "--max-age",
    type=click.IntRange(0, 31_536_000),
    default=0,
    show_default=True,
    help="Seconds for which clients may use a chunk again without asking.",
)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that answer.")
@click.option("--allow", multiple=True, metavar="PREFIX", help="Serve only data below this url or path. Repeatable.")
@filesystem_options("--storage-options", "Options of the fsspec filesystem that opens the manifests.")
@filesystem_options("--remote-options", "Options of the fsspec filesystem that reads the data.")
@click.option("--no-access-log", is_flag=True, help="Write no line for each request to stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def serve(
    sources: tuple[str, ...],
    host: str,
    port: int,
    view: Literal["as-stored", "decoded"],
    zarr_format: Literal[2, 3] | None,
    chunk_target: str,
    cors: tuple[str, ...],
    token: str | None,
    allow_host: tuple[str, ...],
    max_age: int,
    workers: int,
    allow: tuple[str, ...],
    storage_options: dict[str, Any] | None,
    remote_options: dict[str, Any] | None,
    no_access_log: bool,
    quiet: bool,
) -> None:
    """Serve manifests as Zarr trees over HTTP.

    A manifest is at /NAME/, where NAME is its file name, or its path below DIR; / is a page for people. Changed
    manifests are loaded again by themselves. The other trees of each are at /~v2-stored/NAME/, /~v2-decoded/NAME/,
    /~v3-stored/NAME/ and /~v3-decoded/NAME/.

    A chunk that was never written is status 404. A file that cannot be read is 502, one that changed since the scan is
    409, so that no client takes either for a missing chunk.

    Example: refmaker serve air.json --port 8000
    """
    from refmaker.serve.guard import LOOPBACK
    from refmaker.serve.names import Names
    from refmaker.serve.run import ServerOptions, bind, run

    found = Names(sources, storage_options or {}).find()
    local = host in ("127.0.0.1", "::1", "localhost")
    hosts = [*LOOPBACK, *allow_host] if local or allow_host else None
    options: dict[str, Any] = {
        "view": view,
        "zarr_format": zarr_format,
        "chunk_target": chunk_target,
        "cors": cors,
        "token": token,
        "hosts": None if hosts is None else [name.lower() for name in hosts],
        "max_age": max_age,
        "storage_options": storage_options,
        "remote_options": remote_options,
        "allow": allow or None,
    }
    listening = bind(host, port)
    if not quiet:
        shown = f"[{host}]" if ":" in host else host
        say(f"{counted(len(found), 'manifest')} at http://{shown}:{listening.getsockname()[1]}/", err=True)
        if not local and token is None:
            say(
                "everyone who reaches this address can read what the manifests refer to; --token asks for one", err=True
            )
    run(ServerOptions(sources, options, workers, not no_access_log), listening)
