"""netCDF classic files (CDF-1, CDF-2, CDF-5): `walk.walk` gives a Tree."""

MAGIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05")
"""What they begin with."""
