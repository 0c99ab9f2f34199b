"""The authors' network in PyTorch, as it is drawn, judging a clip: for another interpreter.

`PYTHON -m benchmarks.networks.naive.torch_network` needs PyTorch and NumPy alone. It answers words
on its standard input, `run` and `memory`, with lines of JSON, see `benchmarks.timed_process`. The
weights are random; with those of `keras_ddl`'s network it gives its logits.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from keras_ddl.edge.memory import peak_mib

# Channels, separable convolutions, stride; see `keras_ddl.networks.backbones.compact_xception`.
BLOCKS = ((128, 2, 2), (256, 2, 2), (512, 2, 2), *((512, 3, 1),) * 3, (512, 3, 2))
FUSED, RATIO = 1024, 16
SIZE, FRAMES, THREADS = 256, 8, 1


def network(frames: int) -> Any:
    """The network with both modules: clip float32 (1, T, S, S, 3) in [0, 255] → logits (1, 2)."""
    import torch
    from torch import nn

    from benchmarks.networks.naive.naive_torch import BN_EPSILON, NaiveDFDC, NaiveMSA

    def convolution(before: int, channels: int, kernel: int = 1, stride: int = 1) -> list[Any]:
        part = nn.Conv2d(before, channels, kernel, stride, kernel // 2, bias=False)
        return [part, nn.BatchNorm2d(channels, BN_EPSILON)]

    def separable(before: int, channels: int) -> list[Any]:
        taps = nn.Conv2d(before, before, 3, 1, 1, groups=before, bias=False)
        return [taps, *convolution(before, channels)]

    class Block(nn.Module):
        def __init__(self, before: int, channels: int, depth: int, stride: int) -> None:
            super().__init__()
            self.modules_of_ddl = nn.Sequential(NaiveDFDC(before, frames), NaiveMSA(before, frames))
            steps = separable(before, channels)
            for _ in range(depth - 1):
                steps += [nn.ReLU(), *separable(channels, channels)]
            if stride > 1:
                steps.append(nn.MaxPool2d(3, stride, 1))
            self.steps = nn.Sequential(*steps)
            skip = convolution(before, channels, 1, stride) if stride > 1 else []
            self.skip = nn.Sequential(*skip)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.modules_of_ddl(torch.relu(x))
            return self.steps(x) + self.skip(x)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            start = [*convolution(3, 32, 3), nn.ReLU(), *convolution(32, 64, 3, 2)]
            before, blocks = 64, []
            for channels, depth, stride in BLOCKS:
                blocks.append(Block(before, channels, depth, stride))
                before = channels
            end = [nn.ReLU(), *separable(before, 512), nn.ReLU(), *separable(512, 256), nn.ReLU()]
            self.frames = nn.Sequential(*start, *blocks, *end)
            self.fusion = nn.Sequential(*convolution(256 * frames, FUSED), nn.ReLU())
            squeeze = nn.Conv2d(FUSED, FUSED // RATIO, 1, bias=False)
            excite = nn.Conv2d(FUSED // RATIO, FUSED, 1, bias=False)
            self.attention = nn.Sequential(squeeze, nn.ReLU(), excite)
            self.logits = nn.Linear(FUSED, 2)

        def forward(self, clip: torch.Tensor) -> torch.Tensor:
            images = clip.flatten(0, 1).permute(0, 3, 1, 2) / 255.0  # (B·T, 3, S, S)
            x = self.frames(images)
            x = self.fusion(x.reshape(-1, frames * x.shape[1], *x.shape[2:]))
            mean, peak = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
            x = x + x * torch.sigmoid(self.attention(mean) + self.attention(peak))
            return self.logits(x.mean((2, 3)))

    return Network().eval()


def main() -> int:
    """Answer until the input ends."""
    import torch

    torch.set_num_threads(THREADS)
    judge = network(FRAMES)
    clip = torch.randint(0, 256, (1, FRAMES, SIZE, SIZE, 3), dtype=torch.uint8)

    def run() -> float:
        started = time.process_time()
        with torch.inference_mode():
            judge(clip.float())
        return time.process_time() - started

    answers = {"run": run, "memory": lambda: {"peak_mib": peak_mib()}}
    for line in sys.stdin:
        print(json.dumps(answers[line.strip()]()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
