"""The modules as the paper draws them, written naively, for `naive_step` to time."""
