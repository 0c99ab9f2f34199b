"""Shards of a prepared folder: their bytes, the parts that workers write, where they are put."""
