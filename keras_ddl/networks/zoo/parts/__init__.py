"""Building blocks of the comparison methods."""
