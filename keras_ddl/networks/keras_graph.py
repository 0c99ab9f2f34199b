"""The graph of a Keras functional model: its layers, their calls, and what feeds each call.

Keras 2 and Keras 3 write a call differently; both are read here. What changes a graph (`become`,
`behind`, `read_instead`) is for those of Keras 2, which alone are quantised and exported.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Source(NamedTuple):
    """The tensor that a call is given: an output of some layer's call, counted as in `Call`."""

    layer: str
    call: int
    output: int


CONSTANT = "_CONSTANT_VALUE"  # Keras 2's name for what stands first and is no tensor
SHAPES = "build_config"
REGISTERED = ("registered_name", "module")  # where a class is found, before `custom_objects`


@dataclass(frozen=True)
class Call:
    """One call of a layer.

    Attributes:
        layer: Name of the layer.
        number: Which of the layer's calls, from 0; in Keras 2 of a model among the layers from 1.
        given: What it is called with by position, a `Source` in place of each tensor; an input
            layer is given nothing.
        arguments: The same by name.
    """

    layer: str
    number: int
    given: tuple[Any, ...]
    arguments: dict[str, Any]

    @property
    def sources(self) -> tuple[Source, ...]:
        """The tensors it is given, in order."""
        found: list[Source] = []
        _each_source((self.given, self.arguments), found.append)
        return tuple(found)

    def repeated(
        self, layer: Callable[..., Any], tensor: Callable[[Source], Any], **more: Any
    ) -> Any:
        """Call `layer` in the same way, with ``tensor(source)`` in each source's place.

        Args:
            layer: What to call.
            tensor: What stands in for a source.
            more: Arguments beside, or in place of, those of this call.
        """
        arguments = {**_each_source(self.arguments, tensor), **more}
        return layer(*_each_source(self.given, tensor), **arguments)


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
            if isinstance(given, dict):  # Keras 3
                arguments = _keras_3_values(given["kwargs"])
                found.append(Call(self.name, number, _keras_3_values(given["args"]), arguments))
                continue
            if given and isinstance(given[0], str):  # an operation of TensorFlow, as x + 3
                given = [given]
            if any(not isinstance(tensor, list) or tensor[0] == CONSTANT for tensor in given):
                raise ValueError(f"layer {self.name} is called in a way that cannot be followed")
            sources = [Source(*tensor[:3]) for tensor in given]
            inputs = (sources,) if len(sources) > 1 else tuple(sources)
            arguments = _keras_2_values(given[0][3]) if given else {}
            found.append(Call(self.name, number, inputs, arguments))
        return found

    @property
    def _first_call(self) -> int:
        """Keras 2 counts the calls of a model among the layers from 1: making it was the first."""
        if any(isinstance(given, dict) for given in self.entry["inbound_nodes"]):  # Keras 3
            return 0
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


def steps_by_name(model: Any) -> dict[str, Any]:
    """The layers of a model; of Keras 3 its bare operations too, which are none of its layers."""
    return {step.name: step for step in getattr(model, "operations", model.layers)}


class KerasGraph:
    """The layers of a functional model and their connections, as a copy that may be changed.

    Attributes:
        nodes: By name, in the order of the model's configuration.
    """

    def __init__(self, model: Any) -> None:
        self._read(model.get_config())

    @classmethod
    def of_config(cls, config: dict[str, Any]) -> KerasGraph:
        """The graph of a network that is not built, from its configuration."""
        graph = cls.__new__(cls)
        graph._read(config)
        return graph

    def _read(self, config: dict[str, Any]) -> None:
        self._config = copy.deepcopy(config)
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


def _each_source(values: Any, change: Callable[[Source], Any]) -> Any:
    """The same values, nested as they are, with ``change(source)`` for each `Source`."""
    if isinstance(values, Source):
        return change(values)
    if isinstance(values, dict):
        return {key: _each_source(value, change) for key, value in values.items()}
    if type(values) in (list, tuple):
        return type(values)(_each_source(value, change) for value in values)
    return values


def _keras_2_values(arguments: dict[str, Any]) -> dict[str, Any]:
    """Named arguments of a call of Keras 2, a `Source` for each tensor."""

    def value(given: Any) -> Any:
        is_tensor = isinstance(given, list) and [type(part) for part in given] == [str, int, int]
        return Source(*given) if is_tensor else given

    return {name: value(given) for name, given in arguments.items()}


def _keras_3_values(values: Any) -> Any:
    """What a call of Keras 3 is given, from its configuration, a `Source` for each tensor."""
    if isinstance(values, dict):
        if values.get("class_name") == "__keras_tensor__":
            return Source(*values["config"]["keras_history"])
        if "class_name" in values:
            from keras_ddl.framework import keras

            return keras.saving.deserialize_keras_object(values)
        return {key: _keras_3_values(value) for key, value in values.items()}
    if isinstance(values, (list, tuple)):
        return type(values)(_keras_3_values(value) for value in values)
    return values
