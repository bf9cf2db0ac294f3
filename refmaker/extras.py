"""What is not installed, and the command that installs it where refmaker is installed as it is here.

Contract: reads the metadata of this installation (PEP 610, `direct_url.json`) and nothing else. refmaker may come from
a folder, a wheel, a repository or an index, by pip, uv or conda; a command that names another origin would install
something else. It never fails: what the metadata do not say is left out of the command.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from importlib import metadata
from typing import Final
from urllib.parse import unquote, urlsplit

__all__ = ["install_command"]

_CONDA: Final = {
    "filters": "hdf5plugin",
    "serve": "starlette uvicorn",
    "parquet": "pyarrow",
    "dask": "distributed",
    "http": "aiohttp requests",
    "s3": "s3fs",
    "b2nd": "python-blosc2 msgpack-python",
    "plot": "matplotlib-base",
    "formats": "astropy cfgrib imagecodecs tifffile xarray",
}
"""What conda calls the packages of an extra: it knows no extras."""


def install_command(extra: str) -> str:
    """Return the command that installs an extra of refmaker.

    Examples
    --------
    >>> install_command("serve").endswith("[serve]'")
    True
    """
    try:
        texts = [(one.read_text("INSTALLER"), one.read_text("direct_url.json")) for one in _distributions()]
        installer, text = max(texts, key=lambda found: found[1] is not None)
        origin = json.loads(text or "{}")
    except (OSError, ValueError):
        return f"pip install 'refmaker[{extra}]'"
    installer = (installer or "pip").strip()
    if installer == "conda":
        return f"conda install -c conda-forge {_CONDA.get(extra, extra)}"
    tool = "uv pip install" if installer == "uv" else "pip install"
    return f"{tool} {_requirement(extra, origin if isinstance(origin, dict) else {})}"


def _distributions() -> Iterable[metadata.Distribution]:
    """Return what the path has of this name: a folder of sources may have metadata beside those of the installation."""
    return metadata.distributions(name="refmaker")


def _requirement(extra: str, origin: dict[str, object]) -> str:
    url, directory, vcs = str(origin.get("url", "")), origin.get("dir_info"), origin.get("vcs_info")
    if isinstance(vcs, dict):
        return _quoted(f"refmaker[{extra}] @ {vcs.get('vcs')}+{url}@{vcs.get('commit_id')}")
    if not url.startswith("file:"):
        return _quoted(f"refmaker[{extra}] @ {url}" if url else f"refmaker[{extra}]")
    path = unquote(urlsplit(url).path)
    editable = isinstance(directory, dict) and directory.get("editable") is True
    return ("-e " if editable else "") + _quoted(f"{path}[{extra}]")


def _quoted(text: str) -> str:
    """Quote for a shell; brackets are a pattern in zsh."""
    quoted = shlex.quote(text)
    return quoted if quoted.startswith("'") else f"'{text}'"
