"""Pools of workers: jobs done side by side, each on its own."""
