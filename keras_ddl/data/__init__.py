"""Data, from videos to batches: layouts → prepare → pipeline, and a synthetic set."""
