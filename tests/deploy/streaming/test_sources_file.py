"""`--config streams.toml`: what it says, what it refuses, and where its secrets are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from deploy.sources.base import DEFAULT_LIMITS, Limits
from deploy.sources.live.live_source import LiveSource
from deploy.sources.paced import PacedSource
from deploy.streaming.sources_file import SourceConfig, read_streams
from deploy.telemetry import NullTelemetry
from keras_ddl.edge.errors import UserError

if sys.version_info < (3, 11):
    pytest.importorskip("tomli")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOOR", "p@ss/w?rd")
    monkeypatch.setenv("WHOLE", "rtsp://u:s3cret@cam/main")


def write(folder: Path, text: str) -> Path:
    path = folder / "streams.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_sources_come_in_order_with_their_settings(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        [[source]]
        name = "door"
        url = "rtsp://viewer:${DOOR}@10.0.0.2/main"
        frozen_s = 10

        [[source]]
        url = "0"
        keep_trying = false
        max_age_ms = 500.0

        [[source]]
        url = "night.mp4"
        realtime = true

        [[source]]
        name = "yard"
        url = "${WHOLE}"

        [[source]]
        url = "rtsp://viewer:${DOOR}@10.0.0.3/main?token=${DOOR}"
        """,
    )
    assert read_streams(path) == [
        SourceConfig("rtsp://viewer:p%40ss%2Fw%3Frd@10.0.0.2/main", "door", frozen_s=10),
        SourceConfig("0", "0", keep_trying=False, max_age_ms=500.0),
        SourceConfig(str(tmp_path / "night.mp4"), "night.mp4", realtime=True),
        SourceConfig("rtsp://u:s3cret@cam/main", "yard"),
        SourceConfig(
            "rtsp://viewer:p%40ss%2Fw%3Frd@10.0.0.3/main?token=p%40ss%2Fw%3Frd",
            "rtsp://***@10.0.0.3/main?***",
        ),
    ]
    assert "ss" not in repr(read_streams(path)[0])


def test_a_source_is_opened_with_its_settings(empty_video: Path) -> None:
    pytest.importorskip("av")
    config = SourceConfig("rtsp://u:s3cret@cam/main", "door", frozen_s=9.0, max_age_ms=5.0)
    source = config.open(NullTelemetry())
    assert isinstance(source, LiveSource) and source.name == "door"
    watch = source.watch
    assert (watch.keep_trying, watch.frozen_s, watch.max_age_ms) == (True, 9.0, 5.0)
    night = SourceConfig(str(empty_video), "night", realtime=True).open(NullTelemetry())
    assert isinstance(night, PacedSource) and night.name == "night"


def test_limits_reach_the_source(tmp_path: Path, empty_video: Path) -> None:
    pytest.importorskip("av")
    text = '[[source]]\nurl = "https://host/a.m3u8"\nvariant = 480\nmax_megapixels = 2.5\n'
    (config,) = read_streams(write(tmp_path, text))
    assert config.limits == Limits(lines=480, most_pixels=2_500_000)
    (other,) = read_streams(write(tmp_path, '[[source]]\nurl = "0"\n'))
    assert other.limits == DEFAULT_LIMITS
    small = SourceConfig(str(empty_video), "night", limits=Limits(most_pixels=100))
    with pytest.raises(UserError, match=r"more than the 0\.0001 million pixels"):
        small.open(NullTelemetry())


def test_the_command_lines_limits_reach_its_sources() -> None:
    from deploy.stream import _configs
    from deploy.streaming.options import stream_parser

    words = ["--source", "https://host/a.m3u8", "--variant", "480", "--max-megapixels", "2.5"]
    (config,) = _configs(stream_parser("").parse_args(words))
    assert config.limits == Limits(lines=480, most_pixels=2_500_000)
    (plain,) = _configs(stream_parser("").parse_args(words[:2]))
    assert plain.limits == DEFAULT_LIMITS


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected one or more [[source]] tables, received none"),
        ("[source]\nurl = '0'", "expected one or more [[source]] tables"),
        ("[[sources]]\nurl = '0'", "unknown table 'sources'; did you mean 'source'"),
        ("[[source]]\nurl = '0'\nkeep_tring = true", "did you mean 'keep_trying'"),
        ("[[source]]\nname = 'door'", "source 1: expected a url, received name"),
        ("[[source]]\nurl = 0", "url: expected an address, a camera or a file, received 0"),
        ("[[source]]\nurl = '0'\nkeep_trying = 1", "expected true or false, received 1"),
        ("[[source]]\nurl = '0'\nfrozen_s = -1", "expected seconds, 0 or more, received -1"),
        ("[[source]]\nurl = '0'\nfrozen_s = true", "expected seconds, 0 or more, received True"),
        ("[[source]]\nurl = '0'\nvariant = 0", "lines of a picture, a whole number of 1 or more"),
        ("[[source]]\nurl = '0'\nmax_megapixels = true", "0.01 or more, received True"),
        ("[[source]]\nurl = '0'\nmax_age_ms = inf", "milliseconds, 1 or more, received inf"),
        ("[[source]]\nurl = '0'\n[[source]]\nurl = '0'", "two sources have the name '0'"),
        ("[[source]]\nurl = 'rtsp://u:${GONE}@c'", "environment variable GONE is not set"),
        ("url = ", "not valid TOML"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        read_streams(write(tmp_path, text))
    assert caught.value.exit_code == 2
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--config: cannot read \S+absent\.toml: No such file"):
        read_streams(tmp_path / "absent.toml")
