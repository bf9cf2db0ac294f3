"""Many manifests to one: inputs are read into columns, compared, put in order, and moved to the combined grid.

The package is called `combining` because importing `refmaker.combine` would put the module in the place of the function
`refmaker.combine`.
"""
