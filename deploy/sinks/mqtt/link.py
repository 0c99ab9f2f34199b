"""One connection to an MQTT broker, at a time (paho-mqtt 2, callback API 2)."""

from __future__ import annotations

import logging
import select
import socket
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from deploy.sinks.mqtt.address import MqttAddress
from deploy.sinks.tls import client_tls
from keras_ddl.edge.optional_import import need

log = logging.getLogger(__name__)

CONNECT_S = 5.0
KEEP_ALIVE_S = 30
LATER = (0x80, 0x83, 0x97)  # unspecified, implementation specific, quota exceeded: not "never"
PROTOCOL_REFUSED = 0x84


class LinkLost(ConnectionError):
    """Error: the broker is not there, or not any more."""


@dataclass(frozen=True)
class Acknowledgement:
    """Answer of a broker to a message it got.

    Attributes:
        taken: It is responsible for it now.
        never: It will not take it, however often it comes.
        reason: In its words.
    """

    taken: bool
    never: bool
    reason: str


class MqttLink:
    """Connection that publishes and hears commands; all but `wake` belongs to one thread.

    The network is served by `turn`, on the caller's thread: nothing happens between two calls.

    Args:
        address: The broker.
        ca: Certificates to trust instead of the system's, PEM; only with TLS.
        certificate: This device's certificate and key in one PEM file, for brokers that ask.

    Attributes:
        acknowledged: By message id, what the broker has said about QoS-1 messages.
        commands: Payload and whether it was retained, oldest first.
    """

    def __init__(
        self, address: MqttAddress, ca: Path | None = None, certificate: Path | None = None
    ) -> None:
        self.address = address
        self.acknowledged: dict[int, Acknowledgement] = {}
        self.commands: deque[tuple[bytes, bool]] = deque(maxlen=100)
        self._ca = ca
        self._certificate = certificate
        self._version = 5
        self._client: Any = None
        self._connected = False
        self._reason = ""
        self._waking: socket.socket | None = None
        self._woken: socket.socket | None = None

    def open(self) -> None:
        """See whether paho-mqtt and the certificates are there; connects to nobody.

        Raises:
            UserError: they are not.
        """
        self._new_client()
        self._waking, self._woken = socket.socketpair()
        self._waking.setblocking(False)
        self._woken.setblocking(False)

    def connect(self) -> None:
        """Connect and subscribe to the commands.

        Raises:
            OSError: nobody there, no name, a certificate that is not trusted, or a refusal.
        """
        self.drop()
        self._client = self._new_client()
        self._client.connect(self.address.host, self.address.port, keepalive=KEEP_ALIVE_S)
        deadline = time.monotonic() + CONNECT_S
        while not self._connected:
            if time.monotonic() > deadline:
                raise LinkLost(f"no answer to CONNECT within {CONNECT_S:g} s")
            self.turn(0.1)
        self._client.subscribe(f"{self.address.prefix}/command", qos=1)

    def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> int:
        """Send a message below the prefix; returns its id."""
        return self.send(f"{self.address.prefix}/{topic}", payload, qos, retain)

    def send(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> int:
        """Send a message, wherever; returns its id."""
        return int(self._client.publish(topic, payload, qos, retain).mid)

    def turn(self, timeout_s: float) -> None:
        """Exchange with the broker what there is, waiting up to `timeout_s` for something.

        Raises:
            LinkLost: the connection is gone.
        """
        connection = self._client.socket()
        if connection is None:
            raise LinkLost(self._reason or "the connection was closed")
        decrypted = connection.pending() if hasattr(connection, "pending") else 0
        writing = [connection] if self._client.want_write() else []
        reading = [connection, *([self._woken] if self._woken else [])]
        readable, writable, _ = select.select(reading, writing, [], 0 if decrypted else timeout_s)
        if self._woken is not None and self._woken in readable:
            self._woken.recv(4096)
        if connection in readable or decrypted:
            self._client.loop_read()
        if connection in writable:
            self._client.loop_write()
        self._client.loop_misc()
        if self._client.socket() is None:
            raise LinkLost(self._reason or "the connection was closed")

    def wake(self) -> None:
        """End a `turn` that waits; safe to call from any thread."""
        if self._waking is not None:
            with suppress(BlockingIOError):  # full: it is awake already
                self._waking.send(b"w")

    def disconnect(self) -> None:
        """Take leave, so that the broker does not send the last will.

        Raises:
            LinkLost: it was gone before.
        """
        self._client.disconnect()
        deadline = time.monotonic() + 0.2
        while self._client.want_write() and time.monotonic() < deadline:
            self.turn(0.05)

    def drop(self) -> None:
        """Forget the connection, if there is one."""
        client, self._client = self._client, None
        self._connected = False
        self.acknowledged.clear()
        if client is not None and (connection := client.socket()) is not None:
            connection.close()

    def close(self) -> None:
        """Forget the connection for good."""
        self.drop()
        for end in (self._waking, self._woken):
            if end is not None:
                end.close()
        self._waking = self._woken = None

    def _new_client(self) -> Any:
        paho = need("paho.mqtt.client", "MQTT")
        client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=f"keras-ddl-{uuid4().hex[:12]}",
            protocol=paho.MQTTv5 if self._version == 5 else paho.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_S
        if self.address.user is not None:
            client.username_pw_set(self.address.user, self.address.password)
        client.will_set(f"{self.address.prefix}/status", b"offline", qos=1, retain=True)
        if self.address.tls:
            client.tls_set_context(client_tls(self._ca, self._certificate))
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, more: Any) -> None:
        if reason.value == PROTOCOL_REFUSED and self._version == 5:
            log.warning("%s: no MQTT 5 there, 3.1.1 is used", self.address)
            self._version = 3
        self._connected = not reason.is_failure
        self._reason = f"refused: {reason}" if reason.is_failure else ""

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, more: Any) -> None:
        self._connected = False
        self._reason = self._reason or f"connection lost: {reason}"

    def _on_publish(self, client: Any, data: Any, message: int, reason: Any, more: Any) -> None:
        never = bool(reason.is_failure) and reason.value not in LATER
        self.acknowledged[message] = Acknowledgement(not reason.is_failure, never, str(reason))

    def _on_message(self, client: Any, data: Any, message: Any) -> None:
        self.commands.append((bytes(message.payload), bool(message.retain)))
