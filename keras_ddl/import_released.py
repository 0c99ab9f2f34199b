"""Import of the authors' released PyTorch weights.

`python -m keras_ddl.import_released weights.pth --out released.npz` turns a PyTorch file into the
plain mapping from names to arrays that `load_released_weights` takes; nothing in it is ever
unpickled freely.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from keras_ddl.edge.errors import Parser, UserError, run_cli
from keras_ddl.edge.files import atomic_write
from keras_ddl.networks.torch_file import read_tensors
from keras_ddl.networks.torch_weights import Slot, fill, layer_slots

MODEL_NAMES: tuple[tuple[str, str], ...] = (  # Keras layer name → PyTorch module name, first match
    (r"conv([12])", r"conv\1"),
    (r"conv([1234])_bn", r"bn\1"),
    (r"conv([34])_depthwise", r"conv\1.conv1"),
    (r"conv([34])_pointwise", r"conv\1.pointwise"),
    (r"block(\d)_dfdc", r"block\1.neg_sim"),
    (r"block(\d)_msa", r"block\1.hv_att"),
    (r"block(\d)_skip", r"block\1.block.skip"),
    (r"block(\d)_skip_bn", r"block\1.block.skipbn"),
    (r"fusion", "fea_fusion.convblk.0"),
    (r"fusion_bn", "fea_fusion.convblk.1"),
    (r"attention_squeeze", "fea_fusion.ca.sharedMLP.0"),
    (r"attention_excite", "fea_fusion.ca.sharedMLP.2"),
    (r"logits", "fc"),
)
SEPARABLE = re.compile(r"block(\d)_sepconv(\d)_(depthwise|pointwise|bn)")


def load_released_weights(
    layer_or_model: Any, arrays: Mapping[str, np.ndarray], prefix: str = ""
) -> None:
    """Fill a DFDC, an MSA or a whole compact_xception from the authors' tensors.

    Args:
        layer_or_model: A built `DFDC` or `MSA`, or a model of ``build_model("compact_xception",
            …)``.
        arrays: The authors' tensor names → arrays in PyTorch's layout.
        prefix: Put before every name, e.g. ``"block3.neg_sim."`` or ``"module."``; names that do
            not start with it are ignored.

    Raises:
        ValueError: names missing, surplus or of another shape, all listed; nothing is changed then.
            ``num_batches_tracked`` counters are no weights and are ignored.
    """
    slots = list(_slots(layer_or_model))
    fill(slots, arrays, f"{layer_or_model.name}", prefix)


def _slots(target: Any) -> Iterator[Slot]:
    from keras_ddl.framework import keras
    from keras_ddl.layers import DFDC, MSA

    if isinstance(target, (DFDC, MSA)):
        if not target.built:
            raise ValueError(
                f"{target.name} has no weights yet; call it once, or build(shape), first"
            )
        yield from layer_slots(target, "")
        return
    if not isinstance(target, keras.Model):
        raise ValueError(f"expected a DFDC, an MSA or a model; got {type(target).__name__}")
    for layer in target.layers:
        if layer.weights:
            yield from layer_slots(layer, f"{_torch_module(layer.name)}.")


def _torch_module(name: str) -> str:
    separable = SEPARABLE.fullmatch(name)
    if separable:
        block, number, part = separable.groups()
        at = 3 * (
            int(number) - 1
        )  # each separable convolution is followed by batch norm and ReLU: 3 places
        suffix = {"depthwise": f"{at}.conv1", "pointwise": f"{at}.pointwise", "bn": f"{at + 1}"}[
            part
        ]
        return f"block{block}.block.rep.{suffix}"
    for pattern, replacement in MODEL_NAMES:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, replacement, name)
    raise ValueError(
        f"layer {name} has no counterpart in the released network; "
        'expected a model of build_model("compact_xception")'
    )


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Names → arrays of a ``.npz`` or of PyTorch's ``.pth`` or ``.pt``, for which it is not needed.

    Raises:
        UserError: no such file, or another format.
    """
    if not path.is_file():
        raise UserError(f"no weights file {path}; expected an existing .npz, .pth or .pt")
    if path.suffix == ".npz":
        return _read_npz(path)
    if path.suffix not in (".pth", ".pt"):
        raise UserError(f"{path} is none of .npz, .pth, .pt; convert it with one of those names")
    return read_tensors(path)


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, OSError, EOFError, TypeError, AttributeError, BadZipFile) as error:
        # ValueError: pickled objects; TypeError or AttributeError: a single .npy under this name
        raise UserError(
            f"{path} is no .npz of plain arrays: {str(error).splitlines()[0]}; "
            "write one with numpy.savez"
        ) from error


def main(argv: Sequence[str] | None = None) -> int:
    """Check released weights against compact_xception and write them as one plain .npz."""
    parser = Parser(prog="python -m keras_ddl.import_released", description=main.__doc__)
    parser.add_argument("weights", type=Path, help=".npz, .pth or .pt")
    parser.add_argument("--out", type=Path, required=True, help="the .npz to write")
    parser.add_argument("--prefix", default="", help="what stands before every name, e.g. module.")
    parser.add_argument(
        "--no-check", action="store_true", help="do not compare with compact_xception"
    )
    arguments = parser.parse_args(argv)

    def body() -> int:
        arrays = read_arrays(arguments.weights)
        if not arguments.no_check:
            from keras_ddl.networks.model import build_model

            try:
                model = build_model("compact_xception", size=64, keep="released")
                load_released_weights(model, arrays, arguments.prefix)
            except ValueError as error:
                raise UserError(str(error)) from error
        prefix = arguments.prefix
        named = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(arguments.out) as partial, partial.open("wb") as file:
            np.savez(file, **named)  # type: ignore[arg-type]
        print(f"{len(named)} tensors written to {arguments.out}")
        return 0

    return run_cli(body)


if __name__ == "__main__":
    raise SystemExit(main())
