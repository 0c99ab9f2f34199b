"""Facts about the machine: what is installed, which model fits."""
