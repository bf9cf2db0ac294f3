"""Opening the files that a file names.

Contract: a name is looked for in the places of `search_paths`, the first that is there is taken; what was found is
kept. A file that is there but out of reach is an error, never taken for missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from refmaker.hdf5.virtual import numbered_name
from refmaker.linked.address_space import AddressSpace
from refmaker.linked.permission import ANY, Permission
from refmaker.linked.search_paths import Kind, search_paths

__all__ = ["NamedFiles", "listed"]

# How many files are named in a note, and looked up at once.
NAMED = 5
LOOK_AHEAD = 64


@dataclass(slots=True)
class NamedFiles:
    """Files of a space by the names that others have for them, as far as they may be opened."""

    space: AddressSpace
    permission: Permission = ANY
    opened: dict[tuple[int, str, Kind], tuple[int | None, list[str]]] = field(default_factory=dict)

    def open(self, origin: int, name: str, kind: Kind) -> tuple[int | None, list[str]]:
        """Open a file that file number `origin` names.

        Returns
        -------
        Its number, None when it is missing; where it was looked for.
        """
        key = origin, name, kind
        if key not in self.opened:
            url, local = self.space.url_of(origin), self.space.local
            places = self.permission.permitted(search_paths(url, name, kind, local=local), url, kind, local=local)
            numbers = (self.space.open(place) for place in places)
            self.opened[key] = next((n for n in numbers if n is not None), None), places
        return self.opened[key]

    def open_all(self, origin: int, names: Sequence[str]) -> Iterator[int | None]:
        """Open sources one by one, after looking them up together where that takes a while."""
        if not self.space.local:
            url = self.space.url_of(origin)
            wanted = [place for name in names for place in search_paths(url, name, "virtual", local=False)]
            self.space.look_up(self.permission.permitted(wanted, url, "virtual", local=False) if wanted else [])
        return (self.open(origin, name, "virtual")[0] for name in names)

    def open_numbered(self, origin: int, name: str) -> list[int]:
        """Open numbered sources up to the first that is missing, looking ahead further and further."""
        found: list[int] = []
        ahead = 1
        while True:
            names = [numbered_name(name, number) for number in range(len(found), len(found) + ahead)]
            for number in self.open_all(origin, names):
                if number is None:
                    return found
                found.append(number)
            ahead = min(2 * ahead, LOOK_AHEAD)


def listed(names: Sequence[str]) -> str:
    """Return some names for a note, and how many more there are."""
    shown = ", ".join(names[:NAMED])
    return shown if len(names) <= NAMED else f"{shown} and {len(names) - NAMED} more"
