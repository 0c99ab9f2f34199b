"""Naive DFDC and MSA in PyTorch, written from the paper's figures, to measure against.

As `benchmarks.networks.naive.naive_keras`: every T × T product, a value at every position, slices.
Written from the equations; only where PyTorch is installed.

Input and output: ``(batch·frames, channels, height, width)``, frames of a clip consecutive.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

SCALES = {"full": 1, "half": 2, "quarter": 4}
# Axes of (B, T, C, H, W) that make images of slices, and which of an image's axes is time.
_SLICES = {"vertical": ((0, 4, 2, 3, 1), 3), "horizontal": ((0, 3, 2, 1, 4), 2)}
FLUCTUATION_FLOOR, RANGE_EPSILON, NORM_EPSILON = 1e-10, 1e-8, 1e-12
BN_EPSILON, BN_MOMENTUM = 1e-5, 0.1


class NaiveDFDC(nn.Module):
    """Dynamic fine-grained difference capture by its definition.

    Args:
        channels: Of the input.
        frames: Frames per clip T.
        keep: Positions that survive; None means the height of the input.
        reduction: Query and key have ``channels // reduction`` channels.
    """

    def __init__(
        self, channels: int, frames: int = 8, keep: int | None = None, reduction: int = 8
    ) -> None:
        super().__init__()
        self.frames, self.keep = frames, keep
        self.query = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.key = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[2:]
        shape = (-1, self.frames, self.query.out_channels, height * width)
        query, key = (
            F.normalize(part(x), dim=1, eps=NORM_EPSILON).reshape(shape).permute(0, 3, 1, 2)
            for part in (self.query, self.key)
        )  # (B, P, T, c)
        products = torch.matmul(query, key.transpose(2, 3))  # (B, P, T, T)
        similarity = -products.sum(3).transpose(1, 2)  # (B, T, P)
        fluctuation = similarity.var(1)
        keep = min(self.keep or height, height * width)
        border = fluctuation.topk(keep).values[:, -1:]
        kept = (fluctuation >= border) & (fluctuation >= FLUCTUATION_FLOOR)
        scores = similarity.masked_fill(~kept[:, None], -float(self.frames))
        low, high = scores.amin(2, keepdim=True), scores.amax(2, keepdim=True)
        scores = (scores - low) / (high - low + RANGE_EPSILON)
        return x + self.gamma * self.value(x) * scores.reshape(-1, 1, height, width)


class NaiveMSA(nn.Module):
    """Multi-scale spatio-temporal aggregation by its figure.

    Args:
        channels: Of the input.
        frames: Frames per clip T, a multiple of 4.
        reduction: The branches have ``channels // reduction`` channels.
    """

    def __init__(self, channels: int, frames: int = 8, reduction: int = 4) -> None:
        super().__init__()
        self.frames = frames
        narrow = channels // reduction

        def norm(width: int) -> nn.Module:
            return nn.BatchNorm2d(width, BN_EPSILON, BN_MOMENTUM)

        for direction, (_, time) in _SLICES.items():
            kernel = (1, 3) if time == 3 else (3, 1)
            around = (0, 1) if time == 3 else (1, 0)
            for scale in SCALES:
                name = f"{direction}_{scale}"
                taps = nn.Conv2d(channels, channels, kernel, 1, around, groups=channels, bias=False)
                self.add_module(f"{name}_taps", taps)
                self.add_module(f"{name}_pointwise", nn.Conv2d(channels, narrow, 1, bias=False))
                self.add_module(f"{name}_bn", norm(narrow))
            self.add_module(f"{direction}_merge", nn.Conv2d(narrow, channels, 1))
            self.add_module(f"{direction}_merge_bn", norm(channels))
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        part: Any = self.get_submodule
        clip = x.reshape(-1, self.frames, *x.shape[1:])
        gates = torch.zeros_like(clip)
        for direction, (axes, time) in _SLICES.items():
            cut = clip.permute(axes)
            slices = cut.reshape(-1, *cut.shape[2:])  # (B·W, C, H, T) or (B·H, C, T, W)
            total: Any = 0.0
            for scale, size in SCALES.items():
                name = f"{direction}_{scale}"
                pooled = F.avg_pool2d(slices, (1, size) if time == 3 else (size, 1))
                found = part(f"{name}_pointwise")(part(f"{name}_taps")(pooled))
                total = total + part(f"{name}_bn")(found).repeat_interleave(size, time)
            merged = part(f"{direction}_merge")(total / len(SCALES))
            gate = torch.sigmoid(part(f"{direction}_merge_bn")(merged))
            back = [axes.index(axis) for axis in range(5)]
            gates = gates + 0.5 * (gate.reshape(cut.shape).permute(back) - 0.5)
        return x + self.gamma * x * gates.reshape(x.shape)


def torch_from_keras(layer: Any) -> nn.Module:
    """Return the naive module with the weights of a built DFDC or MSA layer."""
    from keras_ddl.layers import DFDC

    if isinstance(layer, DFDC):
        channels = layer.query.kernel.shape[2]
        module: nn.Module = NaiveDFDC(channels, layer.frames, layer.keep, layer.reduction)
    else:
        channels = layer.vertical_full_pointwise.kernel.shape[2]
        module = NaiveMSA(channels, layer.frames, layer.reduction)
    state = module.state_dict()
    for name, tensor in state.items():
        if not name.endswith("num_batches_tracked"):
            tensor.copy_(torch.from_numpy(_value(layer, name, tuple(tensor.shape))))
    module.load_state_dict(state)
    return module


_NAMES = {"running_mean": "moving_mean", "running_var": "moving_variance", "bias": "beta"}


def _value(layer: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A layer's weight by the module's name for it, in PyTorch's layout."""
    place, _, kind = name.rpartition(".")
    if not place:
        return layer.gamma.numpy()
    part = getattr(layer, place)
    if place.endswith("_bn"):
        return getattr(part, _NAMES.get(kind, "gamma")).numpy()
    if kind == "bias":
        return part.bias.numpy()
    if place.endswith("_taps"):  # (3, 1, C, 1)
        return part.depthwise_kernel.numpy().reshape(3, -1).T.reshape(shape).copy()
    return part.kernel.numpy().transpose(3, 2, 0, 1).copy()
