"""Cases by what they are about: each module yields the cases of one part of the specification."""
