"""The packages that bridges lead to, which need not be installed.

Contract: a package that is missing is an `Unsupported` that says what to install; one that is there is imported only
when it is needed.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, Final

from refmaker.errors import Unsupported
from refmaker.extras import install_command

__all__ = ["NEEDS", "needed"]

NEEDS: Final = {"virtualizarr": (3, 12), "icechunk": (3, 12)}
"""Package, which is the name of the extra too -> the oldest Python that it is made for."""


def needed(package: str, module: str | None = None) -> Any:
    """Return a module of a package that a bridge needs.

    Parameters
    ----------
    package
        Name of the package and of refmaker's extra.
    module
        Of that package; the package itself by default.

    Raises
    ------
    Unsupported
        The package is not installed.
    """
    try:
        return import_module(module or package)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] != package:
            raise
        oldest = NEEDS[package]
        python = "" if sys.version_info >= oldest else f" with Python {'.'.join(map(str, oldest))} or newer"
        raise Unsupported(f"{package} is not installed: {install_command(package)}{python}") from error
