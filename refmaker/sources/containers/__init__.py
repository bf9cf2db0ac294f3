"""Containers: files of which a part is a file of its own, which references can point into where it stands.

Contract: a container is a line in `CONTAINERS` and a module with a `Locate`. Its name is the scheme of urls of members
as fsspec chains them (`zip://member::container`), and the structure in errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Final, Protocol

from refmaker.sources.containers.car import locate_in_car
from refmaker.sources.containers.tar import locate_in_tar
from refmaker.sources.containers.zip import locate_in_zip

__all__ = ["CONTAINERS", "Locate"]


class Locate(Protocol):
    """Finds a member in an opened container.

    Returns
    -------
    tuple or None
        Offset and size of the member in the container, in bytes; None where there is no such member.

    Raises
    ------
    FormatError
        It is no container of this kind, or a damaged one.
    Unsupported
        The member does not stand in it as it is: compressed, encrypted, sparse, no file.
    """

    def __call__(self, file: IO[bytes], member: str, /) -> tuple[int, int] | None: ...  # noqa: D102


CONTAINERS: Final[Mapping[str, Locate]] = {"zip": locate_in_zip, "tar": locate_in_tar, "car": locate_in_car}
"""Name of a kind of container -> what finds a member in one."""
