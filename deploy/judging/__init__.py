"""Verdicts from clip scores: hysteresis, image quality, records."""
