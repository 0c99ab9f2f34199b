"""One video: whose face is taken, and what a damaged file gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("av")

from keras_ddl.data.cut_video import cut_video
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.faces import open_detector

pytestmark = pytest.mark.usefixtures("haar")  # the detector of most of them

SPEC = ClipSpec(frames=8, size=32)


@pytest.fixture
def couple(
    tmp_path: Path, draw_face: Callable[..., np.ndarray], write_mp4: Callable[..., Path]
) -> Path:
    """Two faces side by side, the right one a little later; and a mask over the right one."""
    folder = tmp_path / "couple"
    folder.mkdir()

    def pictures() -> Iterator[np.ndarray]:
        for i in range(32):
            wall = np.full((120, 320, 3), 120, np.uint8)
            picture = draw_face(wall, 72, 60, 60)
            yield draw_face(picture, 240, 60, 60) if i >= 6 else picture

    mask = np.zeros((120, 320, 3), np.uint8)
    mask[30:90, 210:270] = 255
    write_mp4(folder / "couple.mp4", pictures())
    write_mp4(folder / "mask.mp4", [mask] * 32)
    return folder


def test_everyone_in_a_real_video_is_taken(couple: Path) -> None:
    detector = open_detector("haar")
    alone = cut_video(couple / "couple.mp4", SPEC, detector, 2)
    everyone = cut_video(couple / "couple.mp4", SPEC, detector, 2, everyone=True)
    assert [clip.track_id for clip in alone.clips] == [1, 1]
    assert [clip.track_id for clip in everyone.clips] == [1, 1, 2, 2]


def test_a_mask_names_the_manipulated_face(couple: Path) -> None:
    detector = open_detector("haar")
    masked = cut_video(couple / "couple.mp4", SPEC, detector, 2, mask=couple / "mask.mp4")
    assert {clip.track_id for clip in masked.clips} == {2}
    nothing = cut_video(couple / "couple.mp4", SPEC, detector, 2, mask=couple / "no such.mp4")
    assert {clip.track_id for clip in nothing.clips} == {1}


def test_no_clip_is_cut_from_frames_that_lost_data(
    tmp_path: Path, draw_face: Callable[..., np.ndarray], write_mp4: Callable[..., Path]
) -> None:
    wall = np.random.default_rng(0).integers(90, 150, (120, 160, 3), np.uint8)
    pictures = [draw_face(wall, 80, 60, 60)] * 48
    path = write_mp4(tmp_path / "face.ts", pictures, gop=48)
    whole = cut_video(path, SPEC, open_detector("haar"), 99)
    data = path.read_bytes()
    at = len(data) // 188 * 2 // 3 * 188
    path.write_bytes(data[:at] + data[at + 188 :])
    lossy = cut_video(path, SPEC, open_detector("haar"), 99)
    assert 0 < len(lossy.clips) < len(whole.clips)
    assert [clip.times_ms[-1] for clip in lossy.clips] == [
        clip.times_ms[-1] for clip in whole.clips[: len(lossy.clips)]
    ]


def test_a_truncated_video_gives_what_it_still_holds(face_videos: Path) -> None:
    path = face_videos / "train/real/a_0.mp4"
    whole = cut_video(path, SPEC, open_detector("haar"), 99)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    part = cut_video(path, SPEC, open_detector("haar"), 99)
    assert part.status == "ok" and 0 < len(part.clips) < len(whole.clips)
