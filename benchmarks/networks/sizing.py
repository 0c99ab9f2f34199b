"""Estimated speed of devices, from operations and bytes: `python -m benchmarks.networks.sizing`.

An estimate, not a measurement; docs/sizing.md says what it assumes. A clip takes as long as the
slower of two: its operations at the share of the peak that ResNet-50 reached on the device in
MLPerf, or its bytes at the memory's full bandwidth (the roofline).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from keras_ddl.edge.errors import USAGE, Parser, UserError, run_cli

BYTES = {"fp16": 2, "int8": 1}  # of a number
ACTIVATIONS = 335e6  # numbers that the layers of compact Xception with both modules write per clip
RESNET50_GMAC = 3.86  # of an image, 224 px
FLOAT_SHARE = 0.035  # of the MACs stay float16 in int8: DFDC's projections (docs/tensorrt.md)


@dataclass(frozen=True)
class MlperfResult:
    """A published result of MLPerf Inference: ResNet-50, int8, offline.

    Attributes:
        images: Per second.
        int8: Operations per second, dense, of all that worked on it: on an Orin its DLAs too.
        device: Whose result it is.
    """

    images: float
    int8: float
    device: str

    @property
    def utilisation(self) -> float:
        """The share of the peak that was reached."""
        return self.images * 2e9 * RESNET50_GMAC / self.int8


@dataclass(frozen=True)
class Device:
    """A device as its data sheet has it, dense: without the doubling for sparse weights.

    Attributes:
        fp16: Operations per second of its tensor cores, float16; a multiply-accumulate is two.
        int8: The same in int8.
        bandwidth: Of its memory, bytes per second.
        mlperf: Its own result, or that of its nearest sibling.
    """

    fp16: float
    int8: float
    bandwidth: float
    mlperf: MlperfResult


ORIN_NX = MlperfResult(2641, 50e12, "Orin NX")
AGX_ORIN = MlperfResult(6424, 137.5e12, "AGX Orin")
T4 = MlperfResult(6036, 130e12, "T4")
A100 = MlperfResult(31064, 624e12, "A100")
H100 = MlperfResult(88526, 1979e12, "H100")
DEVICES = {
    "Orin Nano 8GB": Device(10e12, 20e12, 68e9, ORIN_NX),  # has no result of its own
    "Orin NX 16GB": Device(15e12, 30e12, 102.4e9, ORIN_NX),
    "AGX Orin 64GB": Device(42.5e12, 85e12, 204.8e9, AGX_ORIN),
    "T4": Device(65e12, 130e12, 320e9, T4),
    "A100 80GB SXM": Device(312e12, 624e12, 2039e9, A100),
    "H100 80GB SXM": Device(989e12, 1979e12, 3350e9, H100),
}


@dataclass(frozen=True)
class Work:
    """Operations and bytes that a clip asks for.

    Attributes:
        gmac: 10⁹ multiply-accumulates (`keras_ddl.networks.cost`).
        activations: Numbers written, and as many read, by the layers of one clip.
        weights: Numbers of the network, read once for each batch.
    """

    gmac: float
    activations: float
    weights: float


@dataclass(frozen=True)
class Estimate:
    """Estimated seconds of one clip.

    Attributes:
        compute: At the operations.
        memory: At the bytes.
    """

    compute: float
    memory: float

    @property
    def clips(self) -> float:
        """Clips per second: the slower of the two decides."""
        return 1 / max(self.compute, self.memory)

    @property
    def bound(self) -> str:
        """Which of the two that is."""
        return "compute" if self.compute >= self.memory else "memory"


def estimate(
    work: Work, device: Device, precision: str, utilisation: float, batch: int = 1
) -> Estimate:
    """The roofline of one clip.

    Args:
        work: What it asks for.
        device: What there is.
        precision: "fp16" or "int8"; in int8 `FLOAT_SHARE` of the operations stay float16.
        utilisation: Share of the operations' peak that is reached, in (0, 1].
        batch: Clips that share one reading of the weights, >= 1.

    Raises:
        UserError: the utilisation or the batch is out of range.
    """
    if not 0 < utilisation <= 1 or batch < 1:
        raise UserError(
            f"expected a utilisation in (0, 1] and a batch >= 1, received {utilisation} and "
            f"{batch}",
            USAGE,
        )
    operations = 2e9 * work.gmac
    seconds = operations / device.fp16
    if precision == "int8":
        seconds = operations * (FLOAT_SHARE / device.fp16 + (1 - FLOAT_SHARE) / device.int8)
    moved = BYTES[precision] * (2 * work.activations + work.weights / batch)
    return Estimate(seconds / utilisation, moved / device.bandwidth)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m benchmarks.networks.sizing", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("--gmac", type=float, default=27.2, help="of a clip (default 27.2)")
    add("--activations", type=float, default=ACTIVATIONS, help="numbers the layers write per clip")
    add("--weights", type=float, default=10.6e6, help="numbers of the network (default 10.6e6)")
    add("--utilisation", type=float, help="share of peak reached (default: MLPerf's ResNet-50)")
    add("--batch", type=int, default=1, help="clips at a time (default 1)")
    add("--every", type=float, default=0.5, help="seconds between a face's verdicts (default 0.5)")
    return run_cli(lambda: _print_table(parser.parse_args(argv)))


def _print_table(args: argparse.Namespace) -> int:
    work = Work(args.gmac, args.activations, args.weights)
    print("~ estimates, not measured")
    heads = "".join(f"{head:>11}" for head in ("compute ms", "memory ms", "clips/s", "faces"))
    print(f"{'device':<15}{'':>6}{'of peak':>9}{heads}  {'bound by':<9} share of peak from")
    for name, device in DEVICES.items():
        given = args.utilisation
        share = device.mlperf.utilisation if given is None else given
        source = f"ResNet-50 on {device.mlperf.device}" if given is None else "--utilisation"
        for precision in BYTES:
            found = estimate(work, device, precision, share, args.batch)
            numbers = (
                f"{1e3 * found.compute:.2f}",
                f"{1e3 * found.memory:.2f}",
                f"{found.clips:.0f}",
                f"{int(found.clips * args.every)}",
            )
            marked = "".join(f"{'~' + number:>11}" for number in numbers)
            print(f"{name:<15}{precision:>6}{share:>9.0%}{marked}  {found.bound:<9} {source}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
