"""Networks of `extend` in a preset: described by their layers, as Keras writes them.

Nothing of a description is made before `known` has passed it, and no more weights than the file of
weights is large.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError
from keras_ddl.hub.known_kinds import known
from keras_ddl.hub.weights_file import SLACK

if TYPE_CHECKING:
    from keras_ddl.framework import keras

MADE_BY = {"module": "keras_ddl.networks.extend", "class_name": "extend"}
KEYS = {"frames", "keras", "network"}
KERASES = ["tf_keras", "keras"]
NOT_FUNCTIONAL = "it is not functional, as keras.Model(input, output) is"
MOST_LAYERS = 4096
MOST_FRAMES = 256


def frames_of(model: Any) -> int | None:
    """Frames of a clip of a network that `extend` made or that holds the modules, else None."""
    from keras_ddl.layers import DFDC, MSA

    steps = [model]
    for step in steps:
        if isinstance(step, (DFDC, MSA)):
            return int(step.frames)
        steps += getattr(step, "layers", ())
    found: int | None = getattr(model, "extended_frames", None)
    return found


def described(model: Any, frames: int) -> dict[str, Any]:
    """What `rebuilt` makes the network from again, as JSON.

    Raises:
        UserError: It is not functional, or some layer is not one of Keras' and keras_ddl's own.
    """
    from keras_ddl.framework import keras

    try:
        if not getattr(model, "inputs", None):
            raise ValueError(NOT_FUNCTIONAL)
        network = json.loads(json.dumps(known(model.get_config())))
        again = _made(network, frames, sum(value.nbytes for value in model.get_weights()) + SLACK)
        if [value.shape for value in again.weights] != [value.shape for value in model.weights]:
            raise ValueError("built again it has other weights")
    except Exception as error:  # what layers of a user raise has no base class of its own
        raise UserError(
            f"save_to_preset: {model.name} cannot be described: {_in_a_line(error)}; keep it with "
            "its own save()"
        ) from error
    return {"frames": frames, "keras": keras.__name__, "network": network}


def default_spec(model: Any, frames: int) -> ClipSpec:
    """How clips are cut where nobody says it: the defaults, with the network's frames and size.

    Raises:
        UserError: The network does not say its size, or no clip has its frames or size.
    """
    size = model.input_shape[-3]
    if size is None:
        raise UserError(
            f"spec: {model.name} takes frames of any size; expected spec=ClipSpec(size=…)"
        )
    try:
        return ClipSpec(frames=frames, size=size)
    except ValueError as error:
        raise UserError(f"spec: {model.name} has no clips: {error}") from error


def check_spec(where: str, model: Any, frames: int, spec: ClipSpec) -> None:
    """Raise UserError where a clip spec is another network's."""
    sides = [side or spec.size for side in model.input_shape[-3:-1]]
    if (spec.frames, spec.size, spec.size) != (frames, *sides):
        raise UserError(
            f"{where} is for {spec.frames} frames of {spec.size} x {spec.size} px, {model.name} "
            f"for {frames} of {sides[1]} x {sides[0]}; expected the same"
        )


def rebuilt(values: Any, where: str, most_bytes: int) -> keras.Model:
    """Build a network of a description.

    Args:
        values: What `described` gave, or what a stranger says it has.
        where: Names the file in messages.
        most_bytes: Its weights may take; nothing is made of a network with more.

    Raises:
        UserError: It is no such description, one of the other Keras, or beyond the limits.
    """
    from keras_ddl.framework import keras

    if not isinstance(values, Mapping) or set(values) != KEYS:
        raise UserError(f"{where}: expected the keys {', '.join(sorted(KEYS))}")
    frames, made_with = values["frames"], values["keras"]
    if type(frames) is not int or not 0 < frames <= MOST_FRAMES:
        raise UserError(f"{where}: frames: expected 1 to {MOST_FRAMES}, received {frames!r:.100}")
    if made_with not in KERASES:
        raise UserError(f"{where}: keras: expected {' or '.join(KERASES)}")
    if made_with != keras.__name__:
        raise UserError(
            f"{where} is of a network of {made_with}; this process has {keras.__name__}; set "
            f"KERAS_DDL_KERAS={made_with} before keras_ddl is first imported"
        )
    try:
        model = _made(known(values["network"]), frames, most_bytes)
    except Exception as error:  # of a strange description Keras raises anything
        raise UserError(f"{where} describes no network: {_in_a_line(error)}") from error
    model.extended_frames = frames
    return model


def _made(network: Any, frames: int, most_bytes: int) -> keras.Model:
    from keras_ddl.framework import keras

    _check_graphs(network)
    try:
        with _weights_within(most_bytes):
            model: keras.Model = keras.Model.from_config(copy.deepcopy(network))
    except Exception as error:  # of a strange description Keras raises anything
        raise ValueError(f"Keras does not build it: {_in_a_line(error)}") from error
    if len(model.inputs) != 1 or len(model.input_shape) not in (4, 5):
        raise ValueError("it has another input than frames, or clips")
    if frames_of(model) not in (None, frames):
        raise ValueError(f"its layers are for clips of {frames_of(model)} frames, not {frames}")
    return model


def _in_a_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def _check_graphs(network: Any) -> None:
    """Raise ValueError where calls cannot be put in order: Keras 2 would try without end."""
    from keras_ddl.networks.keras_graph import KerasGraph

    if not _is_graph(network):
        raise ValueError(NOT_FUNCTIONAL)
    parts = [network]
    for part in parts:
        if _is_graph(part):
            if len(part["layers"]) > MOST_LAYERS:
                raise ValueError(f"it has more than {MOST_LAYERS} layers")
            for _ in KerasGraph.of_config(part).calls_in_order():
                pass
        inner = part.values() if isinstance(part, dict) else part
        parts += [value for value in inner if isinstance(value, (dict, list))]


def _is_graph(part: Any) -> bool:
    return isinstance(part, dict) and {"input_layers", "layers"} <= part.keys()


@contextmanager
def _weights_within(most_bytes: int) -> Iterator[None]:
    """Raise ValueError before more weights are made than fit into so many bytes."""
    from keras_ddl.framework import tf

    made = 0

    def counted(make: Any, **given: Any) -> Any:
        nonlocal made
        made += _bytes(given.get("shape"), given["initial_value"])
        if made > most_bytes:
            raise ValueError(f"its weights take more than the {most_bytes:,} bytes that are there")
        return make(**given)

    with tf.variable_creator_scope(counted):
        yield


def _bytes(shape: Any, value: Any) -> int:
    """Bytes of a weight to be, from its initial value, of which only the shape is worked out."""
    from keras_ddl.framework import tf

    if shape is None and callable(value):  # Keras 3
        with tf.Graph().as_default():
            value = value()
    shape = tf.TensorShape(getattr(value, "shape", None) if shape is None else shape)
    return 4 * (shape.num_elements() or 0)
