"""Batch norm under several replicas, and at rest."""

from __future__ import annotations

from typing import Any

from keras_ddl.edge.errors import UserError
from keras_ddl.framework import keras
from keras_ddl.layers import DFDC, MSA
from keras_ddl.networks.localise import LAYER

# The first layer after the backbone; in the zoo, where there is a backbone, it is `features`.
_HEAD = ("reduce", "frames_to_channels", "features")


def synchronise(model: keras.Model) -> None:
    """Let every batch norm of a model, those inside the modules included, see all replicas' clips.

    That is Keras' `BatchNormalization(synchronized=True)`, set after building.
    """
    for layer in model.submodules:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized, layer.fused = True, False


def agree(model: keras.Model) -> None:
    """Give all replicas the mean of their moving statistics.

    Without synchronised batch norm every replica has its own; what is judged and kept is the mean.
    """
    for weight in model.non_trainable_variables:
        if weight.dtype.is_floating:
            weight.assign(weight.read_value())


def rest_backbone(model: keras.Model, rest: bool) -> None:
    """Freeze the backbone, its batch norm included, and leave modules and head to learn; or undo.

    Args:
        model: Of `build_network.build`; to be compiled afterwards.
        rest: False lets everything learn; a network without a backbone then stays as it is.

    Raises:
        UserError: The network has no backbone that could rest.
    """
    if not rest and not any(layer.name in (*_HEAD, LAYER) for layer in model.layers):
        return
    for layer in backbone_layers(model):
        layer.trainable = not rest


def rest_until(model: keras.Model, layer: str) -> None:
    """Freeze the backbone's layers up to one, its batch norm included; the others stay as they are.

    Args:
        model: Of `build_network.build`; to be compiled afterwards.
        layer: The last that is frozen.
    """
    for one in backbone_layers(model):
        one.trainable = False
        if one.name == layer:
            return
    raise ValueError(f"{model.name} has no backbone layer {layer}")


def backbone_layers(model: keras.Model) -> list[Any]:
    """Layers of the CNN that the modules, or a zoo method's head, were put onto.

    Raises:
        UserError: The network has no such part.
    """
    names = [layer.name for layer in model.layers]
    ends = [names.index(name) for name in _HEAD if name in names]
    if not ends and LAYER in names:  # its map alone decides
        ends = [names.index(LAYER)]
    if not ends:
        raise UserError(
            f"frozen_epochs: expected a network with a backbone, received {model.name}; set it to 0"
        )
    end = min(ends)
    # A layer that counts its own operations is a zoo method's, and learns as the modules do.
    return [
        layer
        for layer in model.layers[:end]
        if not isinstance(layer, (DFDC, MSA))
        and not hasattr(layer, "macs")
        and not layer.name.startswith(LAYER)
    ]
