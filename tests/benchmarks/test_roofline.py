"""Steps of a profile, and the least time that their arithmetic and bytes allow."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.networks.roofline import Machine, Step, steps_in, summary, table

MACHINE = Machine(flops=1e9, copies={1000: 1e6, 4000: 5e5})


def event(name: str, op: str, microseconds: int, shapes: list[Any], moved: int) -> dict[str, Any]:
    *inputs, output = shapes
    facts = {
        "op_name": op,
        "input_type_shape": [{"float": shape} for shape in inputs],
        "output_type_shape": [{"float": output}],
        "activation_size": str(moved // 2),
        "parameter_size": "0",
        "output_size": str(moved - moved // 2),
    }
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": microseconds, "args": facts}


def test_steps_are_of_the_module_whose_layer_they_name_and_arithmetic_is_that_of_the_shapes() -> (
    None
):
    image = [1, 8, 4, 4]
    run = [
        event(
            "net_dfdc_msa/conv/Relu:0_nchwc", "Conv", 9, [image, [16, 8, 3, 3], [1, 16, 4, 4]], 9
        ),
        event("net_dfdc_msa/block1_msa/taps", "Conv", 8, [image, [8, 1, 3, 1], image], 9),
        event("ReorderOutput_token_7", "ReorderOutput", 7, [image, image], 9),
        event("block1_dfdc/product", "FusedMatMul", 6, [[4, 5], [5, 6], [4, 6]], 9),
        event("net_dfdc_msa/head/add", "Add", 5, [image, image, image], 9),
    ]
    slow = [{**one, "dur": 1000} for one in run]  # the first run does not count
    other = {"cat": "Session", "name": "model_run", "dur": 99, "args": {}}
    steps = steps_in([*slow, other, *run, *run], untimed=1)
    assert [(s.part, s.kind, s.flops) for s in steps] == [
        ("backbone", "convolutions", 2.0 * 16 * 4 * 4 * 8 * 9),
        ("MSA", "taps and depthwise", 2.0 * 8 * 4 * 4 * 3),
        ("MSA", "axes and blocks", 0.0),
        ("DFDC", "convolutions", 2.0 * 4 * 6 * 5),
        ("backbone", "element by element", 0.0),
    ]
    assert [s.seconds for s in steps] == pytest.approx([9e-6, 8e-6, 7e-6, 6e-6, 5e-6])


def test_a_step_takes_its_arithmetic_or_its_bytes_at_the_speed_of_so_many_whichever_is_longer() -> (
    None
):
    assert Step("", "", 1.0, flops=2e6, moved=1000.0).least(MACHINE) == pytest.approx(2e-3)
    assert Step("", "", 1.0, flops=0.0, moved=2000.0).least(MACHINE) == pytest.approx(2e-3)
    assert Step("", "", 1.0, flops=0.0, moved=5000.0).least(MACHINE) == pytest.approx(1e-2)
    assert Step("", "", 1.0, flops=0.0, moved=10.0).least(MACHINE) == pytest.approx(1e-5)


def test_the_table_sets_least_times_beside_those_taken() -> None:
    plain = [Step("backbone", "convolutions", 0.004, 2e6, 100.0)]
    both = [*plain, Step("MSA", "taps and depthwise", 0.004, 0.0, 1000.0)]
    result = summary({"plain": plain, "both": both}, MACHINE)
    assert result["networks"]["both"]["s"] == pytest.approx(0.008)
    assert result["networks"]["both"]["least_s"] == pytest.approx(0.003)
    text = table(result)
    (row, _) = (line.split() for line in text.splitlines() if line.startswith("both"))
    assert row[-1] == "1.50"
    assert "MSA: taps and depthwise" in text
