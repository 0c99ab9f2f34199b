"""A network camera on loopback: MJPEG over HTTP, as many cheap ones speak it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

LIVE, FROZEN, STALLED, GONE = "live", "frozen", "stalled", "gone"


class LoopbackCamera:
    """Serves pictures in a loop to everybody who connects.

    Attributes to change while it runs:
        mode: LIVE, FROZEN (the same picture again and again), STALLED (connected and silent),
            GONE (connections are closed, and new ones at once).
        pictures: Pictures, uint8 (H, W, 3) RGB, that are gone through in a loop.
        fps: Pictures per second.
        damaged: How many of the next pictures are sent with half their bytes spoilt.

    Attributes to read:
        url: Its address.
        visits: Connections so far.
    """

    def __init__(self, pictures: Sequence[np.ndarray], fps: float = 50.0, port: int = 0) -> None:
        self.mode = LIVE
        self.pictures = pictures
        self.fps = fps
        self.damaged = 0
        self.visits = 0
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.visits += 1
                try:
                    camera.serve(self)
                except OSError:  # the viewer has left
                    return

            def log_message(self, *_: object) -> None:
                return None

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._closed = False
        self.url = f"http://127.0.0.1:{self._server.server_port}/live"
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    def serve(self, viewer: BaseHTTPRequestHandler) -> None:
        """Send pictures until the viewer leaves or the camera does."""
        if self.mode == GONE:
            return
        viewer.send_response(200)
        viewer.send_header("Content-Type", "multipart/x-mixed-replace; boundary=edge")
        viewer.end_headers()
        index, due = 0, time.monotonic()
        while not self._closed and self.mode != GONE:
            due += 1.0 / self.fps
            time.sleep(max(0.0, due - time.monotonic()))
            if self.mode == STALLED:
                continue
            data = self._encoded(index)
            head = f"--edge\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            viewer.wfile.write(head.encode() + data + b"\r\n")
            index += self.mode == LIVE

    def _encoded(self, index: int) -> bytes:
        import cv2

        picture = self.pictures[index % len(self.pictures)]
        data = bytearray(cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes())
        if self.damaged > 0:
            self.damaged -= 1
            data[2:-2] = bytes(len(data) - 4)
        return bytes(data)

    def close(self) -> None:
        """Stop serving."""
        self._closed = True
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> LoopbackCamera:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
