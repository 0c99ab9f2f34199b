"""Target of a build: a library, its version, and what its parser reads."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.backends.library import TENSORRT, Capability, Library, in_words
from export.engine.operators import RTX_TABLE, ParserTable, parser_table
from keras_ddl.edge.errors import UserError

TYPED_SINCE = (10, 12)  # weak typing is deprecated from here on and gone in 11
NEWEST = "11.4"
NEWEST_RTX = "1.7"


@dataclass(frozen=True)
class Target:
    """Library, version and typing that a graph is checked for.

    Attributes:
        version: Of the library, as (major, minor).
        strongly_typed: Whether tensors keep the types that the graph gives them.
        table: What this version's parser reads.
        library: TensorRT or TensorRT-RTX.
        compute_capabilities: Of the GPUs, where TensorRT-RTX is asked for certain ones.
    """

    version: tuple[int, int]
    strongly_typed: bool
    table: ParserTable
    library: Library = TENSORRT
    compute_capabilities: tuple[Capability, ...] = ()

    @property
    def name(self) -> str:
        """Library and version, as "TensorRT 11.4"."""
        return f"{self.library.name} {'.'.join(map(str, self.version))}"

    @property
    def arguments(self) -> str:
        """The options of a command line that name this target."""
        if not self.library.portable:
            return f"--tensorrt {'.'.join(map(str, self.version))}"
        asked = in_words(self.compute_capabilities).replace(", ", ",")
        more = f" --compute-capability {asked}" if self.compute_capabilities else ""
        return f"--target {self.library.key}{more}"


def target_for(
    version: str | None = None,
    library: Library = TENSORRT,
    compute_capabilities: tuple[Capability, ...] = (),
) -> Target:
    """The target of a version's name, such as "8.6.1" or "10.13.3.9"; the newest known for None.

    TensorRT-RTX has numbers of its own.
    """
    parts = (version or (NEWEST_RTX if library.portable else NEWEST)).split(".")
    if len(parts) < 2 or not all(part.isdecimal() for part in parts[:2]):
        raise UserError(f"expected a TensorRT version such as 10.3, received {version!r}")
    number = int(parts[0]), int(parts[1])
    if library.portable:
        return Target(number, True, RTX_TABLE, library, compute_capabilities)
    return Target(number, number >= TYPED_SINCE, parser_table(number), library)
