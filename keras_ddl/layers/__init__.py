"""The method's two layers and the small ones that carry clips through a frame network."""

from __future__ import annotations

from keras_ddl.framework import keras
from keras_ddl.layers.clip_io import ClipToFrames, FramesToChannels, FramesToClip
from keras_ddl.layers.dfdc import DFDC
from keras_ddl.layers.forgery_map import ForgeryEvidence, ForgeryMap
from keras_ddl.layers.frames_mean import FramesMean
from keras_ddl.layers.inconsistency import InconsistencyMap
from keras_ddl.layers.msa import MSA
from keras_ddl.layers.pool import PaddedMaxPool2D
from keras_ddl.layers.quant_conv import (
    ChannelBias,
    QuantConv2D,
    QuantDepthwiseConv2D,
)
from keras_ddl.layers.quant_point import QuantPoint
from keras_ddl.layers.temporal_contrast import TemporalContrast

_LAYERS = [
    ChannelBias,
    ClipToFrames,
    DFDC,
    ForgeryEvidence,
    ForgeryMap,
    FramesMean,
    FramesToChannels,
    FramesToClip,
    InconsistencyMap,
    MSA,
    PaddedMaxPool2D,
    QuantConv2D,
    QuantDepthwiseConv2D,
    QuantPoint,
    TemporalContrast,
]
CUSTOM_OBJECTS = {layer.__name__: layer for layer in _LAYERS}
"""For `custom_objects`: files that were saved before these were registered hold the bare names."""
for _layer in _LAYERS:
    keras.utils.register_keras_serializable("keras_ddl")(_layer)
# TensorFlow's own folder format names an initializer within a layer without its package.
keras.utils.get_custom_objects()[TemporalContrast.__name__] = TemporalContrast

__all__ = [
    "CUSTOM_OBJECTS",
    "DFDC",
    "MSA",
    "ClipToFrames",
    "ForgeryEvidence",
    "ForgeryMap",
    "FramesMean",
    "FramesToChannels",
    "FramesToClip",
    "InconsistencyMap",
    "PaddedMaxPool2D",
    "QuantPoint",
    "TemporalContrast",
]
