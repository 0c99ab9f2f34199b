"""A profiled training leaves a trace that TensorBoard reads, and names what costs most."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from keras_ddl.edge.errors import UserError
from keras_ddl.training.callbacks import profile
from keras_ddl.training.callbacks.profile import costs


def test_the_trace_lies_where_tensorboard_looks(trained_run: Path) -> None:
    traces = list((trained_run / "tensorboard" / "plugins" / "profile").glob("*/*.xplane.pb"))
    assert len(traces) == 1


def test_the_three_largest_costs(trained_run: Path) -> None:
    """48 clips make six steps of eight: traced are the fifth and the sixth."""
    found = costs(trained_run / "tensorboard")
    assert found.steps == 2 and found.milliseconds > 0 and 0 <= found.waiting < 1
    shares = [cost.share for cost in found.largest]
    assert len(shares) == 3 and shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) < 1 and min(shares) > 0
    kinds = {cost.kind for cost in found.largest}
    assert any("Conv2D" in kind or "Conv2d" in kind for kind in kinds)  # it is a CNN
    assert str(found).splitlines()[2].split()[1] == f"{shares[0]:.1%}"


def trace(folder: Path) -> Path:
    """A trace that a person can add up: two steps of 3 ms and 2 ms with 1 ms between them."""
    space = profile.xplane().XSpace()
    plane = space.planes.add(name="/host:CPU")

    def line(name: str, *events: tuple[str, float, float]) -> None:
        """Events as name, begin and length in ms."""
        added = plane.lines.add(name=name, timestamp_ns=1000)
        for event, begin, length in events:
            number = len(plane.event_metadata) + 1
            plane.event_metadata[number].name = event
            added.events.add(
                metadata_id=number, offset_ps=int(begin * 1e9), duration_ps=int(length * 1e9)
            )

    line("python", ("train_function", 0, 3), ("train_function", 4, 2), ("something", 0, 9))
    line(
        "tf_Compute/1",
        ("net/a/Conv2D:_MklNativeConv2D", 0, 2),
        ("gradient_tape/net/a/Conv2D/Conv2DBackpropFilter:Conv2DBackpropFilter", 2, 0.5),
        ("net/b_msa/taps/depthwise:DepthwiseConv2dNative", 4, 1),
        ("PartitionedCall:StatefulPartitionedCall", 0, 5),  # holds the others
    )
    line(
        "tf_Compute/2",
        ("net/b/Conv2D:Conv2D", 0, 1),
        ("net/b/Relu:Relu", 1, 0.5),
        ("ExecutorState::Process", 0, 5),
    )
    line("tf_data_private_threadpool/1", ("decode:DecodeJpeg", 0, 50))
    line("tf_data_iterator_get_next/1", ("IteratorGetNextOp::DoCompute", 0, 0.6))
    (folder / "deep").mkdir()
    (folder / "deep" / "host.xplane.pb").write_bytes(space.SerializeToString())
    return folder


def test_costs_against_hand_arithmetic(tmp_path: Path) -> None:
    found = costs(trace(tmp_path))
    assert (found.steps, found.milliseconds) == (2, 3.0)  # 6 ms from begin to end
    assert found.waiting == pytest.approx(0.1)
    assert [(c.kind, c.milliseconds, round(c.share, 6), c.layer) for c in found.largest] == [
        ("Conv2D", 1.5, 0.6, "a"),  # of 5 ms of operations
        ("DepthwiseConv2dNative", 0.5, 0.2, "b_msa/taps"),
        ("Conv2DBackpropFilter", 0.25, 0.1, "a"),
    ]


def test_what_cannot_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"expected a profile in .* train with --profile"):
        costs(tmp_path)
    (tmp_path / "host.xplane.pb").write_bytes(b"")
    with pytest.raises(UserError, match="expected training steps, received none"):
        costs(tmp_path)
    monkeypatch.setattr(profile, "_FORMATS", ("elsewhere",))
    with pytest.raises(UserError, match="has no xplane_pb2 where it is looked for"):
        profile.ProfileSteps(tmp_path)
