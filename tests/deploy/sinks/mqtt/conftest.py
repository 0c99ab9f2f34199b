"""A broker for each test, and a client that sees all that is on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from mqtt_broker import Broker, Watcher, until


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker that listens; skips without paho-mqtt."""
    pytest.importorskip("paho.mqtt.client")
    (tmp_path / "broker").mkdir()
    broker = Broker(tmp_path / "broker")
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def watcher(broker: Broker) -> Iterator[Watcher]:
    """A client that has subscribed to everything."""
    with closing(Watcher(broker.port)) as watcher:
        broker.publish("ready", "1")  # it has subscribed once it sees one of these
        until(lambda: bool(watcher.messages) or broker.publish("ready", "1") or False)
        yield watcher
