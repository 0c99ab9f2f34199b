"""Small graphs and clips, and the few networks whose slow conversions all tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# A convolution with its batch norm, a residual add, and DFDC in small: a projection, scores
# normalised by 1e-12, TopK, min-max; the kept frames' means go into a sigmoid.
SMALL = """
<ir_version: 8, opset_import: ["" : 17]>
small (uint8[b, 4, 6, 6] clip) => (float[b] score, float[b, 2] map)
<int64[4] shape = {-1, 4, 6, 6}, float scale = {0.00392157}, float eps = {1e-12},
 int64[1] channel = {1}, int64[2] pixels = {2, 3}, int64[1] k = {2}, int64[1] all = {1}>
{
  [reshape] raw = Reshape(clip, shape)
  [cast] whole = Cast<to = 1>(raw)
  [scale] x = Mul(whole, scale)
  [conv] a = Conv<pads = [1, 1, 1, 1]>(x, w)
  [norm] n = BatchNormalization<epsilon = 0.001>(a, gamma, beta, mean, variance)
  [relu] r = Relu(n)
  [second] c = Conv(r, w2, b2)
  [add] s = Add(r, c)
  [project] q = Conv(s, wq)
  [square] q2 = Mul(q, q)
  [sum] norm2 = ReduceSum<keepdims = 1>(q2, channel)
  [floor] safe = Max(norm2, eps)
  [root] length = Sqrt(safe)
  [unit] u = Div(q, length)
  [variance] v = ReduceMean<axes = [2, 3], keepdims = 0>(u)
  [top] values, places = TopK(v, k)
  [least] low = ReduceMin<axes = [1], keepdims = 1>(values)
  [map] map = Sub(values, low)
  [pool] p = GlobalAveragePool(s)
  [flat] f = Flatten(p)
  [head] h = MatMul(f, wh)
  [squeeze] z = Squeeze(h, all)
  [sigmoid] score = Sigmoid(z)
}
"""


def small_model(seed: int = 0, opset: int = 17) -> Any:
    onnx = pytest.importorskip("onnx")
    from onnx import numpy_helper, version_converter

    random = np.random.default_rng(seed)
    model = onnx.parser.parse_model(SMALL)
    shapes = {
        "w": (4, 4, 3, 3),
        "gamma": (4,),
        "beta": (4,),
        "mean": (4,),
        "variance": (4,),
        "w2": (4, 4, 1, 1),
        "b2": (4,),
        "wq": (4, 4, 1, 1),
        "wh": (4, 1),
    }
    for name, shape in shapes.items():
        values = random.standard_normal(shape).astype(np.float32)
        values = 0.5 + np.abs(values) if name == "variance" else values
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    onnx.checker.check_model(model, full_check=True)
    return model if opset == 17 else version_converter.convert_version(model, opset)


@pytest.fixture
def small() -> Any:
    """The small graph; 4 frames of 6 × 6 pixels in, a score and a map out."""
    return small_model()


@pytest.fixture
def small_19() -> Any:
    """The same in opset 19."""
    return small_model(opset=19)


@pytest.fixture
def small_clips() -> np.ndarray:
    """Clips for the small graph."""
    return np.random.default_rng(1).integers(0, 256, (5, 4, 6, 6), np.uint8)


@pytest.fixture(scope="session")
def run_onnx() -> Any:
    """Runs a model on clips with ONNX Runtime: a dictionary of outputs."""
    ort = pytest.importorskip("onnxruntime")

    def run(model: Any, clips: np.ndarray) -> dict[str, np.ndarray]:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        session = ort.InferenceSession(model.SerializeToString(), options)
        names = [value.name for value in session.get_outputs()]
        feed = {session.get_inputs()[0].name: clips}
        return dict(zip(names, session.run(names, feed), strict=True))

    return run


TINY = """
<ir_version: 8, opset_import: ["" : 17]>
tiny (uint8[batch, 4, 32, 32, 3] clip)
  => (float[batch] fake_probability, float[batch, 4, 4, 4] inconsistency_map)
<int64[4] frames = {-1, 32, 32, 3}, float scale = {0.00392157}, int64[4] back = {-1, 4, 4, 4},
 int64[2] rows = {-1, 4}, int64[1] one = {1}, int64[1] k = {4}, int64[2] flat = {-1, 64}>
{
  [reshape] raw = Reshape(clip, frames)
  [cast] whole = Cast<to = 1>(raw)
  [scale] x = Mul(whole, scale)
  [turn] c = Transpose<perm = [0, 3, 1, 2]>(x)
  [conv] a = Conv<strides = [8, 8]>(c, w)
  [relu] r = Relu(a)
  [heat] q = Conv(r, wq)
  [shape] m = Reshape(q, back)
  [list] l = Reshape(m, flat)
  [top] values, places = TopK(l, k)
  [least] low = ReduceMin<axes = [1], keepdims = 1>(values)
  [low] b = Unsqueeze(low, axes)
  [map] inconsistency_map = Sub(m, b)
  [pool] p = GlobalAveragePool(r)
  [line] f = Flatten(p)
  [head] h = MatMul(f, wh)
  [clips] hc = Reshape(h, rows)
  [mean] hm = ReduceMean<axes = [1], keepdims = 0>(hc)
  [sigmoid] fake_probability = Sigmoid(hm)
}
"""


@pytest.fixture(scope="session")
def tiny_model() -> Any:
    """A graph with a bundle's interface: 4 frames of 32 × 32 pixels, DFDC and head in small."""
    onnx = pytest.importorskip("onnx")
    random = np.random.default_rng(0)
    model = onnx.parser.parse_model(TINY)
    constants = {"w": (4, 3, 8, 8), "wq": (1, 4, 1, 1), "wh": (4, 1)}
    for name, shape in constants.items():
        values = random.standard_normal(shape).astype(np.float32) / 4
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    axes = onnx.numpy_helper.from_array(np.array([2, 3]), "axes")
    model.graph.initializer.append(axes)
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture
def tiny_bundle(tiny_model: Any, tmp_path: Any) -> Any:
    """A bundle around the tiny graph."""
    import onnx

    from keras_ddl.edge.bundle import write_sums
    from keras_ddl.edge.clipspec import ClipSpec

    folder = tmp_path / "bundle"
    folder.mkdir()
    spec = ClipSpec(frames=4, size=32)
    model = onnx.ModelProto()
    model.CopyFrom(tiny_model)
    onnx.helper.set_model_props(model, {"clipspec": spec.to_json()})
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    spec.write(folder / "clipspec.json")
    write_sums(folder)
    return folder


@pytest.fixture
def tiny_clips(tmp_path: Any) -> Any:
    """An `.npz` file of clips for the tiny bundle."""
    path = tmp_path / "clips.npz"
    np.savez(path, clips=np.random.default_rng(2).integers(0, 256, (6, 4, 32, 32, 3), np.uint8))
    return path


STAGES = ("block2", "block4", "block7")  # that get modules; all seven take twice the time


def exported(model: Any, name: str, made_once: Callable[..., Path]) -> Any:
    pytest.importorskip("tf2onnx")
    import onnx

    from export.to_onnx import onnx_from_keras

    return onnx.load(made_once(name, lambda path: onnx.save(onnx_from_keras(model), path)))


def compact(randomise: Callable[..., None], modules: tuple[str, ...], **shape: Any) -> Any:
    pytest.importorskip("tensorflow")
    from keras_ddl import build_model

    model = build_model("compact_xception", modules, **shape)
    randomise(model)
    return model


@pytest.fixture(scope="session")
def whole_network(randomise: Callable[..., None]) -> Any:
    """Compact Xception with both modules at three stages: 8 frames of 64 × 64 pixels."""
    return compact(randomise, ("dfdc", "msa"), size=64, width=0.25, stages=STAGES)


@pytest.fixture(scope="session")
def whole_graph(whole_network: Any, made_once: Callable[..., Path]) -> Any:
    """Its export."""
    return exported(whole_network, "whole.onnx", made_once)


@pytest.fixture(scope="session")
def msa_network(randomise: Callable[..., None]) -> Any:
    """The smallest with MSA, 4 frames of 32 × 32; DFDC would have one channel at this width."""
    return compact(randomise, ("msa",), frames=4, size=32, width=0.125, stages=STAGES)


@pytest.fixture(scope="session")
def msa_graph(msa_network: Any, made_once: Callable[..., Path]) -> Any:
    """Its export."""
    return exported(msa_network, "msa.onnx", made_once)


@pytest.fixture(scope="session")
def int8_network(msa_network: Any) -> Any:
    """The same, quantised, every range ± 4."""
    from keras_ddl.quantization.quantise import quant_points, quantised

    model = quantised(msa_network)
    for point in quant_points(model).values():
        point.amax = 4.0
    return model


@pytest.fixture(scope="session")
def int8_graph(int8_network: Any, made_once: Callable[..., Path]) -> Any:
    """Its export."""
    return exported(int8_network, "int8.onnx", made_once)
