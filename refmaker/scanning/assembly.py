"""The last stage of a scan: a view of the tree to a manifest.

Contract: every object of the tree that the selection takes ends in the report exactly once, as mapped, inlined or
refused, or as empty where it has no values; every array is a step of its own, which the driver may run again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, TypeAlias

from refmaker import limits
from refmaker.conventions.netcdf4 import zarr_name_problem
from refmaker.conventions.view import Variable, View
from refmaker.errors import FormatError, RefmakerError, Unsupported
from refmaker.linked.address_space import AddressSpace
from refmaker.manifest.manifest import Manifest, ManifestArray, ObjectReport
from refmaker.mapping.build import BuildOptions
from refmaker.mapping.members import NOTE, build_arrays
from refmaker.model import JSON, Tree
from refmaker.path_filter import PathFilter
from refmaker.redaction import strip_credentials

__all__ = ["Assembly"]

Step: TypeAlias = Callable[[], Sequence["Step"]]


def _inlined(array: ManifestArray) -> int:
    """Return the bytes that it took to inline chunks of an array, at least: those that are equal were made once."""
    held = array.references.inline
    if not held:
        return 0
    chunk = math.prod(array.metadata.chunk_shape)
    return sum(max(size, chunk) for size in {id(data): len(data) for data in held.values()}.values())


def _empty(variable: Variable, kind: Literal["dataset", "link"]) -> ObjectReport:
    """Report a dataset that has no values, and that nothing is lost of but attributes."""
    left = ", ".join(variable.attributes)
    notes = [*variable.notes, f"attributes left out: {left}"] if left else variable.notes
    return ObjectReport(variable.path, kind, "empty", "a null dataspace: there are no values", notes=notes)


@dataclass(slots=True)
class Assembly:
    """The last stage: a view of the tree to a manifest, one array a step."""

    tree: Tree
    view: View
    space: AddressSpace
    selection: PathFilter
    options: BuildOptions
    strict: bool
    arrays: dict[str, ManifestArray] = field(default_factory=dict)
    reports: dict[str, ObjectReport] = field(default_factory=dict)
    sources: dict[str, tuple[int, str]] = field(default_factory=dict)
    renamed: set[str] = field(default_factory=set)
    paths: dict[str, list[str]] = field(default_factory=dict)
    divided: dict[str, dict[str, JSON]] = field(default_factory=dict)
    inlined: int = 0

    def run(self, run_steps: Callable[[Sequence[Step]], None]) -> Manifest:
        """Build all arrays, then the manifest. `run_steps` is the driver's."""
        prefix = self.selection.prefix
        if prefix and prefix not in self.view.groups:
            raise FormatError(f"no group {self.selection.group!r}; list the groups with `refmaker info`")
        chosen = [v for v in self.view.variables if self.selection.takes(v.zarr_path)]
        run_steps([partial(self._build, variable) for variable in chosen])
        self._report_others()
        order = dict.fromkeys(path for v in chosen for path in self.paths.get(v.zarr_path, ()))
        reports = list(self.reports.values())
        return Manifest(
            zarr_format=self.options.zarr_format,
            groups=self._groups(),
            arrays={path: self.arrays[path] for path in order},
            targets=self.space.targets,
            refusals={
                "/" + self.selection.relative(r.path.strip("/")): r.reason or ""
                for r in reports
                if r.status == "refused" and r.path not in self.renamed
            },
            objects=reports,
            history=[f"scanned {strip_credentials(self.space.url)}"],
            sources={path: self.sources[path] for path in order if path in self.sources},
            types=self._types(chosen),
        )

    def _types(self, chosen: Sequence[Variable]) -> dict[str, dict[str, str]]:
        """Return the types of attributes, of all groups and arrays that are there."""
        groups, arrays = self.view.group_types, {v.zarr_path: v.types for v in chosen if v.zarr_path in self.paths}
        inside = {path: types for path, types in (groups | arrays).items() if self.selection.inside(path)}
        return {self.selection.relative(path): types for path, types in inside.items() if types}

    @property
    def _room(self) -> int:
        """Bytes that may still be inlined: many arrays may share the bytes that each of them would have decoded."""
        return max(limits.INLINED + 4 * self.space.version.known_size - self.inlined, 0)

    def _build(self, variable: Variable) -> list[Step]:
        """Build one array; its report stands under the first path of its dataset."""
        path = variable.path
        link = self.tree.links.get(path)
        kind: Literal["dataset", "link"] = "dataset" if link is None else "link"
        if variable.dataset.dataspace.kind == "null":
            self.reports[path] = _empty(variable, kind)
            return []
        options = self.options
        if self._room < options.inline_limit:
            options = replace(options, inline_limit=self._room)
        try:
            problem = next((p for name in path.split("/")[1:] if (p := zarr_name_problem(name))), None)
            if problem is not None:
                raise Unsupported(problem)
            arrays, status, need, notes = build_arrays(
                variable, read=self.space.read, options=options, target=0, path_of=self.tree.paths.get
            )
            moved = [self._settle(array) for array in arrays.values()]
        except RefmakerError as error:
            if self.strict:
                error.path = path
                raise
            notes = variable.notes
            if options is not self.options:
                notes = [*notes, "so much is inlined of other arrays that there is little room left"]
            self.reports[path] = ObjectReport(path, kind, "refused", str(error), notes=notes)
            return []
        self.inlined += sum(map(_inlined, arrays.values()))
        if any(moved) and not any(len(array.references.cell) for array in arrays.values()):
            status = "inlined"
        reason = self._keep(variable, arrays)
        reason = reason if link is None else f"{link.kind} link to {link.first}"
        report = self.reports[path] = ObjectReport(path, kind, status, reason, need, [*variable.notes, *notes])
        shown = "/" + variable.zarr_path
        if shown.rpartition("/")[2] != path.rpartition("/")[2]:
            self._report_renamed(report, shown)
        return []

    def _settle(self, array: ManifestArray) -> bool:
        """Put the files of an array's references in; return whether there was anything to do."""
        settled, before = self.space.settle(array.references), array.references
        array.references = settled
        return settled is not before

    def _keep(self, variable: Variable, arrays: dict[str, ManifestArray]) -> str | None:
        """Keep the arrays of a variable, and its attributes where it is a group; say so."""
        shown = self.selection.relative(variable.zarr_path)
        self.paths[variable.zarr_path] = [shown + member for member in arrays]
        for member, array in arrays.items():
            self.arrays[shown + member] = array
            if variable.path != "/" + shown:
                self.sources[shown + member] = (0, variable.path + member)
        if "" not in arrays:
            self.divided[shown] = variable.attributes
        return NOTE if "" not in arrays else None

    def _report_renamed(self, report: ObjectReport, shown: str) -> None:
        """Report an array whose netCDF name is not the dataset's: no values are lost, but no array has its name."""
        self.renamed.add(report.path)
        self.reports[shown] = replace(report, path=shown, kind="link", reason=f"netCDF-4 name of {report.path}")
        reason = f"netCDF-4 keeps this name for itself: the values are in the array {shown}"
        self.reports[report.path] = ObjectReport(report.path, report.kind, "refused", reason, notes=report.notes)

    def _groups(self) -> dict[str, dict[str, Any]]:
        """Return the groups in the selection, those that hold nothing asked for left out when there are globs."""
        groups = {}
        for path, attributes in self.view.groups.items():
            inside = self.selection.inside(path) and not any(
                zarr_name_problem(name) for name in path.split("/") if name
            )
            relative = self.selection.relative(path)
            holds = not (self.selection.include or self.selection.exclude) or any(
                array.startswith(relative + "/") for array in self.arrays
            )
            if inside and (holds or not relative):
                groups[relative] = attributes
        groups.setdefault("", {})
        return groups | self.divided

    def _report_others(self) -> None:
        """Report what is not an array: groups, types, links, refusals of the walk."""
        for path, reason in self.view.hidden.items():
            if self.selection.takes(path):
                kind: Literal["dataset", "link"] = "dataset" if path in self.tree.datasets else "link"
                self.reports[path] = ObjectReport(path, kind, "mapped", reason)
        for path, refusal in self.tree.refusals.items():
            if self.selection.takes(path):
                if self.strict:
                    raise Unsupported(refusal.reason, path=path)
                self.reports[path] = ObjectReport(path, refusal.kind, "refused", refusal.reason)
        for path in self.tree.groups:
            if self.selection.inside(path.strip("/")):
                notes = self.view.group_notes.get(path.strip("/"), [])
                notes = [*notes, *(self.tree.notes if path == "/" else [])]
                self.reports[path] = ObjectReport(path, "group", "mapped", notes=notes)
        for path in self.tree.types:
            if self.selection.inside(path.strip("/")):
                reason = "committed datatype: resolved where it is used"
                self.reports[path] = ObjectReport(path, "type", "mapped", reason)
        for path, link in self.tree.links.items():
            if path not in self.reports and self.selection.takes(path):
                self.reports[path] = ObjectReport(path, "link", "mapped", f"{link.kind} link to {link.first}")
