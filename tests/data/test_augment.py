"""A clip through H.264 and back."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("av")

from keras_ddl.data.augment import recompress


@pytest.mark.parametrize(("height", "width"), [(48, 64), (47, 64), (48, 63), (47, 63)])
def test_every_size_comes_back_in_place(height: int, width: int) -> None:
    """A ramp of 2 a pixel: shifted by one, the clip would be brighter or darker by 2."""
    rows, columns = np.mgrid[:height, :width]
    ramp = (2 * rows + 2 * columns)[..., None].repeat(3, -1).astype(np.uint8)
    clip = np.stack([ramp, ramp + 20, ramp])
    back = recompress(clip, 10)
    assert back.shape == clip.shape and back.dtype == np.uint8
    error = back.astype(int) - clip
    assert np.abs(error).max() <= 6 and abs(error.mean()) < 1


@pytest.mark.parametrize("side", [32, 96])
def test_recompressing_a_clip_again_gives_the_same_pixels(side: int) -> None:
    random = np.random.default_rng(0)
    blocks = random.integers(0, 256, (4, side // 8, side // 8, 3)).repeat(8, 1).repeat(8, 2)
    clip = np.clip(blocks + random.normal(0, 10, blocks.shape), 0, 255).astype(np.uint8)
    found = set()
    for _ in range(150):  # what lies in memory is another thing each time
        other = [np.full(random.integers(1_000, 200_000), 7, np.uint8) for _ in range(8)]
        found.add(recompress(clip, 34).tobytes())
        del other
    assert len(found) == 1
