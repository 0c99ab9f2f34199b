"""MACs counted by hand."""

from __future__ import annotations

from typing import Any

import pytest

onnx = pytest.importorskip("onnx")

from onnx import parser

from export.graph.int8_share import int8_share, main

# 3 × 3, 2 → 4 channels, 8 × 8 → 6 × 6: 6·6·4·(2·3·3) = 2592; depthwise 1 × 3 × 3: 4·4·4·9 = 576;
# matrix (1 × 64)·(64 × 5) = 320.
MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[b, 2, 8, 8] x) => (float[b, 5] y)
<float s = {0.1}, int8 z = {0}, float[4, 2, 3, 3] w, float[4, 1, 3, 3] d, float[64, 5] m,
 int64[2] flat = {-1, 64}>
{
  [xq] xq = QuantizeLinear(x, s, z)
  [xd] xd = DequantizeLinear(xq, s, z)
  [wq] wq = QuantizeLinear(w, s, z)
  [wd] wd = DequantizeLinear(wq, s, z)
  [conv] a = Conv(xd, wd)
  [depthwise] c = Conv <group = 4> (a, d)
  [flat] r = Reshape(c, flat)
  [head] y = MatMul(r, m)
}
"""


@pytest.fixture
def proto() -> Any:
    import numpy as np
    from onnx import numpy_helper

    model = parser.parse_model(MODEL)
    for name, shape in (("w", (4, 2, 3, 3)), ("d", (4, 1, 3, 3)), ("m", (64, 5))):
        model.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), name))
    weights = {tensor.name: tensor for tensor in model.graph.initializer if tensor.ByteSize() > 0}
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights.values())
    return model


def test_macs_are_those_counted_by_hand(proto: Any):
    found = int8_share(proto)
    assert [(node.name, node.macs, node.int8) for node in found.nodes] == [
        ("conv", 2592, True),
        ("depthwise", 576, False),
        ("head", 320, False),
    ]
    assert found.share == pytest.approx(2592 / 3488)


def test_one_quantised_input_is_not_int8(proto: Any):
    next(node for node in proto.graph.node if node.name == "conv").input[1] = "w"
    assert int8_share(proto).share == 0


def test_the_command_lists_the_largest_first(proto: Any, tmp_path, capsys):
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    assert main([str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["int8", "74.3%", "Conv", "conv"]
    assert lines[-1].startswith("int8: 74.3% of 0.0 MMAC a clip (1 of 3 nodes)")
    assert main([str(tmp_path / "absent.onnx")]) == 2
