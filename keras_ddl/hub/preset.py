"""from_preset and save_to_preset: a network with its weights in a folder of KerasHub's form.

`config.json` says which network it is, as the arguments of `build`; of a network of `extend` the
layers, all of kinds that stand in `hub.known_kinds`. Nothing is unpickled, and no file names
another. The same folder serves Keras 2 and Keras 3, one of `extend` the one that wrote it.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_ddl.build_network import NETWORK_KEYS, build, load_run
from keras_ddl.config import TrainConfig
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import file_sha256, read_json, write_json, write_text
from keras_ddl.hub import extended
from keras_ddl.hub.address import CARD, CONFIG, METADATA, SPEC, WEIGHTS, Preset, located
from keras_ddl.hub.card import hub_card, plain_card
from keras_ddl.hub.weights_file import SLACK, check_weights_file

if TYPE_CHECKING:
    from keras_ddl.framework import keras

MADE_BY = {"module": "keras_ddl.build_network", "class_name": "build"}
LARGEST = {"frames": 256, "size": 4096, "width": 8.0}  # of a network that a stranger describes
LARGEST_JSON = 1 << 23  # bytes; a network of `extend` takes about a kilobyte for each layer


def from_preset(address: str | Path) -> keras.Model:
    """Build the network of a preset, with its weights.

    Args:
        address: A folder, ``hf://OWNER/NAME[@REVISION]`` (with huggingface_hub installed) or
            ``kaggle://OWNER/MODEL/keras/VARIATION[/VERSION]`` (with kagglehub).

    Returns:
        The model: raw uint8 RGB clips ``(batch, frames, size, size, 3)`` → two logits, class 1 =
        fake; one of `extend` as that made it. `load_preset` gives its clip spec too.

    Raises:
        UserError: See `load_preset`.
    """
    return load_preset(address)[0]


def load_preset(address: str | Path) -> tuple[keras.Model, TrainConfig | None, ClipSpec]:
    """Build the network of a preset; see `from_preset`.

    Returns:
        The model, its configuration (of the network alone; the rest are defaults; None of one of
        `extend`), its clip spec.

    Raises:
        UserError: The preset cannot be had, is not whole, describes no network of this project or
            one beyond `LARGEST`, its weights are another network's, not those that its clip spec
            names or not finite, or a file in it is or holds a link out of it; a network of `extend`
            is of the other Keras.
    """
    preset = located(address)
    made_by, values = _description(preset)
    spec, weights = _spec(preset), preset.file(WEIGHTS)
    if file_sha256(weights) != spec.weights_sha256:
        raise UserError(f"{preset.address}: {WEIGHTS} is not the file that {SPEC} names")
    if made_by == extended.MADE_BY:
        model, config = _extended(preset, values, spec, weights), None
    else:
        config = _network(preset, values, spec)
        model = build(config)
        check_weights_file(weights, sum(value.nbytes for value in model.get_weights()))
    try:
        model.load_weights(str(weights))
    except (OSError, ValueError, KeyError) as error:
        cause = str(error).splitlines()[0]
        raise UserError(f"{preset.address}: {WEIGHTS} does not fit {CONFIG}: {cause}") from error
    if not all(np.isfinite(value).all() for value in model.get_weights()):
        raise UserError(f"{preset.address}: {WEIGHTS} holds numbers that are not finite")
    return model, config, spec


def save_to_preset(
    source: Any, folder: str | Path, spec: ClipSpec | None = None, licence: str = "apache-2.0"
) -> Path:
    """Write a preset, which `from_preset` reads and a hub takes as it is.

    Args:
        source: A run folder, a network of `build_model` or `from_preset` of this process, or one
            of `extend`, with or without layers of Keras behind it.
        folder: A new or empty one.
        spec: How clips are cut, for a network; None is the defaults, with its frames and size. A
            run has its own.
        licence: Of the weights, by its name on the Hub; for the model card.

    Returns:
        The folder: `config.json`, `metadata.json`, `clipspec.json`, `model.weights.h5` and the
        model card `README.md`, all there or none.

    Raises:
        UserError: The folder is not empty, the run not complete, or the network not one that can
            be described: a subclassed one, or with layers that hold code (`hub.known_kinds`).
    """
    folder = Path(folder)
    if folder.resolve() == Path.cwd():
        raise UserError(
            "expected a folder for the preset, received the one you are in; name another"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"expected a new or empty folder for the preset, received {folder}")
    model, description, spec, card = _to_write(source, spec, licence)
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    part.mkdir(parents=True)
    try:
        _write(part, model, description, spec, card)
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _to_write(
    source: Any, spec: ClipSpec | None, licence: str
) -> tuple[keras.Model, dict[str, Any], ClipSpec, str]:
    """The network, what `config.json` says of it, its clip spec and its card."""
    if isinstance(source, (str, os.PathLike)):
        model, config, spec = load_run(Path(source))
        return model, _of_build(config), spec, hub_card(Path(source).resolve(), licence)
    card = plain_card(str(getattr(source, "name", "")), licence)
    text = getattr(source, "built_from", None)
    if text is not None:
        config = TrainConfig.from_dict(json.loads(text))
        spec = spec or config.spec()
        if (spec.frames, spec.size) != (config.frames, config.size):
            raise UserError(
                f"spec: expected {config.frames} frames of {config.size} px, as the model"
            )
        return source, _of_build(config), spec, card
    frames = extended.frames_of(source)
    if frames is None:
        raise UserError(
            "save_to_preset: expected a run folder, or a network that build_model, extend or "
            "from_preset has made in this process; received "
            f"{getattr(source, 'name', type(source).__name__)}; keep another with its own save()"
        )
    config_of_layers = extended.described(source, frames)
    spec = spec or extended.default_spec(source, frames)
    extended.check_spec("spec", source, frames, spec)
    return source, _of(extended.MADE_BY, config_of_layers), spec, card


def _of_build(config: TrainConfig) -> dict[str, Any]:
    values = config.to_dict()
    return _of(MADE_BY, {key: values[key] for key in NETWORK_KEYS})


def _of(made_by: dict[str, str], config: dict[str, Any]) -> dict[str, Any]:
    """What `config.json` holds, in KerasHub's form."""
    return {**made_by, "config": config, "registered_name": f"keras_ddl>{made_by['class_name']}"}


def _write(
    folder: Path, model: keras.Model, description: dict[str, Any], spec: ClipSpec, card: str
) -> None:
    from keras_ddl import __version__
    from keras_ddl.framework import keras

    write_json(folder / CONFIG, description)
    metadata = {
        "keras_version": keras.__version__,
        "keras_ddl_version": __version__,
        "parameter_count": model.count_params(),
        "date_saved": time.strftime("%Y-%m-%d@%H:%M:%S"),
    }
    write_json(folder / METADATA, metadata)
    model.save_weights(str(folder / WEIGHTS))
    spec.replace(weights_sha256=file_sha256(folder / WEIGHTS)).write(folder / SPEC)
    write_text(folder / CARD, card)


def _description(preset: Preset) -> tuple[dict[str, str], Any]:
    """What makes the network of a preset, and of what."""
    values = _json(preset, CONFIG)
    made_by = {key: values.get(key) for key in MADE_BY} if isinstance(values, dict) else values
    if made_by not in (MADE_BY, extended.MADE_BY):
        raise UserError(
            f"{preset.address}: {CONFIG} describes no network of keras-ddl; expected {MADE_BY} or "
            f"{extended.MADE_BY}, received {str(made_by)[:200]}"
        )
    return made_by, values.get("config")


def _network(preset: Preset, network: Any, spec: ClipSpec) -> TrainConfig:
    if not isinstance(network, Mapping) or set(network) - set(NETWORK_KEYS):
        raise UserError(
            f"{preset.address}: {CONFIG}: expected the keys {', '.join(NETWORK_KEYS)}; "
            f"received {str(network)[:200]}"
        )
    config = TrainConfig.from_dict(network)
    for key, most in LARGEST.items():
        if getattr(config, key) > most:
            raise UserError(
                f"{preset.address}: {CONFIG}: {key}: expected at most {most:g}, "
                f"received {getattr(config, key):g}"
            )
    if (spec.frames, spec.size) != (config.frames, config.size):
        raise UserError(
            f"{preset.address}: {SPEC} is for {spec.frames} frames of {spec.size} px, {CONFIG} for "
            f"{config.frames} of {config.size}; expected the same"
        )
    return config


def _extended(preset: Preset, values: Any, spec: ClipSpec, weights: Path) -> keras.Model:
    """The network of layers, none larger than the file of its weights."""
    most = weights.stat().st_size
    check_weights_file(weights, most)
    where = f"{preset.address}: {CONFIG}"
    model = extended.rebuilt(values, where, most + SLACK)
    extended.check_spec(f"{preset.address}: {SPEC}", model, model.extended_frames, spec)
    return model


def _spec(preset: Preset) -> ClipSpec:
    values = _json(preset, SPEC)
    try:
        return ClipSpec.from_json(json.dumps(values))
    except ValueError as error:
        raise UserError(f"{preset.address}: {SPEC}: {error}") from error


def _json(preset: Preset, name: str) -> Any:
    path = preset.file(name)
    if path.stat().st_size > LARGEST_JSON:
        raise UserError(f"{preset.address}: {name} is larger than {LARGEST_JSON:,} bytes")
    return read_json(path)
