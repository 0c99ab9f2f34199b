"""The schemas that ship, held against records that the commands really write."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

jsonschema = pytest.importorskip("jsonschema")

from deploy import scan, stream
from deploy.schemas import NAMES, schema
from deploy.sinks import JsonLines, Output

API = "/api/v1"


def strict(part: Any) -> Any:
    """The schema that lets no field pass that it does not name; the test then finds new ones."""
    if isinstance(part, list):
        return [strict(one) for one in part]
    if not isinstance(part, dict):
        return part
    closed = {name: strict(one) for name, one in part.items() if name != "if"}
    if "if" in part:
        closed["if"] = part["if"]
    if "object" in str(part.get("type")) and "properties" in part:
        closed["unevaluatedProperties"] = False
    return closed


@pytest.fixture(scope="module")
def check() -> Callable[[str, Any], None]:
    """Holds a record against the schema of a name."""
    made = {name: jsonschema.Draft202012Validator(strict(schema(name))) for name in NAMES}

    def hold(name: str, record: Any) -> None:
        made[name].validate(record)

    return hold


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", NAMES)
def test_each_is_a_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))
    with pytest.raises(ValueError, match="expected one of stream-line"):
        schema("nonsense")


@pytest.fixture(scope="module")
def streamed(
    bundle: Path, empty_video: Path, haar: str, tmp_path_factory: pytest.TempPathFactory
) -> list[Any]:
    """Lines of two sources, one without faces."""
    path = tmp_path_factory.mktemp("streamed") / "a.jsonl"
    words = ["--source", "synthetic://?live=0&seconds=3", "--source", str(empty_video)]
    words += ["--bundle", str(bundle), "--detector", haar, "--jsonl", str(path)]
    assert stream.main(words) == 0
    return lines(path)


def test_the_lines_of_a_run(streamed: list[Any], check: Any) -> None:
    for line in streamed:
        check("stream-line", line)
    assert {line["type"] for line in streamed} == {"start", "clip", "verdict", "end"}
    assert any(line.get("verdict") == "NO_FACE" for line in streamed)


def test_the_lines_of_a_file_that_is_rotated(
    streamed: list[Any], check: Any, tmp_path: Path
) -> None:
    with JsonLines(tmp_path / "a.jsonl", 2500) as sink:
        for line in streamed:
            sink.write(Output((line,)))
    written = [line for path in tmp_path.iterdir() for line in lines(path)]
    for line in written:
        check("stream-line", line)
    assert any(line.get("continued") for line in written)


def test_a_line_that_lacks_a_field_or_has_a_wrong_one_is_found(
    streamed: list[Any], check: Any
) -> None:
    for kind in ("start", "clip", "verdict", "end"):
        line = next(line for line in streamed if line["type"] == kind)
        for name in line:
            less = {other: value for other, value in line.items() if other != name}
            with pytest.raises(jsonschema.ValidationError):
                check("stream-line", less)
        with pytest.raises(jsonschema.ValidationError):
            check("stream-line", {**line, "unheard_of": 1})
        jsonschema.validate({**line, "unheard_of": 1}, schema("stream-line"))  # a later version's
    clip = next(line for line in streamed if line["type"] == "clip")
    for wrong in ({"fake_probability": 1.5}, {"verdict": "MAYBE"}, {"box": [1, 2, 3]}):
        with pytest.raises(jsonschema.ValidationError):
            check("stream-line", {**clip, **wrong})


def test_the_gap_after_a_full_disk(
    streamed: list[Any], check: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    with JsonLines(tmp_path / "a.jsonl") as sink:
        sink.write(Output((streamed[0],)))
        with monkeypatch.context() as full:
            full.setattr(sink._file, "append", refuse)
            sink.write(Output((streamed[1],)))
        sink.write(Output((streamed[2],)))
    gaps = [line for line in lines(tmp_path / "a.jsonl") if line["type"] == "gap"]
    assert [gap["lost"] for gap in gaps] == [1]
    check("stream-line", gaps[0])


@pytest.fixture(scope="module")
def scanned(
    bundle: Path,
    face_video: Path,
    empty_video: Path,
    haar: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Results of a scan: a face, nobody, and files that are none."""
    folder = tmp_path_factory.mktemp("scanned")
    (folder / "text.mp4").write_text("a text\n" * 40)
    (folder / "notes.txt").write_text("a text\n" * 40)
    words = [str(face_video), str(empty_video), str(folder), "--bundle", str(bundle)]
    scan.main([*words, "--detector", haar, "--out", str(folder / "out"), "--jobs", "1"])
    return folder / "out"


def test_the_records_of_a_scan(scanned: Path, check: Any) -> None:
    records = lines(scanned / "scan.jsonl")
    for record in records:
        check("scan-file", record)
    assert {record["status"] for record in records} == {"judged", "unreadable", "skipped"}
    check("scan-summary", json.loads((scanned / "scan.json").read_text(encoding="utf-8")))
    for file in (scanned / "records").iterdir():
        for line in lines(file):
            check("stream-line", line)
    judged = next(record for record in records if record["status"] == "judged")
    for name in ("tracks", "seconds", "timeline"):
        less = copy.deepcopy(judged)
        del less[name]
        with pytest.raises(jsonschema.ValidationError):
            check("scan-file", less)


@pytest.fixture(scope="module")
def answers(served: Any, face_video: Path, empty_video: Path) -> Iterator[Any]:
    """Results of a face, of nobody, of a still picture, of a text and of a link."""
    cv2 = pytest.importorskip("cv2")
    still = cv2.VideoCapture(str(face_video)).read()[1]
    bodies = (
        face_video.read_bytes(),
        empty_video.read_bytes()[: 1 << 20],
        cv2.imencode(".png", still)[1].tobytes(),
        b"a text",
    )
    found = [served.judge(body) for body in bodies]
    link = served.json(f"{API}/links", 202, "POST", b'{"url": "http://127.0.0.1:9/a?b=secret"}')
    served.wait(link["id"])
    yield [*found, served.json(f"{API}/videos/{link['id']}/result")]


def test_the_answers_of_serve(served: Any, answers: list[Any], check: Any) -> None:
    for result in answers:
        check("serve-result", result)
        check("serve-video", served.json(f"{API}/videos/{result['id']}"))
    statuses = [(result["status"], result["verdict"]) for result in answers]
    assert statuses[1:] == [
        ("judged", "NO_FACE"),
        ("judged", "UNCERTAIN"),
        ("unreadable", None),
        ("unfetched", None),
    ]
    assert answers[2]["abstain"] == "a still picture shows nothing over time"
    check("serve-videos", served.json(f"{API}/videos"))
    check("serve-about", served.json(f"{API}/about"))
    check("serve-accepted", served.send(b"a text"))
    for status, path in ((404, f"{API}/videos/x"), (404, f"{API}/videos/x/result")):
        check("serve-error", served.json(path, status))
    check("serve-error", served.send(b"", status=400))
