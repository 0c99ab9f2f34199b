"""The network of a configuration: new, with the weights it starts from, or as a run left it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_ddl.config import DDL, FRAMES, TrainConfig
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import file_sha256, read_json
from keras_ddl.edge.runs import CONFIG, WEIGHTS, find_run

if TYPE_CHECKING:
    from keras_ddl.framework import keras
    from keras_ddl.networks.backbones.backbone import Backbone

RELEASED = (".npz", ".pth", ".pt")
NETWORK_KEYS = (
    *("network", "backbone", "modules", "stages", "last", "localise", "by_map", "keep", "width"),
    *("frames", "size"),
)
"""What of a configuration decides which network it is."""

_log = logging.getLogger(__name__)


def build(
    config: TrainConfig,
    backbone_weights: str = "",
    precision: str = "float32",
    frames: int | None = None,
) -> keras.Model:
    """Build the configuration's network.

    Args:
        config: Says which.
        backbone_weights: What the backbone starts from, see its `build`; empty is nothing.
        precision: Keras' policy for its layers; a trained network is used in float32.
        frames: Per clip, in place of the configuration's; for networks that judge frame by frame.
    """
    from keras_ddl.framework import keras
    from keras_ddl.networks import zoo
    from keras_ddl.networks.model import build_model

    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(precision)
    weights, frames = backbone_weights or None, frames or config.frames
    try:
        if config.network != DDL:
            model: keras.Model
            if config.network == FRAMES:
                model = _by_frames(config, weights, frames)
            else:
                method = zoo.get(config.network)
                model = method.build(config.size, frames, weights, config.width)
            values = {**config.to_dict(), "frames": frames}
            model.built_from = json.dumps({key: values[key] for key in NETWORK_KEYS})
            return model
        return build_model(
            config.backbone,
            modules=config.modules,
            frames=frames,
            size=config.size,
            keep=config.keep,
            weights=weights,
            width=config.width,
            stages=config.stages or None,
            last=config.last,
            localise=config.localise,
            by_map=config.by_map,
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    finally:
        keras.mixed_precision.set_global_policy(before)


def _by_frames(config: TrainConfig, weights: str | None, frames: int) -> keras.Model:
    from keras_ddl.networks.zoo.parts.frame_network import frame_network

    backbone = _backbone(config, weights)
    name = f"{config.backbone}_frames"
    head = (config.localise, config.by_map)
    return frame_network(name, backbone, config.size, frames, *head)


def _backbone(config: TrainConfig, weights: str | None) -> Backbone:
    from keras_ddl.networks import backbones
    from keras_ddl.networks.backbones.backbone import ended_at

    whole = backbones.get(config.backbone)(config.size, weights, config.width)
    return ended_at(whole, config.last)


def stage_layer(config: TrainConfig) -> str:
    """Return the name of the layer after which the stage `rest_before` begins.

    Raises:
        UserError: The backbone has no such stage.
    """
    from keras_ddl.networks.stage_names import found_name

    stages = _backbone(config, None).stages
    stage = found_name(config.rest_before, stages)
    if stage is None:
        raise UserError(
            f"rest_before: expected a stage of {config.backbone}: {', '.join(stages)}, received "
            f"{config.rest_before}"
        )
    return stages[stage]


def load_run(path: Path | None = None) -> tuple[keras.Model, TrainConfig, ClipSpec]:
    """Rebuild the trained model of a run, `runs/latest` by default.

    Returns:
        The model with the best epoch's weights, its configuration and its clip spec.

    Raises:
        UserError: If the run is incomplete, a file is missing, or the weights are not those
            that the spec names.
    """
    run = find_run(path)
    config = TrainConfig.from_dict(read_json(run / CONFIG)["config"])
    try:
        spec = ClipSpec.read(run / "clipspec.json")
    except ValueError as error:
        raise UserError(str(error)) from error
    if file_sha256(run / WEIGHTS) != spec.weights_sha256:
        raise UserError(f"{run / WEIGHTS} is not the file that clipspec.json names; train again")
    model = build(config)
    try:
        model.load_weights(str(run / WEIGHTS))
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot load {run / WEIGHTS} into {config.described()}: {error}"
        ) from error
    return model, config, spec


def build_started(
    config: TrainConfig, precision: str = "float32", frames: int | None = None
) -> keras.Model:
    """Build a configuration's network with the weights it starts from.

    Those of the backbone (`imagenet`, a Keras file) are the backbone's own business. A run may have
    other modules: layers that both networks have are taken over, modules that only the new one has
    start with the configuration's γ, which is the identity where it is 0.

    Args:
        config: Says which network, and in `weights` what it starts from.
        precision: Keras' policy for its layers.
        frames: See `build`.

    Raises:
        UserError: If the weights are not there, of no known kind, or another network's.
    """
    path = Path(config.weights)
    if not config.weights or config.weights == "imagenet" or path.suffix == ".h5":
        model = build(config, config.weights, precision, frames)
        _start_gammas(model, config.gamma)
        return model
    if not path.is_dir() and path.suffix not in RELEASED:
        raise UserError(
            "weights: expected imagenet, a file .h5 (backbone), .npz, .pth or .pt (the authors' "
            f"tensors) or a run folder, received {path}"
        )
    model = build(config, precision=precision, frames=frames)
    _start_gammas(model, config.gamma)
    _load(model, path)
    return model


def _start_gammas(model: keras.Model, gamma: float) -> None:
    from keras_ddl.layers import DFDC, MSA

    for layer in model.layers:
        if isinstance(layer, (DFDC, MSA)):
            layer.gamma.assign([gamma])


def _load(model: keras.Model, path: Path) -> None:
    if path.is_dir():
        _from_run(model, path)
        return
    from keras_ddl.import_released import load_released_weights, read_arrays

    try:
        load_released_weights(model, read_arrays(path))
    except ValueError as error:
        raise UserError(f"{path} does not fit {model.name}: {error}") from error


def _from_run(model: keras.Model, run: Path) -> None:
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
