"""The evidence sink: what lies in a folder, when it ends, and that trouble costs one event."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import logging
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2")
av = pytest.importorskip("av")

from deploy.bundle import Bundle
from deploy.evidence.frame_ring import FrameRing
from deploy.evidence.verify import verify
from deploy.judging.records import ScoredClip
from deploy.judging.verdict import Decision, Label
from deploy.sinks.base import Output
from deploy.sinks.evidence_folder import EvidenceFolder
from keras_ddl.edge.clips import Clip
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.faces.map_kind import GRAD_CAM, INCONSISTENCY
from keras_ddl.edge.video import Frame

START = {
    "type": "start",
    "source": "door",
    "fps": 25.0,
    "backend": "onnxruntime 1 cpu",
    "detector": "haar",
    "footage": "real",
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle whose model is never run."""
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "model.onnx").write_bytes(b"a model")
    spec = ClipSpec(size=32, weights_sha256="ab" * 32)
    return Bundle(folder, spec, "ab" * 6, "someset", map_kind=INCONSISTENCY)


def picture(index: int, shape: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A flat frame whose brightness tells its number."""
    return np.full((*shape, 3), 40 + index, np.uint8)


def scored(time_ms: float, probability: float = 0.97, track: int = 3) -> ScoredClip:
    rng = np.random.default_rng(int(time_ms) + track)
    crops = rng.integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    times = time_ms - 40.0 * np.arange(7, -1, -1)
    decision = Decision(Label.FAKE, probability, "score >= 0.60")
    heat = rng.random((8, 4, 4)).astype(np.float32)
    return ScoredClip(Clip(crops, times, track), (10, 8, 20, 24), probability, decision, heat=heat)


def verdict(time_ms: float, event: str, track: int = 3) -> dict[str, object]:
    at = "2026-11-25T10:00:00.250+00:00"
    change = {"track": track, "verdict": "FAKE", "previous": "UNCERTAIN", "event": event, "at": at}
    return {"type": "verdict", "time_ms": time_ms, "probability_smoothed": 0.97, **change}


def outputs(
    frames: int,
    events: dict[int, str],
    size_changes_at: int | None = None,
    noisy: bool = False,
) -> Iterator[Output]:
    """Frames at 25 fps, a clip every 8th, events by number of their frame; start and end."""
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    yield Output((START,), source="door")
    for index in range(frames):
        small = size_changes_at is None or index < size_changes_at
        image = picture(index, (48, 64) if small else (60, 80))
        image = np.roll(noise, 97 * index, 0) if noisy else image
        frame = Frame(image, 40.0 * index, index)
        clips = (scored(frame.time_ms),) if index % 8 == 7 else ()
        records = (verdict(frame.time_ms, events[index]),) if index in events else ()
        yield Output(records, frame, clips, source="door")
    yield Output(({"type": "end", "time_ms": 40.0 * (frames - 1)},), source="door")


def record(root: Path, bundle: Bundle, stream: Iterator[Output], **options: object) -> list[Path]:
    """Run a stream through the sink; return the event folders in order."""
    with EvidenceFolder(root, bundle, **options) as sink:
        for output in stream:
            sink.write(output)
    return verify(root).folders


def manifest_of(folder: Path) -> dict[str, object]:
    return json.loads((folder / "manifest.json").read_text())


def brightness(path: Path) -> list[int]:
    with av.open(str(path)) as video:
        return [round(float(f.to_ndarray(format="rgb24").mean())) for f in video.decode(video=0)]


def test_a_folder_holds_what_led_to_the_event(tmp_path: Path, bundle: Bundle) -> None:
    seconds = {"pre_ms": 400, "post_ms": 200, "facts": {"file": "x"}}
    (folder,) = record(tmp_path / "e", bundle, outputs(40, {23: "e1"}), **seconds)
    facts = manifest_of(folder)
    assert folder.name == "20261125T100000_door_e1"
    names = {path.name for path in folder.iterdir()}
    crops = {f"crops_{n:03}.png" for n in range(3)}
    pictures = {"inconsistency.png", "moment.jpg"}
    assert names == {"clip.mp4", "scores.csv", "manifest.json"} | crops | pictures
    # the video: frames 13 (23 - 10) to 28 (23 + 5), unmarked, each a little compressed
    assert brightness(folder / "clip.mp4") == pytest.approx(list(range(53, 69)), abs=2)
    assert (facts["video"]["from_ms"], facts["video"]["to_ms"]) == (520.0, 1120.0)
    assert (facts["event"], facts["source"], facts["track"], facts["time_ms"]) == (
        "e1",
        "door",
        3,
        920.0,
    )
    assert facts["model"]["weights_sha256"] == "ab" * 32
    assert facts["model"]["model_sha256"] == hashlib.sha256(b"a model").hexdigest()
    assert (facts["backend"], facts["detector"]) == ("onnxruntime 1 cpu", "haar")
    assert (facts["thresholds"], facts["facts"]) == (
        {"fake_from": 0.6, "real_to": 0.4},
        {"file": "x"},
    )
    assert facts["ended"] == "complete"


def test_without_a_policy_the_bounds_are_those_that_the_bundle_measured(
    tmp_path: Path, bundle: Bundle
) -> None:
    bounded = dataclasses.replace(bundle, spec=bundle.spec.replace(threshold=0.52, real_to=0.44))
    (folder,) = record(tmp_path, bounded, outputs(30, {23: "e1"}), post_ms=200)
    assert manifest_of(folder)["thresholds"] == {"fake_from": 0.52, "real_to": 0.44}


def test_the_maps_picture_is_called_what_it_shows(tmp_path: Path, bundle: Bundle) -> None:
    cam = dataclasses.replace(bundle, map_kind=GRAD_CAM)
    names = []
    for place, one in (
        (tmp_path / "cam", cam),
        (tmp_path / "none", dataclasses.replace(cam, map_kind=None)),
    ):
        (folder,) = record(place, one, outputs(30, {23: "e1"}), post_ms=200)
        names.append({path.name for path in folder.glob("*.png")} - {*_crops(3)})
    assert names == [{"grad_cam.png"}, set()]
    with av.open(str(tmp_path / "cam" / "20261125T100000_door_e1" / "grad_cam.png")) as png:
        image = next(png.decode(video=0)).to_ndarray(format="rgb24")
    assert image[:64].any() and image.shape[0] > 64 and image.shape[1] == 8 * 32
    assert image[64:].max() > 200, "a line below says what it is"


def _crops(count: int) -> list[str]:
    return [f"crops_{number:03}.png" for number in range(count)]


def test_the_crops_are_the_very_bytes_that_the_model_saw(tmp_path: Path, bundle: Bundle) -> None:
    (folder,) = record(tmp_path, bundle, outputs(30, {23: "e1"}), post_ms=200)
    for clip, time_ms in zip(manifest_of(folder)["clips"], (280.0, 600.0, 920.0), strict=True):
        with av.open(str(folder / clip["file"])) as png:  # not the decoder the project uses
            (row,) = [frame.to_ndarray(format="rgb24") for frame in png.decode(video=0)]
        expected = scored(time_ms).clip.frames
        assert np.array_equal(np.split(row, 8, axis=1), expected)
        assert clip["times_ms"][-1] == time_ms
        assert clip["fake_probability"] == 0.97


def test_hashes_are_those_of_coreutils_and_events_are_chained(
    tmp_path: Path, bundle: Bundle
) -> None:
    folders = record(tmp_path, bundle, outputs(60, {23: "a", 39: "b", 55: "c"}), post_ms=200)
    assert [manifest_of(folder)["event"] for folder in folders] == ["a", "b", "c"]
    before = ""
    for number, folder in enumerate(folders, 1):
        facts = manifest_of(folder)
        lines = [f"{file['sha256']}  {name}\n" for name, file in facts["files"].items()]
        done = subprocess.run(
            ["sha256sum", "--check", "--strict"],
            input="".join(lines),
            cwd=folder,
            text=True,
            capture_output=True,
        )
        assert (done.returncode, done.stdout.count(": OK")) == (0, len(lines)), done.stdout
        assert len(lines) == len(list(folder.iterdir())) - 1
        assert (facts["sequence"], facts["previous"]) == (number, before)
        before = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()


def test_scores_reach_from_before_to_the_end_of_the_post_roll(
    tmp_path: Path, bundle: Bundle
) -> None:
    (folder,) = record(tmp_path, bundle, outputs(60, {23: "a"}), post_ms=700)
    rows = list(csv.DictReader((folder / "scores.csv").read_text().splitlines()))
    assert [float(row["end_ms"]) for row in rows] == [280, 600, 920, 1240, 1560]
    assert [row["crops"] for row in rows] == [f"crops_{n:03}.png" for n in range(3)] + ["", ""]


def test_overlapping_events_each_have_their_whole_video(tmp_path: Path, bundle: Bundle) -> None:
    folders = record(tmp_path, bundle, outputs(50, {23: "a", 26: "b"}), pre_ms=400, post_ms=400)
    spans = [
        (manifest_of(f)["video"]["from_ms"], manifest_of(f)["video"]["to_ms"]) for f in folders
    ]
    assert spans == [(520.0, 1320.0), (640.0, 1440.0)]


def test_a_source_that_ends_closes_its_event(tmp_path: Path, bundle: Bundle) -> None:
    (folder,) = record(tmp_path, bundle, outputs(26, {23: "a"}), pre_ms=80)
    facts = manifest_of(folder)
    assert facts["ended"] == "the source ended"
    assert facts["video"]["frames"] == len(brightness(folder / "clip.mp4")) == 5
    assert verify(tmp_path).problems == []


def test_only_frames_of_the_events_own_size_are_in_its_video(
    tmp_path: Path, bundle: Bundle
) -> None:
    changed = outputs(60, {23: "a"}, size_changes_at=20)  # in the pre-roll
    (folder,) = record(tmp_path / "pre", bundle, changed, pre_ms=400, post_ms=200)
    facts = manifest_of(folder)["video"]
    assert (facts["from_ms"], facts["height"], facts["width"]) == (800.0, 60, 80)
    changed = outputs(60, {23: "a"}, size_changes_at=26)  # in the post-roll
    (folder,) = record(tmp_path / "post", bundle, changed, pre_ms=80, post_ms=400)
    assert manifest_of(folder)["video"]["to_ms"] == 1000.0
    assert "changed its size" in manifest_of(folder)["ended"]


def test_two_sources_do_not_mix(tmp_path: Path, bundle: Bundle) -> None:
    with EvidenceFolder(tmp_path, bundle, pre_ms=80, post_ms=80) as sink:
        for index in range(12):
            for name, shade in (("a", 50), ("b", 200)):
                image = np.full((48, 64, 3), shade, np.uint8)
                event = (verdict(240.0, f"of-{name}"),) if index == 6 and name == "b" else ()
                frame = Frame(image, 40.0 * index, index)
                sink.write(Output(event, frame, source=f"rtsp://user:pw@cam/{name}"))
    (folder,) = verify(tmp_path).folders
    assert brightness(folder / "clip.mp4") == pytest.approx([200] * 5, abs=2)
    assert manifest_of(folder)["source"] == "rtsp://***@cam/b"
    assert "pw" not in folder.name + (folder / "manifest.json").read_text()


def test_other_verdicts_make_no_folder(tmp_path: Path, bundle: Bundle) -> None:
    real = {**verdict(80.0, "x"), "verdict": "REAL"}
    nobody = {**verdict(80.0, "y"), "verdict": "NO_FACE", "track": None}
    with EvidenceFolder(tmp_path, bundle) as sink:
        sink.write(Output((real, nobody), Frame(picture(0), 80.0, 0)))
    assert verify_count(tmp_path) == 0


def verify_count(root: Path) -> int:
    return len([path for path in root.iterdir() if path.is_dir()])


def test_the_ring_is_bounded_in_time_and_bytes() -> None:
    ring = FrameRing(200.0)
    for index in range(30):
        ring.push(Frame(picture(index), 40.0 * index, index))
    assert [kept.time_ms for kept in ring] == [960.0, 1000.0, 1040.0, 1080.0, 1120.0, 1160.0]
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    ring = FrameRing(1e9, max_bytes=100_000)
    for index in range(30):
        ring.push(Frame(noise, 40.0 * index, index))
        assert ring.bytes == sum(len(kept.jpeg) for kept in ring) <= 100_000
    assert 1 < len(ring) < 30
    ring.push(Frame(noise, 0.0, 0))  # a source that began anew
    assert len(ring) == 1


@pytest.mark.parametrize(
    ("options", "gone"),
    [({"max_bytes": 450_000}, True), ({"keep_days": 1e-9}, True), ({"max_bytes": 10**9}, False)],
)
def test_the_quota_lets_the_oldest_go_and_the_chain_holds(
    tmp_path: Path, bundle: Bundle, options: dict[str, float], gone: bool
) -> None:
    events = {index: f"e{index}" for index in range(23, 120, 16)}
    folders = record(tmp_path, bundle, outputs(140, events), pre_ms=80, post_ms=80, **options)
    found = verify(tmp_path)
    assert found.problems == []
    assert found.dropped + len(folders) == len(events)
    assert (found.dropped > 0) is gone
    if "max_bytes" in options and gone:
        size = sum(path.stat().st_size for folder in folders for path in folder.iterdir())
        assert size <= 450_000 and manifest_of(folders[-1])["event"] == "e119"
    if "keep_days" in options:
        assert folders == []


def test_a_foreign_folder_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(UserError, match="other files in it; name another"):
        EvidenceFolder(tmp_path, bundle).open()
    with pytest.raises(UserError, match="expected a folder to keep evidence in"):
        EvidenceFolder(tmp_path / "letter.txt", bundle).open()


SCRIPT = """
    import os, resource, signal, sys
    from pathlib import Path
    sys.path[:0] = [sys.argv[1]]
    import importlib.util
    spec = importlib.util.spec_from_file_location("feeding", sys.argv[2])
    feeding = importlib.util.module_from_spec(spec); spec.loader.exec_module(feeding)
    from deploy.bundle import Bundle
    from deploy.sinks.evidence_folder import EvidenceFolder
    from keras_ddl.edge.clipspec import ClipSpec
    root, model = Path(sys.argv[3]), Path(sys.argv[4])
    bundle = Bundle(model, ClipSpec(size=32, weights_sha256="ab" * 32), "ab" * 6, "someset")
"""
KILLED = """
    with EvidenceFolder(root, bundle, pre_ms=400, post_ms=400) as sink:
        for number, output in enumerate(feeding.outputs(60, {23: "a", 39: "b"})):
            sink.write(output)
            if number == int(sys.argv[5]):
                os.kill(os.getpid(), signal.SIGKILL)
"""
FULL = """
    import logging
    logging.basicConfig(format="%(message)s")
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[5]), resource.RLIM_INFINITY))
    with EvidenceFolder(root, bundle, pre_ms=400, post_ms=80) as sink:
        stream = feeding.outputs(90, {23: "a", 39: "b", 71: "c"}, noisy=True)
        for number, output in enumerate(stream):
            if number == 60:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            sink.write(output)
        print(sink.events, sink.lost)
"""


@pytest.fixture
def in_process(
    tmp_path: Path, bundle: Bundle, environment: dict[str, str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Feed the sink in a process of its own; the root is `tmp_path / "e"`."""

    def run(body: str, number: int) -> subprocess.CompletedProcess[str]:
        script = textwrap.dedent(SCRIPT) + textwrap.dedent(body)
        here = Path(__file__).resolve()
        arguments = [here.parents[2], here, tmp_path / "e", bundle.path, number]
        line = [sys.executable, "-c", script, *map(str, arguments)]
        return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60)

    return run


@pytest.mark.parametrize(
    ("output", "whole"),
    [(26, 0), (38, 1), (44, 1)],  # in the first post-roll, between two, in the second
)
def test_after_kill_9_the_next_start_finishes_the_event(
    tmp_path: Path, bundle: Bundle, in_process, output: int, whole: int
) -> None:
    assert in_process(KILLED, output).returncode == -9
    root = tmp_path / "e"
    partial = [path.name for path in root.iterdir() if path.name.endswith(".partial")]
    assert len(partial) == (output != 38)
    before = verify(root) if whole else None
    if before is not None:
        assert len(before.folders) == whole
        assert ["unfinished" in line for line in before.problems] == [True] * len(partial)
    EvidenceFolder(root, bundle).open()
    found = verify(root)
    assert (found.problems, found.notes) == ([], [])
    assert len(found.folders) == whole + len(partial)
    newest = manifest_of(found.folders[-1])
    if partial:
        assert newest["interrupted"] is True and newest["video"] is None
        assert len(newest["clips"]) == {26: 3, 44: 5}[output]
        assert (found.folders[-1] / "scores.csv").is_file()


def test_a_partial_folder_without_content_is_cleared(tmp_path: Path, bundle: Bundle) -> None:
    (tmp_path / "20260101T000000_door_x.partial").mkdir()
    (tmp_path / "20260101T000000_door_x.partial" / "crops_000.png").write_bytes(b"half")
    EvidenceFolder(tmp_path, bundle).open()
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []


def test_what_another_process_is_recording_is_left_alone(tmp_path: Path, bundle: Bundle) -> None:
    stream = list(outputs(60, {23: "a"}))
    with EvidenceFolder(tmp_path, bundle, pre_ms=80, post_ms=400) as sink:
        for output in stream[:27]:
            sink.write(output)
        EvidenceFolder(tmp_path, bundle).open()
        assert len(list(tmp_path.glob("*.partial"))) == 1
        for output in stream[27:]:
            sink.write(output)
    (folder,) = verify(tmp_path).folders
    assert "interrupted" not in manifest_of(folder)


@pytest.mark.parametrize("limit", [10, 4_000, 200_000])  # in the crops, the map, video
def test_a_full_disk_is_one_line_and_the_run_goes_on(
    tmp_path: Path, bundle: Bundle, in_process, limit: int
) -> None:
    done = in_process(FULL, limit)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1 2\n"
    assert done.stderr.count("\n") == 1, done.stderr
    found = verify(tmp_path / "e")
    assert found.problems == [] and found.notes == []
    assert manifest_of(found.folders[-1])["event"] == "c"


def test_a_stalled_source_ends_its_event(
    tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    with EvidenceFolder(tmp_path, bundle) as sink:
        for output in list(outputs(60, {23: "a"}))[:30]:
            sink.write(output)
        later = time.monotonic() + 11
        monkeypatch.setattr(time, "monotonic", lambda: later)
        for _ in range(30):
            sink.write(Output(source="another"))
        (folder,) = verify(tmp_path).folders
    assert manifest_of(folder)["ended"] == "the source sent nothing more"


def test_more_events_at_once_than_can_be_filmed_keep_their_scores(
    tmp_path: Path, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    many = tuple(verdict(920.0, f"e{n}") for n in range(10))
    with caplog.at_level(logging.WARNING), EvidenceFolder(tmp_path, bundle, pre_ms=80) as sink:
        for output in outputs(30, {}):
            at_event = output.frame is not None and output.frame.index == 23
            sink.write(
                Output(
                    (*output.records, *(many if at_event else ())),
                    output.frame,
                    output.scored,
                    source=output.source,
                )
            )
    folders = verify(tmp_path).folders
    filmed = [manifest_of(folder)["video"] is not None for folder in folders]
    assert (len(filmed), sum(filmed), caplog.records) == (10, 8, [])
    assert all((folder / "scores.csv").is_file() for folder in folders)


def test_a_run_that_is_stopped_does_not_wait_for_the_encoder(
    tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deploy.sinks import evidence_folder

    monkeypatch.setattr(evidence_folder, "CLOSING_S", 1e-9)
    monkeypatch.setattr(evidence_folder, "ENCODING_S", 0.0)
    with EvidenceFolder(tmp_path, bundle) as sink:
        for output in list(outputs(60, {23: "a"}))[:28]:
            sink.write(output)
    (folder,) = verify(tmp_path).folders
    facts = manifest_of(folder)
    filmed, left = facts["video"]["frames"], facts["frames_left_out"]
    assert filmed + left == 27 and left > 0
    assert len(brightness(folder / "clip.mp4")) == filmed


def test_pictures_that_no_encoder_takes_cost_the_video_alone(
    tmp_path: Path, bundle: Bundle
) -> None:
    wide = np.full((16, 17_000, 3), 90, np.uint8)  # x264 ends at 16,384 pixels

    def stream() -> Iterator[Output]:
        for output in outputs(12, {7: "e1"}):
            frame = output.frame and Frame(wide, output.frame.time_ms, output.frame.index)
            yield dataclasses.replace(output, frame=frame)

    with EvidenceFolder(tmp_path, bundle) as sink:
        for output in stream():
            sink.write(output)
        assert (sink.events, sink.lost, sink.missing) == (1, 0, "")
    (folder,) = verify(tmp_path).folders
    facts = manifest_of(folder)
    assert facts["video"] is None and "expected a writable" in facts["video_missing"]
    assert len(facts["clips"]) == 1 and not (folder / "clip.mp4").exists()
