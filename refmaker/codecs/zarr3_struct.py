"""The data type `struct` of Zarr version 3 for zarr-python 3.1, which knows only the older `structured`.

Contract: `register` makes this process read arrays of `struct`, the registered name, where zarr-python is there and has
no class of its own for it; without, an old zarr-python refuses them. Writing is left as it was.

    {"name": "struct", "configuration": {"fields": [{"name": "x", "data_type": "int16"}, …]}}

Source: zarr-extensions, data-types/struct.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

__all__ = ["register"]


def register() -> None:
    """Have zarr-python read `struct`. Does nothing where zarr-python is not in use yet, and costs nothing again."""
    if "zarr" in sys.modules:
        _register()


@cache
def _register() -> None:
    try:
        from zarr.core.dtype import data_type_registry
        from zarr.core.dtype.npy import structured
    except ImportError:  # before 3.1 there is no registry
        return
    if not hasattr(structured, "Struct"):
        data_type_registry.register("struct", _struct_class())


def _struct_class() -> type[Any]:
    from zarr.core.dtype import get_data_type_from_json
    from zarr.core.dtype.common import DataTypeValidationError
    from zarr.core.dtype.npy.structured import Structured

    class Struct(Structured):
        """`structured` under the registered name, with the fields in the registered form."""

        _zarr_v3_name = "struct"  # type: ignore[assignment]

        @classmethod
        def from_native_dtype(cls, dtype: Any) -> Any:
            """Refuse: dtypes of NumPy stay with `structured`."""
            raise DataTypeValidationError(f"{dtype} is written as `structured`")

        @classmethod
        def _from_json_v2(cls, data: Any) -> Any:
            raise DataTypeValidationError("`struct` is a data type of Zarr 3")

        @classmethod
        def _from_json_v3(cls, data: Any) -> Any:
            fields: Any = data["configuration"]["fields"] if cls._check_json_v3(data) else None
            try:
                fields = [(one["name"], one["data_type"]) for one in fields]
            except (TypeError, KeyError) as error:
                raise DataTypeValidationError(f"fields of `struct`: {str(data)[:80]}") from error
            return cls(fields=tuple((name, get_data_type_from_json(one, zarr_format=3)) for name, one in fields))

        def to_json(self, zarr_format: Any) -> Any:
            """Return the metadata."""
            if zarr_format != 3:
                return super().to_json(zarr_format)
            fields = [{"name": name, "data_type": one.to_json(zarr_format=3)} for name, one in self.fields]
            return {"name": self._zarr_v3_name, "configuration": {"fields": fields}}

        def from_json_scalar(self, data: Any, *, zarr_format: Any) -> Any:
            """Return an element; an object has a value for each member."""
            if not isinstance(data, dict):
                return super().from_json_scalar(data, zarr_format=zarr_format)
            return self.cast_scalar(
                tuple(
                    one.from_json_scalar(data[name], zarr_format=zarr_format) if name in data else one.default_scalar()
                    for name, one in self.fields
                )
            )

    return Struct
