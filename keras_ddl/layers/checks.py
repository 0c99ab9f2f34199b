"""Checks that every clip layer makes of its arguments and its input."""

from __future__ import annotations

from collections.abc import Sequence


def check_frames(layer: str, frames: int) -> None:
    """Raise ValueError unless `frames` is a positive multiple of 4 (time is pooled to T/4)."""
    if frames < 4 or frames % 4:
        raise ValueError(
            f"{layer}: frames must be a positive multiple of 4; got {frames}; "
            f"use {max(4, round(frames / 4) * 4)}"
        )


def check_input(
    layer: str, shape: Sequence[int | None], frames: int, reduction: int, data_format: str
) -> int:
    """Check the static shape of ``(batch·frames, height, width, channels)``; return the channels.

    Raises:
        ValueError: rank is not 4, channels unknown or below `reduction`, or the batch is known and
            not a multiple of `frames`.
    """
    if len(shape) != 4:
        raise ValueError(
            f"{layer}: expected rank 4 (batch·frames, height, width, channels); "
            f"got rank {len(shape)}, "
            f"shape {tuple(shape)}; fold the frames of a clip into the batch axis first"
        )
    channels = shape[-1] if data_format == "channels_last" else shape[1]
    if channels is None or channels < reduction:
        raise ValueError(
            f"{layer}: expected at least reduction = {reduction} channels; got {channels}; "
            "lower reduction or place the layer at a deeper stage"
        )
    batch = shape[0]
    if batch is not None and batch % frames:
        raise ValueError(
            f"{layer}: expected a batch that is a multiple of frames = {frames} (frames of a clip "
            f"consecutive); got {batch}; drop the incomplete clip or give the layer other frames"
        )
    return int(channels)
