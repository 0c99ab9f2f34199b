"""Backend interface: named tensors in, named tensors out, checked at the door."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TensorSpec:
    """Name, dtype and shape of a model's input or output; None is a dynamic dimension."""

    name: str
    dtype: np.dtype
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"'{self.name}' {self.dtype} ({sizes})"

    def problem(self, array: object) -> str:
        """Say in one line why an array does not fit; empty when it does."""
        if not isinstance(array, np.ndarray):
            return f"expected {self}, received {type(array).__name__}"
        same_rank = array.ndim == len(self.shape)
        fits = same_rank and all(
            size >= 1 if want is None else size == want
            for want, size in zip(self.shape, array.shape, strict=True)
        )
        if array.dtype != self.dtype or not fits:
            return f"expected {self}, received {array.dtype} {array.shape}"
        return ""


class Backend(AbstractContextManager["Backend"]):
    """A loaded model. A context manager; `infer` may be called until it is closed.

    Attributes:
        name: Runtime and device in words, as shown in the outputs ("onnxruntime 1.32.0 cpu").
        inputs: What `infer` takes.
        outputs: What `infer` returns.
        metadata: The strings stored in the model file.
        usual_batch: Clips in one call beyond which nothing is gained where nobody says otherwise.
        smallest_batch: Fewest clips that a call may have.
        largest_batch: Most clips that a call may have; None = as many as memory holds.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: Mapping[str, str]
    usual_batch: int = 8
    smallest_batch: int = 1
    largest_batch: int | None = None
    _open = True

    def infer(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the model once.

        Args:
            feed: One array per input, by name, of exactly its dtype and shape.

        Returns:
            One array per output, by name.

        Raises:
            ValueError: closed, a name missing or surplus, a wrong dtype or shape.
        """
        if not self._open:
            raise ValueError(f"expected an open backend, '{self.name}' is closed")
        wanted = {spec.name for spec in self.inputs}
        if set(feed) != wanted:
            raise ValueError(f"expected inputs {sorted(wanted)}, received {sorted(feed)}")
        problems = [text for spec in self.inputs if (text := spec.problem(feed[spec.name]))]
        if problems:
            raise ValueError("; ".join(problems))
        return self._run(feed)

    def close(self) -> None:
        """Release the model; closing twice is allowed."""
        self._open = False

    @abstractmethod
    def _run(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Execute with inputs already checked."""

    def __exit__(self, *_: object) -> None:
        self.close()
