"""The manifest: Zarr metadata and reference columns, its writers and readers."""

from refmaker.manifest.manifest import Manifest, ManifestArray, ObjectReport, References, Target

__all__ = ["Manifest", "ManifestArray", "ObjectReport", "References", "Target"]
