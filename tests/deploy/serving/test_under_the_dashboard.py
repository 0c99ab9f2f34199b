"""The same page under the dashboard of `deploy/stream.py`: one server, one token, live beside."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("prometheus_client")

from deploy import stream
from deploy.serving.app import PAGE

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "a-token-of-twenty-ch"
JUDGE, API = "/judge", "/judge/api/v1"
DONE = "!document.querySelector('#verdict').hidden && document.querySelector('.headline')"
DROP = """(() => {
  const bytes = Uint8Array.from(atob(%s), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], "face.mp4", { type: "video/mp4" }));
  const event = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
  document.querySelector("#drop").dispatchEvent(event);
})()"""


class Dashboard:
    """A command with a dashboard, and real HTTP to it."""

    def __init__(self, client: Any, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.ask, self.address = client.ask, client.address

    def json(self, path: str, status: int = 200, method: str = "GET", body: Any = None) -> Any:
        """The JSON of an answer that must have this status, asked for with the token."""
        found, _, data = self.ask(path, method, body, Authorization=f"Bearer {TOKEN}")
        assert found == status, data
        return json.loads(data) if data else None


@pytest.fixture(scope="module")
def watch(
    bundle: Path, client: Callable[..., Any], haar: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Any]:
    """Runs the command on a drawn camera, with a dashboard and its token; until the block ends."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "token").write_text(TOKEN)
    words = [sys.executable, ROOT / "deploy" / "stream.py", "--source", "synthetic://"]
    words += ["--bundle", bundle, "--detector", haar, "--jsonl", folder / "lines"]
    words += ["--dashboard", "127.0.0.1:0", "--dashboard-token-file", folder / "token"]

    @contextmanager
    def run(*more: str, **variables: str) -> Iterator[Dashboard]:
        line = [str(word) for word in (*words, *more)]
        environment = {**os.environ, **variables}
        with subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=environment) as process:
            try:
                assert process.stderr is not None
                found = (re.match(r"dashboard: .*:(\d+)/$", said) for said in process.stderr)
                port = next((int(match[1]) for match in found if match), 0)
                assert port, process.wait()
                yield Dashboard(client(SimpleNamespace(port=port), folder), process)
            finally:
                process.terminate()
                process.stderr.read()

    return run


@pytest.fixture(scope="module")
def dashboard(watch: Callable[..., Any]) -> Iterator[Any]:
    with watch("--dashboard-uploads", "--dashboard-links") as standing:
        yield standing


def test_the_token_of_the_dashboard_opens_it(dashboard: Any) -> None:
    for path in PAGE:
        assert dashboard.ask(f"{JUDGE}{path}")[0] == 200, path
    status, headers, _ = dashboard.ask(JUDGE)
    assert (status, headers["location"]) == (308, f"{JUDGE}/")
    for path in (f"{API}/about", f"{API}/videos", f"{JUDGE}/openapi.json", f"{JUDGE}/nothing"):
        assert dashboard.ask(path)[0] == 401, path
    for home in ("/", f"{JUDGE}/"):
        status, headers, _ = dashboard.ask(f"{home}?token={TOKEN}")
        assert (status, headers["location"]) == (303, home)
        cookie = headers["set-cookie"].partition(";")[0]
        for path in ("/api/status", f"{API}/videos"):
            assert dashboard.ask(path, Cookie=cookie)[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Host_": "evil.example", "Authorization": ""},  # DNS rebinding
    ],
)
def test_a_page_elsewhere_can_neither_send_nor_remove(dashboard: Any, headers: Any) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", **headers}
    for method, path in (("POST", "videos"), ("POST", "links"), ("DELETE", "videos/x")):
        assert dashboard.ask(f"{API}/{path}", method, b"x", **headers)[0] == 403
    assert dashboard.json(f"{API}/videos") == {"videos": []}


def frames(dashboard: Any, least: int) -> int:
    """How many frames the source has brought, once there are so many."""
    end = time.monotonic() + 60
    while True:
        (source,) = dashboard.json("/api/status")["sources"]
        if source["frames"] >= least:
            return int(source["frames"])
        assert time.monotonic() < end, source
        time.sleep(0.05)


def test_a_file_is_judged_behind_the_sources(
    dashboard: Any, face_video: Path, processes: Any
) -> None:
    before = frames(dashboard, 1)
    taken = dashboard.json(f"{API}/videos?name=a.mp4", 202, "POST", face_video.read_bytes())
    place = taken["href"]
    assert place == f"{API}/videos/{taken['id']}"
    priorities: set[int] = set()
    while dashboard.json(place)["state"] != "done":
        for child in processes.children(dashboard.process.pid):
            if processes.alive(child):
                priorities.add(os.getpriority(os.PRIO_PROCESS, child))
        time.sleep(0.02)
    own = os.getpriority(os.PRIO_PROCESS, dashboard.process.pid)
    assert min(own + 10, 19) in priorities
    result = dashboard.json(f"{place}/result")
    (face,) = result["faces"]
    assert face["verdict"] == result["verdict"]
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert dashboard.ask(f"{place}/pictures/{face['picture']}", **bearer)[2][:4] == b"\x89PNG"
    frames(dashboard, before + 1)  # they go on
    assert dashboard.ask(place, "DELETE", **bearer)[0] == 204
    assert dashboard.json("/healthz") == {"alive": True, "dead_threads": []}


def test_a_run_that_ends_takes_a_file_under_way_with_it(
    watch: Callable[..., Any], long_video: Path, processes: Any, tmp_path: Path
) -> None:
    with watch("--dashboard-uploads", TMPDIR=str(tmp_path)) as dashboard:
        place = dashboard.json(f"{API}/videos", 202, "POST", long_video.read_bytes())["href"]
        while not dashboard.json(place)["share"]:  # of judging it
            time.sleep(0.02)
        workers = processes.children(dashboard.process.pid)
        assert workers and list(tmp_path.iterdir())
        dashboard.process.terminate()
        assert dashboard.process.wait(60) == 130
    assert processes.end(workers)
    assert list(tmp_path.iterdir()) == []


def test_links_are_held_to_the_public_internet(dashboard: Any) -> None:
    body = b'{"url": "http://127.0.0.1:9/a.mp4"}'
    place = dashboard.json(f"{API}/links", 202, "POST", body)["href"]
    while (told := dashboard.json(place))["state"] != "done":
        time.sleep(0.02)
    assert (told["status"], "not on the public internet" in told["reason"]) == ("unfetched", True)
    dashboard.json(place, 204, "DELETE")


def test_what_it_says_of_itself_has_the_path_in_it(dashboard: Any) -> None:
    assert dashboard.json(f"{JUDGE}/openapi.json")["servers"] == [{"url": JUDGE}]
    told = dashboard.json(f"{JUDGE}/nothing", 404)["error"]
    assert told.endswith("; /judge/openapi.json has what there is")
    assert dashboard.json(f"{API}/about")["dashboard"] is True


@pytest.mark.service
@pytest.mark.parametrize("width", [360, 1280])
def test_from_the_dashboard_to_a_verdict_and_back(
    dashboard: Any, browser: Any, face_video: Path, width: int
) -> None:
    browser.open(f"{dashboard.address}/?token={TOKEN}", width)
    browser.wait("document.querySelector('.camera .state.running')")
    assert browser.text("#judge") == "Judge a file"
    assert browser.run("document.documentElement.scrollWidth") <= width
    browser.run("document.querySelector('#judge').click()")
    browser.wait("document.querySelector('#drop') && !document.querySelector('#main').hidden")
    browser.run(DROP % json.dumps(base64.b64encode(face_video.read_bytes()).decode()))
    browser.wait(DONE, 30)
    assert browser.text("#result-title") == "face.mp4"
    browser.wait("[...document.querySelectorAll('.moments img')].every((one) => one.naturalHeight)")
    assert browser.run("document.documentElement.scrollWidth") <= width
    address = browser.run("document.querySelector('.share input').value")
    assert address.startswith(f"{dashboard.address}{JUDGE}/#")
    browser.run("document.querySelector('#remove').click()")
    browser.wait("!document.querySelector('.item')")
    assert browser.text("#live") == "Live sources"
    browser.run("document.querySelector('#live').click()")
    browser.wait("document.querySelector('.camera .state.running')")
    assert browser.errors == []
    for address in browser.requests:
        assert address.startswith((dashboard.address, "data:", "about:")), address


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--dashboard-uploads"], "expected --dashboard beside --dashboard-uploads"),
        (
            ["--dashboard", "--dashboard-links"],
            "expected --dashboard-uploads beside --dashboard-links",
        ),
    ],
)
def test_an_option_without_the_one_it_needs_is_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stream.main(["--source", "synthetic://", *words]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
