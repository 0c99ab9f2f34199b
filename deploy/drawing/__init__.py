"""Frames and sheets that show a verdict: boxes, heat maps, panels."""
