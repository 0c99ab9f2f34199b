"""Scan by sample: a few places of a video in place of all its frames."""
