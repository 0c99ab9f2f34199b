"""The command as its users meet it: exit codes, lines, values, files, signals."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.video import VideoWriter, probe, read_video

pytestmark = pytest.mark.usefixtures("haar")  # the detector of most of them

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "deploy" / "stream.py"
Command = Callable[..., "subprocess.CompletedProcess[str]"]
HAAR = ("--detector", "haar", "--threads", "1")


def lines_of(text: str) -> list[dict[str, Any]]:
    """Parse JSON Lines strictly."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


@pytest.fixture(scope="module")
def judged(
    command: Command, face_video: Path, synthetic_bundle: Path, tmp_path_factory: Any
) -> tuple[list[dict[str, Any]], Path, str]:
    """A face video judged as synthetic: its records, the saved video, stderr."""
    saved = tmp_path_factory.mktemp("saved") / "out.mp4"
    arguments = ("--bundle", synthetic_bundle, "--domain", "synthetic", "--save", saved, "--heat")
    done = command("stream.py", "--source", face_video, *arguments, *HAAR)
    assert done.returncode == 0, done.stderr
    return lines_of(done.stdout), saved, done.stderr


def test_help_needs_numpy_only(tmp_path: Path, environment: dict[str, str]) -> None:
    blocked = ("cv2", "av", "onnx", "onnxruntime", "tqdm", "tensorflow", "matplotlib", "scipy")
    code = f"""
import runpy, sys
for name in {blocked!r}:
    sys.modules[name] = None  # importing it raises ImportError
sys.argv = ["stream.py", "--help"]
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--camera" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("script", ["stream.py", "contact_sheet.py"])
def test_scripts_run_from_anywhere(command: Command, script: str) -> None:
    done = command(script, "--help")
    assert (done.returncode, done.stderr) == (0, "")


def test_it_runs_as_a_module_too(environment: dict[str, str]) -> None:
    line = [sys.executable, "-m", "deploy.stream", "--help"]
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--camera", "99"], 3, r"cannot open camera 99: found .*/dev/video"),
        (["--source", "absent.mp4"], 2, r"absent\.mp4: expected a video file"),
        (["--source", str(SCRIPT)], 2, r"expected a video file"),
        (["--source", "ftp://host/x"], 2, r"expected a camera index, a file or"),
        (["--source", "absent.mp4", "--camera", "99"], 2, r"absent\.mp4: expected a video file"),
        ([], 2, r"--camera --source"),
        (["--camera", "-1"], 2, r"expected a whole number >= 0"),
        (["--camera", "99", "--camera", "99"], 2, r"sources that differ, received 'camera 99' twi"),
        (["--camera", "0", "--every", "0"], 2, r"expected a number > 0"),
        (["--camera", "0", "--max-seconds", "nan"], 2, r"expected a number > 0"),
        (["--camera", "0", "--detector", "magic"], 2, r"invalid choice: '?magic"),
    ],
)
def test_mistakes_are_one_line(
    command: Command, arguments: list[str], code: int, words: str
) -> None:
    done = command("stream.py", *arguments)
    assert done.returncode == code
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert re.match(rf"error: .*{words}", done.stderr), done.stderr
    assert "s3cret" not in done.stderr


def test_an_address_that_cannot_be_reached_is_one_line_without_its_password(
    command: Command, synthetic_bundle: Path
) -> None:
    url = "rtsp://u:s3cret@127.0.0.1:9/x"
    done = command("stream.py", "--source", url, "--bundle", synthetic_bundle, *HAAR)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert (done.returncode, done.stdout, len(errors)) == (3, "", 1), done.stderr
    assert re.match(r"error: cannot open rtsp://\*\*\*@127\.0", errors[0])
    assert "s3cret" not in done.stderr


def test_a_missing_bundle_names_the_remedy(command: Command, face_video: Path) -> None:
    done = command("stream.py", "--source", face_video, "--bundle", "runs/latest/bundle")
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert "runs/latest/bundle" in done.stderr
    assert "keras-ddl demo" in done.stderr
    assert "keras-ddl to-onnx" in done.stderr


def test_a_foreign_sidecar_is_a_failed_check(
    command: Command, face_video: Path, synthetic_bundle: Path, tmp_path: Path
) -> None:
    shutil.copytree(synthetic_bundle, tmp_path / "b")
    spec = ClipSpec.read(tmp_path / "b" / "clipspec.json")
    spec.replace(margin=2.0).write(tmp_path / "b" / "clipspec.json")
    done = command("stream.py", "--source", face_video, "--bundle", tmp_path / "b")
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("option", ["--show", "--save"])
def test_outputs_that_cannot_open_end_the_run_at_once(
    command: Command, face_video: Path, synthetic_bundle: Path, tmp_path: Path, option: str
) -> None:
    if option == "--show" and sys.platform != "linux":
        pytest.skip("only Linux can be without a display")
    target = [tmp_path / "no" / "such" / "folder.mp4"] if option == "--save" else []
    arguments = ("--source", face_video, "--bundle", synthetic_bundle, option, *target, *HAAR)
    done = command("stream.py", *arguments)
    assert done.returncode == (3 if option == "--show" else 2)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "Traceback" not in done.stderr


EVERY = {"type", "source", "time_ms", "model_id", "domain"}
FIELDS = {
    "start": EVERY
    | {"at", "schema", "version", "live", "fps", "backend", "decoder", "detector", "footage"}
    | {"search", "abstain", "fake_from", "real_to", "spec"},
    "clip": EVERY
    | {"start_ms", "track", "box", "fake_probability", "probability_smoothed", "verdict", "reason"},
    "verdict": EVERY
    | {"event", "at", "track", "verdict", "previous", "probability_smoothed", "reason"},
    "end": EVERY
    | {"at", "ended", "frames", "dropped", "clips", "decoder", "tracks", "tracks_left_out"}
    | {"video", "latency_ms"},
}


def test_every_line_has_exactly_its_fields(judged: tuple[list[dict[str, Any]], Path, str]) -> None:
    records = judged[0]
    assert [records[0]["type"], records[-1]["type"]] == ["start", "end"]
    for record in records:
        assert set(record) == FIELDS[record["type"]]
        assert record["domain"] == "synthetic"
        assert re.fullmatch("[0-9a-f]{12}", record["model_id"])
    times = [record["time_ms"] for record in records]
    assert times == sorted(times)


def test_a_device_that_is_not_there_leaves_the_video_to_the_cpu_and_every_score_as_it_was(
    command: Command,
    face_video: Path,
    synthetic_bundle: Path,
    judged: tuple[list[dict[str, Any]], Path, str],
) -> None:
    arguments = ("--source", face_video, "--bundle", synthetic_bundle, "--decode", "vdpau")
    arguments += ("--domain", "synthetic", *HAAR)
    done = command("stream.py", *arguments)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "--decode vdpau" in line]
    assert len(said) == 1 and said[0].endswith("; the CPU decodes")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert (records[0]["decoder"], records[-1]["decoder"]) == ("cpu", "cpu")
    clips = [[r for r in rows if r["type"] == "clip"] for rows in (records, judged[0])]
    assert clips[0] == clips[1] and clips[0]


def test_the_fields_are_the_documented_ones() -> None:
    text = (ROOT / "docs" / "json-lines.md").read_text(encoding="utf-8")
    for name in set().union(*FIELDS.values()):
        assert f"`{name}`" in text, name


def test_scores_and_verdicts_can_be_recomputed(
    judged: tuple[list[dict[str, Any]], Path, str],
    face_video: Path,
    synthetic_bundle: Path,
    brightness: Callable[[np.ndarray], np.ndarray],
) -> None:
    """Walk the corridor again without deploy: its clips, the model's formula, the rule."""
    from keras_ddl.edge.clipper import FaceClipper
    from keras_ddl.edge.faces import HaarDetector
    from keras_ddl.edge.faces.search import SearchRule

    spec = ClipSpec.read(synthetic_bundle / "clipspec.json")
    clipper = FaceClipper(spec, HaarDetector(), 3, stride_ms=500.0, search=SearchRule(12))
    expected = [clip for frame in read_video(face_video) for clip in clipper.push(frame).clips]
    records = judged[0]
    clips = [record for record in records if record["type"] == "clip"]
    assert len(clips) == len(expected) >= 3
    scores = brightness(np.stack([clip.frames for clip in expected]))
    np.testing.assert_allclose([c["fake_probability"] for c in clips], scores, atol=2e-5)
    spans = [(clip.times_ms[0], clip.times_ms[-1]) for clip in expected]
    np.testing.assert_allclose([(c["start_ms"], c["time_ms"]) for c in clips], spans, atol=1e-3)
    assert [c["track"] for c in clips] == [clip.track_id for clip in expected]
    odds = np.log(scores / (1 - scores))
    smoothed = [1 / (1 + np.exp(-odds[max(0, i - 4) : i + 1].mean())) for i in range(len(odds))]
    np.testing.assert_allclose([c["probability_smoothed"] for c in clips], smoothed, atol=2e-5)
    rule = ["FAKE" if p >= 0.6 else "REAL" if p <= 0.4 else "UNCERTAIN" for p in smoothed]
    assert len(set(rule)) == 1  # so every clip from the second on supports it, and 400 ms later:
    assert [c["verdict"] for c in clips] == ["UNCERTAIN", "UNCERTAIN", *rule[2:]]
    end = records[-1]
    assert end["video"]["fake_probability"] == pytest.approx(scores.mean(), abs=2e-5)
    assert (end["frames"], end["clips"], end["ended"]) == (50, len(clips), "source")
    assert set(end["latency_ms"]) == {
        "capture",
        "decode",
        "detect",
        "crop",
        "infer",
        "decide",
        "draw",
        "end_to_end",
    }


def test_boxes_lie_on_the_picture(judged: tuple[list[dict[str, Any]], Path, str]) -> None:
    for record in judged[0]:
        if record["type"] == "clip":
            x, y, wide, high = record["box"]
            assert wide == high > 48
            assert 0 < x + wide / 2 < 320
            assert 0 < y + high / 2 < 240


def test_the_saved_video_is_h264_with_every_frame_and_marks(
    judged: tuple[list[dict[str, Any]], Path, str], face_video: Path
) -> None:
    _, saved, _ = judged
    info = probe(saved)
    assert (info.codec, info.frames, info.width, info.height) == ("h264", 50, 320, 240)
    pairs = list(zip(read_video(saved), read_video(face_video), strict=True))
    np.testing.assert_allclose([a.time_ms for a, _ in pairs], [b.time_ms for _, b in pairs], atol=1)
    strip = np.mean([np.abs(a.image[-30:].astype(int) - b.image[-30:]).mean() for a, b in pairs])
    middle = np.mean(
        [np.abs(a.image[60:150, :40].astype(int) - b.image[60:150, :40]).mean() for a, b in pairs]
    )
    assert strip > 25 > 6 > middle


def test_a_synthetic_model_gives_no_verdict_on_footage(
    command: Command, face_video: Path, synthetic_bundle: Path
) -> None:
    done = command("stream.py", "--source", face_video, "--bundle", synthetic_bundle, *HAAR)
    records = lines_of(done.stdout)
    clips = [record for record in records if record["type"] == "clip"]
    assert clips
    assert {clip["verdict"] for clip in clips} == {"UNCERTAIN"}
    assert {clip["reason"] for clip in clips} == {"model trained on synthetic faces only"}
    assert all(0 <= clip["fake_probability"] <= 1 for clip in clips)
    assert records[-1]["video"]["verdict"] == "UNCERTAIN"
    assert records[0]["abstain"] == "model trained on synthetic faces only"
    assert "no verdict on real footage" in done.stderr


def test_a_model_trained_on_footage_gives_verdicts(
    command: Command, face_video: Path, filmed_bundle: Path
) -> None:
    done = command("stream.py", "--source", face_video, "--bundle", filmed_bundle, *HAAR)
    records = lines_of(done.stdout)
    assert {record["domain"] for record in records} == {"someset"}
    assert records[-1]["video"]["verdict"] in ("REAL", "FAKE")
    changes = [record for record in records if record["type"] == "verdict"]
    assert changes[0]["previous"] == "UNCERTAIN"
    for before, after in pairwise(changes):
        assert after["previous"] == before["verdict"] != after["verdict"]


def test_nobody_in_sight_is_said_once(
    command: Command, empty_video: Path, synthetic_bundle: Path
) -> None:
    done = command("stream.py", "--source", empty_video, "--bundle", synthetic_bundle, *HAAR)
    records = lines_of(done.stdout)
    assert [record["type"] for record in records] == ["start", "verdict", "end"]
    assert (records[1]["verdict"], records[1]["track"]) == ("NO_FACE", None)
    assert records[1]["time_ms"] == pytest.approx(1040.0, abs=1.0)
    assert records[2]["video"]["fake_probability"] is None


def test_faces_below_min_face_are_said_not_to_be_looked_for(
    command: Command, face_video: Path, synthetic_bundle: Path
) -> None:
    options = ("--min-face", "300", "--full-search-every", "6")
    call = ("--source", face_video, "--bundle", synthetic_bundle, *options, *HAAR)
    records = lines_of(command("stream.py", *call).stdout)
    assert records[0]["search"] == {"detect_every": 3, "full_search_every": 6, "min_face": 300.0}
    assert [record["type"] for record in records] == ["start", "verdict", "end"]
    assert records[1]["reason"] == "no face of 300 px or more in sight"


def test_max_seconds_and_jsonl_file(
    command: Command, face_video: Path, synthetic_bundle: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.jsonl"
    arguments = ("--bundle", synthetic_bundle, "--jsonl", target, "--max-seconds", 0.8, *HAAR)
    done = command("stream.py", "--source", face_video, *arguments)
    assert (done.returncode, done.stdout) == (0, "")
    end = lines_of(target.read_text(encoding="utf-8"))[-1]
    assert (end["ended"], end["frames"]) == ("limit", 20)


def test_a_reader_that_leaves_ends_it_quietly(
    face_video: Path, synthetic_bundle: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    saved = tmp_path / "out.mp4"
    line = [sys.executable, SCRIPT, "--source", face_video, "--bundle", synthetic_bundle]
    with subprocess.Popen(
        [*line, "--save", saved, *HAAR],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert json.loads(process.stdout.readline())["type"] == "start"
        process.stdout.close()
        stderr = process.stderr.read()
        assert process.wait(timeout=30) == 0
    assert "Error" not in stderr
    assert "Traceback" not in stderr
    assert probe(saved).codec == "h264"


@pytest.fixture(scope="module")
def long_video(face_video: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The face video over and over, long enough to be interrupted."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    frames = [frame.image for frame in read_video(face_video)]
    with VideoWriter(path, 25, preset="ultrafast") as writer:
        for _ in range(20):
            for image in frames + frames[::-1]:
                writer.write(image)
    return path


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_every_output(
    long_video: Path,
    synthetic_bundle: Path,
    environment: dict[str, str],
    tmp_path: Path,
    kind: signal.Signals,
) -> None:
    saved = tmp_path / "out.mp4"
    line = [sys.executable, SCRIPT, "--source", long_video, "--bundle", synthetic_bundle]
    with subprocess.Popen(
        [*line, "--save", saved, *HAAR],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        first = [process.stdout.readline() for _ in range(4)]  # it is well under way
        os.kill(process.pid, kind)
        asked = time.monotonic()
        rest, stderr = process.communicate(timeout=30)
        assert time.monotonic() - asked < 2.0
    assert process.returncode == 130
    assert "Traceback" not in stderr
    end = lines_of("".join(first) + rest)[-1]
    assert (end["type"], end["ended"]) == ("end", "stopped")
    assert 0 < end["frames"] < 2000
    assert len(list(read_video(saved))) == end["frames"]


def test_outputs_that_could_not_take_everything_are_an_exit_code(
    command: Command,
    face_video: Path,
    make_bundle: Callable[..., Path],
    small_disk: Callable[[int], Path],
    tmp_path: Path,
) -> None:
    bundle = make_bundle(tmp_path / "b", training={"dataset": "someset"}, threshold=0.05)
    disk = small_disk(20)
    (disk / "filler").write_bytes(bytes(12 << 10))
    outputs = ("--evidence", disk / "evidence", "--save", disk / "out.mp4", "--jsonl", "/dev/full")
    done = command("stream.py", "--source", face_video, "--bundle", bundle, *outputs, *HAAR)
    assert done.returncode == 3, done.stderr
    for name in ("evidence", "video", "jsonl"):
        lines = [x for x in done.stderr.splitlines() if f"{name} did not take everything" in x]
        assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    assert "1 events are lost (No space left on device)" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.real
@pytest.mark.parametrize("name", ["ffpp_youtube_519.mp4", "ffpp_deepfakes_519_515.mp4"])
def test_real_footage_gets_scores_on_one_steady_track_and_no_verdict(
    command: Command, shared_real: Path, synthetic_bundle: Path, name: str
) -> None:
    arguments = ("--bundle", synthetic_bundle, "--max-seconds", 2.5, *HAAR)
    done = command("stream.py", "--source", shared_real / name, *arguments)
    assert done.returncode == 0, done.stderr
    records = lines_of(done.stdout)
    clips = [record for record in records if record["type"] == "clip"]
    assert {clip["verdict"] for clip in clips} == {"UNCERTAIN"}
    assert {clip["track"] for clip in clips} == {clips[0]["track"]}
    assert len(clips) >= 4  # 2.5 s at one clip every 500 ms
    centers = np.array([[c["box"][0] + c["box"][2] / 2, c["box"][1]] for c in clips])
    assert np.abs(np.diff(centers, axis=0)).max() < 15  # px
