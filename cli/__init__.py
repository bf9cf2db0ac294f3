"""The command line, installed as `refmaker_cli`: parse, call refmaker, print.

Contract: no logic beyond that. Nothing heavier than click is imported before a command runs. Every command ends with
0 (all done), 1 (failed, nothing half-written), 2 (wrong usage), 3 (done, but something was refused) or 130
(interrupted).
"""
