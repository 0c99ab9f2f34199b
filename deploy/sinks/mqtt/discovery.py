"""Home Assistant's MQTT discovery: retained descriptions of what each source tells."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from deploy.control import VERDICTS
from deploy.sinks.mqtt.address import is_topic
from keras_ddl import __version__
from keras_ddl.edge.errors import USAGE, UserError

PREFIX = "homeassistant"
PROGRAM = "keras-ddl"
CONNECTED = ("running", "frozen")
TROUBLED = ("frozen", "reconnecting", "failed")

# Component and what its description says, by the last part of its id.
ENTITIES: dict[str, tuple[str, dict[str, Any]]] = {
    "verdict": (
        "sensor",
        {
            "name": "Verdict",
            "device_class": "enum",
            "options": list(VERDICTS),
            "value_template": "{{ value_json.verdict }}",
            "icon": "mdi:face-recognition",
        },
    ),
    "score": (
        "sensor",
        {
            "name": "Score",
            "state_class": "measurement",
            "suggested_display_precision": 2,
            "value_template": "{{ value_json.score }}",
        },
    ),
    "connection": (
        "binary_sensor",
        {
            "name": "Connection",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "value_template": f"{{{{ 'ON' if value_json.state in {CONNECTED} else 'OFF' }}}}",
        },
    ),
    "problem": (
        "binary_sensor",
        {
            "name": "Problem",
            "device_class": "problem",
            "entity_category": "diagnostic",
            "value_template": f"{{{{ 'ON' if value_json.state in {TROUBLED} else 'OFF' }}}}",
        },
    ),
}


@dataclass(frozen=True)
class Discovery:
    """What is announced to Home Assistant, or taken back.

    Args:
        prefix: Topics of the descriptions begin with it.
        model: Name of the model that judges.
        off: Take back what was announced: an empty description removes an entity.
    """

    prefix: str
    model: str
    off: bool = False

    def messages(self, base: str, source: str, topic: str) -> Iterator[tuple[str, bytes]]:
        """Yield topic and payload of the descriptions of a source, to be retained.

        Args:
            base: What all topics of this program begin with.
            source: Its name.
            topic: Its name in topics.
        """
        node = f"keras_ddl_{sha256(f'{base}/{topic}'.encode()).hexdigest()[:12]}"
        for entity, (component, facts) in ENTITIES.items():
            place = f"{self.prefix}/{component}/{node}/{entity}/config"
            described = self._described(base, source, topic, node) | facts
            described["unique_id"] = f"{node}_{entity}"
            yield place, b"" if self.off else json.dumps(described, ensure_ascii=False).encode()

    def _described(self, base: str, source: str, topic: str, node: str) -> dict[str, Any]:
        """What the descriptions of a source have in common."""
        run = {"topic": f"{base}/status"}
        return {
            "state_topic": f"{base}/{topic}/status",
            "availability": [
                {**run, "payload_available": "online", "payload_not_available": "offline"}
            ],
            "device": {
                "identifiers": [node],
                "name": source,
                "manufacturer": PROGRAM,
                "model": self.model,
                "sw_version": __version__,
            },
            "origin": {"name": PROGRAM, "sw_version": __version__},
        }


def discovery_prefix(text: str) -> str:
    """A type of argparse: what topics of descriptions begin with."""
    prefix = text.strip("/")
    if not is_topic(prefix):
        raise argparse.ArgumentTypeError(
            f"expected the beginning of a topic such as {PREFIX}, received '{text}'"
        )
    return prefix


def discovery_asked(args: argparse.Namespace, model: str) -> Discovery | None:
    """What `mqtt_discovery` and `mqtt_discovery_off` ask for; None for nothing.

    Raises:
        UserError: both, or one without a broker (2).
    """
    prefixes = {"": args.mqtt_discovery, "-off": args.mqtt_discovery_off}
    asked = [name for name, prefix in prefixes.items() if prefix]
    if not asked:
        return None
    if len(asked) == 2:
        raise UserError(
            "expected --mqtt-discovery or --mqtt-discovery-off, received both; leave one out", USAGE
        )
    if not args.mqtt:
        option = f"--mqtt-discovery{asked[0]}"
        raise UserError(f"expected --mqtt URL beside {option}, received none; name a broker", USAGE)
    return Discovery(prefixes[asked[0]], model, off=bool(asked[0]))
