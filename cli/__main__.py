"""`python -m refmaker_cli`: the console script, where scripts are not on the path."""

from .main import main

main(prog_name="refmaker")
