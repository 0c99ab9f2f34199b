"""Clips as bytes of TFRecord files, made without TensorFlow.

A worker needs no TensorFlow for anything else, and its import costs each one seconds and half a
gigabyte. The bytes are those that TensorFlow writes for the same `tf.train.Example`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from keras_ddl.data.prepared import EncodedClip, Key, masked_sum

HEAD = 12
"""Bytes of a record before its payload: length, and the sum of that."""


def example(key: Key, label: int, clip: EncodedClip) -> bytes:
    """Return a clip as a serialised `tf.train.Example`, its features by name."""
    features = {
        "frames": _bytes_list(clip.images),
        "key": _bytes_list([part.encode() for part in key]),
        "label": _int64_list([label]),
        "times_ms": _float_list(clip.times_ms),
        "track": _int64_list([clip.track_id]),
    }
    if clip.wide and clip.points is not None:
        features["wide"] = _bytes_list(clip.wide)
        features["points"] = _float_list(clip.points)
    entries = (_field(1, name.encode()) + _field(2, features[name]) for name in sorted(features))
    return _field(1, b"".join(_field(1, entry) for entry in entries))


def framed(payload: bytes) -> bytes:
    """Return a payload as a record of a TFRecord file."""
    length = struct.pack("<Q", len(payload))
    return b"".join((length, masked_sum(length), payload, masked_sum(payload)))


def _bytes_list(values: Sequence[bytes]) -> bytes:
    return _field(1, b"".join(_field(1, value) for value in values))


def _float_list(values: np.ndarray) -> bytes:
    return _field(2, _field(1, np.asarray(values, "<f4").tobytes()))


def _int64_list(values: Sequence[int]) -> bytes:
    return _field(3, _field(1, b"".join(map(_varint, values))))


def _field(number: int, content: bytes) -> bytes:
    """A field of Protocol Buffers that has a length: a message, bytes, or packed numbers."""
    return b"".join((_varint(number << 3 | 2), _varint(len(content)), content))


def _varint(value: int) -> bytes:
    """A number that is not negative, seven bits a byte, the lowest first."""
    low = []
    while value > 0x7F:
        low.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*low, value))
