"""Drawn talking faces, real and forged, frame by frame."""
