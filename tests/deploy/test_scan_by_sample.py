"""`scan --clips`: verdicts from a few places, which say so; a short video has its full scan's."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
cv2 = pytest.importorskip("cv2")
av = pytest.importorskip("av")

from deploy import scan
from deploy.evidence.verify import verify
from deploy.scanning.files import find
from deploy.scanning.judge import judge_file
from deploy.scanning.kit import Options, open_kit
from keras_ddl.edge.video import read_video

pytestmark = pytest.mark.usefixtures("haar")  # the detector of most of them

VOLATILE = ("latency_ms", "event", "at")
PLACES = 4
FRAMES, GOP = 150, 12
LENGTH_MS = FRAMES * 40
PART_MS = LENGTH_MS / PLACES
Draw = Callable[..., np.ndarray]
Write = Callable[..., Path]


def wall(tone: int = 120) -> np.ndarray:
    """A wall with a window, so that two of them are one scene."""
    image = np.full((240, 320, 3), tone, np.uint8)
    image[10:60, 130:190] = (200, 220, 240)
    return image


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory, write_mp4: Write, draw_face: Draw) -> Path:
    """A face that moves a little, 6 s at 25 fps, a key frame every half."""
    path = tmp_path_factory.mktemp("talk") / "talk.mp4"
    frames = (draw_face(wall(), 160 + 6 * np.sin(i / 9), 140, 90) for i in range(FRAMES))
    return write_mp4(path, frames, gop=GOP)


def run(bundle: Path, out: Path, *words: object, code: int = 0) -> dict[str, dict[str, Any]]:
    """Scan, and return the records by the file's name."""
    call = [*words, "--bundle", bundle, "--detector", "haar", "--out", out, "--jobs", "1"]
    assert scan.main([str(word) for word in call]) == code
    files = json.loads((out / "scan.json").read_text())["files"]
    return {Path(record["path"]).name: record for record in files}


def judged(bundle: Path, out: Path, path: Path, clips: int = 0, **more: str) -> dict[str, Any]:
    """The record of one file, judged in this process."""
    for name in ("records", "thumbs"):
        (out / name).mkdir(parents=True, exist_ok=True)
    options = Options(str(bundle), "cpu", "real", "haar", 3, 500.0, str(out), clips=clips, **more)
    return judge_file(next(find([path])), open_kit(options), lambda share: None)


def lines_of(out: Path, record: dict[str, Any]) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / record["records"]).read_text().splitlines()]
    return [{name: v for name, v in line.items() if name not in VOLATILE} for line in lines]


def clips_of(out: Path, record: dict[str, Any]) -> list[dict[str, Any]]:
    return [line for line in lines_of(out, record) if line["type"] == "clip"]


def test_a_short_video_has_the_records_of_a_full_scan(
    face_video: Path, filmed_bundle: Path, tmp_path: Path
) -> None:
    full = judged(filmed_bundle, tmp_path / "full", face_video)
    few = judged(filmed_bundle, tmp_path / "few", face_video, clips=4)
    assert few["sample"] is None and full["sample"] is None  # 2 s: four clips, half a second apart
    assert lines_of(tmp_path / "few", few) == lines_of(tmp_path / "full", full)
    names = ("verdict", "reason", "fake_probability", "tracks", "frames", "timeline", "seconds")
    assert [few[name] for name in names] == [full[name] for name in names]


def test_a_long_one_is_judged_by_its_places(
    talk: Path, filmed_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "few"
    full = judged(filmed_bundle, tmp_path / "full", talk)
    few = judged(filmed_bundle, out, talk, PLACES)
    assert few["sample"] == {"places": PLACES, "seconds": 6.0} and few["seconds"] == 6.0
    assert few["frames"] < 60 and full["frames"] == FRAMES
    assert (few["faces"], full["faces"]) == (1, 1)
    assert few["verdict"] == full["verdict"]
    assert few["fake_probability"] == pytest.approx(full["fake_probability"], abs=0.02)
    (track,) = few["tracks"]  # one face, known again from place to place
    assert (track["clips"], track["verdict"]) == (PLACES, few["verdict"])
    lines = lines_of(out, few)
    assert lines[0]["sample"] == few["sample"]
    assert "sample" not in lines_of(tmp_path / "full", full)[0]
    # One clip in each quarter, its times those of the video's frames.
    clips = clips_of(out, few)
    assert [int(clip["time_ms"] // PART_MS) for clip in clips] == [0, 1, 2, 3]
    times = {frame.time_ms for frame in read_video(talk)}
    assert all(clip["start_ms"] in times and clip["time_ms"] in times for clip in clips)
    assert [point[0] for point in few["timeline"]] == pytest.approx(
        [clip["time_ms"] / LENGTH_MS for clip in clips], abs=1e-4
    )
    # Nobody has looked between them: there is no absence.
    assert not [line for line in lines if line.get("verdict") == "NO_FACE"]


def test_it_is_said_wherever_a_verdict_is(
    talk: Path, filmed_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    run(filmed_bundle, out, talk, "--clips", PLACES)
    assert "6.0 s of video, by sample, in" in capsys.readouterr().err
    (row,) = csv.DictReader((out / "scan.csv").read_text().splitlines())
    assert (row["places"], row["seconds"]) == ("4", "6.0")
    page = (out / "scan.html").read_text()
    assert "by sample: 4 places" in page and "1 of these files was looked at" in page
    assert json.loads((out / "scan.json").read_text())["options"]["clips"] == PLACES
    run(filmed_bundle, out, talk)
    (row,) = csv.DictReader((out / "scan.csv").read_text().splitlines())
    assert row["places"] == ""
    page = (out / "scan.html").read_text()
    assert "by sample" not in page and "looked at in a few places" not in page


def test_samples_and_full_scans_do_not_mix_and_each_goes_on(
    talk: Path, face_video: Path, filmed_bundle: Path, tmp_path: Path
) -> None:
    files, out = tmp_path / "in", tmp_path / "out"
    files.mkdir()
    shutil.copy(talk, files / "a.mp4")
    shutil.copy(face_video, files / "b.mp4")
    ledger = out / "scan.jsonl"

    def newly(*words: object) -> list[str]:
        before = ledger.read_text().count("\n") if ledger.exists() else 0
        run(filmed_bundle, out, files, *words)
        lines = ledger.read_text().splitlines()[before:]
        return sorted(Path(json.loads(line)["path"]).name for line in lines)

    both = ["a.mp4", "b.mp4"]
    assert newly("--clips", "3") == both
    assert newly() == both
    assert newly("--clips", "3") == newly() == []  # each is known still
    lines = ledger.read_text().splitlines(keepends=True)
    assert "a.mp4" in lines[0] and '"places":3' in lines[0]
    ledger.write_text("".join(lines[1:]))  # as of a call that was killed before
    assert newly("--clips", "3") == ["a.mp4"]
    assert len({json.loads(line)["key"] for line in ledger.read_text().splitlines()}) == 2


def test_a_full_scan_has_the_key_that_it_had(tmp_path: Path) -> None:
    options = Options("b", "cpu", "real", "haar", 3, 500.0, str(tmp_path))
    assert "clips" not in options.rules()
    assert Options(*[*vars(options).values()][:7], clips=4).rules()["clips"] == 4


def test_a_face_that_is_only_in_the_last_part_is_found_there(
    filmed_bundle: Path, write_mp4: Write, draw_face: Draw, tmp_path: Path
) -> None:
    frames = [wall() if i < 113 else draw_face(wall(), 160, 140, 90) for i in range(FRAMES)]
    path = write_mp4(tmp_path / "late.mp4", frames, gop=GOP)
    out = tmp_path / "out"
    late = judged(filmed_bundle, out, path, PLACES)
    assert late["verdict"] != "NO_FACE" and late["faces"] == 1
    (clip,) = clips_of(out, late)
    assert clip["time_ms"] > 3 * PART_MS
    assert late["verdict"] == "UNCERTAIN" and late["reason"] == "fewer than 2 usable clips"


def test_nobody_at_any_place_is_said_of_the_places(
    filmed_bundle: Path, write_mp4: Write, tmp_path: Path
) -> None:
    path = write_mp4(tmp_path / "wall.mp4", [wall()] * FRAMES, gop=GOP)
    record = judged(filmed_bundle, tmp_path / "out", path, PLACES)
    assert record["verdict"] == "NO_FACE"
    assert record["reason"] == "no face at any of the 4 places looked at"


def test_all_faces_of_a_place_are_judged(
    filmed_bundle: Path, write_mp4: Write, draw_face: Draw, tmp_path: Path
) -> None:
    def two() -> Iterable[np.ndarray]:
        for i in range(FRAMES):
            image = draw_face(np.full((240, 480, 3), 120, np.uint8), 120, 130, 80)
            yield draw_face(image, 360 + 3 * np.sin(i / 9), 130, 80)

    path = write_mp4(tmp_path / "two.mp4", two(), gop=GOP)
    record = judged(filmed_bundle, tmp_path / "out", path, PLACES)
    assert record["faces"] == 2 and record["clips"] == 2 * PLACES
    assert [track["clips"] for track in record["tracks"]] == [PLACES, PLACES]


def test_one_key_frame_is_enough(
    filmed_bundle: Path, write_mp4: Write, draw_face: Draw, tmp_path: Path
) -> None:
    frames = (draw_face(wall(), 160 + 6 * np.sin(i / 9), 140, 90) for i in range(FRAMES))
    path = write_mp4(tmp_path / "one.mp4", frames, gop=10_000)
    out = tmp_path / "out"
    record = judged(filmed_bundle, out, path, PLACES)
    assert record["sample"]["places"] == PLACES and record["frames"] < 60
    assert [int(clip["time_ms"] // PART_MS) for clip in clips_of(out, record)] == [0, 1, 2, 3]


def test_what_is_cut_off_is_judged_as_far_as_it_goes_and_says_so(
    talk: Path, filmed_bundle: Path, tmp_path: Path
) -> None:
    path = tmp_path / "cut.mp4"
    data = talk.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    out = tmp_path / "out"
    record = judged(filmed_bundle, out, path, PLACES)
    assert record["status"] == "judged" and 2.0 < record["seconds"] < 4.0
    assert "(truncated?)" in record["notes"][-1]
    assert "its pictures end before its header says" in record["notes"][0]
    clips = clips_of(out, record)
    assert len(clips) == PLACES and clips[-1]["time_ms"] > 0.7 * 1000 * record["seconds"]


def test_fake_events_have_the_time_of_their_clip_and_evidence(
    talk: Path, make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    bundle = make_bundle(tmp_path / "b", training={"dataset": "someset"}, threshold=0.05)
    out, evidence = tmp_path / "out", tmp_path / "evidence"
    record = judged(bundle, out, talk, PLACES, evidence=str(evidence))
    assert record["verdict"] == "FAKE" and record["fake_events"] == 1
    (event,) = [line for line in lines_of(out, record) if line["type"] == "verdict"]
    assert event["time_ms"] == clips_of(out, record)[2]["time_ms"]  # two make a claim, held
    found = verify(evidence)
    assert found.problems == [] and len(found.folders) == 1
    assert found.folders[0].name.endswith(f"-1-{event['time_ms']:.0f}")
    facts = json.loads((found.folders[0] / "manifest.json").read_text())
    assert len(facts["clips"]) == 3 and facts["video"]["frames"] >= 8


@pytest.mark.parametrize("number", ["0", "-3", "1.5", "many"])
def test_a_bad_number_is_one_line(
    talk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], number: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        scan.main([str(talk), "--clips", number, "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "--clips: expected a whole number >= 1" in said.splitlines()[-1]
