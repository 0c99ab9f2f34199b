"""Graphs whose constants unfold into memory are refused before a runtime is given them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper

from deploy.backends import open_backend
from deploy.backends.constant_folding import look_at_graph
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.onnx_file import read_graph

HUGE = 1 << 40
FLOAT = TensorProto.FLOAT


def constant(name: str, values: object, dtype: type = np.int64) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, dtype), name)


def node(kind: str, inputs: list[str], output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], name=f"{kind}_{output}", **attributes)


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: list[onnx.TensorProto],
    **fields: object,
) -> Path:
    """A model that adds `grown` to its input."""
    clip = helper.make_tensor_value_info("clip", FLOAT, ("batch", 1))
    out = helper.make_tensor_value_info("out", FLOAT, None)
    nodes = [*nodes, node("Add", ["clip", "grown"], "out")]
    graph = helper.make_graph(nodes, "g", [clip], [out], constants, **fields)
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def doubled(times: int) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    names = ["one", *(f"d{n}" for n in range(times - 1)), "grown"]
    pairs = pairwise(names)
    nodes = [node("Concat", [before, before], after, axis=0) for before, after in pairs]
    return nodes, [constant("one", np.ones(SMALL), np.float32)]


SMALL = 4096
one = constant("one", [1.0], np.float32)
many = constant("many", [HUGE])
parts = [constant("p", [1 << 20]), constant("q", [1 << 20])]
expand = node("Expand", ["one", "size"], "grown")
sparse = helper.make_sparse_tensor(
    constant("grown", [1.0], np.float32), constant("where", [3]), [HUGE]
)
inner = helper.make_graph(
    [node("Expand", ["one", "many"], "in_branch")],
    "branch",
    [],
    [helper.make_tensor_value_info("in_branch", FLOAT, None)],
)
GROWING = {
    "ConstantOfShape": ([node("ConstantOfShape", ["many"], "grown")], [many]),
    "Expand": ([node("Expand", ["one", "many"], "grown")], [one, many]),
    "Tile": ([node("Tile", ["one", "many"], "grown")], [one, many]),
    "Tile of the clip": (
        [node("Tile", ["clip", "twice"], "grown")],
        [constant("twice", [1, HUGE])],
    ),
    "Range": (
        [node("Range", ["zero", "end", "step"], "grown")],
        [constant(*each, np.float32) for each in (("zero", 0.0), ("end", 1e12), ("step", 1.0))],
    ),
    "Resize": (
        [node("Resize", ["flat", "", "scales"], "grown", mode="nearest")],
        [constant("flat", [[1.0]], np.float32), constant("scales", [1, 1e12], np.float32)],
    ),
    "Pad": ([node("Pad", ["one", "pads"], "grown")], [one, constant("pads", [0, HUGE])]),
    "OneHot": (
        [node("OneHot", ["which", "depth", "both"], "grown")],
        [constant("which", [1]), constant("depth", HUGE), constant("both", [0, 1], np.float32)],
    ),
    "RandomNormal": ([node("RandomNormal", [], "grown", shape=[HUGE])], []),
    "a product of sizes": (
        [node("Mul", ["p", "q"], "size"), node("ConstantOfShape", ["size"], "grown")],
        parts,
    ),
    "sizes put together": (
        [node("Concat", ["p", "q"], "size", axis=0), expand],
        [one, *parts],
    ),
    "a size in a node": (
        [helper.make_node("Constant", [], ["size"], value_ints=[HUGE]), expand],
        [one],
    ),
    "a size that nothing here can compute": (
        [node("Pow", ["p", "q"], "size"), node("ConstantOfShape", ["size"], "grown")],
        parts,
    ),
    "doubled thirty times": doubled(30),
    "a column and a row": (
        [node("Mul", ["column", "row"], "grown")],
        [
            constant("column", np.ones((50_000, 1)), np.float32),
            constant("row", np.ones((1, 50_000)), np.float32),
        ],
    ),
    "in a branch": (
        [
            node("Cast", ["clip"], "asked", to=TensorProto.BOOL),
            node("If", ["asked"], "grown", then_branch=inner, else_branch=inner),
        ],
        [one, many],
    ),
    "an operator that nobody knows": ([node("Einsum", ["one"], "grown", equation="i->ii")], [one]),
}


@pytest.mark.parametrize("which", GROWING)
def test_a_graph_that_unfolds_is_refused_in_one_line(tmp_path: Path, which: str) -> None:
    path = save(tmp_path / "model.onnx", *GROWING[which])
    assert path.stat().st_size < 500_000
    with pytest.raises(UserError, match="expected a model, refused") as caught:
        open_backend(path)
    assert caught.value.exit_code == 4 and "\n" not in str(caught.value)


def test_a_sparse_constant_counts_as_what_it_unfolds_to(tmp_path: Path) -> None:
    path = save(tmp_path / "model.onnx", [], [], sparse_initializer=[sparse])
    with pytest.raises(UserError, match="a sparse initializer unfolds to 1,099,511,627,776"):
        open_backend(path)


def test_a_function_whose_sizes_cannot_be_told_is_refused(tmp_path: Path) -> None:
    path = save(
        tmp_path / "model.onnx", [helper.make_node("Grow", ["many"], ["grown"], domain="f")], [many]
    )
    model = onnx.load(path)
    opset = [helper.make_opsetid("", 18)]
    body = [node("ConstantOfShape", ["n"], "grown")]
    model.functions.append(helper.make_function("f", "Grow", ["n"], ["grown"], body, opset))
    model.opset_import.append(helper.make_opsetid("f", 1))
    onnx.save(model, path)
    with pytest.raises(UserError, match="refused"):
        open_backend(path)


def test_order_in_the_file_hides_nothing(tmp_path: Path) -> None:
    nodes, constants = GROWING["a product of sizes"]
    with pytest.raises(UserError, match="ConstantOfShape_grown' unfolds to"):
        look_at_graph(save(tmp_path / "model.onnx", nodes[::-1], constants))


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        # 64 MiB of float32: large, and what a model may have
        ([node("ConstantOfShape", ["size"], "grown")], [constant("size", [1 << 24])]),
        (doubled(8)),
        # a size that depends on the clip is the run's
        (
            [
                node("Shape", ["clip"], "size"),
                node("ConstantOfShape", ["size"], "grown"),
            ],
            [],
        ),
    ],
)
def test_what_stays_within_reason_runs(
    tmp_path: Path, nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto]
) -> None:
    path = save(tmp_path / "model.onnx", nodes, constants)
    with open_backend(path) as backend:
        assert [spec.name for spec in backend.inputs] == ["clip"]


def test_every_constant_is_read_as_onnx_reads_it(
    tmp_path: Path, make_model: Callable[..., None]
) -> None:
    from keras_ddl.edge.clipspec import ClipSpec

    make_model(tmp_path / "model.onnx", ClipSpec(size=64), metadata=None)
    ours, theirs = read_graph(tmp_path / "model.onnx"), onnx.load(tmp_path / "model.onnx")
    for mine, yours in zip(ours.model.graph.initializer, theirs.graph.initializer, strict=True):
        assert (mine.name, list(mine.dims), mine.raw_data) == (
            yours.name,
            list(yours.dims),
            yours.raw_data,
        )
    kinds = [each.op_type for each in theirs.graph.node]
    assert [each.op_type for each in ours.model.graph.node] == kinds
    assert ours.external == frozenset()


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x08\x07", b"\x3a\xff\xff\xff\xff\x0f"])
def test_what_is_no_model_is_one_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(data)
    with pytest.raises(UserError, match="expected an ONNX model, cannot load") as caught:
        open_backend(tmp_path / "model.onnx")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("place", ["../weights.bin", "/etc/hostname", ""])
def test_weights_are_read_from_beside_the_graph_alone(tmp_path: Path, place: str) -> None:
    tensor = TensorProto(name="grown", data_type=FLOAT, dims=[1], data_location=1)
    tensor.external_data.add(key="location", value=place)
    with pytest.raises(UserError, match="expected weights beside"):
        look_at_graph(save(tmp_path / "model.onnx", [], [tensor]))
