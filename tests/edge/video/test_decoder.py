"""What decodes: devices that are there, refuse, or are not there; and the same pixels from each."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

av = pytest.importorskip("av")

from keras_ddl.edge.video import decoder, read_video
from keras_ddl.edge.video.decoder import AUTO, CPU, DECODERS, Decoder, choose_decoder
from keras_ddl.edge.video.picture import rgb


@pytest.fixture
def video(tmp_path: Path, write_mp4: Callable[..., Path]) -> Path:
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (8, 6, 8, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    return write_mp4(tmp_path / "a.mp4", list(blocks))


def test_colours_in_pairs_give_the_pixels_of_colours_in_planes(video: Path) -> None:
    """A device gives NV12, the CPU YUV 4:2:0 in planes: the same samples in another order."""
    with av.open(str(video)) as container:
        pictures = list(container.decode(video=0))
    assert {picture.format.name for picture in pictures} == {"yuv420p"}
    for picture in pictures:
        paired = picture.reformat(format="nv12")
        assert (rgb(paired) == picture.to_ndarray(format="rgb24")).all()
    apart = paired.to_ndarray(format="rgb24") != rgb(paired)
    assert apart.any()  # FFmpeg's own way is another: what this is for


def test_a_device_is_taken_where_it_can_be_opened(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(decoder, "built_in", lambda: ["qsv", "vaapi", "cuda"])
    there = {"vaapi": "", "cuda": "", "qsv": "it cannot be opened (ENODEV)", "drm": "not built"}
    monkeypatch.setattr(decoder, "why_not", there.__getitem__)
    assert choose_decoder(AUTO) == "vaapi"  # the first of FFmpeg's list that is there
    assert choose_decoder("cuda") == "cuda"
    assert choose_decoder(CPU) == CPU
    caplog.clear()
    assert choose_decoder("drm") == CPU
    assert caplog.messages == ["--decode drm: not built; the CPU decodes"]
    caplog.clear()
    there |= {"vaapi": "no", "cuda": "no"}
    assert choose_decoder(AUTO) == CPU
    assert caplog.messages == [
        "--decode auto: the CPU decodes (qsv: it cannot be opened (ENODEV); vaapi: no; cuda: no)"
    ]


def test_every_name_is_one_of_ffmpegs() -> None:
    known = {kind.name for kind in av.codec.hwaccel.HWDeviceType}
    assert set(DECODERS) - {AUTO, CPU} <= known


@pytest.mark.parametrize("device", ["cuda", "drm"])  # one cannot be opened, one decodes no H.264
def test_a_device_that_fails_leaves_the_same_frames_to_the_cpu(
    video: Path, caplog: pytest.LogCaptureFixture, device: str
) -> None:
    if device not in decoder.built_in():
        pytest.skip(f"this PyAV's FFmpeg was not built for {device}")
    if not decoder.why_not(device):
        pytest.skip(f"{device} is there")
    expected = [frame.image for frame in read_video(video)]
    caplog.clear()
    asked = Decoder(device, "a.mp4")
    assert asked.used == device
    frames = [frame.image for frame in read_video(video, decoder=asked)]
    assert np.array_equal(frames, expected)
    assert asked.used == CPU
    said = [line for line in caplog.messages if f"--decode {device}" in line]
    assert len(said) == 1
    assert said[0].startswith("a.mp4: ") and said[0].endswith("; the CPU decodes")


@pytest.mark.parametrize(
    ("is_hwaccel", "pix_fmt", "used"),
    [
        (True, "cuda", "cuda"),
        (True, "yuv420p", CPU),  # FFmpeg has fallen back in silence
        (False, "yuv420p", CPU),  # its decoder does not know the device
    ],
)
def test_what_has_decoded_is_told_by_the_format_and_not_by_what_was_asked_for(
    caplog: pytest.LogCaptureFixture, is_hwaccel: bool, pix_fmt: str, used: str
) -> None:
    codec = av.Codec("h264", "r")
    if "cuda" not in {config.format.name for config in codec.hardware_configs}:
        pytest.skip("this PyAV's FFmpeg was not built for CUDA")
    context = SimpleNamespace(is_hwaccel=is_hwaccel, pix_fmt=pix_fmt, codec=codec, name="h264")
    asked = Decoder("cuda", "door")
    asked.saw(context)
    asked.saw(context)
    assert asked.used == used
    assert len(caplog.messages) == (used == CPU)
