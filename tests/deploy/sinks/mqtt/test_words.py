"""What is said to the MQTT output: addresses and commands, read without a broker."""

from __future__ import annotations

import pytest

from deploy.sinks.mqtt.address import MqttAddress
from deploy.sinks.mqtt.commands import Command, parse_command
from keras_ddl.edge.errors import UserError


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"\xff\xfe", "UTF-8"),
        (b"", "expected one of"),
        (b'{"command": 3, "source": "x"}', "expected {"),
        (b'{"command": "stop"}', "expected {"),
        (b"{}", "expected {"),
    ],
)
def test_commands_that_make_no_sense(payload: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_command(payload)


def test_names_with_spaces_are_names() -> None:
    assert parse_command(b" stop  front door \n") == Command("stop", "front door")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://host", "neither mqtt nor mqtts"),
        ("mqtt://", "no host"),
        ("mqtt://host:x/", "port cannot be read"),
        ("mqtt://[::1/a", "host or port"),
        ("mqtt://user:s3cret", "host or port"),  # no host: the password stands where a port does
        ("host:1883", "neither mqtt nor mqtts"),
        ("mqtt://host/a/+/b", "cannot be part of a topic"),
        ("mqtt://host/a//b", "cannot be part of a topic"),
        ("mqtt://host/$SYS", "cannot be part of a topic"),
        ("mqtt://host/a#b", "a topic has no"),
    ],
)
def test_impossible_addresses_are_an_error(url: str, words: str) -> None:
    with pytest.raises(UserError, match=rf"expected mqtt.*{words}") as caught:
        MqttAddress.parse(url)
    assert "s3cret" not in str(caught.value)


def test_addresses_are_read_and_shown_without_secrets() -> None:
    address = MqttAddress.parse("mqtts://us%40er:pa%2Fss@[::1]/a%20b")
    assert (address.host, address.port, address.tls) == ("::1", 8883, True)
    assert (address.user, address.password, address.prefix) == ("us@er", "pa/ss", "a b")
    assert str(address) == repr(address) == "mqtts://[::1]:8883/a b"
    assert MqttAddress.parse("mqtt://host").prefix == "keras-ddl"
