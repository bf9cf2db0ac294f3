"""netCDF classic files (CDF-1, CDF-2, CDF-5): `walk.walk` gives a Tree."""
