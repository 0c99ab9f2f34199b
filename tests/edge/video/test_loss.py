"""Streams that lost packets: every frame that is not as it was sent is known to be damaged."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")
cv2 = pytest.importorskip("cv2")

from keras_ddl.edge.video import Frame, read_video
from keras_ddl.edge.video.loss import REFRESHED, LossTracker

PACKET = 188  # bytes of a transport stream's packet
GROUP = 15  # frames from one key frame to the next


def moving(count: int) -> list[np.ndarray]:
    """Frames of a pattern that moves: what is predicted wrongly looks wrong."""
    coarse = np.random.default_rng(0).integers(0, 256, (12, 40, 3), np.uint8)
    wide = cv2.resize(coarse, (640, 192), interpolation=cv2.INTER_CUBIC)
    return [wide[:, 3 * number : 3 * number + 256] for number in range(count)]


def write_ts(path: Path, reordered: int = 0, codec: str = "libx264") -> Path:
    """Write 60 frames at 25 fps as a transport stream with `reordered` B-frames at a time."""
    options = {"g": str(GROUP), "bf": str(reordered), "crf": "12", "sc_threshold": "0"}
    if codec == "libx265":
        params = f"keyint={GROUP}:min-keyint={GROUP}:bframes={reordered}:log-level=none"
        options = {"x265-params": params, "crf": "12"}
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 256, 192, "yuv420p"
        for number, image in enumerate(moving(60)):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def without_packet(path: Path, share: float) -> Path:
    """Leave out one packet of the stream, at a share of its length."""
    data = path.read_bytes()
    at = int(len(data) * share) // PACKET * PACKET
    lossy = path.with_name(f"lossy_{share}.ts")
    lossy.write_bytes(data[:at] + data[at + PACKET :])
    return lossy


def changed(frames: list[Frame], sent: list[Frame]) -> dict[int, bool]:
    """Number of each frame that arrived → whether its picture is another than was sent."""
    by_time = {round(frame.time_ms): frame for frame in sent}
    return {
        round(frame.time_ms / 40): not np.array_equal(
            frame.image, by_time[round(frame.time_ms)].image
        )
        for frame in frames
    }


@pytest.mark.parametrize("share", [0.3, 0.45, 0.6])
@pytest.mark.parametrize("reordered", [0, 2])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_no_smeared_frame_passes_for_a_whole_one(
    tmp_path: Path, codec: str, reordered: int, share: float, caplog: pytest.LogCaptureFixture
) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    whole = write_ts(tmp_path / "whole.ts", reordered, codec)
    sent = list(read_video(whole))
    assert len(sent) == 60 and not any(frame.damaged for frame in sent) and not caplog.records
    arrived = list(read_video(without_packet(whole, share)))
    smeared = changed(arrived, sent)
    damaged = {round(frame.time_ms / 40): frame.damaged for frame in arrived}
    assert 60 - len(arrived) + sum(smeared.values()) >= 2  # else nothing is tested
    assert all(damaged[number] for number, is_smeared in smeared.items() if is_smeared)
    assert sum(damaged.values()) <= 2 * GROUP + 8  # whole again from the next key frame on
    assert not damaged[0] and not damaged[59]
    assert f"{sum(damaged.values())} frames after lost data may be smeared" in caplog.text


class Part:
    """What a tracker asks of a packet and of the frame that it is decoded to."""

    def __init__(self, pts: int | None, key_frame: bool = False, is_corrupt: bool = False) -> None:
        self.pts, self.key_frame, self.is_corrupt = pts, key_frame, is_corrupt


def told(packets: list[Part], delay: int = 0) -> list[bool]:
    """Whether each frame counts as damaged that a decoder gives so many packets later."""
    loss, answers = LossTracker(), []
    frames = [Part(packet.pts, packet.key_frame) for packet in packets]
    for number in range(len(packets) + delay):
        if number < len(packets):
            loss.packet(packets[number])  # type: ignore[arg-type]
        if number >= delay:
            answers.append(loss.is_damaged(frames[number - delay]))  # type: ignore[arg-type]
    return answers


def stream(count: int, keys: tuple[int, ...], lost: tuple[int, ...]) -> list[Part]:
    return [Part(40 * n, n in keys, n in lost) for n in range(count)]


def test_damage_lasts_from_the_loss_to_the_next_key_frame() -> None:
    damaged = told(stream(12, keys=(0, 8), lost=(3,)))
    assert damaged == [False] * 3 + [True] * 5 + [False] * 4


def test_a_key_frame_right_after_the_mark_may_be_what_is_missing() -> None:
    assert told(stream(9, keys=(0, 4, 7), lost=(3,))) == [False] * 3 + [True] * 4 + [False] * 2


def test_a_key_frame_coded_before_the_loss_renews_nothing_though_it_is_shown_after() -> None:
    damaged = told(stream(30, keys=(0, 4, 20), lost=(6,)), delay=5)
    assert damaged == [False] * 6 + [True] * 14 + [False] * 10  # those before it are whole


def test_what_the_decoder_tells_of_may_be_older_than_it_says() -> None:
    loss = LossTracker()
    packets = stream(6, keys=(0,), lost=())
    for packet in packets:
        loss.packet(packet)  # type: ignore[arg-type]
    loss.lost(packets[5])  # type: ignore[arg-type]
    assert loss.is_damaged(packets[3])  # type: ignore[arg-type]


@pytest.mark.parametrize("second", [0, 40_000_000], ids=["set back", "set ahead"])
def test_the_key_frame_of_a_clock_that_began_anew_renews(second: int) -> None:
    first = stream(25, keys=(0,), lost=(23,))  # joined: the mark of the break
    again = [Part(second + 40 * n, n == 0) for n in range(25)]
    assert told(first + again) == [False] * 23 + [True] * 2 + [False] * 25


def test_without_time_stamps_the_next_key_frame_counts() -> None:
    packets = [Part(None, n in (0, 6), n == 3) for n in range(10)]
    assert told(packets) == [False] * 3 + [True] * 3 + [False] * 4


def test_a_stream_without_key_frames_is_whole_again_once_all_of_it_was_sent_anew() -> None:
    damaged = told(stream(REFRESHED + 20, keys=(0,), lost=(3,)))
    assert sum(damaged) == REFRESHED + 2 and not damaged[-1]
