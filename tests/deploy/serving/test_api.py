"""The HTTP API on real sockets: what is taken, what is refused, and what nothing breaks."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from deploy.serving.app import PAGE
from deploy.serving.openapi import openapi
from keras_ddl.edge.workers.process_pool import ProcessPool

API = "/api/v1"
NAME = '../../<script>alert("x")</script>/..\\\u202e<b>.mp4\n'


def work_of(client: Any) -> list[Path]:
    """What lies on the disk for videos that are not judged."""
    (root,) = client.folder.iterdir()
    return [*(root / ".work").iterdir()]


def test_a_video_becomes_a_verdict_with_its_evidence(served: Any, face_video: Path) -> None:
    result = served.judge(face_video.read_bytes(), NAME)
    assert result["name"] == "<b>.mp4"  # no folders, nothing that is not printed
    assert (result["status"], result["frames"], result["seconds"]) == ("judged", 50, 2.0)
    assert result["size"] == face_video.stat().st_size
    (face,) = result["faces"]
    assert face["verdict"] == result["verdict"] in ("REAL", "UNCERTAIN", "FAKE")
    assert face["fake_probability"] == result["fake_probability"]
    assert result["faces_by_verdict"] == {face["verdict"]: 1}
    assert len(face["timeline"]) == face["clips"] > 1
    assert 1 <= len(face["moments"]) <= 3
    times = [moment["time_ms"] for moment in face["moments"]]
    assert all(abs(a - b) >= 1000 for a in times for b in times if a != b)
    assert result["model"]["known_errors"].startswith("false alarms on real people were never")
    pictures = f"{API}/videos/{result['id']}/pictures"
    for name, start in [
        *((moment["picture"], b"\xff\xd8") for moment in face["moments"]),
        (face["picture"], b"\x89PNG"),
        (result["picture"], b"\xff\xd8"),
    ]:
        status, headers, body = served.ask(f"{pictures}/{name}")
        assert (status, body[: len(start)]) == (200, start)
        assert headers["content-type"].startswith("image/")
        assert "default-src 'self'" in headers["content-security-policy"]
    for name in ("video", "result.json", "records.jsonl", "..%2f..%2fetc%2fpasswd", ""):
        assert served.ask(f"{pictures}/{name}")[0] == 404, name
    assert work_of(served) == []  # the video is gone
    listed = served.json(f"{API}/videos")["videos"][0]
    assert (listed["id"], listed["verdict"]) == (result["id"], result["verdict"])
    headers = served.ask(f"{API}/videos/{result['id']}/result?download=1")[1]
    assert headers["content-disposition"].startswith("attachment; filename=")


def test_the_moments_are_those_that_speak_for_the_verdict(served: Any, face_video: Path) -> None:
    (face,) = served.judge(face_video.read_bytes())["faces"]
    scores = sorted(score for _, score, _ in face["timeline"])
    best = scores[0] if face["verdict"] == "REAL" else scores[-1]
    assert face["moments"][0]["fake_probability"] == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (b"this is a text\n" * 40, "received a text file"),
        (b"", "cannot open as a video"),  # the beginning of one
        (b"\0" * 5000, "FFmpeg cannot open"),
        (b"%PDF-1.7 and so on", "received a document"),
    ],
    ids=["text", "truncated", "zeros", "document"],
)
def test_what_is_no_video_is_told_so(
    served: Any, face_video: Path, start: bytes, reason: str
) -> None:
    result = served.judge(start or face_video.read_bytes()[:2000], "x.mp4")
    assert (result["status"], result["verdict"], result["faces"]) == ("unreadable", None, [])
    assert reason in result["reason"] and "/" not in result["reason"]  # no path of this machine


def test_a_video_without_a_face_is_no_face(served: Any, empty_video: Path) -> None:
    result = served.judge(empty_video.read_bytes()[: 1 << 20])
    assert (result["status"], result["verdict"]) == ("judged", "NO_FACE")
    assert result["reason"] == "no face in any frame"


def test_an_empty_file_and_one_that_is_too_large_are_refused(served: Any) -> None:
    assert "an empty file" in served.send(b"", status=400)["error"]
    refused = served.send(b"x" * (1 << 20 | 1), status=413)["error"]
    assert refused.startswith("expected a file of at most 1.0 MiB, received 1.0 MiB")
    endless = (b"x" * 65536 for _ in range(40))  # nobody says how much it is
    assert "received more" in served.send(endless, status=413)["error"]
    assert work_of(served) == []


def test_a_size_that_is_announced_is_refused_before_a_byte_is_sent(served: Any) -> None:
    with socket.create_connection(("127.0.0.1", served.server.port), timeout=10) as link:
        head = (
            f"POST {API}/videos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999\r\n\r\n"
        )
        link.sendall(head.encode())
        assert link.recv(100).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Host_": "evil.example"},  # DNS rebinding
    ],
)
def test_a_page_elsewhere_can_neither_send_nor_remove(served: Any, headers: Any) -> None:
    for method, path in (("POST", "videos"), ("POST", "links"), ("DELETE", "videos/x")):
        assert served.ask(f"{API}/{path}", method, b"x", **headers)[0] == 403


def test_unknown_ids_are_404(served: Any) -> None:
    for identity in ("x", "A" * 22, "..%2f..%2fetc", ".work"):
        for path in ("", "/result", "/pictures/moment.jpg"):
            assert served.ask(f"{API}/videos/{identity}{path}")[0] == 404
        assert served.ask(f"{API}/videos/{identity}", "DELETE")[0] == 404


def begin_upload(client: Any, body: bytes) -> socket.socket:
    """Announce a file and send its first half."""
    link = socket.create_connection(("127.0.0.1", client.server.port), timeout=10)
    head = f"POST {API}/videos HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    link.sendall(head.encode() + body[: len(body) // 2])
    return link


def test_who_goes_away_in_the_middle_leaves_a_free_place(start: Any, face_video: Path) -> None:
    client, body = start("--max-waiting", 1), face_video.read_bytes()
    with begin_upload(client, body):
        while not client.json(f"{API}/videos")["videos"]:
            time.sleep(0.02)
        status, headers, refused = client.ask(f"{API}/videos", "POST", body)
        assert (status, headers["retry-after"].isdecimal()) == (503, True)
        assert "too many files wait already" in json.loads(refused)["error"]
    while client.json(f"{API}/videos")["videos"]:
        time.sleep(0.02)
    assert work_of(client) == []
    assert client.judge(body)["status"] == "judged"


def test_two_at_once_are_judged_one_after_the_other(
    start: Any, long_video: Path, face_video: Path
) -> None:
    client = start()
    first, second = (
        client.send(video.read_bytes(), name)["id"]
        for video, name in ((long_video, "a.mp4"), (face_video, "b.mp4"))
    )
    client.wait(first, "judging", "done")
    assert client.json(f"{API}/videos/{second}")["state"] == "waiting"
    assert client.wait(first)["status"] == client.wait(second)["status"] == "judged"
    names = [video["name"] for video in client.json(f"{API}/videos")["videos"]]
    assert names == ["b.mp4", "a.mp4"]


def worker_of(processes: Any, others: set[int]) -> int:
    """The process that judges, once there is one; not one of another server."""
    while True:
        for pid in {*processes.children(os.getpid())} - others:
            with contextlib.suppress(OSError):
                if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return int(pid)
        time.sleep(0.01)


def begun(client: Any, identity: str) -> None:
    """Wait until some of a video is judged."""
    while not client.wait(identity, "judging")["share"]:
        time.sleep(0.02)


def test_a_worker_that_is_killed_costs_at_most_its_video(
    start: Any, long_video: Path, face_video: Path, processes: Any
) -> None:
    others = {*processes.children(os.getpid())}
    client = start()
    identity = client.send(long_video.read_bytes())["id"]
    begun(client, identity)
    first = worker_of(processes, others)
    os.kill(first, signal.SIGKILL)
    second = worker_of(processes, {*others, first})
    told = client.json(f"{API}/videos/{identity}")["share"]
    while client.json(f"{API}/videos/{identity}")["share"] == told:  # it begins once more
        time.sleep(0.01)
    os.kill(second, signal.SIGKILL)
    told = client.wait(identity)
    assert (told["status"], told["verdict"]) == ("crashed", None)
    assert "2 worker processes died over it (SIGKILL)" in told["reason"]
    assert client.judge(face_video.read_bytes())["status"] == "judged"
    assert client.ask("/healthz")[0] == 200


def test_a_video_that_is_cancelled_is_gone_and_the_next_one_judged(
    start: Any, long_video: Path, face_video: Path
) -> None:
    client = start()
    first, second = (client.send(long_video.read_bytes())["id"] for _ in range(2))
    begun(client, first)
    for identity in (second, first):
        assert client.ask(f"{API}/videos/{identity}", "DELETE")[0] == 204
        assert client.ask(f"{API}/videos/{identity}")[0] == 404
    result = client.judge(face_video.read_bytes())
    assert result["status"] == "judged"
    assert work_of(client) == []
    assert client.ask(f"{API}/videos/{result['id']}", "DELETE")[0] == 204
    assert client.json(f"{API}/videos") == {"videos": []}


def test_a_video_that_is_cancelled_while_its_process_starts_is_not_judged(
    start: Any, long_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawn, spawned = ProcessPool._spawn, []

    def slowly(pool: Any) -> Any:
        spawned.append(pool)
        time.sleep(0.5 if len(spawned) == 1 else 0.0)
        return spawn(pool)

    monkeypatch.setattr(ProcessPool, "_spawn", slowly)
    client = start()
    identity = client.send(long_video.read_bytes())["id"]
    client.wait(identity, "judging")
    assert client.ask(f"{API}/videos/{identity}", "DELETE")[0] == 204
    end = time.monotonic() + 30
    while len(spawned) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    assert len(spawned) == 2  # the first process was ended, for nobody wants what it does


def test_bounds_on_length_time_and_memory(start: Any, face_video: Path, long_video: Path) -> None:
    client = start("--max-minutes", 0.02)
    result = client.judge(face_video.read_bytes())
    assert result["status"] == "unreadable"
    assert result["reason"].startswith("expected a video of at most 0.02 minutes, received one of")
    client = start("--file-timeout", 0.2)
    result = client.judge(long_video.read_bytes())
    assert (result["status"], "not done after 0.2 s" in result["reason"]) == ("timeout", True)
    result = start("--max-memory", 10).judge(face_video.read_bytes())
    assert result["status"] == "unreadable"
    assert result["reason"] == "judging it needs more than the 10 MiB of memory that it may"


def test_results_are_forgotten_by_age_and_by_number(start: Any, served: Any) -> None:
    client = start("--forget-after", 0.02)  # 1.2 s
    identity = client.judge(b"a text")["id"]
    while client.ask(f"{API}/videos/{identity}")[0] != 404:
        time.sleep(0.05)
    assert client.ask(f"{API}/videos/{identity}/result")[0] == 404
    assert client.json(f"{API}/videos") == {"videos": []}


def test_without_a_common_list_the_link_alone_leads_there(start: Any) -> None:
    client = start("--no-history")
    identity = client.judge(b"a text")["id"]
    assert client.json(f"{API}/videos") == {"videos": []}
    assert client.json(f"{API}/videos/{identity}")["state"] == "done"


def test_with_a_token_nothing_but_the_shell_is_given_out(start: Any, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a-token-of-twenty-ch")
    client = start("--token-file", token)
    for path in ("videos", "about", "videos/x/result"):
        assert client.ask(f"{API}/{path}")[0] == 401
    assert client.ask(f"{API}/videos", "POST", b"a text")[0] == 401
    assert client.ask("/openapi.json")[0] == 401
    for path in PAGE:
        assert client.ask(path)[0] == 200
    bearer = {"Authorization": "Bearer a-token-of-twenty-ch"}
    assert client.ask(f"{API}/videos", **bearer)[0] == 200
    cookie = client.ask("/?token=a-token-of-twenty-ch")[1]["set-cookie"].partition(";")[0]
    assert client.ask(f"{API}/videos", Cookie=cookie)[0] == 200


def test_the_description_names_every_address_and_nothing_else(served: Any) -> None:
    described = served.json("/openapi.json")
    assert described == json.loads(json.dumps(openapi()))
    references = set(re.findall(r'"#/components/schemas/([a-z]+)"', json.dumps(described)))
    assert references <= set(described["components"]["schemas"])
    for path, methods in described["paths"].items():
        asked = path.replace("{identity}", "x").replace("{name}", "x.jpg")
        known = {method.upper() for method in methods} - {"PARAMETERS"}
        for method in ("GET", "POST", "DELETE", "PUT"):
            allowed = served.ask(asked, method, b"{}")[0] != 405
            assert allowed == (method in known), (method, path)
