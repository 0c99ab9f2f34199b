"""Engine builder: ONNX to a serialised engine, by what TensorRT 8.6, 10.x and 11.x each offer.

Names that every version has are written out; all others go through `optional`, which answers None
where a version lacks them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.backends.engine_log import engine_log
from export.engine.network import NetworkLayer, network_layers
from export.engine.options import FLAGS, BuildOptions
from keras_ddl.edge.errors import CHECK_FAILED, MISSING, UserError
from keras_ddl.edge.files import atomic_write

MIB = 1 << 20
BAR = 30  # characters
NUMBERED = re.compile(r"_\d+$")


def optional(owner: Any, *names: str) -> Any:
    """Follow names that only some versions of TensorRT have; None where one is missing."""
    for name in names:
        owner = getattr(owner, name, None)
        if owner is None:
            return None
    return owner


def engine_from_onnx(
    trt: Any,
    onnx_bytes: bytes,
    shape: tuple[int, ...],
    precision: str,
    strongly_typed: bool,
    options: BuildOptions,
    float_nodes: Collection[str] = (),
    seen: Callable[[list[NetworkLayer]], None] | None = None,
) -> bytes:
    """Build an engine; minutes.

    Args:
        trt: The module of TensorRT or TensorRT-RTX.
        onnx_bytes: The prepared graph.
        shape: Of its one input ``clip`` without the batch: ``(T, S, S, 3)``.
        precision: "fp32", "fp16" or "int8".
        strongly_typed: Whether the graph's types are binding; else flags ask for the precision.
        options: Profiles, memory, caches.
        float_nodes: Without strong typing: names of nodes that must compute in float32.
        seen: Is given the layers of the parsed network, before it is built; called under strong
            typing alone.

    Raises:
        UserError: the parser or the builder refuses (4), with its own reason; no such DLA core (3).
    """
    log = engine_log(trt)
    builder = trt.Builder(log)
    network, parser = parse(trt, builder, log, onnx_bytes, strongly_typed)
    if seen is not None and strongly_typed:
        seen(network_layers(network))
    config = builder.create_builder_config()
    _set_options(trt, builder, config, options)
    profile = builder.create_optimization_profile()
    sizes = [(batch, *shape) for batch in options.profile.values()]
    profile.set_shape("clip", *sizes)
    config.add_optimization_profile(profile)
    if precision == "fp32":
        config.clear_flag(trt.BuilderFlag.TF32)
    elif not strongly_typed:
        _ask_for_precision(trt, config, precision)
        pin_float32(trt, network, float_nodes)
    cache = _load_cache(config, options.timing_cache)
    with _progress_monitor(trt, config):
        plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise UserError(
            f"{_name(trt)} {trt.__version__} built no {precision} engine: {log.reason()}; on a "
            "small board try --workspace 256 --max-batch 1 and close other programs",
            CHECK_FAILED,
        )
    del parser  # held until here: the network's weights are its
    _save_cache(cache, config, options.timing_cache)
    return bytes(plan)


def parse(
    trt: Any, builder: Any, log: Any, onnx_bytes: bytes, strongly_typed: bool
) -> tuple[Any, Any]:
    """Parse a graph with the library's own parser.

    Returns:
        The network, and the parser, which has to outlive it.

    Raises:
        UserError: the parser refuses, with its own reason (4).
    """
    network = builder.create_network(_creation_flags(trt, strongly_typed))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(onnx_bytes):
        reason = " ".join(_refusal(parser, log).split())
        raise UserError(
            f"{_name(trt)} {trt.__version__} cannot read the graph: {reason}", CHECK_FAILED
        )
    return network, parser


def _refusal(parser: Any, log: Any) -> str:
    """The parser's reason; of an unknown operator its description is the word "false" alone."""
    if not parser.num_errors:
        return str(log.reason())
    error = parser.get_error(0)
    facts = [optional(error, name) for name in ("code", "node_operator", "node_name")]
    code, operator, node = (str(fact()) if fact else "" for fact in facts)
    words = [code.rpartition(".")[2], operator, f"at '{node}'" if node else ""]
    return f"{' '.join(filter(None, words))}: {error.desc()}" if any(words) else str(error.desc())


def _name(trt: Any) -> str:
    return "TensorRT-RTX" if optional(trt, "ComputeCapability") else "TensorRT"


def _creation_flags(trt: Any, strongly_typed: bool) -> int:
    """Explicit batch is a flag in 8.x, a word without meaning in 10.x, and gone in 11."""
    names = ["EXPLICIT_BATCH", *(["STRONGLY_TYPED"] if strongly_typed else [])]
    found = [optional(trt, "NetworkDefinitionCreationFlag", name) for name in names]
    if strongly_typed and found[-1] is None:
        raise UserError(f"TensorRT {trt.__version__} has no strongly typed networks", MISSING)
    return sum(1 << int(flag) for flag in found if flag is not None)


def _set_options(trt: Any, builder: Any, config: Any, options: BuildOptions) -> None:
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib * MIB)
    config.builder_optimization_level = options.optimisation_level
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # names and types of all layers
    if options.compute_capabilities:
        config.num_compute_capabilities = len(options.compute_capabilities)
        for place, (major, minor) in enumerate(options.compute_capabilities):
            kind = getattr(trt.ComputeCapability, f"SM{major}{minor}")
            config.set_compute_capability(kind, place)
    if options.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.dla_core is not None:
        if options.dla_core >= builder.num_DLA_cores:
            raise UserError(
                f"expected a DLA core below {builder.num_DLA_cores}, received {options.dla_core}: "
                "leave --dla-core out to build for the GPU",
                MISSING,
            )
        config.default_device_type = trt.DeviceType.DLA
        config.DLA_core = options.dla_core
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def _ask_for_precision(trt: Any, config: Any, precision: str) -> None:
    """Flags, for versions in which types are the builder's choice."""
    for name in FLAGS[precision]:
        flag = optional(trt, "BuilderFlag", name)
        if flag is None:
            raise UserError(f"TensorRT {trt.__version__} has no flag {name}", MISSING)
        config.set_flag(flag)


def pin_float32(trt: Any, network: Any, names: Collection[str]) -> int:
    """Ask for float32 in the layers that came from certain nodes.

    Args:
        trt: The TensorRT module.
        network: A network whose types are the builder's choice.
        names: Of ONNX nodes; the parser names layers after them, and further layers of the same
            node with a number behind.

    Returns:
        How many layers were pinned; those that make no floats are left alone.
    """
    wanted, floats = set(names), (trt.DataType.FLOAT, trt.DataType.HALF)
    pinned = 0
    for i in range(network.num_layers):
        layer = network.get_layer(i)
        if not wanted & {layer.name, NUMBERED.sub("", layer.name)} or not layer.num_outputs:
            continue
        outputs = [layer.get_output(k) for k in range(layer.num_outputs)]
        if all(tensor.dtype in floats and not tensor.is_shape_tensor for tensor in outputs):
            layer.precision = trt.DataType.FLOAT
            for k in range(layer.num_outputs):
                layer.set_output_type(k, trt.DataType.FLOAT)
            pinned += 1
    return pinned


def _load_cache(config: Any, path: Path | None) -> Any:
    if path is None:
        return None
    cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
    if cache is not None and not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")  # of another GPU or version: start a new one
        config.set_timing_cache(cache, False)
    return cache


def _save_cache(cache: Any, config: Any, path: Path | None) -> None:
    if path is None or cache is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_bytes(bytes(config.get_timing_cache().serialize()))


@contextmanager
def _progress_monitor(trt: Any, config: Any) -> Iterator[None]:
    """Show the phases of a build, which takes minutes, on stderr while the body runs.

    Args:
        trt: The TensorRT module.
        config: The builder's configuration; gets a `progress_monitor` where the version has them.
    """
    base: Any = getattr(trt, "IProgressMonitor", None)
    if base is None:
        print(
            f"building; TensorRT {trt.__version__} does not tell how far it is, minutes are normal",
            file=sys.stderr,
        )
        yield
        return

    class Monitor(base):  # type: ignore[misc]
        def __init__(self) -> None:
            base.__init__(self)
            self.phases: dict[str, tuple[str | None, int, int]] = {}  # parent, steps, done
            self.shown = ""

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.phases[phase_name] = parent_phase, max(1, num_steps), 0
            if parent_phase is None and not sys.stderr.isatty():
                print(f"building: {phase_name}", file=sys.stderr, flush=True)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self.phases:
                parent, steps, _ = self.phases[phase_name]
                self.phases[phase_name] = parent, steps, min(steps, step + 1)
                for name in [n for n, (above, *_) in self.phases.items() if above is None][-1:]:
                    text = bar(name, _share(self.phases, name))
                    if text != self.shown:  # thousands of steps, a hundred lines
                        _show(text)
                    self.shown = text
            return True  # go on

        def phase_finish(self, phase_name: str) -> None:
            self.phases.pop(phase_name, None)

    config.progress_monitor = Monitor()
    try:
        yield
    finally:
        _show("", end="\r" if sys.stderr.isatty() else "")


def _share(phases: Mapping[str, tuple[str | None, int, int]], name: str) -> float:
    """How much of a phase is done, 0 to 1: whole steps, and a part of the one that goes on."""
    _, steps, done = phases[name]
    below = [_share(phases, inner) for inner, (above, *_) in phases.items() if above == name]
    return min(1.0, (done + max(below, default=0.0)) / steps)


def bar(text: str, share: float) -> str:
    """A progress bar for one line; `share` is 0 to 1."""
    full = int(share * BAR)
    return f"building: {text} [{'#' * full}{'.' * (BAR - full)}] {int(100 * share)} %"


def _show(text: str, end: str = "") -> None:
    """Rewrite the line of a terminal; a log gets the names of the phases alone."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end=end, file=sys.stderr, flush=True)
