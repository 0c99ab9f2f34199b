"""Metrics of a trained detector: scores, intervals, thresholds, calibration."""
