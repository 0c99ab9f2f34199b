"""One name for a stage in both Kerases, whatever each calls the layer.

Keras 2 has `expanded_conv_2/Add` where Keras 3, which allows no slash, has `expanded_conv_2_add`:
in MobileNetV3 throughout, in DenseNet at the start. A stage has the second name in both; asked for,
it is found by either.
"""

from __future__ import annotations

from collections.abc import Iterable

_PARTS = {"BatchNorm": "bn", "AvgPool": "avg_pool", "/": "_"}


def stage_name(layer: str) -> str:
    """Name of the stage behind a layer: a name with slashes as Keras 3 has it, another as it is."""
    if "/" not in layer:
        return layer
    for part, other in _PARTS.items():
        layer = layer.replace(part, other)
    return layer.lower()


def found_name(name: str, names: Iterable[str]) -> str | None:
    """Which of `names` is meant: the very name, else the only one that is it in the other Keras."""
    known = list(names)
    if name in known:
        return name
    alike = [other for other in known if _without_case(other) == _without_case(name)]
    return alike[0] if len(alike) == 1 else None


def _without_case(name: str) -> str:
    return stage_name(name).lower()
