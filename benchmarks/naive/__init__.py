"""The modules as the paper draws them, written naively: what `benchmarks.naive_step` times."""
