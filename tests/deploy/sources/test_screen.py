"""A screen as a source, on a real X server (Xvfb): what is drawn, resized, closed and killed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from x_display import XDisplay

from deploy.backoff import Backoff
from deploy.sources import Limits, State, Watch, is_live, open_source
from deploy.sources.screen.address import Area, ScreenPlan, screen_plan
from keras_ddl.edge.errors import MISSING, USAGE, UserError
from keras_ddl.edge.video import Frame

QUICK = Watch(keep_trying=True, frozen_s=0.0, backoff=lambda: Backoff(0.1, 0.5))
RED, GREEN, BLUE = (200, 30, 40), (10, 180, 60), (20, 50, 220)
LIMIT_S = 60.0


Show = Callable[..., XDisplay]


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Iterator[Show]:
    """Starts displays and makes them the environment's; skips where Xvfb is not installed."""
    for package in ("mss", "xcffib", "cv2"):
        pytest.importorskip(package)
    if shutil.which("Xvfb") is None:
        pytest.skip("needs Xvfb: scripts/services.sh")
    displays: list[XDisplay] = []

    def start(*arguments: str) -> XDisplay:
        displays.append(XDisplay(*arguments))
        monkeypatch.setenv("DISPLAY", displays[-1].number)
        return displays[-1]

    yield start
    for display in displays:
        display.close()


def first(text: str) -> Frame:
    with open_source(text) as source:
        return next(iter(source))


def frame_with(frames: Iterator[Frame], wanted: Callable[[Frame], Any]) -> Frame:
    """The next frame like that; a limit keeps a broken test from going on for ever."""
    for _, frame in zip(range(2000), frames, strict=False):
        if wanted(frame):
            return frame
    pytest.fail("it never came")


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must come; the limit only keeps a broken test from hanging."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("screen://0", ScreenPlan(0)),
        ("SCREEN://1?fps=5", ScreenPlan(1, fps=5)),
        ("screen://all", ScreenPlan(None)),
        ("screen://0?region=10,20,640,480", ScreenPlan(0, region=Area(10, 20, 640, 480))),
        ("screen://0?window=A call %26 more", ScreenPlan(0, window="A call & more")),
    ],
)
def test_an_address_says_what_is_watched(text: str, plan: ScreenPlan) -> None:
    assert screen_plan(text) == plan
    assert is_live(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("screen://", "expected screen://MONITOR such as screen://0"),
        ("screen://left", "expected screen://MONITOR such as screen://0"),
        ("screen://" + "9" * 5000, "expected screen://MONITOR such as screen://0"),
        ("screen://0/1", "expected screen://MONITOR such as screen://0"),
        ("screen:/0", "expected screen://…, received screen:/0"),
        ("screen://0?fps=0", "fps: expected a whole number from 1 to 60, received '0'"),
        ("screen://0?regoin=0,0,9,9", "unknown option 'regoin'; did you mean 'region'"),
        ("screen://0?region=0,0,640", "region: expected X,Y,WIDTH,HEIGHT in pixels"),
        ("screen://0?region=0,0,640,-2", "region: expected X,Y,WIDTH,HEIGHT in pixels"),
        ("screen://0?region=0,0,640,4", "sides of 16 pixels or more"),
        ("screen://0?window=", "window: expected the title of a window"),
    ],
)
def test_an_address_that_is_none_is_one_line(text: str, words: str) -> None:
    with pytest.raises(UserError, match="screen:") as caught:
        open_source(text)
    assert caught.value.exit_code == USAGE
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "expected an X display, received none"),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "received Wayland's, which shows its screen to no"),
        ({"DISPLAY": ":59999"}, "no X server answers at DISPLAY=:59999; name one that runs"),
    ],
)
def test_a_display_that_is_not_there_is_one_line(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    pytest.importorskip("mss")
    pytest.importorskip("xcffib")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="cannot open screen://0: ") as caught:
        open_source("screen://0")
    assert caught.value.exit_code == MISSING
    assert words in str(caught.value) and "\n" not in str(caught.value)
    open_source("screen://0", watch=QUICK).close()  # it may come


@pytest.mark.service
def test_colours_and_places_are_those_that_were_drawn(show: Show) -> None:
    display = show("640x480")
    display.window(RED, (0, 0, 320, 480))
    display.window(GREEN, (320, 0, 320, 480))
    whole = first("screen://0").image
    assert whole.shape == (480, 640, 3) and whole.dtype == np.uint8
    assert (whole[:, :320] == RED).all() and (whole[:, 320:] == GREEN).all()
    part = first("screen://0?region=310,100,40,20").image
    assert part.shape == (20, 40, 3)
    assert (part[:, :10] == RED).all() and (part[:, 10:] == GREEN).all()
    assert (first("screen://all").image == whole).all()


@pytest.mark.service
def test_times_are_those_of_the_clock_and_as_far_apart_as_asked_for(show: Show) -> None:
    show()
    with open_source("screen://0?fps=20", watch=QUICK) as source:
        frames = iter(source)
        times = [next(frames).time_ms for _ in range(11)]
    assert source.fps == 20.0
    steps = np.diff(times)
    assert (steps > 0.0).all()
    assert np.median(steps) >= 49.0  # never more than twenty a second; a busy machine gives fewer


@pytest.mark.service
@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("screen://3", MISSING, "no such monitor; found 0 (640 × 480)"),
        ("screen://0?region=600,0,64,64", USAGE, "expected a region within 640 × 480"),
        ("screen://0?window=Nobody", MISSING, "found no window that can be seen with 'Nobody'"),
        ("screen://0?window=call", MISSING, "found 2 windows with 'call' in the title"),
    ],
)
def test_what_is_not_on_the_screen_is_one_line(
    show: Show, text: str, code: int, words: str
) -> None:
    display = show("640x480")
    display.window(RED, (0, 0, 100, 100), "A call")
    display.window(RED, (0, 0, 100, 100), "Another call")
    with pytest.raises(UserError, match="cannot open ") as caught:
        open_source(text)
    assert caught.value.exit_code == code
    assert words in str(caught.value) and "Another" not in str(caught.value)


@pytest.mark.service
def test_a_picture_larger_than_is_let_in_is_refused(show: Show) -> None:
    show("640x480")
    with pytest.raises(UserError, match=r"640 × 480, more than the 0\.1 million pixels"):
        open_source("screen://0", limits=Limits(most_pixels=100_000))


@pytest.mark.service
def test_a_monitor_that_changes_size_begins_a_segment(show: Show) -> None:
    display = show("640x480")
    with open_source("screen://0", watch=QUICK) as source:
        frames = iter(source)
        assert next(frames).image.shape == (480, 640, 3)
        display.resize(320, 240)
        small = frame_with(frames, lambda frame: frame.image.shape == (240, 320, 3))
        display.resize(640, 400)
        large = frame_with(frames, lambda frame: frame.image.shape == (400, 640, 3))
        assert source.health.reconnects == 0
    assert 0 < small.segment < large.segment


@pytest.mark.service
def test_a_window_is_followed_until_it_is_closed_and_found_again(show: Show) -> None:
    display = show("640x480")
    window = display.window(BLUE, (50, 60, 200, 100), "A call")
    display.window(GREEN, (400, 0, 100, 100), "A call - notes")  # contains it, too
    with open_source("screen://0?window=a call", watch=QUICK) as source:
        frames = iter(source)
        image = next(frames).image
        assert image.shape == (100, 200, 3) and (image == BLUE).all()
        display.move(window, 560, 420)  # 80 × 60 of it are on the screen
        image = frame_with(frames, lambda frame: frame.image.shape == (60, 80, 3)).image
        assert (image == BLUE).all()
        display.close_window(window)
        display.window(RED, (0, 200, 120, 90), "A call")
        frame_with(frames, lambda frame: (frame.image[0, 0] == RED).all())
        assert source.health.reconnects == 1


@pytest.mark.service
def test_where_a_window_manager_lists_windows_the_others_are_none(show: Show) -> None:
    display = show("640x480")
    display.window(RED, (0, 0, 64, 64), "A call")  # a panel's picture of it, say
    window = display.window(BLUE, (100, 100, 64, 64), "A call")
    display.list_windows(window)
    assert (first("screen://0?window=A call").image == BLUE).all()


@pytest.mark.service
def test_a_display_that_dies_is_tried_again_and_may_have_another_size(show: Show) -> None:
    display = show("640x480")
    with open_source("screen://0", watch=QUICK) as source:
        frames = iter(source)
        assert next(frames).segment == 0
        display.close()
        until(lambda: source.health.state is State.RECONNECTING)
        assert "lost screen://0: no picture from the display" in source.health.error
        with closing(XDisplay("320x240", number=display.number)):
            back = frame_with(frames, lambda frame: frame.segment > 0)
            assert back.image.shape == (240, 320, 3)
            assert source.health.reconnects == 1
