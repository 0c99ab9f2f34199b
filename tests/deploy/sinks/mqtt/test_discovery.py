"""What Home Assistant is told, read by another client and held against its documentation.

The fields below are those of https://www.home-assistant.io/integrations/mqtt/ (discovery, device,
origin, availability), …/integrations/sensor.mqtt/ and …/integrations/binary_sensor.mqtt/, written
down by hand. Home Assistant's templates are Jinja2's, and so are the ones here.
"""

from __future__ import annotations

import itertools
import json
import re
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from mqtt_broker import Broker, Watcher, until

from deploy.backoff import Backoff
from deploy.control import FaceStatus, SourceStatus
from deploy.sinks.mqtt.discovery import Discovery
from deploy.sinks.mqtt.events import MqttEvents
from deploy.sources.base import Health, State
from keras_ddl import __version__

jinja2 = pytest.importorskip("jinja2")

COMMON = {
    *("availability", "availability_mode", "availability_template", "availability_topic"),
    *("default_entity_id", "device", "device_class", "enabled_by_default", "encoding"),
    *("entity_category", "entity_picture", "expire_after", "force_update", "icon"),
    *("json_attributes_template", "json_attributes_topic", "name", "object_id", "origin"),
    *("payload_available", "payload_not_available", "platform", "qos", "state_topic"),
    *("unique_id", "value_template"),
}
SENSOR = COMMON | {
    *("last_reset_value_template", "options", "state_class", "suggested_display_precision"),
    "unit_of_measurement",
}
FIELDS = {"sensor": SENSOR, "binary_sensor": COMMON | {"off_delay", "payload_off", "payload_on"}}
DEVICE = {
    *("configuration_url", "connections", "hw_version", "identifiers", "manufacturer", "model"),
    *("model_id", "name", "serial_number", "suggested_area", "sw_version", "via_device"),
}
ORIGIN = {"name", "sw_version", "support_url"}
AVAILABILITY = {"payload_available", "payload_not_available", "topic", "value_template"}
CLASSES = {"sensor": {"enum", None}, "binary_sensor": {"connectivity", "problem"}}  # of those used
TOPIC = re.compile(  # <discovery_prefix>/<component>/[<node_id>/]<object_id>/config
    r"homeassistant/(sensor|binary_sensor)/([a-zA-Z0-9_-]+)/([a-zA-Z0-9_-]+)/config"
)
MODEL = "aa6ed6c957fc (trained on ff++)"
NUMBERS = itertools.count()
ON = Discovery("homeassistant", MODEL)


@dataclass
class OneRun:
    """A run with two sources whose names are alike in topics."""

    door: SourceStatus

    def status(self) -> tuple[SourceStatus, ...]:
        return self.door, replace(self.door, name="front.door/2")


@pytest.fixture
def run() -> OneRun:
    return OneRun(SourceStatus("front door", Health(State.RUNNING, frames=7), fps=25.0))


def opened(broker: Broker, run: OneRun, spool: Path, discovery: Discovery | None) -> MqttEvents:
    backoff = Backoff(0.02, 0.1)
    sink = MqttEvents(broker.url, run, spool, backoff=backoff, discovery=discovery)
    sink.open()
    return sink


def comer(broker: Broker) -> closing[Watcher]:
    """A client that nobody has seen before, which is given what is retained."""
    return closing(Watcher(broker.port, "-i", f"home-{next(NUMBERS)}"))


def retained(broker: Broker, count: int) -> dict[str, dict[str, Any]]:
    """What a client that comes when all is there is given under the prefix."""
    with comer(broker) as early:
        until(lambda: len(configs(early)) >= count)
    with comer(broker) as late:
        until(lambda: len(configs(late)) >= count)
        assert all(m["retain"] for m in late.messages if m["topic"].startswith("homeassistant/"))
        return configs(late)


def configs(watcher: Watcher) -> dict[str, dict[str, Any]]:
    found = [m for m in list(watcher.messages) if m["topic"].startswith("homeassistant/")]
    return {m["topic"]: json.loads(m["payload"]) for m in found if m["payload"]}


@pytest.mark.service
def test_every_description_is_as_documented_and_is_kept_by_the_broker(
    broker: Broker, run: OneRun, tmp_path: Path
) -> None:
    with opened(broker, run, tmp_path / "s", ON):
        found = retained(broker, 8)
    assert len(found) == 8  # four of each source
    assert len({config["unique_id"] for config in found.values()}) == 8
    assert len({tuple(config["device"]["identifiers"]) for config in found.values()}) == 2
    for topic, config in found.items():
        component = TOPIC.fullmatch(topic)[1]
        assert set(config) <= FIELDS[component]
        assert set(config["device"]) <= DEVICE and config["device"]["identifiers"]
        assert config["device"]["model"] == MODEL
        assert config["device"]["sw_version"] == config["origin"]["sw_version"] == __version__
        assert set(config["origin"]) <= ORIGIN and config["origin"]["name"]  # required
        (available,) = config["availability"]
        assert set(available) <= AVAILABILITY and available["topic"] == "site/hall/status"
        assert config.get("device_class") in CLASSES[component]
        assert config.get("entity_category", "diagnostic") == "diagnostic"
        if "options" in config:  # documented: with this class alone, and without these two
            assert config["device_class"] == "enum"
            assert not {"state_class", "unit_of_measurement"} & set(config)
    names = {config["device"]["name"] for config in found.values()}
    assert names == {"front door", "front.door/2"}


def told(found: dict[str, dict[str, Any]], states: dict[str, str]) -> dict[str, str]:
    """What Home Assistant makes of the states: by entity of the first source, as text."""
    shown = {}
    for topic, config in found.items():
        if config["device"]["name"] == "front door":
            template = jinja2.Environment().from_string(config["value_template"])
            state = states[config["state_topic"]]
            shown[topic.split("/")[-2]] = template.render(value_json=json.loads(state))
    return shown


FACES = (
    FaceStatus(1, "REAL", 0.125),
    FaceStatus(2, "UNCERTAIN", None),
    FaceStatus(3, "FAKE", 0.875),
)


@pytest.mark.service
@pytest.mark.parametrize(
    ("state", "faces", "expected"),
    [
        (State.RUNNING, FACES, ("FAKE", "0.875", "ON", "OFF")),
        (State.RUNNING, FACES[:2], ("UNCERTAIN", "0.125", "ON", "OFF")),
        (State.RUNNING, FACES[:1], ("REAL", "0.125", "ON", "OFF")),
        (State.RUNNING, (), ("NO_FACE", "None", "ON", "OFF")),  # "None" is documented as unknown
        (State.FROZEN, FACES, ("None", "None", "ON", "ON")),
        (State.RECONNECTING, (), ("None", "None", "OFF", "ON")),
        (State.FAILED, (), ("None", "None", "OFF", "ON")),
        (State.CONNECTING, (), ("None", "None", "OFF", "OFF")),
        (State.STOPPED, (), ("None", "None", "OFF", "OFF")),
    ],
)
def test_the_templates_find_in_the_states_what_is_so(
    broker: Broker,
    run: OneRun,
    tmp_path: Path,
    state: State,
    faces: tuple[FaceStatus, ...],
    expected: tuple[str, ...],
) -> None:
    run.door = replace(run.door, health=Health(state), faces=faces)
    with opened(broker, run, tmp_path / "s", ON):
        with comer(broker) as home:
            until(lambda: len(configs(home)) == 8)
            topics = {config["state_topic"] for config in configs(home).values()}
            until(lambda: all(home.on(topic) for topic in topics))
            states = {topic: home.on(topic)[-1] for topic in topics}
            shown = told(configs(home), states)
            verdicts = {
                option for config in configs(home).values() for option in config.get("options", ())
            }
    keys = ("verdict", "score", "connection", "problem")
    assert shown == dict(zip(keys, expected, strict=True))
    assert shown["verdict"] in {*verdicts, "None"}


@pytest.mark.service
def test_a_change_of_the_verdict_is_told_at_once_and_the_end_as_well(
    broker: Broker, watcher: Watcher, run: OneRun, tmp_path: Path
) -> None:
    with opened(broker, run, tmp_path / "s", ON):
        until(lambda: bool(watcher.on("site/hall/front-door/status")))
        run.door = replace(run.door, faces=FACES)
        until(lambda: '"FAKE"' in watcher.on("site/hall/front-door/status")[-1])
        (available,) = {
            entry["topic"]
            for config in configs(watcher).values()
            for entry in config["availability"]
        }
        assert watcher.on(available) == ["online"]
    until(lambda: watcher.on(available) == ["online", "offline"])  # the payloads of the description


@pytest.mark.service
def test_a_broker_that_forgot_is_told_again_and_nothing_without_the_option(
    broker: Broker, run: OneRun, tmp_path: Path
) -> None:
    with opened(broker, run, tmp_path / "s", ON):
        before = retained(broker, 8)
        broker.kill()
        for kept in (tmp_path / "broker").glob("*.db"):
            kept.unlink()
        broker.start()
        assert retained(broker, 8) == before
    for topic in before:
        broker.publish(topic, "", "-r")
    with opened(broker, run, tmp_path / "t", None):
        with comer(broker) as late:
            until(lambda: bool(late.on("site/hall/front-door/status")))
            assert configs(late) == {}


@pytest.mark.service
def test_what_was_announced_is_taken_back_by_an_empty_description(
    broker: Broker, watcher: Watcher, run: OneRun, tmp_path: Path
) -> None:
    with opened(broker, run, tmp_path / "s", ON):
        before = retained(broker, 8)
    with opened(broker, run, tmp_path / "s", replace(ON, off=True)):
        for topic in before:
            until(lambda topic=topic: watcher.on(topic)[-1:] == [None])  # no bytes
    with comer(broker) as late:
        until(lambda: bool(late.on("site/hall/front-door/status")))
        assert configs(late) == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mqtt-discovery"], "expected --mqtt URL beside --mqtt-discovery, received none"),
        (["--mqtt-discovery-off"], "expected --mqtt URL beside --mqtt-discovery-off, received"),
        (["--mqtt-discovery", "--mqtt-discovery-off"], "received both; leave one out"),
        (["--mqtt-discovery", "home/+"], "expected the beginning of a topic such as homeassist"),
        (["--mqtt-discovery", ""], "expected the beginning of a topic such as homeassistant"),
    ],
)
def test_mistakes_are_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    pytest.importorskip("cv2")
    from deploy.stream import main

    try:
        code = main(["--source", "synthetic://", *arguments])
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr().err
    assert code == 2
    assert len(said.splitlines()) == 1 and words in said
