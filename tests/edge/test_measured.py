"""Error rates in a ClipSpec: written, read back, and said in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.measured import Measured, MethodRate, known_errors, measured, onto

FOUND = Measured("clips", False, 26, 12, 0.785, (0.61, 0.92), 0.0769, (0.0214, 0.2414))


def test_rates_survive_the_file(tmp_path: Path) -> None:
    spec = onto(ClipSpec(metrics={"other": 1}), [FOUND])
    spec.write(tmp_path / "clipspec.json")
    read = ClipSpec.read(tmp_path / "clipspec.json")
    assert measured(read) == (FOUND,) and read == spec
    assert onto(read, [FOUND]) == spec and read.metrics["other"] == 1


def test_what_is_known_is_said_and_what_is_not_too() -> None:
    assert known_errors(ClipSpec()) == (
        "false alarms on real people were never measured; the threshold was chosen on nothing (0.5)"
    )
    assert known_errors(onto(ClipSpec(metrics={"calibration": {}}), [FOUND])) == (
        "clips: AUC 0.79 (0.61 to 0.92) on 12 fake and 26 real videos; 8% of the reals called fake "
        "(2% to 24%)"
    )


def test_every_method_is_said_by_itself(tmp_path: Path) -> None:
    methods = (
        MethodRate("faceswap", 8, 0.82, (0.66, 0.95)),
        MethodRate("talkinghead", 4, 0.29, (0.16, 0.44)),
    )
    found = replace(FOUND, methods=methods)
    spec = onto(ClipSpec(metrics={"calibration": {}}), [found])
    spec.write(tmp_path / "clipspec.json")
    assert measured(ClipSpec.read(tmp_path / "clipspec.json")) == (found,)
    said = "faceswap 0.82 (0.66 to 0.95) on 8, talkinghead 0.29 (0.16 to 0.44) on 4"
    assert f"26 real videos ({said}); 8% of the reals" in known_errors(spec)


def test_reals_alone_have_no_auc(tmp_path: Path) -> None:
    found = Measured("office", False, 26, 0, None, None, 0.0769, (0.0214, 0.2414))
    spec = onto(ClipSpec(metrics={"calibration": {}}), [found])
    spec.write(tmp_path / "clipspec.json")
    assert measured(ClipSpec.read(tmp_path / "clipspec.json")) == (found,)
    assert known_errors(spec) == "office: 8% of 26 real videos called fake (2% to 24%)"


def test_what_another_version_wrote_is_left_out() -> None:
    for rows in ([{"name": "x"}], [3], "text", None, [{**vars(FOUND), "auc_interval": []}]):
        assert measured(ClipSpec(metrics={"test": rows})) == ()
