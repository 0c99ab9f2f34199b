"""The machine a run finds itself on: what is installed, which model fits."""
