"""TIFF, FITS and GRIB by way of kerchunk's scanners: `handover.hand_over` gives a Manifest."""
