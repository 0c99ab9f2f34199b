"""Localisation head: which cells of a frame are forged, and how much of the frame that is.

A 1×1 convolution on the features of one stage gives a logit per cell, which learns from the masks
of the fakes where they are known. How much is forged and how surely is evidence for the decision,
or all of it, so that the map which people are shown is what was decided by.

The supervision is that of Face X-ray (Li et al., CVPR 2020, section 3.3), by the blended region
instead of its border; the evidence is this project's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_ddl.networks.backbones.backbone import Backbone
from keras_ddl.networks.stage_names import found_name

LAYER = "localise"
"""Name of the convolution whose output is the map's logits, ``(B·T, h, w, 1)``."""
START = -2.0  # of the logits: few cells are forged


def apply_localising(
    backbone: Backbone, image: Any, stages: Mapping[str, str], addition: Any, localise: str = ""
) -> tuple[Any, Any]:
    """Lay a backbone over `image` as `extend.apply_extended` does, with the head on one stage.

    Args:
        backbone: The CNN and its stages.
        image: Scaled frames ``(B·T, S, S, 3)``.
        stages: Those that get `addition`, name → layer.
        addition: See `apply_extended`.
        localise: The head's stage; it stands behind the addition. Empty is none.

    Returns:
        The features ``(B·T, h, w, C)``, and the cells' logits or None.

    Raises:
        ValueError: The backbone has no such stage.
    """
    from keras_ddl.networks.extend import apply_extended

    if not localise:
        return apply_extended(backbone.cnn, image, stages, addition), None
    stage = found_name(localise, backbone.stages)
    if stage is None:
        known = ", ".join(backbone.stages)
        raise ValueError(f"localise must be one of {known}, or empty; got {localise}")
    found: dict[str, Any] = {}

    def noted(x: Any, prefix: str) -> Any:
        x = addition(x, prefix) if prefix in stages else x
        if prefix == stage:
            found[prefix] = map_logits(x)
        return x

    everything = {**stages, stage: backbone.stages[stage]}
    features = apply_extended(backbone.cnn, image, everything, noted)
    return features, found[stage]


def map_logits(x: Any) -> Any:
    """Features of a stage ``(B·T, h, w, C)`` → logits of its cells ``(B·T, h, w, 1)``."""
    from keras_ddl.framework import keras

    start = keras.initializers.Constant(START)
    conv = keras.layers.Conv2D(
        1, 1, kernel_initializer="zeros", bias_initializer=start, dtype="float32", name=LAYER
    )
    return conv(x)


def evidence(logits: Any) -> Any:
    """Logits of the cells → how much is forged, and how surely, of each frame, ``(B·T, 2)``."""
    from keras_ddl.layers import ForgeryEvidence

    return ForgeryEvidence(dtype="float32", name=f"{LAYER}_evidence")(logits)


def needed(cells: Any) -> Any:
    """The cells' logits; ValueError where there is no head."""
    if cells is None:
        raise ValueError("by_map needs a localisation head; name its stage: localise")
    return cells


def decision(found: Any, name: str) -> Any:
    """Evidence ``(N, 2)`` → two logits, by nothing but the map."""
    from keras_ddl.framework import keras

    return keras.layers.Dense(2, dtype="float32", name=name)(found)


def with_evidence(features: Any, found: Any) -> Any:
    """Features ``(N, C)`` and evidence ``(N, 2)`` side by side, ``(N, C + 2)``."""
    from keras_ddl.framework import keras

    return keras.layers.Concatenate(dtype="float32", name=f"{LAYER}_joined")([features, found])


def has_map(model: Any) -> bool:
    """Whether a network has the head."""
    return any(layer.name == LAYER for layer in model.layers)
