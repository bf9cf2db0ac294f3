"""The manifest: Zarr metadata and reference columns, its writers and readers."""

from refmaker.manifest.manifest import Manifest, ManifestArray, ObjectReport, Target
from refmaker.manifest.references import References

__all__ = ["Manifest", "ManifestArray", "ObjectReport", "References", "Target"]
