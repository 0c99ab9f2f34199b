"""Ablation of the two modules: their names, the combinations that are compared, their titles."""

from __future__ import annotations

MODULES = ("dfdc", "msa")
VARIANTS: dict[str, tuple[str, ...]] = {
    "none": (),
    "dfdc": ("dfdc",),
    "msa": ("msa",),
    "both": MODULES,
}
TITLES = {"none": "plain", "dfdc": "+ DFDC", "msa": "+ MSA", "both": "+ DFDC + MSA"}
"""From `VARIANTS` to what tables call them."""
