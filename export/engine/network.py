"""Types in a parsed network: what each layer computes in, before there is an engine or a GPU.

Of a strongly typed network alone: in any other the builder chooses.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# Layers with weights that become int8 where all they read comes from Q/DQ.
_MULTIPLIES = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY")
_CONVERSIONS = ("CAST", "QUANTIZE", "DEQUANTIZE")


@dataclass(frozen=True)
class NetworkLayer:
    """A layer as the parser made it, before the builder fuses any.

    Attributes:
        name: Made of the ONNX node's name.
        kind: TensorRT's layer type.
        precision: "int8", "fp16" or "fp32" of what computes; "constant", "conversion" (casts and
            Q/DQ), "other" (sizes, indices, truth values).
        reads, makes: Names of its tensors.
    """

    name: str
    kind: str
    precision: str
    reads: tuple[str, ...]
    makes: tuple[str, ...]


@dataclass(frozen=True)
class Island:
    """Layers that compute in float32 in a network of a narrower type, each reading another's."""

    layers: int
    first: str
    last: str
    kinds: dict[str, int]


def network_layers(network: Any) -> list[NetworkLayer]:
    """Read the layers of a parsed, strongly typed `INetworkDefinition`, in its order."""
    found: list[NetworkLayer] = []
    dequantised: set[str] = set()
    for i in range(network.num_layers):
        layer = network.get_layer(i)
        places = [layer.get_input(k) for k in range(layer.num_inputs)]
        inputs = [tensor for tensor in places if tensor is not None]
        outputs = [layer.get_output(k) for k in range(layer.num_outputs)]
        kind, reads = str(layer.type.name), tuple(str(tensor.name) for tensor in inputs)
        makes = tuple(str(tensor.name) for tensor in outputs)
        if kind == "DEQUANTIZE":
            dequantised.update(makes)
        precision = _precision(kind, inputs or outputs)
        if kind in _MULTIPLIES and reads and dequantised.issuperset(reads[:2]):
            precision = "int8"
        found.append(NetworkLayer(str(layer.name), kind, precision, reads, makes))
    return found


def _precision(kind: str, tensors: Sequence[Any]) -> str:
    if kind == "CONSTANT":
        return "constant"
    if kind in _CONVERSIONS:
        return "conversion"
    if kind == "SHAPE":  # reads no values
        return "other"
    types = {str(tensor.dtype.name) for tensor in tensors}
    return "fp32" if "FLOAT" in types else "fp16" if "HALF" in types else "other"


def islands(layers: Sequence[NetworkLayer]) -> list[Island]:
    """The groups of float32 layers that hang together, in a network that also has narrower ones."""
    if not any(row.precision in ("fp16", "int8") for row in layers):
        return []
    group: dict[str, int] = {}  # tensor → group
    members: dict[int, list[NetworkLayer]] = defaultdict(list)
    for row in layers:
        if row.precision != "fp32":
            continue
        touched = sorted({group[name] for name in row.reads if name in group})
        number = touched[0] if touched else len(group) + 1
        for other in touched[1:]:
            members[number] += members.pop(other)
            group.update({name: number for name, old in group.items() if old == other})
        members[number].append(row)
        group.update(dict.fromkeys(row.makes, number))
    return [
        Island(len(of), of[0].name, of[-1].name, dict(Counter(row.kind for row in of)))
        for of in members.values()
    ]


def network_report(layers: Sequence[NetworkLayer], parser: str) -> dict[str, Any]:
    """What a build plan says of a parsed network.

    Args:
        layers: Of the network.
        parser: Name and version of the library that parsed it.
    """
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for row in layers:
        kinds[row.precision][row.kind] += 1
    return {
        "parser": parser,
        "layers": len(layers),
        "precisions": {name: sum(kinds[name].values()) for name in sorted(kinds)},
        "kinds": {name: dict(kinds[name].most_common()) for name in sorted(kinds)},
        "float32_islands": [vars(island) for island in islands(layers)],
    }


def network_summary(report: dict[str, Any]) -> str:
    """A network's report in one line."""
    counts = dict(report["precisions"])
    words = [f"{counts.pop(name)} {name}" for name in ("int8", "fp16", "fp32") if name in counts]
    if report["float32_islands"]:
        count = len(report["float32_islands"])
        words[-1] += f" in {count} island{'s' if count > 1 else ''}"
    names = {"other": "sizes and indices", "constant": "constants", "conversion": "casts and Q/DQ"}
    words += [f"{counts[name]} {text}" for name, text in names.items() if name in counts]
    return f"{report['layers']} layers parsed by {report['parser']}: {', '.join(words)}"
