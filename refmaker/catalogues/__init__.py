"""Manifests in catalogues: STAC items and collections, entries of intake, related urls of CMR.

See docs/catalogues.md.
"""

from refmaker.catalogues.entries import cmr_related_urls, intake_catalogue
from refmaker.catalogues.stac import StacOptions, stac_collection, stac_item

__all__ = ["StacOptions", "cmr_related_urls", "intake_catalogue", "stac_collection", "stac_item"]
