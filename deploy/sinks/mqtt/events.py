"""Verdicts, states and commands by MQTT."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from pathlib import Path

from deploy.backoff import Backoff
from deploy.control import Control, SourceStatus
from deploy.drawing.canvas import encoded
from deploy.judging.records import Record, number, to_line
from deploy.sinks.base import Output
from deploy.sinks.mqtt.address import MqttAddress
from deploy.sinks.mqtt.commands import Command, parse_command
from deploy.sinks.mqtt.discovery import Discovery
from deploy.sinks.mqtt.link import LinkLost, MqttLink
from deploy.sinks.safe_names import SafeNames
from deploy.sinks.spooled import FINISH_S, SpooledSink
from deploy.telemetry import NullTelemetry
from keras_ddl.edge.errors import UserError

STATUS_EVERY_S = 10.0
LOOK_EVERY_S = 0.5  # for a source whose state has changed
AT_ONCE = 20  # events sent before the first is acknowledged
ACKNOWLEDGE_S = 10.0  # a broker that takes longer is given up
SETTLED_S = 5.0  # a connection that lasts longer, or takes an event, is a good one
MAX_CLIPS = 100  # that wait; not worth keeping for a broker that is down


class MqttEvents(SpooledSink):
    """Sink that publishes `verdict` records and the sources' states, and follows commands.

    Events leave the queue on disk once the broker has acknowledged them, in order; a broker that
    is down, and kill -9 on either side, loses none. docs/outputs.md lists the topics.

    Args:
        url: `mqtt(s)://[user[:password]@]host[:port][/prefix]`.
        control: The run, for states and commands.
        spool: Folder for waiting events; each address has its own folder in it.
        clips: Publish `clip` records too; those of a time without a broker are not kept.
        ca: With mqtts, certificates to trust instead of the system's, PEM.
        certificate: With mqtts, this device's certificate and key, PEM.
        backoff: Delays between attempts to connect.
        telemetry: Told of dropped events and of how many wait.
        discovery: What is announced to Home Assistant; None = nothing.

    Raises:
        UserError: not an address of a broker.
    """

    name = "mqtt"

    def __init__(
        self,
        url: str,
        control: Control,
        spool: Path,
        clips: bool = False,
        ca: Path | None = None,
        certificate: Path | None = None,
        backoff: Backoff | None = None,
        telemetry: NullTelemetry | None = None,
        discovery: Discovery | None = None,
    ) -> None:
        self.address = MqttAddress.parse(url)
        self._link = MqttLink(self.address, ca, certificate)
        self._control = control
        self._wants_clips = clips
        self._discovery = discovery
        self._clips: deque[Record] = deque(maxlen=MAX_CLIPS)
        self._names = SafeNames()
        self._said: dict[str, tuple[object, ...]] = {}  # by source, what its status said last
        self._said_all = 0.0  # when all were said, monotonic seconds
        self._sent: dict[int, int] = {}  # message id → number in the spool
        self._sent_at = 0.0
        self._finish_at = 0.0
        super().__init__(str(self.address), str(self.address), spool, backoff, telemetry)

    def open(self) -> None:
        """Begin, as every sink with a queue; paho-mqtt and the certificates have to be there."""
        if self._thread is not None:
            return
        self._link.open()
        try:
            super().open()
        except UserError:
            self._link.close()
            raise

    def write(self, output: Output) -> None:
        """Put events on disk and remember clips; they are sent by the other thread."""
        super().write(output)
        for record in output.records:
            if record["type"] == "clip" and self._wants_clips:
                self._clips.append(record)
                self._wake()

    def _wake(self) -> None:
        self._link.wake()

    def _finish(self, thread: threading.Thread) -> None:
        self._finish_at = time.monotonic() + FINISH_S
        self._closing.set()
        self._wake()
        thread.join(FINISH_S + 0.5)
        if not thread.is_alive():
            self._link.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._link.connect()
                self._serve()
                self._take_leave()
            except OSError as error:
                self._fail(error, "until it is back")
            except Exception:  # a mistake of ours, or of paho: the queue must not stand still
                self._log.exception("%s: the connection is given up", self._shown)
            self._failing = True
            self._link.drop()
            self._sent.clear()
            self._closing.wait(self._backoff.next_s())

    def _serve(self) -> None:
        settled_at = time.monotonic() + SETTLED_S
        self._link.publish("status", b"online", qos=1, retain=True)
        self._said.clear()
        self._announce()
        while not self._closing.is_set() or (
            len(self._spool) and time.monotonic() < self._finish_at
        ):
            self._report()
            while self._link.commands:
                self._follow(*self._link.commands.popleft())
            while self._clips:
                clip = self._clips.popleft()
                self._publish_record(clip, "clip", qos=0)
            self._send_events()
            self._link.turn(LOOK_EVERY_S)
            if time.monotonic() > settled_at:
                self._settle()

    def _announce(self) -> None:
        """Describe the sources to Home Assistant, with every connection: a broker may forget."""
        if self._discovery is None:
            return
        for status in self._control.status():
            name, safe = status.name, self._names.of(status.name)
            for topic, payload in self._discovery.messages(self.address.prefix, name, safe):
                self._link.send(topic, payload, qos=1, retain=True)

    def _settle(self) -> None:
        """The connection is of use, not one that breaks off as soon as it is there."""
        self._recover("connected again")

    def _take_leave(self) -> None:
        self._report()
        farewell = self._link.publish("status", b"offline", qos=1, retain=True)
        deadline = time.monotonic() + 0.3
        while farewell not in self._link.acknowledged and time.monotonic() < deadline:
            self._link.turn(0.05)
        self._link.disconnect()

    def _send_events(self) -> None:
        """Settle what was acknowledged; once all was, send the next events."""
        for message in [m for m in self._sent if m in self._link.acknowledged]:
            answer, event = self._link.acknowledged.pop(message), self._sent.pop(message)
            self._sent_at = time.monotonic()
            if answer.taken:
                self._spool.done(event)
                self._settle()
            elif answer.never:
                self._refuse(event, answer.reason)
            else:
                raise LinkLost(f"an event was not taken: {answer.reason}")
        if self._sent and time.monotonic() > self._sent_at + ACKNOWLEDGE_S:
            raise LinkLost(f"no acknowledgement within {ACKNOWLEDGE_S:g} s")
        if not self._sent:
            self._link.acknowledged.clear()  # those of other messages
            for waiting in self._spool.peek(AT_ONCE):
                message = self._publish_record(json.loads(waiting.content), "event", qos=1)
                self._sent[message] = waiting.number
            self._sent_at = time.monotonic()
            self._tell_depth()

    def _publish_record(self, record: Record, topic: str, qos: int) -> int:
        source = self._names.of(str(record["source"]))
        return self._link.publish(f"{source}/{topic}", to_line(record).encode(), qos)

    def _report(self) -> None:
        """Publish the states that have changed; every now and then, and at first, all."""
        now = time.monotonic()
        if everything := not self._said or now >= self._said_all + STATUS_EVERY_S:
            self._said_all = now
        for status in self._control.status():
            health = status.health
            said = (health.state, health.error, health.reconnects, status.verdict)
            if everything or self._said.get(status.name) != said:
                self._said[status.name] = said
                topic = f"{self._names.of(status.name)}/status"
                self._link.publish(topic, _described(status), retain=True)

    def _follow(self, payload: bytes, retained: bool) -> None:
        """Do what a command says; what is wrong with it is answered in one line."""
        try:
            if retained:
                raise ValueError(
                    "a retained command would come again and again, send it unretained"
                )
            command = parse_command(payload)
            self._obey(command, self._source(command.source))
        except Exception as error:  # whatever a stranger sent must not end this
            text = " ".join(str(error).split()) or type(error).__name__
            self._link.publish("error", f"{_shown(payload)}: {text}".encode(errors="replace"))

    def _source(self, asked: str) -> str:
        """The name of a source from it or from its form in topics."""
        names = [status.name for status in self._control.status()]
        for name in names:
            if asked in (name, self._names.of(name)):
                return name
        raise ValueError(f"no source '{asked}'; there are: {', '.join(map(self._names.of, names))}")

    def _obey(self, command: Command, source: str) -> None:
        if command.verb == "start":
            self._control.start(source)
        elif command.verb == "stop":
            self._control.stop(source)
        else:
            picture = self._control.snapshot(source)
            if picture is None:
                raise ValueError(f"no picture of '{source}' so far")
            self._link.publish(f"{self._names.of(source)}/snapshot", encoded(picture, ".jpg"))


def _described(status: SourceStatus) -> bytes:
    health = status.health
    record = {
        "source": status.name,
        "state": health.state.value,
        "error": health.error,
        "fps": number(status.fps),
        "frames": health.frames,
        "drops": dict(health.dropped),
        "reconnects": health.reconnects,
        "verdict": status.verdict,
        "score": number(status.score),
        "faces": len(status.faces),
    }
    return to_line(record).encode()


def _shown(payload: bytes) -> str:
    return " ".join(payload[:60].decode(errors="replace").split())
