"""Address of an MQTT broker, with the prefix of the topics."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from keras_ddl.edge.errors import USAGE, UserError

PASSWORD = "KERAS_DDL_MQTT_PASSWORD"
PREFIX = "keras-ddl"
PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, repr=False)
class MqttAddress:
    """A broker and a topic prefix, from `mqtt(s)://[user[:password]@]host[:port][/prefix]`.

    Attributes:
        host: Name or address.
        port: 1883, or 8883 for TLS, where the URL names none.
        tls: Whether the connection is encrypted.
        prefix: Topics begin with it; "keras-ddl" where the URL names none.
        user: None = without.
        password: From the URL, else from KERAS_DDL_MQTT_PASSWORD.
    """

    host: str
    port: int
    tls: bool
    prefix: str
    user: str | None
    password: str | None

    @classmethod
    def parse(cls, url: str) -> MqttAddress:
        """Read a URL.

        Raises:
            UserError: not such a URL, or a prefix that no topic can begin with.
        """
        scheme = url.partition("://")[0] if "://" in url else ""
        try:
            parts = urlsplit(url)
            port = parts.port or PORTS[parts.scheme]
        except KeyError as error:
            raise _impossible(scheme, "neither mqtt nor mqtts") from error
        except ValueError as error:  # its words may hold what was meant as a password
            raise _impossible(scheme, "its host or port cannot be read") from error
        if not parts.hostname or any(ord(letter) <= 32 for letter in url):
            raise _impossible(parts.scheme, "no host, or a space in it")
        if parts.query or parts.fragment:
            raise _impossible(parts.scheme, "a topic has no '?' and, here, no '#'")
        prefix = unquote(parts.path).strip("/") or PREFIX
        if not is_topic(prefix):
            raise _impossible(parts.scheme, f"'{prefix}' cannot be part of a topic")
        user = None if parts.username is None else unquote(parts.username)
        password = None if parts.password is None else unquote(parts.password)
        if password is None:
            password = os.environ.get(PASSWORD)
        return cls(parts.hostname, port, parts.scheme == "mqtts", prefix, user, password)

    def __str__(self) -> str:
        """The address without user and password."""
        scheme = "mqtts" if self.tls else "mqtt"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}/{self.prefix}"

    __repr__ = __str__


def is_topic(prefix: str) -> bool:
    """Whether topics may begin with this, by MQTT's rules."""
    return bool(prefix) and not (
        set("+#\0") & set(prefix) or "//" in prefix or prefix.startswith("$")
    )


def _impossible(scheme: str, reason: object) -> UserError:
    return UserError(
        f"expected mqtt(s)://HOST[:PORT][/PREFIX] as broker, received '{scheme}://…': {reason}",
        USAGE,
    )
