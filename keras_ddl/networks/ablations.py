"""The two modules by name, and the combinations of them that are compared."""

from __future__ import annotations

MODULES = ("dfdc", "msa")
ABLATIONS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "+ DFDC": ("dfdc",),
    "+ MSA": ("msa",),
    "+ both": MODULES,
}
