"""Every layer of the package against the contract in conftest.py."""

from __future__ import annotations

import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl import layers

DFDC_WEIGHTS = 1 + 2 * 12 * 4 + 12 * 12  # γ, query and key 12 → 4, value 12 → 12
# γ; per direction 3 scales × (3 taps of 12, 12 → 6, norm of 6), then 6 → 12 with bias and its norm
MSA_WEIGHTS = 1 + 2 * (3 * (3 * 12 + 12 * 6 + 2 * 6) + 6 * 12 + 12 + 2 * 12)
MSA_STATISTICS = 2 * (3 * 2 * 6 + 2 * 12)

CASES = {  # layer → non-default arguments, input shape, what is expected
    "DFDC": (
        {"frames": 4, "keep": 3, "reduction": 3},
        (8, 5, 7, 12),
        {"trainable": DFDC_WEIGHTS},
    ),
    "MSA": (
        {"frames": 4, "reduction": 2},
        (8, 5, 7, 12),
        {"trainable": MSA_WEIGHTS, "frozen": MSA_STATISTICS},
    ),
    "ClipToFrames": (
        {"scale": 0.5, "offset": -1.0},
        (2, 4, 6, 5, 3),
        {"output": (8, 6, 5, 3)},
    ),
    "FramesToChannels": (
        {"frames": 4},
        (8, 5, 3, 2),
        {"output": (2, 5, 3, 8), "free_size": False},
    ),
    "FramesToClip": (
        {"frames": 4},
        (8, 5, 3, 2),
        {"output": (2, 4, 5, 3, 2), "free_size": False},
    ),
    "FramesMean": (
        {"frames": 4},
        (8, 3),
        {"output": (2, 3), "free_size": False},
    ),
    "ForgeryMap": (
        {"frames": 4},
        (8, 5, 3, 1),
        {"output": (2, 4, 5, 3), "free_size": False},
    ),
    "ForgeryEvidence": (
        {},
        (8, 5, 3, 1),
        {"output": (8, 2), "free_size": False},
    ),
    "PaddedMaxPool2D": (
        {"pool_size": 5, "strides": 3, "padding": 2},
        (2, 7, 6, 3),
        {"output": (2, 3, 2, 3)},
    ),
}
# Those of quantised networks, see tests/quantization; takes layers and is never saved; initializer.
QUANTISED = {"ChannelBias", "QuantConv2D", "QuantDepthwiseConv2D", "QuantPoint"}
APART = QUANTISED | {"InconsistencyMap", "TemporalContrast"}


@pytest.mark.parametrize("name", CASES)
def test_layer_keeps_its_contract(name: str, check_contract) -> None:
    arguments, shape, expected = CASES[name]
    check_contract(getattr(layers, name), arguments, shape, **expected)


def test_no_layer_is_forgotten() -> None:
    assert set(layers.CUSTOM_OBJECTS) == CASES.keys() | APART


def test_dfdc_keeping_as_many_as_the_height_keeps_it_where_the_height_is_unknown(
    made,
) -> None:
    # keep=None is the default, so it is not in the table; here H comes from the running graph
    x = tf.random.stateless_normal((8, 5, 7, 12), (1, 2))
    layer = made(layers.DFDC, (None, None, None, 12), frames=4, reduction=3)
    free = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, 12))])
    changed = tf.reduce_any(free(x) != x, -1)
    assert changed.numpy().reshape(8, -1).sum(1).tolist() == [5] * 8
    tf.debugging.assert_near(free(x), layer(x), 0, 1e-6)


def test_quant_point_is_the_identity() -> None:
    point = layers.QuantPoint(name="after_taps")
    x = tf.constant([[-1.5, 0.0, 3e38]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = point(x)
    assert y.numpy().tolist() == x.numpy().tolist()
    assert tape.gradient(y, x).numpy().tolist() == [[1.0, 1.0, 1.0]]
    assert point.weights == [] and point.compute_output_shape((None, 3)) == (None, 3)
    assert layers.QuantPoint.from_config(point.get_config()).name == "after_taps"
