"""What holds for all tests: hypothesis without deadlines, as the machines that run them differ."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("refmaker", deadline=None, print_blob=True)
settings.load_profile("refmaker")
