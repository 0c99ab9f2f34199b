"""The page in a real browser: a person drops a video, and reads the verdict."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.serving import desk

pytestmark = pytest.mark.service

DROP = """(() => {
  const bytes = Uint8Array.from(atob(%s), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], %s, { type: "video/mp4" }));
  const event = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
  document.querySelector("#drop").dispatchEvent(event);
})()"""
READY = "!document.querySelector('#main').hidden"
LOADED = "[...document.querySelectorAll('.moments img, .sheet')].every((one) => one.naturalHeight)"
DONE = "!document.querySelector('#verdict').hidden && document.querySelector('.headline')"
SHOWN = """[...document.querySelectorAll("input, button, img, svg")]
  .filter((one) => one.checkVisibility())"""
NAMED = """(one.labels?.length || one.textContent.trim() || one.getAttribute("aria-label")
  || one.alt)"""
EVIL = "<img src=x onerror=\"document.title='owned'\">.mp4"


@pytest.fixture
def look(browser: Any, start: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Opens the page of a server; at the end nothing may have gone wrong in it."""
    addresses: list[str] = []

    def begin(*more: object, path: str = "/", size: Any = (1280, 900)) -> Any:
        client = start(*more)
        addresses.append(client.address)
        browser.open(client.address + path, *size)
        return client

    yield begin
    browser.run("1")  # events that are on their way
    assert browser.errors == []
    for address in browser.requests:
        assert address.startswith((addresses[-1], "data:", "about:")), address


def choose(browser: Any, *files: Path) -> None:
    """Choose files as the button's dialog does."""
    document = browser.call("DOM.getDocument")["root"]["nodeId"]
    node = browser.call("DOM.querySelector", nodeId=document, selector="#file")["nodeId"]
    browser.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])


def drop(browser: Any, name: str, content: bytes) -> None:
    """Drop a file on the zone."""
    browser.run(DROP % (json.dumps(base64.b64encode(content).decode()), json.dumps(name)))


def test_a_video_that_is_chosen_gets_its_verdict(
    look: Callable[..., Any], browser: Any, face_video: Path
) -> None:
    client = look()
    browser.wait(READY)
    assert "No video chosen" in browser.text("#result")
    assert "512 MiB and 10 minutes" in browser.text("#limits")
    assert "deleted when it is judged" in browser.text("#limits")
    choose(browser, face_video)
    browser.wait(DONE, 30)
    (told,) = client.json("/api/v1/videos")["videos"]
    result = client.json(f"/api/v1/videos/{told['id']}/result")
    (face,) = result["faces"]
    assert browser.text("#result-title") == face_video.name
    assert f"score {face['fake_probability']:.2f}" in browser.text(".face h3")
    assert face["verdict"] in browser.text(".face h3") and face["verdict"] in browser.text("#list")
    assert "1 face in 2.0 s of video" in browser.text(".headline")
    assert "false alarms on real people were never measured" in browser.text(".caution")
    label = browser.run("document.querySelector('.timeline svg').getAttribute('aria-label')")
    assert label.startswith(f"{face['clips']} scores from ") and label.endswith(" over 2.0 s")
    browser.wait(LOADED)
    browser.wait("document.querySelector('.sheet').naturalWidth > 500")
    assert len(face["moments"]) == browser.run("document.querySelectorAll('.moments img').length")
    assert browser.run("document.querySelector('.share input').value").endswith(f"/#{told['id']}")
    assert face_video.name in browser.text("#announce")
    browser.open(f"{client.address}/#{told['id']}")  # the link that was shared
    browser.wait(DONE)
    browser.wait(LOADED)
    assert browser.text("#result-title") == face_video.name
    browser.run("document.querySelector('#remove').click()")
    browser.wait("!document.querySelector('#welcome').hidden && !document.querySelector('.item')")
    assert client.json("/api/v1/videos") == {"videos": []}


def test_what_is_dropped_is_judged_and_a_name_is_text(
    look: Callable[..., Any], browser: Any, empty_video: Path
) -> None:
    look()
    browser.wait(READY)
    drop(browser, EVIL, empty_video.read_bytes())
    browser.wait(DONE, 30)
    assert "NO FACE" in browser.text(".headline") and "No face was found" in browser.text(
        ".headline"
    )
    assert browser.text("#result-title") == EVIL
    drop(browser, "notes.mp4", b"this is a text\n" * 40)
    browser.wait("document.querySelector('#result-title').textContent === 'notes.mp4'")
    browser.wait(DONE, 30)
    assert browser.text(".headline").startswith("not judged")
    assert "received a text file" in browser.text(".headline")
    assert not browser.run("document.querySelector('.caution')")
    assert "owned" not in browser.run("document.title")


def test_what_is_too_large_is_not_even_sent(
    look: Callable[..., Any], browser: Any, tmp_path: Path
) -> None:
    client = look("--max-mib", 1)
    browser.wait(READY)
    large, empty = tmp_path / "large.mp4", tmp_path / "empty.mp4"
    large.write_bytes(b"x" * (2 << 20))
    empty.touch()
    choose(browser, large)
    browser.wait("document.querySelector('#refused').textContent.includes('more than the 1 MiB')")
    choose(browser, empty)
    browser.wait("document.querySelector('#refused').textContent.includes('the file is empty')")
    assert client.json("/api/v1/videos") == {"videos": []}


def test_what_is_under_way_is_shown_and_can_be_cancelled(
    look: Callable[..., Any], browser: Any, long_video: Path
) -> None:
    client = look()
    browser.wait(READY)
    choose(browser, long_video)
    browser.wait("document.querySelector('#progress-words').textContent.startsWith('Judging: ')")
    assert browser.text("#remove") == "Cancel"
    browser.run("document.querySelector('#remove').click()")
    browser.wait("!document.querySelector('#welcome').hidden && !document.querySelector('.item')")
    assert client.json("/api/v1/videos") == {"videos": []}


@pytest.mark.parametrize("waiting", [1, 2])
def test_of_many_files_those_wait_here_that_find_no_room(
    look: Callable[..., Any], browser: Any, empty_video: Path, tmp_path: Path, waiting: int
) -> None:
    client = look("--max-waiting", waiting)
    browser.wait(READY)
    files = [tmp_path / f"{number}.mp4" for number in range(4)]
    for file in files:
        file.write_bytes(empty_video.read_bytes())
    choose(browser, *files)
    browser.wait("document.querySelectorAll('.item .tag').length === 4", 30)
    assert browser.run("document.querySelector('#refused').hidden")
    names = [video["name"] for video in client.json("/api/v1/videos")["videos"]]
    assert names == [file.name for file in reversed(files)]


def test_a_file_that_another_page_of_ours_leaves_no_place_is_sent_later(
    look: Callable[..., Any],
    browser: Any,
    empty_video: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(desk, "FIRST_GUESS_S", 3.0)
    client = look("--max-waiting", 2)
    browser.wait(READY)
    with socket.create_connection(("127.0.0.1", client.server.port), timeout=10) as link:
        head = "POST /api/v1/videos?name=slow HTTP/1.1\r\nHost: localhost\r\n"
        link.sendall(f"{head}Content-Length: 99\r\n\r\nhalf".encode())
        browser.wait("document.querySelector('#list').textContent.includes('slow')")
        choose(browser, empty_video)
        browser.wait("document.querySelector('#list').textContent.includes('Waits to be sent')")
        browser.wait("document.querySelector('#progress-words').textContent === 'Waits to be sent'")
    browser.wait(DONE, 30)
    assert browser.run("document.querySelector('#refused').hidden")
    browser.run("1")
    assert browser.errors and all("429" in error for error in browser.errors)  # Chromium's notes
    browser.errors.clear()


@pytest.mark.parametrize("path", ["/", "/?token=a-token-of-twenty-ch"])
def test_signing_in(look: Callable[..., Any], browser: Any, tmp_path: Path, path: str) -> None:
    token = tmp_path / "token"
    token.write_text("a-token-of-twenty-ch")
    look("--token-file", token, path=path)
    if path == "/":
        browser.wait("!document.querySelector('#sign-in').hidden")
        browser.run(
            "document.querySelector('#token').value = 'a-token-of-twenty-ch';"
            "document.querySelector('#sign-in button').click()"
        )
    browser.wait(READY)
    assert browser.run("document.querySelector('#sign-in').hidden")


def test_links_have_a_field_where_they_are_taken(look: Callable[..., Any], browser: Any) -> None:
    look()
    browser.wait(READY)
    assert browser.run("document.querySelector('#link-form').hidden")
    look("--allow-links")
    browser.wait(READY)
    browser.run(
        "document.querySelector('#link').value = 'http://127.0.0.1:9/a.mp4';"
        "document.querySelector('#link-form button').click()"
    )
    browser.wait(DONE, 30)
    assert "could not be fetched: '127.0.0.1' is not on the public internet" in browser.text(
        ".headline"
    )


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_screen(
    look: Callable[..., Any], browser: Any, face_video: Path, width: int
) -> None:
    look("--allow-links", size=(width, 800))
    browser.wait(READY)
    drop(browser, "a-name-without-a-space-" * 5, face_video.read_bytes())
    browser.wait(DONE, 30)
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(f"{SHOWN}.filter((one) => !{NAMED}).length") == 0


def test_what_a_proxy_answers_stops_nothing(
    look: Callable[..., Any], browser: Any, empty_video: Path, tmp_path: Path
) -> None:
    """A proxy's pages are HTML; the first file is refused by it, and the second one judged."""
    look()
    browser.wait(READY)
    browser.run(
        """(() => {
          const { open } = XMLHttpRequest.prototype;
          let first = true;
          XMLHttpRequest.prototype.open = function (method, address) {
            if (!first) return open.call(this, method, address);
            first = false;
            for (const [name, value] of [["status", 413], ["responseText", "<h1>Too Large</h1>"]]) {
              Object.defineProperty(this, name, { get: () => value });
            }
            open.call(this, "GET", "api/v1/about");
          };
        })()"""
    )
    files = [tmp_path / name for name in ("first.mp4", "second.mp4")]
    for file in files:
        file.write_bytes(empty_video.read_bytes())
    choose(browser, *files)
    browser.wait("document.querySelectorAll('.item .tag').length === 1", 30)
    assert browser.text("#refused").startswith("first.mp4: a proxy before the server")
    assert "second.mp4" in browser.text("#list")


def test_a_result_that_breaks_off_is_asked_for_again(
    look: Callable[..., Any], browser: Any, empty_video: Path
) -> None:
    look()
    browser.wait(READY)
    browser.run(
        """(() => {
          const { fetch } = window;
          let broken = 2;
          window.fetch = (address, ...more) => fetch(address, ...more).then((answer) =>
            /result$|videos$/.test(address) && broken-- > 0 ? new Response('{"vid') : answer);
        })()"""
    )
    drop(browser, "a.mp4", empty_video.read_bytes())
    browser.wait(DONE, 30)
    assert "NO FACE" in browser.text(".headline")


def test_a_token_is_called_wrong_only_where_it_is(
    look: Callable[..., Any], browser: Any, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("a-token-of-twenty-ch")
    look("--token-file", token)
    browser.wait("!document.querySelector('#sign-in').hidden")
    for typed, said in (("another", "This is not the token."), ("x" * 5000, "too long for a")):
        browser.run(
            f"document.querySelector('#token').value = '{typed}';"
            "document.querySelector('#sign-in button').click()"
        )
        browser.wait(f"document.querySelector('#wrong').textContent.startsWith('{said}')")
    browser.run("1")  # the browser itself notes each refusal
    assert all("Failed to load resource" in error for error in browser.errors)
    browser.errors.clear()
