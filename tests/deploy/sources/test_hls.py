"""Master playlists: what is read out of one, and which quality is opened."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deploy.sources.hls import Variant, choose_variant, read_variants, variant_address

MASTER = """#EXTM3U
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="en, or not",URI="sound.m3u8"

#EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS="mp4a.40.2"
sound.m3u8
#EXT-X-STREAM-INF:CODECS="avc1.4d401f,mp4a.40.2",RESOLUTION=640x360,BANDWIDTH=800000,AUDIO="a"
# a remark
low.m3u8?x=1,2
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=90000,RESOLUTION=1920x1080,URI="keys.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=2000000,RESOLUTION=1280x720
https://other.example/mid.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=4000000,RESOLUTION=1280x720
high.m3u8
"""


def test_qualities_are_read_as_they_stand() -> None:
    assert read_variants(MASTER.replace("\n", "\r\n")) == [
        Variant("sound.m3u8", 0, 0, 64000),
        Variant("low.m3u8?x=1,2", 640, 360, 800000),
        Variant("https://other.example/mid.m3u8", 1280, 720, 2000000),
        Variant("high.m3u8", 1280, 720, 4000000),
    ]


@pytest.mark.parametrize(
    "text",
    ["", "<html>", "#EXTM3U\n#EXTINF:1,\na.ts\n", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n"],
)
def test_what_is_no_master_playlist_has_none(text: str) -> None:
    assert read_variants(text) == []


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        (2000, "high.m3u8"),
        (720, "high.m3u8"),
        (719, "low.m3u8?x=1,2"),
        (100, "low.m3u8?x=1,2"),  # none is so small: the smallest, and never sound alone
    ],
)
def test_the_best_that_fits_is_taken(lines: int, address: str) -> None:
    assert choose_variant(read_variants(MASTER), lines).address == address


def test_without_sizes_the_most_bits_are_the_best() -> None:
    text = "#EXTM3U\n" + "".join(
        f"#EXT-X-STREAM-INF:BANDWIDTH={rate}\n{rate}.m3u8\n" for rate in (3, 9, 5)
    )
    assert choose_variant(read_variants(text), 480).address == "9.m3u8"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/a.m3u8", "http://[::1/a.m3u8", "http:///x"])
def test_an_address_that_cannot_be_asked_stays_as_it_is(url: str) -> None:
    assert variant_address(url, "shown", 480) == url


@pytest.fixture
def redirecting() -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """A server that sends `/here` to itself and `/there` to another name; what it was asked."""
    asked: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Authorization", "")))
            if self.path in ("/here", "/there"):
                name = "127.0.0.1" if self.path == "/here" else "localhost"
                self.send_response(302)
                self.send_header("Location", f"http://{name}:{port}/live/master.m3u8")
                self.end_headers()
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(MASTER.encode())

        def log_message(self, *about: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield port, asked
        server.shutdown()


def test_credentials_stay_with_their_host(
    redirecting: tuple[int, list[tuple[str, str]]],
) -> None:
    """Kept for the quality's own playlist on the same host, and never told to another."""
    port, asked = redirecting
    secret = f"http://me:s3cret@127.0.0.1:{port}"
    assert variant_address(f"{secret}/here", "shown", 480) == f"{secret}/live/low.m3u8?x=1,2"
    other = variant_address(f"{secret}/there", "shown", 480)
    assert other == f"http://localhost:{port}/live/low.m3u8?x=1,2"
    assert [path for path, header in asked if header] == ["/here", "/there"]
    assert len(asked) == 4
