"""Every rule finds the graph that breaks it, and lets the same graph through when it does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper, parser

from deploy.backends.engine_log import engine_log
from deploy.backends.library import TENSORRT_RTX, capabilities_from
from export.engine.build import parse
from export.engine.operators import TABLES, parser_table
from export.engine.rules import RULES, check, main, require
from export.engine.target import target_for
from keras_ddl.edge.errors import UserError

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'


def model(body: str, opset: int = 17) -> Any:
    head = HEAD.replace("17", str(opset))
    return parser.parse_model(f"{head} {body}")


def broken(proto: Any, version: str = "11.4") -> list[str]:
    """Broken rules for a version, or for TensorRT-RTX, as "rtx" or "rtx 7.5"."""
    library, _, capability = version.partition(" ")
    if library == "rtx":
        asked = capabilities_from(capability) if capability else ()
        target = target_for(None, TENSORRT_RTX, asked)
    else:
        target = target_for(version)
    return [finding.rule for finding in check(proto, target)]


def weighted(body: str, shape: tuple[int, ...]) -> Any:
    """A model with an initializer `w` of ones."""
    proto = model(body)
    proto.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), "w"))
    return proto


def quantized(**changes: Any) -> Any:
    """A quantised 1 × 1 convolution; `changes` break it."""
    values: dict[str, Any] = {
        "scale": np.float32(0.1),
        "zero": np.int8(0),
        "weight_scale": np.full(3, 0.1, np.float32),
        "weight_zero": np.zeros(3, np.int8),
        "axis": 0,
        "opset": 17,
        **changes,
    }
    kind = values["scale"].dtype
    constants = {
        "s": values["scale"],
        "z": values["zero"],
        "ws": values["weight_scale"].astype(kind),
        "wz": values["weight_zero"],
        "w": np.ones((3, 2, 1, 1), kind),
    }
    axis = {"axis": values["axis"]}
    zero = ["z"] if values["zero"] is not None else []
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", *zero], ["xq"], name="q"),
        helper.make_node("DequantizeLinear", ["xq", "s", *zero], ["xd"], name="dq"),
        helper.make_node("QuantizeLinear", ["w", "ws", "wz"], ["wq"], name="wq", **axis),
        helper.make_node("DequantizeLinear", ["wq", "ws", "wz"], ["wd"], name="wd", **axis),
        helper.make_node("Conv", ["xd", "wd"], ["y"], name="conv"),
    ]
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", element, ("b", 2, 4, 4))],
        [helper.make_tensor_value_info("y", element, ("b", 3, 4, 4))],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items() if v is not None],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", values["opset"])], ir_version=9
    )


def top_k(k: int) -> Any:
    return model(
        f"g (float[b, 5000] x) => (float[b, {k}] v, int64[b, {k}] i)"
        f"<int64[1] k = {{{k}}}> {{ v, i = TopK(x, k) }}"
    )


UINT8_FIRST = (
    "g (uint8[b, 4] x) => (float[b, 2, 2] y) <int64[3] s = {-1, 2, 2}>"
    "{ c = Cast<to = 1>(x) y = Reshape(c, s) }"
)
UINT8_LATE = (
    "g (uint8[b, 4] x) => (float[b, 2, 2] y) <int64[3] s = {-1, 2, 2}>"
    "{ c = Reshape(x, s) y = Cast<to = 1>(c) }"
)
RELU = "g (float[b] x) => (float[b] y) { y = Relu(x) }"
TO_DOUBLE = "g (float[b] x) => (double[b] y) { y = Cast<to = 11>(x) }"
MIXED = "g (float[b] x) => (float[b] y) { h = Cast<to = 10>(x) y = Add(x, h) }"
ONE_TYPE = (
    "g (float[b] x) => (float[b] y) { h = Cast<to = 10>(x) f = Cast<to = 1>(h) y = Add(x, f) }"
)
OPEN_WIDTH = "g (float[b, n] x) => (float[b, n] y) { y = Relu(x) }"
NINE_DIMENSIONS = (
    "g (float[b] x) => (float[1,1,1,1,1,1,1,1,b] y) <int64[8] a = {0,1,2,3,4,5,6,7}>"
    "{ y = Unsqueeze(x, a) }"
)
COMPUTED_AXES = (
    "g (float[b, 4] x, int64[1] a) => (float[b, n] y) <int64[1] s = {0}, int64[1] e = {2}>"
    "{ y = Slice(x, s, e, a) }"
)
CONSTANT_AXES = COMPUTED_AXES.replace(", int64[1] a", "").replace("{2}>", "{2}, int64[1] a = {1}>")
COMPUTED_SUM = "g (float[b, 4] x, int64[1] a) => (float[b, n] y) { y = ReduceSum(x, a) }"
CONSTANT_SUM = COMPUTED_SUM.replace(", int64[1] a)", ")").replace("{ y", "<int64[1] a = {1}> { y")
DEFORMED = "DeformConv<kernel_shape = [1, 1]>(x, x, x)"
MATMUL = "g (float[b, 4] x) => (float[b, 3] y) { y = MatMul(x, w) }"
CONV = "g (float[b, 4, 5, 5] x) => (float[b, 2, 5, 5] y) { y = Conv(x, w) }"
CONV_3D = "g (float[b, 4, 5, 5, 5] x) => (float[b, 2, 5, 5, 5] y) { y = Conv(x, w) }"
TWO_SCALES = np.full(2, 0.1, np.float32)
NO_SCALE = np.array([0.1, 0, 0.1], np.float32)
HALF = np.float16(0.1)
ZEROS = np.zeros(2, np.int8)

# rule, a graph that breaks it, one that does not, the version they are judged for
BROKEN = [
    ("opset", model(RELU, 18), model(RELU), "8.6"),
    ("opset", model(RELU, 20), model(RELU, 19), "10.3"),
    ("operator", model(RELU.replace("Relu", "Det")), model(RELU), "11.4"),
    ("operator", model(RELU.replace("Relu", "Gelu"), 20), model(RELU, 20), "10.14"),
    ("operator", model(RELU.replace("Relu(x)", DEFORMED), 19), model(RELU), "rtx"),
    ("constant input", model(COMPUTED_AXES), model(CONSTANT_AXES), "8.6"),
    ("constant input", model(COMPUTED_SUM), model(CONSTANT_SUM), "11.4"),
    ("uint8", model(UINT8_LATE), model(UINT8_FIRST), "10.3"),
    ("float64", model(TO_DOUBLE), model(RELU), "8.6"),
    ("zero point", quantized(zero=np.int8(3)), quantized(), "8.6"),
    ("zero point", quantized(zero=np.uint8(0)), quantized(), "8.6"),
    ("zero point", quantized(zero=None), quantized(), "8.6"),  # ONNX's default is uint8
    ("scale", quantized(scale=np.float32(-0.1)), quantized(), "8.6"),
    ("scale", quantized(weight_scale=NO_SCALE), quantized(), "8.6"),
    ("half scale", quantized(scale=HALF), quantized(scale=HALF, opset=19), "11.4"),
    ("axis", quantized(weight_scale=TWO_SCALES, weight_zero=ZEROS, axis=1), quantized(), "8.6"),
    ("axis", quantized(scale=TWO_SCALES, zero=ZEROS), quantized(), "8.6"),
    ("top k", top_k(3841), top_k(3840), "8.6"),
    ("dynamic shape", model(OPEN_WIDTH), model(RELU), "8.6"),
    ("rank", model(NINE_DIMENSIONS), model(RELU), "8.6"),
    ("types", model(MIXED), model(ONE_TYPE), "10.12"),
    ("turing", weighted(MATMUL, (4, 3)), model(RELU), "rtx 7.5"),
    ("turing", weighted(CONV_3D, (2, 4, 1, 1, 1)), weighted(CONV, (2, 4, 1, 1)), "rtx 7.5"),
]


@pytest.mark.parametrize(
    ("rule", "bad", "good", "version"),
    BROKEN,
    ids=[f"{row[0]}-{i}" for i, row in enumerate(BROKEN)],
)
def test_a_broken_rule_is_found_and_a_kept_one_is_not(rule: str, bad: Any, good: Any, version: str):
    assert rule in broken(bad, version)
    assert rule not in broken(good, version)


def test_every_rule_has_a_graph_that_breaks_it():
    names = {rule.__name__.strip("_").replace("_", " ") for rule in RULES}
    assert names == {row[0] for row in BROKEN}


def test_a_sound_graph_breaks_nothing_anywhere():
    for version in ("8.6.1", "10.3.0", "10.13.3.9", "10.16.1.11", "11.4.0.106"):
        assert broken(quantized(), version) == []


def test_mixed_types_are_tensorrts_own_business_below_strong_typing():
    assert broken(model(MIXED), "10.3") == []


def test_every_finding_names_node_and_source():
    (finding,) = check(quantized(zero=np.int8(3)), target_for("8.6"))[:1]
    assert finding.node == "q"
    assert "Quantized Types" in finding.source
    assert str(finding).startswith("zero point: expected zero points of 0")


def test_a_target_between_two_tables_is_judged_by_the_older():
    assert parser_table((8, 6)).opset == 17
    assert parser_table((10, 14)).opset == 19
    assert parser_table((11, 4)).opset == 24
    assert parser_table((7, 0)) is TABLES[0]


def test_the_refusal_is_one_line_with_exit_code_4():
    with pytest.raises(UserError, match=r"m.onnx is not for TensorRT 8.6: top k: .*3841") as caught:
        require(top_k(3841), target_for("8.6"), "m.onnx")
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)


def test_the_command_says_what_is_broken(tmp_path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "m.onnx"
    path.write_bytes(top_k(3841).SerializeToString())
    assert main([str(path), "--tensorrt", "8.6"]) == 4
    assert "top k: expected K <= 3840" in capsys.readouterr().out
    path.write_bytes(model(RELU).SerializeToString())
    assert main([str(path)]) == 0
    path.write_bytes(b"nothing")
    assert main([str(path)]) == 2
    assert main([str(path), "--tensorrt", "new"]) == 2


def test_numbers_of_onnx_types_are_onnx_own():
    from export.engine import rules

    for name in ("UINT8", "FLOAT16", "DOUBLE", "BFLOAT16"):
        assert getattr(rules, name) == getattr(TensorProto, name)


# What NVIDIA's own parser, or the builder after it, says to the graphs of the table above.

# Refused here and accepted there, by place: docs/tensorrt.md says why.
STRICTER = {
    8: "float64",
    10: "zero point",
    11: "zero point",
    14: "half scale",
    15: "axis",
    16: "axis",
    18: "dynamic shape",
}


def nvidias_refusal(proto: Any, capabilities: tuple[tuple[int, int], ...]) -> str:
    """Why TensorRT-RTX does not parse or build a graph; empty where it does."""
    trt = pytest.importorskip("tensorrt_rtx")
    log = engine_log(trt)
    builder = trt.Builder(log)
    try:
        network, _parser = parse(trt, builder, log, proto.SerializeToString(), True)
    except UserError as error:
        return str(error)
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        sizes = [max(1, size) for size in tensor.shape]
        if tensor.is_shape_tensor:
            profile.set_shape_input(tensor.name, [1], [1], [1])
        else:
            profile.set_shape(tensor.name, sizes, sizes, sizes)
    config.add_optimization_profile(profile)
    config.num_compute_capabilities = len(capabilities)
    for place, (major, minor) in enumerate(capabilities):
        config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{major}{minor}"), place)
    return "" if builder.build_serialized_network(network, config) else log.reason()


@pytest.mark.parametrize(
    "place", range(len(BROKEN)), ids=[f"{r[0]}-{i}" for i, r in enumerate(BROKEN)]
)
def test_what_nvidias_parser_refuses_a_rule_foresees(place: int):
    rule, bad, good, version = BROKEN[place]
    version = version if version.startswith("rtx") else "rtx"
    capabilities = ((7, 5),) if "7.5" in version else ()
    assert nvidias_refusal(good, capabilities) == ""
    ours, theirs = rule in broken(bad, version), bool(nvidias_refusal(bad, capabilities))
    assert (ours, theirs) == ((True, False) if place in STRICTER else (theirs, theirs))
    assert STRICTER.get(place, rule) == rule


def test_the_table_of_operators_is_the_parsers_own():
    trt = pytest.importorskip("tensorrt_rtx")
    log = engine_log(trt)
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    asked = trt.OnnxParser(network, log)
    ours = target_for(None, TENSORRT_RTX).table.operators
    assert [name for name in sorted(ours) if not asked.supports_operator(name)] == []
    assert not asked.supports_operator("DeformConv") and "DeformConv" not in ours
