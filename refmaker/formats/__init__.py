"""FITS, GRIB and TIFF of some vendors by way of kerchunk's scanners: `handover.hand_over` gives a Manifest."""
