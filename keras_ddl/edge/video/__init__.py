"""Video in and out (PyAV): frames with the time they are shown at, H.264 back to disk."""

from keras_ddl.edge.video.reader import Frame, VideoInfo, probe, read_video
from keras_ddl.edge.video.writer import VideoWriter

__all__ = ["Frame", "VideoInfo", "VideoWriter", "probe", "read_video"]
