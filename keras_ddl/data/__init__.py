"""From videos to batches: layouts → prepare → pipeline, and a synthetic set to learn from."""
