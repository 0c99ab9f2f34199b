"""Base of files, folders and pictures: every frame, and an end."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

from deploy.sources.base import Health, Source, State
from deploy.sources.live.pulse import Pulse
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.video import Frame


class RecordedSource(Source):
    """Every frame at its own time, as fast as it is asked for; read on the caller's thread."""

    live = False

    def __init__(self, name: str) -> None:
        self.name = name
        self._pulse = Pulse()
        self._asked = False  # to end

    def __iter__(self) -> Iterator[Frame]:
        self._pulse.update(state=State.RUNNING)
        try:
            for frame in self._frames():
                if self._asked:
                    break
                self._pulse.frame(frame.image)
                yield frame
        except UserError as error:
            self._pulse.update(state=State.FAILED, error=str(error))
            raise
        self._pulse.update(state=State.STOPPED if self._asked else State.ENDED)

    @abstractmethod
    def _frames(self) -> Iterator[Frame]:
        """Yield the frames in order."""

    @property
    def health(self) -> Health:
        """How it is doing."""
        return self._pulse.read()

    def interrupt(self) -> None:
        """End the iteration with the next frame."""
        self._asked = True

    def close(self) -> None:
        """End the iteration; the file is closed with it."""
        self._asked = True
