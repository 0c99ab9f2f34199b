"""The graph of a Keras functional model: its layers, their calls, and what feeds each call."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Source(NamedTuple):
    """The tensor that a call is given: an output of some layer's call, counted as in `Call`."""

    layer: str
    call: int
    output: int


SHAPES = "build_config"
REGISTERED = ("registered_name", "module")  # where a class is found, before `custom_objects`


@dataclass(frozen=True)
class Call:
    """One call of a layer.

    Attributes:
        layer: Name of the layer.
        number: Which of the layer's calls, from 0; of a model among the layers from 1.
        sources: What it is given, in order; an input layer is given nothing.
        arguments: What else it is called with.
    """

    layer: str
    number: int
    sources: tuple[Source, ...]
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Node:
    """A layer of a functional model.

    Attributes:
        entry: What the model's configuration says of the layer; changes show in the next `rebuilt`.
    """

    entry: dict[str, Any]

    @classmethod
    def behind(cls, source: str, kind: str, config: dict[str, Any]) -> Node:
        """A new layer that reads another."""
        nodes = [[[source, 0, 0, {}]]]
        names = {"class_name": kind, "name": config["name"]}
        return cls({**names, "config": config, "inbound_nodes": nodes})

    @property
    def name(self) -> str:
        return str(self.entry["name"])

    @property
    def kind(self) -> str:
        """Name of the layer's class."""
        return str(self.entry["class_name"])

    @property
    def config(self) -> dict[str, Any]:
        return self.entry["config"]

    @property
    def calls(self) -> list[Call]:
        """The layer's calls.

        Raises:
            ValueError: A call takes more than a tensor or a list of them.
        """
        found = []
        for number, given in enumerate(self.entry["inbound_nodes"] or [[]], self._first_call):
            if any(not isinstance(tensor, list) for tensor in given):
                raise ValueError(f"layer {self.name} is called in a way that cannot be followed")
            sources = tuple(Source(*tensor[:3]) for tensor in given)
            found.append(Call(self.name, number, sources, dict(given[0][3]) if given else {}))
        return found

    @property
    def _first_call(self) -> int:
        """Keras counts the calls of a model among the layers from 1: making it was the first."""
        inner = self.config.get("layers") or [{}]
        return int(isinstance(inner[0], dict) and inner[0].get("class_name") == "InputLayer")

    @property
    def sources(self) -> list[str]:
        """The layers that this one reads; of a layer that is called twice, those of both calls."""
        return [source.layer for call in self.calls for source in call.sources]

    def become(self, kind: str, config: dict[str, Any]) -> None:
        """Put a layer of another class where this one is."""
        for stale in ("module", "registered_name"):
            self.entry.pop(stale, None)
        self.entry.update(class_name=kind, config=config)

    def read_instead(self, source: str, other: str) -> None:
        """Let the layer read `other` wherever it reads `source`."""
        for given in self.entry["inbound_nodes"]:
            for tensor in given:
                if tensor[0] == source:
                    tensor[0] = other


class KerasGraph:
    """The layers of a functional model and their connections, as a copy that may be changed.

    Attributes:
        nodes: By name, in the order of the model's configuration.
    """

    def __init__(self, model: Any) -> None:
        self._config = copy.deepcopy(model.get_config())
        self.nodes = {entry["name"]: Node(entry) for entry in self._config["layers"]}

    @property
    def ends(self) -> list[Source]:
        """The tensors that the model returns, in order."""
        ends = self._config["output_layers"]
        ends = [ends] if isinstance(ends[0], str) else ends
        return [Source(*end) for end in ends]

    def readers(self) -> dict[str, list[str]]:
        """Layer → the layers that read it; one that nothing reads is left out."""
        found: dict[str, list[str]] = {}
        for node in self.nodes.values():
            for source in node.sources:
                found.setdefault(source, []).append(node.name)
        return found

    def calls_in_order(self) -> Iterator[Call]:
        """Every call, after those that feed it.

        Raises:
            ValueError: A layer is fed by none of the network, or called in a way that cannot be
                followed.
        """
        pending = [call for node in self.nodes.values() for call in node.calls]
        made: set[tuple[str, int]] = set()
        while pending:
            waiting = []  # listed before what feeds them
            for call in pending:
                if all((source.layer, source.call) in made for source in call.sources):
                    made.add((call.layer, call.number))
                    yield call
                else:
                    waiting.append(call)
            if len(waiting) == len(pending):
                name = self._config["name"]
                raise ValueError(f"{name}: layer {waiting[0].layer} is fed by no layer of it")
            pending = waiting

    def rebuilt(self, custom_objects: Mapping[str, Any]) -> Any:
        """A model of the nodes as they are now, its weights new."""
        from keras_ddl.framework import keras

        entries = []
        for node in self.nodes.values():
            stale = {SHAPES, *(REGISTERED if node.kind in custom_objects else ())}
            entries.append({key: value for key, value in node.entry.items() if key not in stale})
        config = {**self._config, "layers": entries}
        return keras.Model.from_config(config, custom_objects=dict(custom_objects))
