"""MQTT against a real mosquitto: killed and restarted, last will, commands, TLS."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mqtt_broker import Broker, Watcher, tool, until

from deploy.backoff import Backoff
from deploy.control import SourceStatus
from deploy.sinks import Output
from deploy.sinks.mqtt import events
from deploy.sinks.mqtt.events import MqttEvents
from deploy.sources.base import Health, State
from keras_ddl.edge.errors import UserError

pytest.importorskip("paho.mqtt.client")
pytestmark = pytest.mark.service


ROOT = Path(__file__).resolve().parents[4]


@dataclass
class FakeRun:
    """A run with two sources that remembers what was asked of it."""

    states: dict[str, Health] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    picture: np.ndarray | None = None

    def status(self) -> tuple[SourceStatus, ...]:
        return tuple(SourceStatus(name, health, fps=25.0) for name, health in self.states.items())

    def start(self, source: str) -> None:
        self.asked.append(("start", source))

    def stop(self, source: str) -> None:
        if source == "door":
            raise KeyError("gone this moment")
        self.asked.append(("stop", source))

    def snapshot(self, source: str) -> np.ndarray | None:
        self.asked.append(("snapshot", source))
        return self.picture


@pytest.fixture
def run() -> FakeRun:
    health = Health(State.RUNNING, frames=7, reconnects=1, dropped={"stale": 2})
    return FakeRun({"door": health, "rtsp://***@yard:554/1": health})


def opened(url: str, run: FakeRun, spool: Path, **options: Any) -> MqttEvents:
    sink = MqttEvents(url, run, spool, **{"backoff": Backoff(0.02, 0.1), **options})
    sink.open()
    return sink


def event(number: int, kind: str = "verdict", source: str = "door") -> Output:
    return Output(({"type": kind, "event": f"e{number}", "source": source, "verdict": "FAKE"},))


def names(*numbers: int) -> list[str]:
    return [f"e{number}" for number in numbers]


def once(seen: list[str]) -> list[str]:
    return list(dict.fromkeys(seen))


def test_events_states_and_presence(
    broker: Broker,
    watcher: Watcher,
    run: FakeRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "STATUS_EVERY_S", 0.1)
    with opened(broker.url, run, tmp_path / "s", clips=True) as sink:
        until(lambda: watcher.on("site/hall/status") == ["online"])
        sink.write(event(1))
        sink.write(event(2, source="rtsp://***@yard:554/1"))
        sink.write(event(3, "clip"))
        until(lambda: len(watcher.on("site/hall/door/clip")) == 1)
        run.states["door"] = Health(State.FROZEN, error="the same picture")
        until(lambda: "frozen" in watcher.on("site/hall/door/status")[-1])
        yard = "site/hall/rtsp-yard-554-1"
        until(lambda: watcher.events(f"{yard}/event") == names(2))
        until(lambda: len(watcher.on(f"{yard}/status")) >= 2)  # repeated without a change
    until(lambda: watcher.on("site/hall/status") == ["online", "offline"])
    assert watcher.events() == names(1)
    assert json.loads(watcher.on(f"{yard}/status")[0]) == {
        **{"source": "rtsp://***@yard:554/1", "state": "running", "error": "", "fps": 25.0},
        **{"frames": 7, "drops": {"stale": 2}, "reconnects": 1},
        **{"verdict": "NO_FACE", "score": None, "faces": 0},
    }
    assert not list(tmp_path.rglob("*.json"))
    with closing(Watcher(broker.port, "-i", "late")) as late:  # what is retained
        until(lambda: late.on("site/hall/status") == ["offline"])
        until(lambda: len(late.on("site/hall/door/status")) == 1)
        assert late.events() == late.on("site/hall/door/clip") == []


def test_a_broker_killed_and_restarted_loses_no_event(
    broker: Broker, watcher: Watcher, run: FakeRun, tmp_path: Path, caplog: Any
) -> None:
    sink = opened(broker.url, run, tmp_path / "s")
    for number in range(120):
        sink.write(event(number))
        if number == 30:
            until(lambda: len(watcher.events()) > 10)
            broker.kill()  # with some of them on their way
        if number == 80:
            broker.start()
            until(lambda: len(once(watcher.events())) > 60)
        if number == 100:
            broker.kill()
            broker.start()
    until(lambda: len(once(watcher.events())) == 120)
    sink.close()
    assert once(watcher.events()) == names(*range(120))
    assert not list(tmp_path.rglob("s/*/*.json"))
    waited = [r.getMessage() for r in caplog.records if "until it is back" in r.getMessage()]
    assert 1 <= len(waited) <= 3  # a line an outage, not one an attempt


def test_a_broker_that_is_down_neither_ends_nor_delays_a_run(
    run: FakeRun, tmp_path: Path, caplog: Any
) -> None:
    broker = Broker(tmp_path)
    sink = opened(broker.url, run, tmp_path / "s")
    for number in range(5):
        sink.write(event(number))
    until(lambda: "until it is back" in caplog.text)
    sink.close()
    sink.close()
    broker.start()
    with closing(Watcher(broker.port)) as watcher:
        broker.publish("ready", "1")
        until(lambda: bool(watcher.messages) or broker.publish("ready", "1") or False)
        with opened(broker.url, run, tmp_path / "s") as sink:
            sink.write(event(5))
        until(lambda: watcher.events() == names(*range(6)))
    broker.kill()


SENDER = """
import sys
from pathlib import Path
from deploy.sinks import Output
from deploy.sinks.mqtt.events import MqttEvents
class Run:
    def status(self):
        return ()
sink = MqttEvents(sys.argv[1], Run(), Path(sys.argv[2]))
sink.open()
number = -1
while True:
    number += 1
    record = {"type": "verdict", "event": f"e{number}", "source": "door", "verdict": "FAKE"}
    sink.write(Output((record,)))
    print(number, flush=True)
"""


def test_kill_9_of_the_program_leaves_a_last_will_and_loses_no_event(
    broker: Broker, watcher: Watcher, run: FakeRun, tmp_path: Path
) -> None:
    line = [sys.executable, "-c", SENDER, broker.url, str(tmp_path / "s")]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as sender:
        until(lambda: sender.stdout.readline() != "" and len(watcher.events()) > 5)
        last = int(sender.stdout.readline())
        os.kill(sender.pid, signal.SIGKILL)
        last += len(sender.stdout.read().splitlines())
    until(lambda: watcher.on("site/hall/status") == ["online", "offline"])
    with opened(broker.url, run, tmp_path / "s"):
        until(lambda: not list(tmp_path.rglob("s/*/*.json")))
    until(lambda: watcher.on("site/hall/status")[-2:] == ["online", "offline"])
    seen = watcher.events()
    assert len(once(seen)) in (last + 1, last + 2)  # one may be on disk and not yet said
    assert once(seen) == names(*range(len(once(seen))))
    assert len(seen) - len(once(seen)) <= 20  # the ones that were under way


def test_commands_are_followed_and_mistakes_answered(
    broker: Broker, watcher: Watcher, run: FakeRun, tmp_path: Path
) -> None:
    cv2 = pytest.importorskip("cv2")

    def send(text: str, *options: str) -> None:
        broker.publish("site/hall/command", text, *options)

    def answered(words: str) -> None:
        until(lambda: any(words in text for text in watcher.on("site/hall/error")))

    send("start door", "-r")  # retained: it waits for whoever connects
    with opened(broker.url, run, tmp_path / "s"):
        answered("start door: a retained command")
        send("start door")
        send("stop rtsp-yard-554-1")
        send('{"command": "start", "source": "rtsp://***@yard:554/1"}')
        yard = "rtsp://***@yard:554/1"
        until(lambda: run.asked == [("start", "door"), ("stop", yard), ("start", yard)])
        send("snapshot door")
        answered("no picture of 'door' so far")
        run.picture = np.full((48, 64, 3), (250, 20, 40), np.uint8)
        got = tmp_path / "snapshot.jpg"
        line = [tool("mosquitto_sub"), "-p", str(broker.port), "-t", "site/hall/door/snapshot"]
        with got.open("wb") as file:
            sub = subprocess.Popen([*line, "-C", "1", "-N"], stdout=file)
            until(lambda: sub.poll() is not None or send("snapshot door") or False)
        picture = cv2.imread(str(got))[..., ::-1]
        assert picture.shape == (48, 64, 3)
        assert np.abs(picture.reshape(-1, 3).mean(0) - (250, 20, 40)).max() < 6
        for wrong, words in [
            ("dance door", "expected one of start, stop, snapshot, received 'dance'"),
            ("stop", "expected the name of a source after 'stop'"),
            ("stop nowhere", "no source 'nowhere'; there are: door, rtsp-yard-554-1"),
            ("stop door", "gone this moment"),
            ("{", "not valid JSON"),
            ("[" * 1000, "expected one of"),
            ("x" * 5000, "expected at most 1024 bytes, received 5000"),
            ("two\nlines", "two lines: expected one of"),
            ('{"command": "stop", "source": "\\ud800"}', "no source '?'"),
            ('{"command": "stop", "source": ' + "[" * 900, "not valid JSON"),
        ]:
            send(wrong)
            answered(words)
    assert all("\n" not in text for text in watcher.on("site/hall/error"))


def test_a_wrong_password_is_no_end_and_never_logged(
    run: FakeRun, tmp_path: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("DEBUG")
    passwords = tmp_path / "passwords"
    passwords.write_text("device:s3cret\n")
    subprocess.run([tool("mosquitto_passwd"), "-U", passwords], check=True)
    broker = Broker(tmp_path, f"password_file {passwords}\n", anonymous=False)
    broker.start()
    url = broker.url.replace("://", "://device:wr0ng@")
    sink = opened(url, run, tmp_path / "s")
    sink.write(event(1))
    until(lambda: "refused: Not authorized" in caplog.text)
    sink.close()
    monkeypatch.setenv("KERAS_DDL_MQTT_PASSWORD", "s3cret")
    with closing(Watcher(broker.port, "-u", "device", "-P", "s3cret")) as watcher:
        with opened(broker.url.replace("://", "://device@"), run, tmp_path / "s"):
            until(lambda: not list(tmp_path.rglob("s/*/*.json")))
        until(lambda: bool(watcher.on("site/hall/status")))
    broker.kill()
    for secret in ("wr0ng", "s3cret"):
        assert secret not in caplog.text
        assert secret not in repr(sink.address)


def test_an_event_that_the_broker_refuses_does_not_block_the_others(
    run: FakeRun, tmp_path: Path, caplog: Any
) -> None:
    (tmp_path / "access").write_text("topic readwrite #\ntopic deny site/hall/door/event\n")
    broker = Broker(tmp_path, f"acl_file {tmp_path}/access\n")
    broker.start()
    with opened(broker.url, run, tmp_path / "s") as sink:
        for number in range(4):
            sink.write(event(number, source="door" if number % 2 else "yard"))
        until(lambda: not list(tmp_path.glob("s/*/*.json")))
    broker.kill()
    aside = sorted(tmp_path.glob("s/*/refused/*.json"))
    assert [json.loads(path.read_text())["event"] for path in aside] == names(1, 3)
    assert len([r for r in caplog.records if "Not authorized" in r.getMessage()]) == 2


@pytest.mark.parametrize("manner", ["silent", "garbage", "hangs up", "never acknowledges"])
def test_something_else_that_listens_there(
    run: FakeRun, tmp_path: Path, manner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.sinks.mqtt.link.CONNECT_S", 0.3)
    monkeypatch.setattr("deploy.sinks.mqtt.events.ACKNOWLEDGE_S", 0.3)
    accepted: list[socket.socket] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                accepted.append(listening.accept()[0])
            except OSError:
                return
            if manner == "garbage":
                accepted[-1].sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 50)
            elif manner == "hangs up":
                accepted[-1].close()
            elif manner == "never acknowledges":
                accepted[-1].sendall(b"\x20\x03\x00\x00\x00")  # CONNACK of MQTT 5: welcome

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    sink = opened(f"mqtt://127.0.0.1:{listening.getsockname()[1]}", run, tmp_path)
    sink.write(event(1))
    until(lambda: len(accepted) >= 2)
    sink.close()
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()
    for link in accepted:
        link.close()
    assert not sink._thread.is_alive()
    assert len(list(tmp_path.rglob("*.json"))) == 1


def test_a_broker_without_mqtt_5_gets_3_1_1(run: FakeRun, tmp_path: Path) -> None:
    """Its CONNACK says "unacceptable protocol version" in the words of 3.1.1."""
    versions: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sink = opened(f"mqtt://127.0.0.1:{listening.getsockname()[1]}", run, tmp_path)
        while 4 not in versions:
            link, _ = listening.accept()
            with link:
                connect = link.recv(1000)
                versions.append(connect[connect.index(b"MQTT") + 4])
                link.sendall(b"\x20\x02\x00" + bytes([versions[-1] != 4]))
                if versions[-1] == 4:  # welcome
                    assert b"online" in link.recv(1000) + link.recv(1000)
    sink.close()
    assert versions == [5, 4]


def test_tls_with_a_certificate_of_ones_own(
    run: FakeRun, tmp_path: Path, own_certificate: Path, caplog: Any
) -> None:
    server = f"certfile {own_certificate}\nkeyfile {own_certificate}\n"
    broker = Broker(tmp_path, f"{server}cafile {own_certificate}\nrequire_certificate true\n")
    broker.start()
    url = broker.url.replace("mqtt://127.0.0.1", "mqtts://localhost")
    distrustful = opened(url, run, tmp_path / "s")
    distrustful.write(event(1))
    until(lambda: "certificate verify failed" in caplog.text)
    distrustful.close()
    anonymous = opened(url, run, tmp_path / "s", ca=own_certificate)
    until(lambda: "connection lost" in caplog.text)
    anonymous.close()
    assert list(tmp_path.rglob("s/*/*.json"))
    with opened(url, run, tmp_path / "s", ca=own_certificate, certificate=own_certificate):
        until(lambda: not list(tmp_path.rglob("s/*/*.json")))
    broker.kill()
    with pytest.raises(UserError, match="expected a PEM file in"):
        opened(url, run, tmp_path / "s", ca=tmp_path / "absent.pem")
    with pytest.raises(UserError, match="expected a PEM file in"):
        opened(url, run, tmp_path / "s", certificate=tmp_path / "absent.pem")
