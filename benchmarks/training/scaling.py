"""Predicted scaling of a step, from bytes and operations: `python -m benchmarks.training.scaling`.

A prediction, not a measurement; docs/efficiency.md says what it assumes. A ring all-reduce over n
devices sends and receives 2 (n − 1) / n of the gradients' bytes on every link; it runs beside the
backward pass, of which it can hide in a part. The input keeps up or is what is waited for.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from keras_ddl.edge.errors import Parser, run_cli

BACKWARD = 2  # times the forward pass' operations
GPUS = 8  # of a host
FLOPS = 156e12  # A100 SXM, TF32 (datasheet)
LINKS = {  # bytes per second, one way, of the slowest link between devices
    "NVLink": 300e9,  # A100 SXM: 600 GB/s both ways together (datasheet)
    "200 Gb/s InfiniBand": 25e9,  # one adapter for each GPU, as in a DGX A100 (datasheet)
    "25 Gb/s Ethernet": 3.125e9,  # one adapter for each host
}


@dataclass(frozen=True)
class Step:
    """A data-parallel training step.

    Args:
        compute: Seconds of forward and backward pass.
        all_reduce: Seconds in which the gradients travel.
        exposed: Seconds of them that nothing hides.
        input: Seconds in which a host decodes the clips of its devices.
        seconds: From step to step.
        efficiency: A device's clips per second over those of one device alone, 0 to 1.
    """

    compute: float
    all_reduce: float
    exposed: float
    input: float
    seconds: float
    efficiency: float


def ring_all_reduce(size: float, devices: int, bandwidth: float) -> float:
    """Seconds of a ring all-reduce.

    Args:
        size: Bytes that every device contributes.
        devices: In the ring.
        bandwidth: Bytes per second of its slowest link, one way.
    """
    return 2 * (devices - 1) / devices * size / bandwidth


def compute_seconds(gmac: float, clips: int, flops: float, utilisation: float) -> float:
    """Seconds of forward and backward pass on one device.

    Args:
        gmac: 10⁹ multiply-accumulates of a clip's forward pass (`keras_ddl.networks.cost`).
        clips: On this device, per step.
        flops: The device's operations per second at best; a multiply-accumulate is two.
        utilisation: Share of them reached, 0 to 1.
    """
    return 2e9 * gmac * (1 + BACKWARD) * clips / (flops * utilisation)


def predicted_step(
    compute: float,
    size: float,
    ring: tuple[int, float],
    *,
    overlap: float = 0.0,
    host: tuple[int, float] = (0, 1.0),
) -> Step:
    """Predict a step of n devices from that of one.

    Args:
        compute: Seconds of one device's forward and backward pass.
        size: Bytes of the gradients.
        ring: Devices and bytes per second of the slowest link between them, one way.
        overlap: Share of the backward pass that the all-reduce can hide in, 0 to 1.
        host: Clips that a host's devices take per step, and those it decodes per second.
    """
    travel = ring_all_reduce(size, *ring)
    backward = compute * BACKWARD / (1 + BACKWARD)
    exposed = max(0.0, travel - overlap * backward)
    decoding = host[0] / host[1]
    seconds = max(compute + exposed, decoding)
    return Step(compute, travel, exposed, decoding, seconds, compute / seconds)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m benchmarks.training.scaling",
        description="Predict training on 8 GPUs of a host and on 8 such hosts.",
    )
    add = parser.add_argument
    add("--gmac", type=float, default=27.2, help="of a clip's forward pass (default 27.2)")
    add("--parameters", type=float, default=10.6e6, help="trainable numbers (default 10.6e6)")
    add("--clips", type=int, default=32, help="per GPU and step (default 32)")
    add("--flops", type=float, default=FLOPS, help="of a GPU per second (default A100, TF32)")
    add("--utilisation", type=float, default=0.2, help="share of them reached (default 0.2)")
    add("--overlap", type=float, default=0.0, help="of the backward pass (default 0, the worst)")
    add("--decode", type=float, default=50.0, help="clips/s of a host's thread (default 50)")
    add("--threads", type=int, default=64, help="of a host, for decoding (default 64)")
    args = parser.parse_args(argv)
    return run_cli(lambda: _print_table(args))


def _print_table(args: argparse.Namespace) -> int:
    compute = compute_seconds(args.gmac, args.clips, args.flops, args.utilisation)
    print("predicted, not measured")
    print(
        f"{'GPUs':>5}  {'slowest link':<20}{'compute':>9}{'all-reduce':>11}{'input':>8}"
        f"{'ms/step':>9}{'clips/s':>9}{'efficiency':>12}"
    )
    for hosts, link in ((1, "NVLink"), (8, "200 Gb/s InfiniBand"), (8, "25 Gb/s Ethernet")):
        devices = GPUS * hosts
        step = predicted_step(
            compute,
            4 * args.parameters,
            (devices, LINKS[link]),
            overlap=args.overlap,
            host=(GPUS * args.clips, args.decode * args.threads),
        )
        times = [1e3 * value for value in (step.compute, step.all_reduce, step.input, step.seconds)]
        print(
            f"{devices:>5}  {link:<20}{times[0]:>9.1f}{times[1]:>11.2f}{times[2]:>8.1f}"
            f"{times[3]:>9.1f}{devices * args.clips / step.seconds:>9.0f}"
            f"{step.efficiency:>12.1%}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
