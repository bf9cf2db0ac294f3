"""What a file says by convention: netCDF-4 dimensions and hidden attributes, CF, names."""
