"""Read HDF5 and netCDF files as Zarr, in place.

Contract: importing this package imports nothing else than `refmaker.errors`. Every public name below is loaded when it
is first asked for (PEP 562), so that a command line that only prints its help pays for nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from refmaker._version import __version__
from refmaker.errors import (
    BatchError,
    EngineError,
    FormatError,
    ManifestError,
    OutputError,
    RefmakerError,
    SourceError,
    TargetChanged,
    TruncatedError,
    Unsupported,
)

if TYPE_CHECKING:
    from refmaker.batch.check import CheckReport, check
    from refmaker.combining.combine import append, append_with_report, combine, combine_with_report
    from refmaker.combining.in_place import append_in_place
    from refmaker.combining.records import (
        Combination,
        CombinedDimension,
        CombineError,
        CombineOptions,
        Mismatch,
        Outcome,
    )
    from refmaker.driver import Progress
    from refmaker.fill_chunks import drop_fill_chunks
    from refmaker.kerchunk.open import open_manifest, write_manifest
    from refmaker.manifest.manifest import Manifest, ManifestArray, ObjectReport, Target
    from refmaker.manifest.references import References
    from refmaker.replay.filesystem import FileSystem
    from refmaker.replay.open_dataset import open_dataset, open_datatree
    from refmaker.scanning.many import scan_many
    from refmaker.scanning.options import ScanOptions
    from refmaker.scanning.scan import ScanResult, scan, scan_file
    from refmaker.sources.objects import BinaryFile, ReadableStore, Scannable
    from refmaker.verification.verify import VerifyReport, verify

__all__ = [
    "BinaryFile",
    "CheckReport",
    "CombineOptions",
    "CombinedDimension",
    "ManifestArray",
    "ObjectReport",
    "Outcome",
    "ReadableStore",
    "References",
    "ScanOptions",
    "Scannable",
    "Target",
    "VerifyReport",
    "append_in_place",
    "append_with_report",
    "check",
    "verify",
    "write_manifest",
    "BatchError",
    "Combination",
    "CombineError",
    "EngineError",
    "FileSystem",
    "FormatError",
    "ScanResult",
    "Manifest",
    "ManifestError",
    "Mismatch",
    "OutputError",
    "Progress",
    "RefmakerError",
    "SourceError",
    "TargetChanged",
    "TruncatedError",
    "Unsupported",
    "__version__",
    "append",
    "combine_with_report",
    "combine",
    "drop_fill_chunks",
    "scan_file",
    "open_dataset",
    "open_datatree",
    "open_manifest",
    "scan",
    "scan_many",
]

_LAZY = {
    "BinaryFile": ("refmaker.sources.objects", "BinaryFile"),
    "CheckReport": ("refmaker.batch.check", "CheckReport"),
    "CombineOptions": ("refmaker.combining.records", "CombineOptions"),
    "CombinedDimension": ("refmaker.combining.records", "CombinedDimension"),
    "ManifestArray": ("refmaker.manifest.manifest", "ManifestArray"),
    "ObjectReport": ("refmaker.manifest.manifest", "ObjectReport"),
    "Outcome": ("refmaker.combining.records", "Outcome"),
    "ReadableStore": ("refmaker.sources.objects", "ReadableStore"),
    "References": ("refmaker.manifest.references", "References"),
    "ScanOptions": ("refmaker.scanning.options", "ScanOptions"),
    "Scannable": ("refmaker.sources.objects", "Scannable"),
    "Target": ("refmaker.manifest.manifest", "Target"),
    "VerifyReport": ("refmaker.verification.verify", "VerifyReport"),
    "append_in_place": ("refmaker.combining.in_place", "append_in_place"),
    "append_with_report": ("refmaker.combining.combine", "append_with_report"),
    "check": ("refmaker.batch.check", "check"),
    "verify": ("refmaker.verification.verify", "verify"),
    "write_manifest": ("refmaker.kerchunk.open", "write_manifest"),
    "Combination": ("refmaker.combining.records", "Combination"),
    "CombineError": ("refmaker.combining.records", "CombineError"),
    "FileSystem": ("refmaker.replay.filesystem", "FileSystem"),
    "ScanResult": ("refmaker.scanning.scan", "ScanResult"),
    "Manifest": ("refmaker.manifest.manifest", "Manifest"),
    "Mismatch": ("refmaker.combining.records", "Mismatch"),
    "Progress": ("refmaker.driver", "Progress"),
    "append": ("refmaker.combining.combine", "append"),
    "combine_with_report": ("refmaker.combining.combine", "combine_with_report"),
    "combine": ("refmaker.combining.combine", "combine"),
    "drop_fill_chunks": ("refmaker.fill_chunks", "drop_fill_chunks"),
    "scan_file": ("refmaker.scanning.scan", "scan_file"),
    "open_dataset": ("refmaker.replay.open_dataset", "open_dataset"),
    "open_datatree": ("refmaker.replay.open_dataset", "open_datatree"),
    "open_manifest": ("refmaker.kerchunk.open", "open_manifest"),
    "scan": ("refmaker.scanning.scan", "scan"),
    "scan_many": ("refmaker.scanning.many", "scan_many"),
}


def __getattr__(name: str) -> object:
    try:
        module, attribute = _LAZY[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value: object = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
