"""build_model: the detector, from clips to logits, as in the paper's figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from keras_ddl.edge.errors import Parser, UserError, run_cli
from keras_ddl.edge.faces.map_kind import FORGERY, INCONSISTENCY, MapKind
from keras_ddl.networks.ablations import MODULES

REDUCED_CHANNELS = 256
FUSION_CHANNELS = 1024
ATTENTION_RATIO = 16


def build_model(
    backbone: str = "compact_xception",
    modules: Sequence[str] = MODULES,
    frames: int = 8,
    size: int | None = None,
    keep: str | int = "paper",
    weights: str | None = None,
    width: float = 1.0,
    stages: Sequence[str] | None = None,
    last: str = "",
    localise: str = "",
    by_map: bool = False,
) -> Any:
    """A deepfake detector for face clips.

    clip → frames → backbone with the modules at its stages → the head: the frames' features side by
    side → 1×1 fusion → channel attention → global average → two logits.

    Args:
        backbone: ``compact_xception`` (the authors' released network), ``xception``,
            ``resnet18``, ``efficientnet_lite0`` to ``2``, or a network of `keras.applications`
            by its name there, see `backbones.applications`.
        modules: Any of ``"dfdc"`` and ``"msa"``; ``()`` is the plain backbone of the ablation.
        frames: Frames per clip T, a multiple of 4.
        size: Side of the square crops in pixels; None is the backbone's own, such as 256.
        keep: Positions DFDC keeps: ``"paper"`` = H, ``"released"`` = H − 1, or a number.
        weights: What the backbone starts from; see its `build`.
        width: Multiplies the channel counts, for reduced networks.
        stages: Which of the backbone's stages get modules; None is all of them.
        last: The stage behind which the backbone ends; empty is its own end.
        localise: The stage on whose features a localisation head stands (`networks.localise`);
            empty is none.
        by_map: Decide by that head's map alone, without the paper's head.

    Returns:
        A functional model: input ``clip``, raw uint8 RGB ``(batch, frames, size, size, 3)``, scaled
        inside; output ``logits`` ``(batch, 2)`` float32, class 1 = fake. Its attribute `built_from`
        is what it was built from, as JSON.

    Raises:
        ValueError: unknown backbone, module, stage or an impossible size.

    Reference: DDL (IEEE TIFS 2023), figure of the framework.
    """
    from keras_ddl.framework import keras
    from keras_ddl.layers import ClipToFrames
    from keras_ddl.layers.checks import check_frames
    from keras_ddl.networks import backbones
    from keras_ddl.networks.backbones.backbone import ended_at
    from keras_ddl.networks.extend import stage_modules
    from keras_ddl.networks.localise import apply_localising

    check_frames("build_model", frames)
    build = backbones.get(backbone)
    size = backbones.DEFAULT_SIZES.get(backbone, backbones.OTHER_SIZE) if size is None else size
    network = ended_at(build(size=size, weights=weights, width=width), last)
    chosen = dict(network.stages) if stages is None else _chosen(network.stages, stages)

    clip = keras.Input((frames, size, size, 3), dtype="uint8", name="clip")
    x = ClipToFrames(network.scale, network.offset, name="clip_to_frames")(clip)
    x, cells = apply_localising(network, x, chosen, stage_modules(modules, frames, keep), localise)
    name = "_".join((backbone, *modules)) if modules else f"{backbone}_plain"
    head = _map_head(cells, frames) if by_map else _head(x, frames, width, cells)
    model = keras.Model(clip, head, name=name)
    placed = modules if chosen else ()
    given = {"backbone": backbone, "modules": list(placed), "stages": list(stages or ())}
    given |= {"last": last, "localise": localise, "by_map": by_map, "keep": keep, "width": width}
    # As text, because Keras would keep track of a dictionary; see `hub.preset`.
    model.built_from = json.dumps({**given, "frames": frames, "size": size})
    return model


def _chosen(available: Any, stages: Sequence[str]) -> dict[str, str]:
    from keras_ddl.networks.stage_names import found_name

    unknown = [stage for stage in stages if found_name(stage, available) is None]
    if unknown:
        raise ValueError(f"stages must be among {', '.join(available)}; got {', '.join(unknown)}")
    chosen = {found_name(stage, available) for stage in stages}
    return {stage: layer for stage, layer in available.items() if stage in chosen}


def _head(x: Any, frames: int, width: float, cells: Any = None) -> Any:
    """Features of the frames ``(B·T, h, w, C)`` → logits ``(B, 2)``.

    `cells` are a localisation head's logits; its evidence, averaged over the frames, joins the
    features.

    The paper gives the order of the steps; widths and ratio are those of the released network.
    Where a backbone has more than 256 channels a 1×1 convolution reduces them first: our choice,
    without which the fusion alone would have 16.8 million parameters on Xception.
    """
    from keras_ddl.framework import keras
    from keras_ddl.layers import FramesToChannels, TemporalContrast
    from keras_ddl.networks.backbones.backbone import scaled
    from keras_ddl.networks.channel_attention import channel_attention
    from keras_ddl.networks.localise import with_evidence

    layers = keras.layers
    if x.shape[-1] > REDUCED_CHANNELS:
        x = _conv_bn_relu(x, scaled(REDUCED_CHANNELS, width), "reduce")
    x = FramesToChannels(frames, name="frames_to_channels")(x)
    x = _conv_bn_relu(x, scaled(FUSION_CHANNELS, width), "fusion", TemporalContrast(frames))
    x = channel_attention(x, ATTENTION_RATIO, "attention")
    x = layers.GlobalAveragePooling2D(name="features")(x)
    if cells is not None:
        x = with_evidence(x, _clip_evidence(cells, frames))
    return layers.Dense(2, dtype="float32", name="logits")(x)


def _map_head(cells: Any, frames: int) -> Any:
    """A localisation head's logits of the cells → logits ``(B, 2)``, by them alone."""
    from keras_ddl.networks.localise import decision, needed

    return decision(_clip_evidence(needed(cells), frames), "map_logits")


def _clip_evidence(cells: Any, frames: int) -> Any:
    """Evidence of a clip ``(B, 2)``: the mean of its frames'."""
    from keras_ddl.framework import keras
    from keras_ddl.layers import FramesToClip
    from keras_ddl.networks.localise import evidence

    layers = keras.layers
    found = FramesToClip(frames, dtype="float32", name="localise_frames")(evidence(cells))
    return layers.GlobalAveragePooling1D(dtype="float32", name="localise_clip")(found)


def _conv_bn_relu(x: Any, channels: int, name: str, start: Any = "glorot_uniform") -> Any:
    from keras_ddl.framework import keras
    from keras_ddl.layers.batch_norm import batch_norm

    x = keras.layers.Conv2D(channels, 1, use_bias=False, kernel_initializer=start, name=name)(x)
    return keras.layers.ReLU(name=f"{name}_relu")(batch_norm(name=f"{name}_bn")(x))


def map_kind(model: Any) -> MapKind | None:
    """What the map of `with_inconsistency_map` is; None where a network has none of its own."""
    from keras_ddl.layers import DFDC
    from keras_ddl.networks.localise import has_map

    if has_map(model):
        return FORGERY
    return INCONSISTENCY if any(isinstance(layer, DFDC) for layer in model.layers) else None


def shows_map(model: Any) -> bool:
    """Whether `with_inconsistency_map` can tell where a network looked."""
    return map_kind(model) is not None


def with_inconsistency_map(model: Any, grid: int | None = None) -> Any:
    """The same network with a second output: where in the face it looked.

    That is the localisation head's map where there is one, else what the DFDC layers kept.

    Args:
        model: A model that `shows_map`; its layers are shared.
        grid: Height and width of a map of DFDC; None is an eighth of the clip's size. A
            localisation head's map is as large as its stage.

    Returns:
        A model with the outputs ``logits`` ``(B, 2)`` and ``inconsistency_map`` ``(B, T, h, w)`` in
        [0, 1].

    Raises:
        ValueError: the network has neither.
    """
    from keras_ddl.framework import keras
    from keras_ddl.layers import DFDC, ForgeryMap, InconsistencyMap
    from keras_ddl.networks.localise import LAYER, has_map

    if has_map(model):
        look = ForgeryMap(model.input_shape[1], dtype="float32", name="inconsistency_map")
        return keras.Model(model.input, [model.output, look(model.get_layer(LAYER).output)])
    stages = [layer for layer in model.layers if isinstance(layer, DFDC)]
    if not stages:
        raise ValueError(f"{model.name} has no localisation head and no DFDC layer, so no map")
    grid = model.input_shape[2] // 8 if grid is None else grid
    view = InconsistencyMap(stages, grid, name="inconsistency_map")
    return keras.Model(model.input, [model.output, view([stage.input for stage in stages])])


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m keras_ddl.networks.model --summary`: parameters and GMAC of every ablation."""
    parser = Parser(prog="python -m keras_ddl.networks.model", description=main.__doc__)
    parser.add_argument(
        "--summary", action="store_true", help="print the table (the default action)"
    )
    parser.add_argument("--frames", type=int, default=8, help="frames per clip (default 8)")
    arguments = parser.parse_args(argv)

    def body() -> int:
        from keras_ddl.networks.cost import summary_table

        try:
            print(summary_table(build_model, arguments.frames))
        except ValueError as error:
            raise UserError(str(error)) from error
        return 0

    return run_cli(body)


if __name__ == "__main__":
    raise SystemExit(main())
