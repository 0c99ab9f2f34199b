"""Networks: backbones with DFDC and MSA, and the comparison methods."""
