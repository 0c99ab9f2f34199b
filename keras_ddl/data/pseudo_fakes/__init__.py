"""Pseudo-fakes: fakes made of real clips, for those who have only real footage."""

MODES = ("only", "mixed")
"""Learn from pseudo-fakes alone, or from the set's own fakes too."""
