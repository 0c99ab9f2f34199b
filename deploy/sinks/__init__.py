"""Sinks of results: context managers that open on the first item they have use for."""

from __future__ import annotations

from deploy.sinks.annotated_video import AnnotatedVideo
from deploy.sinks.base import Output, Sink
from deploy.sinks.http.webhook import Webhook
from deploy.sinks.json_lines import STDOUT, JsonLines
from deploy.sinks.mqtt.events import MqttEvents
from deploy.sinks.progress import Progress
from deploy.sinks.window import Window

__all__ = [
    "STDOUT",
    "AnnotatedVideo",
    "JsonLines",
    "MqttEvents",
    "Output",
    "Progress",
    "Sink",
    "Webhook",
    "Window",
]
