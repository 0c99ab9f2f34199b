"""A real mosquitto on loopback, and its own client to see what is on it; skips without either."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"  # where Debian puts the broker
CONFIG = """
listener {port} 127.0.0.1
allow_anonymous {anonymous}
persistence true
persistence_location {folder}/
autosave_interval 1
autosave_on_changes true
user root
log_type error
"""


def tool(name: str) -> str:
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip("needs mosquitto: scripts/services.sh")
    return found


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must come; the limit only keeps a broken test from hanging."""
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail("it never came")
        time.sleep(0.01)


class Broker:
    """A mosquitto of this test's own, on a free port."""

    def __init__(self, folder: Path, more: str = "", anonymous: bool = True) -> None:
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}/site/hall"
        self._program = tool("mosquitto")
        self._config = folder / "mosquitto.conf"
        words = {"port": self.port, "anonymous": str(anonymous).lower(), "folder": folder}
        self._config.write_text(CONFIG.format(**words) + more)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen([self._program, "-c", str(self._config)])
        until(self._listens)

    def _listens(self) -> bool:
        with closing(socket.socket()) as knocking:
            return knocking.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = None

    def publish(self, topic: str, text: str, *options: str) -> None:
        line = [tool("mosquitto_pub"), "-p", str(self.port), "-t", topic, "-m", text, *options]
        subprocess.run(line, check=True)


class Watcher:
    """mosquitto_sub: a client that is not ours, whose subscription the broker remembers."""

    def __init__(self, port: int, *options: str) -> None:
        self.messages: list[dict[str, Any]] = []
        line = [tool("mosquitto_sub"), "-p", str(port), "-i", "watcher", "-c", "-q", "1"]
        self._process = subprocess.Popen(
            [*line, "-t", "#", "-T", "+/+/+/snapshot", "-F", "%j", *options],  # no JPEG here
            stdout=subprocess.PIPE,
            text=True,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._process.stdout:
            self.messages.append(json.loads(line))

    def on(self, topic: str) -> list[str]:
        return [m["payload"] for m in list(self.messages) if m["topic"] == topic]

    def events(self, topic: str = "site/hall/door/event") -> list[str]:
        return [json.loads(text)["event"] for text in self.on(topic)]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()
        self._process.stdout.close()
