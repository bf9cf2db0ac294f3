"""Compounds that Zarr readers do not take as structured dtypes: an array for each member.

Contract: `build_members` gives arrays for all members of a compound, or raises `Unsupported` with the reason. Zarr
readers take structured dtypes of scalar members only, so that a compound with a member that is an array, a compound,
variable-length data or a reference is shown as a group of the dataset's name, with an array for each member.

Fixed-size members stay references into the source: libhdf5 picks the member out of each chunk (`refmaker.codecs`).
Where the walker had to read the values (strings, references), all members are in the manifest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from refmaker.conventions.names import zarr_name_problem
from refmaker.conventions.view import Variable
from refmaker.errors import Unsupported
from refmaker.manifest.manifest import ManifestArray
from refmaker.mapping.build import BuildOptions, Status, assemble, build_array, text_dtype, text_layout
from refmaker.mapping.chunks import Read, as_zarr, encode_chunk
from refmaker.mapping.dtypes import cannot_be_swapped, complex_parts, zarr_dtype
from refmaker.mapping.layout import RECODED, Layout
from refmaker.model import ArrayType, Compound, Datatype, Member, ObjectReference, VariableLength
from refmaker.zarr.zarr_dtype import ZarrDtype

__all__ = ["NOTE", "build_arrays", "build_members", "is_divided"]

NOTE = "one array for each member"
_NESTED = (ArrayType, Compound, VariableLength, ObjectReference)


def is_divided(datatype: Datatype) -> bool:
    """Return whether a datatype is a compound, or an array of one, that becomes an array for each member."""
    datatype, _ = _element(datatype)
    if not isinstance(datatype, Compound) or complex_parts(datatype) is not None:
        return False
    return any(_is_nested(member.datatype) or _is_odd(member.datatype) for member in datatype.members)


def _element(datatype: Datatype) -> tuple[Datatype, tuple[int, ...]]:
    """Return what array datatypes are of, and the axes they add."""
    axes: tuple[int, ...] = ()
    while isinstance(datatype, ArrayType):
        axes += datatype.shape
        datatype = datatype.base
    return datatype, axes


def _is_odd(datatype: Datatype) -> bool:
    """Return whether a number is big-endian, and has to stay so."""
    try:
        return cannot_be_swapped(datatype)
    except Unsupported:  # said where the member is made
        return False


def _is_nested(datatype: Datatype) -> bool:
    return isinstance(datatype, _NESTED) and not (
        isinstance(datatype, Compound) and complex_parts(datatype) is not None
    )


def build_arrays(
    variable: Variable,
    *,
    read: Read,
    options: BuildOptions,
    target: int,
    path_of: Callable[[int], str | None] | None = None,
) -> tuple[dict[str, ManifestArray], Status, bool, list[str]]:
    """Make all arrays of a variable.

    Parameters, and what is given besides the arrays, are those of `build_array`. The arrays stand under what their
    paths have behind that of the variable: nothing, or "/" and the name of a member.
    """
    if is_divided(variable.dataset.datatype):
        return build_members(variable, read=read, options=options, target=target, path_of=path_of)
    array, status, need, notes = build_array(variable, read=read, options=options, target=target, path_of=path_of)
    return {"": array}, status, need, notes


def build_members(
    variable: Variable,
    *,
    read: Read,
    options: BuildOptions,
    target: int,
    path_of: Callable[[int], str | None] | None = None,
) -> tuple[dict[str, ManifestArray], Status, bool, list[str]]:
    """Make an array of each member, as `build_arrays` does.

    Raises
    ------
    Unsupported
        A member has no form in Zarr, and which.
    """
    datatype, axes = _element(variable.dataset.datatype)
    arrays: dict[str, ManifestArray] = {}
    notes: list[str] = []
    if not isinstance(datatype, Compound):
        raise Unsupported("members of what is no compound")
    if variable.dataset.dataspace.kind == "null":
        raise Unsupported("a null dataspace: there are no values")
    _check_names([member.name for member in datatype.members])
    mapped = need = False
    for member in datatype.members:
        try:
            inner = zarr_dtype(member.datatype)
            array, status, own_need, own_notes = _build_member(
                variable, member, inner, axes, read=read, options=options, target=target, path_of=path_of
            )
        except Unsupported as error:
            raise Unsupported(f"member {member.name!r}: {error.message}", got=error.got) from None
        arrays["/" + member.name] = array
        mapped, need = mapped or status == "mapped", need or own_need
        notes += [f"{member.name}: {note}" for note in own_notes]
    return arrays, "mapped" if mapped else "inlined", need, notes


def _check_names(names: list[str]) -> None:
    if len(set(names)) != len(names):
        raise Unsupported("compound with members of one name")
    for name in names:
        problem = zarr_name_problem(name)
        if problem is not None:
            raise Unsupported(f"member {name!r}: {problem}")


def _build_member(
    variable: Variable,
    member: Member,
    inner: ZarrDtype,
    axes: tuple[int, ...],
    *,
    read: Read,
    options: BuildOptions,
    target: int,
    path_of: Callable[[int], str | None] | None,
) -> tuple[ManifestArray, Status, bool, list[str]]:
    dtype = replace(inner, extra=axes + inner.extra) if axes else inner
    shown = replace(
        variable,
        zarr_path=f"{variable.zarr_path}/{member.name}",
        dimensions=_dimensions(variable, inner.extra),
        shape=variable.shape + inner.extra,
        attributes={},
        fill_attribute=None,
    )
    if variable.dataset.values is not None:
        dtype = text_dtype(dtype, variable.dataset.values[member.name]) if dtype.text else dtype
        layout = _read_already(variable, member, dtype, options, path_of)
        # The fill value of a member that points elsewhere is a pointer; nothing is missing here.
        shown.dataset = replace(variable.dataset, fill=replace(variable.dataset.fill, value=b""))
        return assemble(shown, dtype, layout, read=read, options=options, target=target)
    if dtype.text:
        raise Unsupported("the values could not be resolved")
    picked = np.dtype([(member.name, inner.given, inner.extra)] if inner.extra else [(member.name, inner.given)])
    dtype = replace(dtype, stored=None, terminated=(), target=np.dtype((picked, axes)) if axes else picked)
    return assemble(shown, dtype, None, read=read, options=options, target=target)


def _dimensions(variable: Variable, extra: tuple[int, ...]) -> tuple[str, ...]:
    """Name the axes of a member, those that an array datatype adds by number and extent."""
    names = list(variable.dimensions)
    for extent in extra:
        name, count = f"phony_dim_member_{extent}", 1
        while name in names:
            count += 1
            name = f"phony_dim_member_{extent}_{count}"
        names.append(name)
    return tuple(names)


def _read_already(
    variable: Variable,
    member: Member,
    dtype: ZarrDtype,
    options: BuildOptions,
    path_of: Callable[[int], str | None] | None,
) -> Layout:
    """Put the values of a member, which the walker has read, into one chunk."""
    dataset = variable.dataset
    if dataset.values is None or dtype.target is not None:
        raise Unsupported("the values could not be resolved")
    values: np.ndarray = dataset.values[member.name]
    shape = dataset.dataspace.shape + dtype.extra
    if dtype.text:
        return text_layout(values, member.datatype, dtype, shape, options, path_of)
    chunks = tuple(max(extent, 1) for extent in shape)
    if values.size == 0:
        return Layout(chunks)
    data = as_zarr(np.ascontiguousarray(values).tobytes(), dtype)
    return Layout(chunks, RECODED, inline={0: encode_chunk(data, RECODED.configs)})
