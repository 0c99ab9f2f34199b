"""What a network starts from: another run's weights, or the authors' tensors."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from keras_ddl.errors import UserError

RELEASED = (".npz", ".pth", ".pt")

_log = logging.getLogger(__name__)


def is_for_backbone(weights: str) -> bool:
    """Whether start weights are the backbone's own business: `imagenet` or a Keras weights file."""
    return not weights or weights == "imagenet" or Path(weights).suffix == ".h5"


def load_start_weights(model: Any, path: Path) -> None:
    """Load what `TrainConfig.weights` names into a new network.

    Args:
        model: Of `build_model`.
        path: A file of the authors' tensors, or a run folder. A run may have other modules: layers
            that both networks have are taken over, modules that only the new one has stay the
            identity they start as.

    Raises:
        UserError: If it is neither, or its layers are of another size.
    """
    if path.is_dir():
        _from_run(model, path)
        return
    if path.suffix not in RELEASED:
        raise UserError(
            "weights: expected imagenet, a file .h5 (backbone), .npz, .pth or .pt (the authors' "
            f"tensors) or a run folder, received {path}"
        )
    from keras_ddl.interop import load_released_weights, read_arrays

    try:
        load_released_weights(model, read_arrays(path))
    except ValueError as error:
        raise UserError(f"{path} does not fit {model.name}: {error}") from error


def _from_run(model: Any, run: Path) -> None:
    from keras_ddl.runs import load_run

    source, _, _ = load_run(run)
    theirs = {layer.name: layer for layer in source.layers if layer.weights}
    ours = {layer.name: layer for layer in model.layers if layer.weights}
    common = [name for name in ours if name in theirs]
    other = [name for name in common if _shapes(ours[name]) != _shapes(theirs[name])]
    if other or not common:
        raise UserError(
            f"{run} holds another network: "
            + (f"{', '.join(other[:3])} differ in size" if other else "no layer of this name")
            + f"; expected the layers of {model.name}, received those of {source.name}"
        )
    for name in common:
        ours[name].set_weights(theirs[name].get_weights())
    fresh, unused = sorted(ours.keys() - theirs.keys()), sorted(theirs.keys() - ours.keys())
    _log.info("%d layers start from %s", len(common), run)
    for what, names in (("start from nothing", fresh), ("of that run are not used", unused)):
        if names:
            _log.info("%d layers %s: %s", len(names), what, ", ".join(names))


def _shapes(layer: Any) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in layer.weights]
