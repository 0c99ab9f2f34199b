"""Reader of ONNX files that builds nothing from them: nodes, constants, and files beside them.

`onnx` itself is not on a device, and a runtime is handed a file only once this has been looked at.
The messages are declared here as far as they are needed; protobuf skips what it does not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from keras_ddl.edge.optional_import import need

# Message → fields: name, number, type (a scalar of protobuf, or a message), * = any number of them.
_MESSAGES = {
    "Model": ["graph 7 Graph", "training 20 Training*", "functions 25 Function*"],
    "Training": ["initialization 1 Graph", "algorithm 2 Graph"],
    "Function": ["name 1 string", "input 4 string*", "node 7 Node*"],
    "Graph": [
        "node 1 Node*",
        "initializer 5 Tensor*",
        "input 11 ValueInfo*",
        "sparse_initializer 15 SparseTensor*",
    ],
    "ValueInfo": ["name 1 string"],
    "Node": [
        "input 1 string*",
        "output 2 string*",
        "name 3 string",
        "op_type 4 string",
        "attribute 5 Attribute*",
        "domain 7 string",
    ],
    "Attribute": [
        "name 1 string",
        "i 3 int64",
        "f 2 float",
        "t 5 Tensor",
        "g 6 Graph",
        "floats 7 float*",
        "ints 8 int64*",
        "tensors 10 Tensor*",
        "graphs 11 Graph*",
        "sparse_tensor 22 SparseTensor",
        "sparse_tensors 23 SparseTensor*",
    ],
    "Tensor": [
        "dims 1 int64*",
        "data_type 2 int32",
        "float_data 4 float*",
        "int32_data 5 int32*",
        "int64_data 7 int64*",
        "name 8 string",
        "raw_data 9 bytes",
        "double_data 10 double*",
        "external_data 13 Entry*",
        "data_location 14 int32",
    ],
    "SparseTensor": ["values 1 Tensor", "indices 2 Tensor", "dims 3 int64*"],
    "Entry": ["key 1 string", "value 2 string"],
}
_EXTERNAL = 1  # a tensor's data_location
_PACKAGE = "keras_ddl_onnx"


@dataclass(frozen=True)
class OnnxGraph:
    """A model as it stands in its file.

    Attributes:
        model: Its message.
        external: Names of the files that hold weights, as the graph writes them.
    """

    model: Any
    external: frozenset[str]


def read_graph(path: Path) -> OnnxGraph:
    """Read a file; weights in files of their own are not opened.

    Raises:
        ValueError: it is no ONNX model.
        OSError: it cannot be read.
        UserError: protobuf is missing (3).
    """
    refusal = need("google.protobuf.message", "reading a model").DecodeError
    model = _model_class()()
    try:
        model.ParseFromString(path.read_bytes())
    except refusal as error:
        raise ValueError(f"no ONNX model ({error})") from error
    if not model.HasField("graph"):
        raise ValueError("no ONNX model (there is no graph in it)")
    return OnnxGraph(model, frozenset(_locations(model)))


def _locations(message: Any) -> Iterator[str]:
    """Files that the tensors anywhere below a message name."""
    waiting = [message]
    while waiting:
        message = waiting.pop()
        if message.DESCRIPTOR.name == "Tensor":
            places = [entry.value for entry in message.external_data if entry.key == "location"]
            if message.data_location == _EXTERNAL or places:
                yield from places or [""]
            continue
        for kind, value in message.ListFields():
            if kind.message_type is not None:
                waiting += [value] if hasattr(value, "ListFields") else list(value)


@cache
def _model_class() -> Any:
    """The class of a model's message, in a pool of its own: `onnx` may be loaded as well."""
    purpose = "reading a model"
    descriptor_pb2 = need("google.protobuf.descriptor_pb2", purpose)
    pool = need("google.protobuf.descriptor_pool", purpose).DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto(name=f"{_PACKAGE}.proto", package=_PACKAGE)
    kinds = descriptor_pb2.FieldDescriptorProto
    for message, fields in _MESSAGES.items():
        declared = file.message_type.add(name=message)
        for text in fields:
            name, number, kind = text.rstrip("*").split()
            many = kinds.LABEL_REPEATED if text.endswith("*") else kinds.LABEL_OPTIONAL
            field = declared.field.add(name=name, number=int(number), label=many)
            if kind in _MESSAGES:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                field.type = getattr(kinds, f"TYPE_{kind.upper()}")
    pool.Add(file)
    found = pool.FindMessageTypeByName(f"{_PACKAGE}.Model")
    return need("google.protobuf.message_factory", purpose).GetMessageClass(found)
