"""Verdicts, states and commands by MQTT."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from hashlib import sha256
from pathlib import Path

from deploy.backoff import Backoff
from deploy.control import Control, SourceStatus
from deploy.judging.records import Record, number, to_line
from deploy.sinks.base import Output, Sink
from deploy.sinks.mqtt.address import MqttAddress
from deploy.sinks.mqtt.commands import Command, parse_command
from deploy.sinks.mqtt.link import LinkLost, MqttLink
from deploy.sinks.safe_names import SafeNames
from deploy.sinks.spool import MAX_EVENTS, Spool
from deploy.telemetry import NullTelemetry
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.optional_import import need

log = logging.getLogger(__name__)

STATUS_EVERY_S = 10.0
LOOK_EVERY_S = 0.5  # for a source whose state has changed
AT_ONCE = 20  # events sent before the first is acknowledged
ACKNOWLEDGE_S = 10.0  # a broker that takes longer is given up
SETTLED_S = 5.0  # a connection that lasts longer, or takes an event, is a good one
FINISH_S = 0.8  # for what is still waiting when the run ends
MAX_CLIPS = 100  # that wait; not worth keeping for a broker that is down


class MqttEvents(Sink):
    """Publishes `verdict` records and the sources' states, and follows commands.

    Events leave the queue on disk once the broker has acknowledged them, in order; a broker that
    is down, and kill -9 on either side, loses none. docs/outputs.md lists the topics.

    Args:
        url: `mqtt(s)://[user[:password]@]host[:port][/prefix]`.
        control: The run, for states and commands.
        spool: Folder for waiting events; each address has its own folder in it.
        clips: Publish `clip` records too; those of a time without a broker are not kept.
        status_every_s: Publish the sources' states this often, besides at each change.
        ca: With mqtts, certificates to trust instead of the system's, PEM.
        certificate: With mqtts, this device's certificate and key, PEM.
        max_events: Most events that may wait; beyond it the oldest are dropped.
        backoff: Delays between attempts to connect.
        telemetry: Told of dropped events and of how many wait.

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
        status_every_s: float = STATUS_EVERY_S,
        ca: Path | None = None,
        certificate: Path | None = None,
        max_events: int = MAX_EVENTS,
        backoff: Backoff | None = None,
        telemetry: NullTelemetry | None = None,
    ) -> None:
        self.address = MqttAddress.parse(url)
        self._link = MqttLink(self.address, ca, certificate)
        self._control = control
        self._telemetry = telemetry or NullTelemetry()
        folder = spool / f"mqtt-{sha256(str(self.address).encode()).hexdigest()[:12]}"
        self._spool = Spool(
            folder, max_events, on_drop=lambda count: self._telemetry.drop("spool", "", count)
        )
        self._wants_clips = clips
        self._clips: deque[Record] = deque(maxlen=MAX_CLIPS)
        self._names = SafeNames()
        self._status_every_s = status_every_s
        self._backoff = backoff or Backoff()
        self._said: dict[str, tuple[object, ...]] = {}  # by source, what its status said last
        self._said_all = 0.0  # when all were said, monotonic seconds
        self._sent: dict[int, int] = {}  # message id → number in the spool
        self._sent_at = 0.0
        self._failing = False
        self._closing = threading.Event()
        self._finish_at = 0.0
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Begin with what waits from earlier runs; whether the broker is there is not asked.

        Raises:
            UserError: no paho-mqtt, no such certificates, or a folder that cannot be used.
        """
        if self._thread is not None:
            return
        self._link.open()
        try:
            self._spool.open()
        except UserError:
            self._link.close()
            raise
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    def write(self, output: Output) -> None:
        """Put events on disk and remember clips; they are sent by another thread."""
        for record in output.records:
            if record["type"] == "verdict":
                self._spool.put(to_line(record).encode())
                self._telemetry.depth("mqtt", len(self._spool))
                self._link.wake()
            elif record["type"] == "clip" and self._wants_clips:
                self._clips.append(record)
                self._link.wake()

    def close(self) -> None:
        """Send what can be sent within a second; the rest waits on disk for the next run."""
        if self._thread is None or self._closing.is_set():
            return
        self._finish_at = time.monotonic() + FINISH_S
        self._closing.set()
        self._link.wake()
        self._thread.join(FINISH_S + 0.5)
        if not self._thread.is_alive():
            self._link.close()
        if len(self._spool):
            text = "%s: %d events wait in %s for the next run"
            log.warning(text, self.address, len(self._spool), self._spool.folder)
        self._spool.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._link.connect()
                self._serve()
                self._take_leave()
            except OSError as error:
                if not self._failing and not self._closing.is_set():
                    text = "%s: %s; events wait in %s until it is back"
                    log.warning(text, self.address, error, self._spool.folder)
            except Exception:  # a mistake of ours, or of paho: the queue must not stand still
                log.exception("%s: the connection is given up", self.address)
            self._failing = True
            self._link.drop()
            self._sent.clear()
            self._closing.wait(self._backoff.next_s())

    def _serve(self) -> None:
        settled_at = time.monotonic() + SETTLED_S
        self._link.publish("status", b"online", qos=1, retain=True)
        self._said.clear()
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

    def _settle(self) -> None:
        """The connection is of use, not one that breaks off as soon as it is there."""
        if self._failing:
            log.warning("%s: connected again", self.address)
        self._failing = False
        self._backoff.reset()

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
                text = "%s refused an event: %s; it lies in %s/refused"
                log.warning(text, self.address, answer.reason, self._spool.folder)
                self._spool.refuse(event)
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
            self._telemetry.depth("mqtt", len(self._spool))

    def _publish_record(self, record: Record, topic: str, qos: int) -> int:
        source = self._names.of(str(record["source"]))
        return self._link.publish(f"{source}/{topic}", to_line(record).encode(), qos)

    def _report(self) -> None:
        """Publish the states that have changed; every now and then, and at first, all."""
        now = time.monotonic()
        if everything := not self._said or now >= self._said_all + self._status_every_s:
            self._said_all = now
        for status in self._control.status():
            health = status.health
            said = (health.state, health.error, health.reconnects)
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
            self._link.publish("error", f"{_shown(payload)}: {text}".encode())

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
            cv2 = need("cv2", "a snapshot")
            encoded = cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes()
            self._link.publish(f"{self._names.of(source)}/snapshot", encoded)


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
    }
    return to_line(record).encode()


def _shown(payload: bytes) -> str:
    return " ".join(payload[:60].decode(errors="replace").split())
