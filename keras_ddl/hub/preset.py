"""from_preset and save_to_preset: a network with its weights in a folder of KerasHub's form.

`config.json` says which network it is, as arguments and nothing else: no class is looked up by a
name in a file, nothing is unpickled, and no file names another. The same folder serves Keras 2 and
Keras 3.
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
from keras_ddl.hub.address import CARD, CONFIG, METADATA, SPEC, WEIGHTS, Preset, located
from keras_ddl.hub.card import hub_card, plain_card
from keras_ddl.hub.weights_file import check_weights_file

if TYPE_CHECKING:
    from keras_ddl.framework import keras

MADE_BY = {"module": "keras_ddl.build_network", "class_name": "build"}
LARGEST = {"frames": 256, "size": 4096, "width": 8.0}  # of a network that a stranger describes
LARGEST_JSON = 1 << 20  # bytes


def from_preset(address: str | Path) -> keras.Model:
    """Build the network of a preset, with its weights.

    Args:
        address: A folder, ``hf://OWNER/NAME[@REVISION]`` (with huggingface_hub installed) or
            ``kaggle://OWNER/MODEL/keras/VARIATION[/VERSION]`` (with kagglehub).

    Returns:
        The model: raw uint8 RGB clips ``(batch, frames, size, size, 3)`` → two logits, class 1 =
        fake. `load_preset` gives its clip spec too.

    Raises:
        UserError: See `load_preset`.
    """
    return load_preset(address)[0]


def load_preset(address: str | Path) -> tuple[keras.Model, TrainConfig, ClipSpec]:
    """Build the network of a preset; see `from_preset`.

    Returns:
        The model, its configuration (of the network alone; the rest are defaults), its clip spec.

    Raises:
        UserError: The preset cannot be had, is not whole, describes no network of this project or
            one beyond `LARGEST`, its weights are another network's, not those that its clip spec
            names or not finite, or a file in it is or holds a link out of it.
    """
    preset = located(address)
    config, spec = _network(preset), _spec(preset)
    if (spec.frames, spec.size) != (config.frames, config.size):
        raise UserError(
            f"{preset.address}: {SPEC} is for {spec.frames} frames of {spec.size} px, {CONFIG} for "
            f"{config.frames} of {config.size}; expected the same"
        )
    weights = preset.file(WEIGHTS)
    if file_sha256(weights) != spec.weights_sha256:
        raise UserError(f"{preset.address}: {WEIGHTS} is not the file that {SPEC} names")
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
        source: A run folder, or a network of `build_model` or `from_preset` of this process.
        folder: A new or empty one.
        spec: How clips are cut, for a network; None is the defaults, with its frames and size. A
            run has its own.
        licence: Of the weights, by its name on the Hub; for the model card.

    Returns:
        The folder: `config.json`, `metadata.json`, `clipspec.json`, `model.weights.h5` and the
        model card `README.md`, all there or none.

    Raises:
        UserError: The folder is not empty, the run not complete, or the network not one whose
            description is known.
    """
    folder = Path(folder)
    if folder.resolve() == Path.cwd():
        raise UserError(
            "expected a folder for the preset, received the one you are in; name another"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"expected a new or empty folder for the preset, received {folder}")
    if isinstance(source, (str, os.PathLike)):
        model, config, spec = load_run(Path(source))
        card = hub_card(Path(source).resolve(), licence)
    else:
        model, config = source, _built_from(source)
        spec = spec or config.spec()
        card = plain_card(model.name, licence)
    if (spec.frames, spec.size) != (config.frames, config.size):
        raise UserError(f"spec: expected {config.frames} frames of {config.size} px, as the model")
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    part.mkdir(parents=True)
    try:
        _write(part, model, config, spec, card)
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _write(
    folder: Path, model: keras.Model, config: TrainConfig, spec: ClipSpec, card: str
) -> None:
    from keras_ddl import __version__
    from keras_ddl.framework import keras

    values = config.to_dict()
    network = {key: values[key] for key in NETWORK_KEYS}
    write_json(
        folder / CONFIG, {**MADE_BY, "config": network, "registered_name": "keras_ddl>build"}
    )
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


def _built_from(model: Any) -> TrainConfig:
    text = getattr(model, "built_from", None)
    if text is None:
        raise UserError(
            "save_to_preset: expected a run folder, or a network that build_model or from_preset "
            f"has made in this process; received {getattr(model, 'name', type(model).__name__)}; "
            "keep another with its own save()"
        )
    return TrainConfig.from_dict(json.loads(text))


def _network(preset: Preset) -> TrainConfig:
    values = _json(preset, CONFIG)
    made_by = {key: values.get(key) for key in MADE_BY} if isinstance(values, dict) else values
    if made_by != MADE_BY:
        raise UserError(
            f"{preset.address}: {CONFIG} describes no network of keras-ddl; expected {MADE_BY}, "
            f"received {str(made_by)[:200]}"
        )
    network = values.get("config")
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
    return config


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
