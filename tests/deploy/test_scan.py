"""`deploy/scan.py`: the verdicts of streaming, on many files, also after being stopped."""

from __future__ import annotations

import csv
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
cv2 = pytest.importorskip("cv2")
pytest.importorskip("av")

from deploy import scan, stream
from deploy.evidence.signing import public_key
from deploy.evidence.verify import Demands, verify
from deploy.scanning.file_record import lost_record
from deploy.scanning.files import Candidate, find
from deploy.scanning.judge import judge_in_worker
from deploy.scanning.kit import Options, open_kit
from deploy.scanning.results.ledger import Ledger
from deploy.scanning.worklist import Worklist
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.faces.search import SearchRule
from keras_ddl.edge.files import file_sha256
from keras_ddl.edge.video import read_video
from keras_ddl.edge.workers.process_pool import ProcessPool

pytestmark = pytest.mark.usefixtures("haar")  # the detector of most of them

ROOT = Path(__file__).resolve().parents[2]
VOLATILE = ("latency_ms", "event", "at", "source")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, face_video: Path, empty_video: Path) -> Path:
    """What lies in a folder that somebody hands over."""
    top = tmp_path_factory.mktemp("handed over")
    (top / "deep" / "er").mkdir(parents=True)
    shutil.copy(face_video, top / "face.mp4")
    shutil.copy(face_video, top / "deep" / "er" / "no suffix")
    shutil.copy(face_video, top / "deep" / "a picture by name.jpg")
    shutil.copy(empty_video, top / "deep" / "nobody.mp4")
    image = np.full((120, 160, 3), 90, np.uint8)
    cv2.imwrite(str(top / "flat.png"), image)
    (top / "notes.txt").write_text("a text\n" * 100)
    (top / "broken.mp4").write_bytes(face_video.read_bytes()[:2000])
    (top / "empty.mp4").touch()
    return top


@pytest.fixture(scope="module")
def scanned(folder: Path, filmed_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results on that folder; the code of the call is in `code`."""
    out = tmp_path_factory.mktemp("results") / "out"
    options = ["--bundle", filmed_bundle, "--detector", "haar", "--out", out, "--jobs", "2"]
    code = scan.main([str(argument) for argument in (folder, *options)])
    (out / "code").write_text(str(code))
    return out


def records_of(out: Path) -> dict[str, dict[str, Any]]:
    lines = (out / "scan.jsonl").read_text().splitlines()
    return {record["path"]: record for record in map(json.loads, lines)}


def lines_of(path: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: v for name, v in r.items() if name not in VOLATILE} for r in records]


def test_every_file_gets_what_it_deserves(folder: Path, scanned: Path) -> None:
    found = {str(Path(path).relative_to(folder)): r for path, r in records_of(scanned).items()}
    status = {name: (r["status"], r["verdict"]) for name, r in found.items()}
    faces = found["face.mp4"]["verdict"]
    assert faces in ("REAL", "UNCERTAIN", "FAKE")
    assert status == {
        "face.mp4": ("judged", faces),
        "deep/er/no suffix": ("judged", faces),
        "deep/a picture by name.jpg": ("judged", faces),
        "deep/nobody.mp4": ("judged", "NO_FACE"),
        "flat.png": ("judged", "NO_FACE"),
        "notes.txt": ("skipped", None),
        "broken.mp4": ("unreadable", None),
        "empty.mp4": ("unreadable", None),
    }
    assert "an empty file (0 bytes)" in found["empty.mp4"]["reason"]
    assert found["deep/nobody.mp4"]["reason"] == "no face in any frame"
    face = found["face.mp4"]
    assert (face["frames"], face["seconds"], face["faces"]) == (50, 2.0, 1)
    assert face["decoder"] == "cpu"
    assert face["worst_face"]["fake_probability"] == face["fake_probability"]
    assert [point[1] for point in face["timeline"]] == pytest.approx(
        [
            r["probability_smoothed"]
            for r in lines_of(scanned / face["records"])
            if r["type"] == "clip"
        ],
        abs=1e-4,
    )
    assert (scanned / "code").read_text() == "2"  # of several the others are judged all the same


@pytest.mark.parametrize("frames", [1, 3])
def test_of_a_video_too_short_to_confirm_a_face_nothing_is_said(
    face_video: Path,
    filmed_bundle: Path,
    write_mp4: Callable[..., Path],
    tmp_path: Path,
    frames: int,
) -> None:
    shown = [frame.image for frame in itertools.islice(read_video(face_video), frames)]
    write_mp4(tmp_path / "short.mp4", shown)
    call = ["--bundle", filmed_bundle, "--detector", "haar", "--out", tmp_path / "out"]
    assert scan.main([str(part) for part in (tmp_path / "short.mp4", *call)]) == 0
    (record,) = records_of(tmp_path / "out").values()
    assert (record["status"], record["verdict"], record["frames"]) == (
        "judged",
        "UNCERTAIN",
        frames,
    )
    many = "1 frame is" if frames == 1 else f"{frames} frames are"
    assert record["reason"] == f"{many} too few to tell whether there is a face"


def test_the_records_are_those_of_stream(
    folder: Path, scanned: Path, filmed_bundle: Path, tmp_path: Path
) -> None:
    video = folder / "face.mp4"
    lines = tmp_path / "stream.jsonl"
    options = ["--bundle", filmed_bundle, "--detector", "haar", "--jsonl", lines]
    assert stream.main([str(argument) for argument in ("--source", video, *options)]) == 0
    ours = lines_of(scanned / records_of(scanned)[str(video)]["records"])
    assert len(ours) > 5 and ours == lines_of(lines)
    end = ours[-1]["video"]
    record = records_of(scanned)[str(video)]
    assert (record["verdict"], record["fake_probability"], record["reason"]) == (
        end["verdict"],
        end["fake_probability"],
        end["reason"],
    )


def test_the_summaries_agree(folder: Path, scanned: Path) -> None:
    rows = list(csv.DictReader((scanned / "scan.csv").read_text().splitlines()))
    whole = json.loads((scanned / "scan.json").read_text())
    assert len(rows) == len(whole["files"]) == 7  # without what is no video
    assert [row["path"] for row in rows] == [file["path"] for file in whole["files"]]
    assert [row["status"] for row in rows][-2:] == ["unreadable"] * 2
    assert (whole["left"], whole["totals"]["NO_FACE"], whole["totals"]["skipped"]) == (0, 2, 1)
    page = (scanned / "scan.html").read_text()
    assert page.count("<tr class=") == 7 and page.count("data:image/jpeg;base64,") == 5


def test_what_is_done_is_not_done_again(
    folder: Path, scanned: Path, filmed_bundle: Path, tmp_path: Path, capsys
) -> None:
    files = tmp_path / "in"
    files.mkdir()
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(folder / "deep" / "nobody.mp4", files / name)

    def call(*more: str) -> list[str]:
        before = ledger.read_text().count("\n") if ledger.exists() else 0
        arguments = [files, "--bundle", filmed_bundle, "--detector", "haar", "--out", out, *more]
        assert scan.main([str(argument) for argument in arguments]) == 0
        lines = ledger.read_text().splitlines()[before:]
        return sorted(Path(json.loads(line)["path"]).name for line in lines)

    out = tmp_path / "out"
    ledger = out / "scan.jsonl"
    assert call() == ["a.mp4", "b.mp4"]
    assert "x real time" in capsys.readouterr().err
    assert call() == []
    os.utime(files / "a.mp4")  # another time, the same content
    assert call() == []
    (files / "a.mp4").write_bytes((files / "b.mp4").read_bytes() + b"more")
    assert call() == ["a.mp4"]
    with ledger.open("a") as file:
        file.write('{"type":"file","pa')  # a killed call's last line
    assert call() == []
    assert call("--detect-every", "2") == ["a.mp4", "b.mp4"]


@pytest.fixture
def copies(tmp_path: Path, face_video: Path) -> Path:
    folder = tmp_path / "copies"
    folder.mkdir()
    for number in range(3):
        shutil.copy(face_video, folder / f"{number}.mp4")
    return folder


def begin(copies: Path, bundle: Path, out: Path, environment: dict[str, str]) -> subprocess.Popen:
    """Start a scan with one process and wait until a file is done."""
    line = [sys.executable, ROOT / "deploy" / "scan.py", copies, "--bundle", bundle, "--out", out]
    options = ["--jobs", "1", "--detector", "haar"]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    running = subprocess.Popen([*map(str, line), *options], env=environment, text=True, **pipes)
    for _ in range(600):
        if (out / "scan.jsonl").exists() and (out / "scan.jsonl").read_bytes().count(b"\n"):
            return running
        time.sleep(0.05)
    running.kill()
    raise AssertionError("no file was done in 30 s")


def test_a_killed_scan_goes_on_where_it_was(
    copies: Path, filmed_bundle: Path, tmp_path: Path, environment: dict[str, str], processes
) -> None:
    out = tmp_path / "out"
    running = begin(copies, filmed_bundle, out, environment)
    workers = processes.children(running.pid)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    assert processes.end(workers), "a process went on without its parent"
    done = records_of(out)
    assert 1 <= len(done) < 3 and not (out / "scan.json").exists()
    arguments = [copies, "--bundle", filmed_bundle, "--out", out, "--detector", "haar"]
    assert scan.main([str(argument) for argument in arguments]) == 0
    after = records_of(out)
    assert len(after) == 3 == (out / "scan.jsonl").read_text().count("\n")
    assert all(after[path] == record for path, record in done.items())
    scores = {record["fake_probability"] for record in after.values()}
    assert len(scores) == 1


def test_an_interrupted_scan_says_what_is_left(
    copies: Path, filmed_bundle: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    out = tmp_path / "out"
    running = begin(copies, filmed_bundle, out, environment)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=20)
    assert running.returncode == 130
    assert said.splitlines()[-1] == "interrupted"
    whole = json.loads((out / "scan.json").read_text())
    assert whole["left"] == 3 - len(whole["files"]) > 0
    assert "not judged yet" in (out / "scan.html").read_text()


def kill_over_the_first(times: int) -> Callable[[int, float], None]:
    """A listener that kills the pool's only worker while it is at job 0, so many times."""
    left = [times]

    def tell(job: int, share: float) -> None:
        if job == 0 and left[0]:
            left[0] -= 1
            (worker,) = multiprocessing.active_children()
            os.kill(worker.pid, signal.SIGKILL)

    return tell


def test_another_decoder_is_another_rule_and_the_cpu_is_none(tmp_path: Path) -> None:
    options = Options("b", "cpu", "real", "haar", 3, 500.0, str(tmp_path))
    assert "decoder" not in options.rules()  # events keep the ids of scans before there was one
    assert replace(options, decoder="cuda").rules() == {**options.rules(), "decoder": "cuda"}


def test_another_search_is_another_rule_and_that_of_training_is_none(tmp_path: Path) -> None:
    options = Options("b", "cpu", "real", "haar", 3, 500.0, str(tmp_path))
    assert "search" not in options.rules()  # as before there was another
    searched = replace(options, search=SearchRule(12, 80.0)).rules()
    assert searched == {**options.rules(), "search": {"full_every": 12, "min_face": 80.0}}


def test_a_file_without_a_face_that_is_large_enough(
    folder: Path, filmed_bundle: Path, tmp_path: Path
) -> None:
    files = [str(folder / "face.mp4"), str(folder / "flat.png")]
    options = ["--bundle", str(filmed_bundle), "--detector", "haar", "--out", str(tmp_path / "out")]
    assert scan.main([*files, *options, "--min-face", "300", "--jobs", "1"]) == 0
    said = {(r["verdict"], r["reason"]) for r in records_of(tmp_path / "out").values()}
    assert said == {("NO_FACE", "no face of 300 px or more in any frame")}


@pytest.mark.parametrize("times", [1, 2])
def test_a_process_that_dies_is_followed_by_another_and_costs_its_file_alone(
    times: int, copies: Path, filmed_bundle: Path, tmp_path: Path
) -> None:
    for name in ("records", "thumbs"):
        (tmp_path / name).mkdir()
    options = Options(str(filmed_bundle), "cpu", "real", "haar", 3, None, str(tmp_path))
    with ProcessPool(1, partial(open_kit, options), judge_in_worker) as pool:
        files = list(find([copies]))[:2]
        found = dict(
            pool.map(
                files, partial(lost_record, timeout_s=options.timeout_s), kill_over_the_first(times)
            )
        )
    status = "judged" if times == 1 else "crashed"
    assert [(found[n]["status"], found[n]["verdict"] is None) for n in (0, 1)] == [
        (status, times == 2),
        ("judged", False),
    ]
    if times == 2:
        assert found[0]["path"] == files[0].path
        assert found[0]["reason"] == "2 worker processes died over it (SIGKILL)"


@pytest.mark.slow
def test_a_file_that_hangs_is_given_up_at_the_bound_and_tried_again_with_a_larger_one(
    copies: Path, filmed_bundle: Path, tmp_path: Path, run_with_a_death: Any
) -> None:
    out = tmp_path / "out"
    arguments = [copies, "--bundle", filmed_bundle, "--out", out, "--detector", "haar"]
    arguments += ["--jobs", "1", "--file-timeout"]
    inside = "deploy.scanning.judge:judge_file"
    done = run_with_a_death("deploy.scan", inside, "1.mp4", *arguments, "8", hang=600)
    assert done.returncode == 2, done.stderr
    status = {Path(path).name: record["status"] for path, record in records_of(out).items()}
    assert status == {"0.mp4": "judged", "1.mp4": "timeout", "2.mp4": "judged"}
    said = f"{copies / '1.mp4'}: not done after 8 s, the bound on time; raise it with"
    assert said in done.stderr and said in done.stderr
    assert scan.main([*map(str, arguments), "7"]) == 2  # it would take no less
    assert records_of(out)[str(copies / "1.mp4")]["status"] == "timeout"
    assert scan.main([*map(str, arguments), "60"]) == 0
    assert records_of(out)[str(copies / "1.mp4")]["status"] == "judged"
    assert not list(out.rglob("*.part"))
    assert (out / "scan.jsonl").read_text().count("\n") == 4


def test_pictures_above_the_bound_are_named_and_judged_once_they_may_be_larger(
    copies: Path, filmed_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(copies), "--bundle", str(filmed_bundle), "--out", str(tmp_path / "out")]
    arguments += ["--detector", "haar", "--jobs", "1"]
    assert scan.main([*arguments, "--max-megapixels", "0.001"]) == 2
    said = capsys.readouterr().err
    assert said.count("more than the 0.001 million pixels that are let in") >= 3
    assert {r["status"] for r in records_of(tmp_path / "out").values()} == {"unreadable"}
    assert scan.main(arguments) == 0
    assert {r["status"] for r in records_of(tmp_path / "out").values()} == {"judged"}


def test_what_no_process_can_do_is_one_error(copies: Path, tmp_path: Path) -> None:
    options = Options(str(tmp_path), "cpu", "real", "haar", 3, None, str(tmp_path))
    with pytest.raises(UserError, match=r"expected model\.onnx in bundle"):
        with ProcessPool(1, partial(open_kit, options), judge_in_worker) as pool:
            list(pool.map(find([copies]), partial(lost_record, timeout_s=options.timeout_s)))


@pytest.mark.parametrize("signed", [False, True])
def test_fake_events_leave_evidence(
    copies: Path, make_bundle: Callable[..., Path], tmp_path: Path, signed: bool
) -> None:
    bundle = make_bundle(tmp_path / "b", training={"dataset": "someset"}, threshold=0.05)
    out, evidence = tmp_path / "out", tmp_path / "evidence"
    arguments = [copies, "--bundle", bundle, "--detector", "haar", "--out", out]
    call = [*map(str, arguments), "--jobs", "2", "--evidence", str(evidence)]
    key = tmp_path / "evidence.key"
    if signed:
        pytest.importorskip("cryptography")
        call[-2:-2] = ["--evidence-key", str(key)]
    assert scan.main(call) == 0
    assert scan.main([*call[:-1], str(copies)]) == 2  # a folder of something else
    demands = Demands()
    if signed:
        demands = Demands(key=public_key(f"{key}.pub"), heads=Path(f"{key}.heads"))
    found = verify(evidence, demands)
    assert found.problems == []
    events = {path: record["fake_events"] for path, record in records_of(out).items()}
    fakes = [line["event"] for line in events_of(out, copies / "0.mp4")]
    assert set(events.values()) == {len(fakes)} and len(fakes) >= 1
    assert all(
        events_of(out, path) == events_of(out, copies / "0.mp4") for path in map(Path, events)
    )
    # Three files of one content: its events are kept once, whoever came first.
    assert sorted(folder.name for folder in found.folders) == sorted(fakes)
    facts = json.loads((found.folders[0] / "manifest.json").read_text())
    assert facts["facts"]["file"] == facts["source"] and facts["event"] == found.folders[0].name
    assert facts["model"]["files"]["model.onnx"] == file_sha256(bundle / "model.onnx")
    assert facts["facts"]["file_sha256"] == records_of(out)[facts["source"]]["sha256"]
    assert facts["video"] is not None


def events_of(out: Path, path: Path) -> list[dict[str, Any]]:
    """The FAKE events in a file's own records: id, track, time."""
    lines = (out / records_of(out)[str(path)]["records"]).read_text().splitlines()
    fakes = [record for record in map(json.loads, lines) if record.get("verdict") == "FAKE"]
    names = ("event", "track", "time_ms")
    return [{name: r[name] for name in names} for r in fakes if r["type"] == "verdict"]


def test_a_file_that_is_judged_again_writes_the_same_events_and_no_others(
    copies: Path, make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    bundle = make_bundle(tmp_path / "b", training={"dataset": "someset"}, threshold=0.05)
    out, evidence = tmp_path / "out", tmp_path / "evidence"
    arguments = [copies / "0.mp4", "--bundle", bundle, "--detector", "haar", "--out", out]
    call = [*map(str, arguments), "--evidence", str(evidence)]
    assert scan.main(call) == 0
    first, chain = events_of(out, copies / "0.mp4"), (evidence / "chain.jsonl").read_bytes()
    (event,) = first
    assert event["event"].endswith(f"-{event['track']}-{event['time_ms']:.0f}")
    # An earlier attempt that died over its event: what it left is no event.
    left = evidence / f"{event['event']}.partial"
    (evidence / event["event"]).rename(left)
    (evidence / "chain.jsonl").unlink()
    (out / "scan.jsonl").unlink()
    (left / "manifest.json").unlink()
    assert scan.main(call) == 0
    assert events_of(out, copies / "0.mp4") == first
    assert [folder.name for folder in verify(evidence).folders] == [event["event"]]
    # One that had finished its event: it stands.
    chain = (evidence / "chain.jsonl").read_bytes()
    (out / "scan.jsonl").unlink()
    assert scan.main(call) == 0
    assert (evidence / "chain.jsonl").read_bytes() == chain and verify(evidence).problems == []
    assert scan.main([*call, "--detect-every", "2"]) == 0  # another rule, other events
    assert len(verify(evidence).folders) == 2


def test_results_that_find_no_room_are_made_again(
    copies: Path,
    make_bundle: Callable[..., Path],
    small_disk: Callable[[int], Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """As case 19 of the handed ones: a file is done when its evidence is on disk too."""
    bundle = make_bundle(tmp_path / "b", training={"dataset": "someset"}, threshold=0.05)
    out, disk = tmp_path / "out", small_disk(40)
    arguments = [copies / "0.mp4", "--bundle", bundle, "--detector", "haar", "--out", out]
    call = [*map(str, arguments), "--evidence", str(disk / "evidence")]
    assert scan.main(call) == 3
    said = capfd.readouterr().err
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert "evidence did not take everything: 1 events are lost (No space left" in line
    assert "Traceback" not in said and records_of(out) == {}
    small_disk(8000)
    assert scan.main(call) == 0
    assert "going on" not in capfd.readouterr().err
    found = verify(disk / "evidence")
    assert found.problems == [] and len(found.folders) == 1


def test_a_full_disk_for_results_is_one_line_and_nothing_is_lost(
    copies: Path,
    filmed_bundle: Path,
    small_disk: Callable[[int], Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    disk = small_disk(32)
    out = disk / "out"
    for number in range(3, 6):
        (copies / f"{number}.mp4").write_bytes((copies / "0.mp4").read_bytes())
    arguments = [copies, "--bundle", filmed_bundle, "--detector", "haar", "--out", out]
    call = [*map(str, arguments), "--jobs", "1"]
    assert scan.main(call) == 3
    said = capfd.readouterr().err
    assert said.count("error: ") == 1 and "No space left on device" in said
    assert "Traceback" not in said
    done = records_of(out)
    small_disk(8000)
    assert scan.main(call) == 0
    after = records_of(out)
    assert len(after) == 6 and all(after[path] == record for path, record in done.items())
    for record in after.values():
        assert lines_of(out / record["records"])[-1]["type"] == "end"
        assert (out / record["thumb"]).stat().st_size > 0


def test_places_that_may_not_be_looked_into_are_results_of_their_own(nobodys_folder: Path) -> None:
    """As case 15 of the handed ones."""
    tree = nobodys_folder / "tree"
    for name in ("ok", "not_enterable", "closed"):
        (tree / name).mkdir(parents=True)
        (tree / name / "v.mp4").write_bytes(b"abc")
    (tree / "unreadable.mp4").write_bytes(b"abc")
    os.mkfifo(tree / "pipe.mp4")
    (tree / "dangling.mp4").symlink_to("/nowhere/x.mp4")
    (tree / "into_closed.mp4").symlink_to(tree / "closed" / "v.mp4")
    (tree / "not_enterable").chmod(0o444)
    (tree / "closed").chmod(0)
    found = {Path(c.path).relative_to(tree).as_posix(): c.trouble for c in find([tree])}
    denied = "cannot be read: Permission denied"
    assert found == {
        "closed": denied,
        "into_closed.mp4": denied,
        "not_enterable": denied,
        "ok/v.mp4": "",
        "unreadable.mp4": "",  # judging it says why it is not to be read
    }
    named = [tree / "closed", tree / "closed" / "v.mp4", tree / "pipe.mp4"]
    assert [c.trouble for c in find(named)] == [
        denied,
        denied,
        "expected a file, received a pipe, a socket or a device",
    ]


@pytest.mark.parametrize("option", ["--evidence-key", "--evidence-stamps"])
def test_what_is_not_kept_is_not_signed(
    copies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert scan.main([str(copies), "--out", str(tmp_path / "out"), option, "x"]) == 2
    assert f"expected --evidence DIR beside {option}" in capsys.readouterr().err
    assert stream.main(["--source", str(copies), option, "x"]) == 2
    assert f"expected --evidence DIR beside {option}" in capsys.readouterr().err


def test_names_may_be_anything(
    face_video: Path, empty_video: Path, filmed_bundle: Path, tmp_path: Path
) -> None:
    files = tmp_path / "in"
    files.mkdir()
    names = ["<script>alert(1)<.mp4", "=cmd()&\"'.mp4", "-x.mp4"]
    for name in names:
        shutil.copy(empty_video, files / name)
    raw = os.fsdecode(os.fsencode(files) + b"/no utf-8 \xff.mp4")
    shutil.copy(empty_video, raw)
    arguments = [files, "--bundle", filmed_bundle, "--detector", "haar", "--out", tmp_path / "out"]
    assert scan.main([str(argument) for argument in arguments]) == 0
    page = (tmp_path / "out" / "scan.html").read_text()
    assert page.count("<script") == 1 and "&lt;script&gt;alert(1)" in page
    assert "no utf-8 \\xff.mp4" in page
    assert len(json.loads((tmp_path / "out" / "scan.json").read_text())["files"]) == 4
    assert scan.main([str(argument) for argument in arguments]) == 0  # all are known again
    assert (tmp_path / "out" / "scan.jsonl").read_text().count("\n") == 4


def list_once(found: Iterable[Candidate]) -> list[Candidate]:
    """What a scan judges of what was found."""
    with closing(Worklist()) as worklist:
        for candidate in found:
            worklist.add(candidate)
        return [candidate for _, candidate in worklist.left()]


def test_files_are_found_once_and_results_are_left_out(tmp_path: Path) -> None:
    for name in ("in/a.mp4", "in/out/thumbs/x.jpg", "in/b/c.bin"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "in" / "circle").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "same.mp4").symlink_to(tmp_path / "in" / "a.mp4")
    (tmp_path / "in" / "nowhere.mp4").symlink_to(tmp_path / "gone")
    top = tmp_path / "in"
    found = list_once(find([top, top / "a.mp4", top / "b" / "c.bin"], [top / "out"]))
    names = {Path(c.path).relative_to(top).as_posix(): c.expected for c in found}
    assert names == {"a.mp4": True, "b/c.bin": False}
    assert next(find([top / "b" / "c.bin"])).expected  # somebody named it
    with pytest.raises(UserError, match="not there; check the path"):
        list(find([tmp_path / "none"]))


def test_the_ledger_knows_its_own(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    file.write_bytes(b"abc")
    stat = file.stat()
    candidate = Candidate(str(file), True, 3, stat.st_mtime_ns)
    record = {
        "path": str(file),
        "size": 3,
        "mtime_ns": stat.st_mtime_ns,
        "sha256": file_sha256(file),
        "verdict": None,
    }
    with Ledger(tmp_path, "one") as ledger:
        ledger.add({**record, "status": "unreadable", "sha256": ""})
        assert ledger.find(candidate) is None  # perhaps it can be read now
        ledger.add({**record, "status": "unreadable"})
        with pytest.raises(UserError, match="another one writes"):
            Ledger(tmp_path, "one").__enter__()
    with Ledger(tmp_path, "one") as ledger:
        assert ledger.find(candidate)[0]["status"] == "unreadable"
        assert ledger.find(Candidate(str(file), True, 4, stat.st_mtime_ns)) is None
        ledger.add({**record, "status": "crashed"})
    with Ledger(tmp_path, "two") as ledger:
        assert ledger.find(candidate) is None  # another model or other options
    with Ledger(tmp_path, "one") as ledger:
        assert ledger.find(candidate) is None  # tried again


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none"], "expected a file or a folder"),
        (["here", "--jobs", "0"], "expected a whole number >= 1"),
        (["here"], "received empty folders"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, filmed_bundle: Path, capsys, arguments: list[str], said: str
) -> None:
    (tmp_path / "here").mkdir()
    line = [str(tmp_path / arguments[0]), *arguments[1:], "--bundle", str(filmed_bundle)]
    with pytest.raises(SystemExit) if "--jobs" in arguments else _nothing():
        assert scan.main([*line, "--out", str(tmp_path / "out"), "--detector", "haar"]) == 2
    assert said in capsys.readouterr().err


def _nothing():
    from contextlib import nullcontext

    return nullcontext()
