"""Every TensorRT and CUDA name in the code exists: in all versions, or behind `optional`.

The name lists in `tests/doubles` were read from the official bindings; with the full lists beside
the project (`../shared/tensorrt-api`) they are held against these.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from strict_cuda import NAMES
from strict_tensorrt import ENUMS, FOLDER, RTX, VERSIONS, names_of

from export.engine.options import FLAGS

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [
    ROOT / name
    for name in (
        "export/engine/build.py",
        "export/engine/checked_engine.py",
        "export/engine/network.py",
        "deploy/backends/trt.py",
        "deploy/backends/engine_log.py",
        "deploy/doctor.py",
    )
]
MODULES = ("trt", "tensorrt", "self._trt")
# What the code calls an object → its class.
OBJECTS = {
    "builder": "Builder",
    "config": "IBuilderConfig",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "profile": "IOptimizationProfile",
    "layer": "ILayer",
    "tensor": "ITensor",
    "cache": "ITimingCache",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
    "self._context": "IExecutionContext",
    "self._engine": "ICudaEngine",
    "inspector": "EngineInspector",
    "settings": "IRuntimeConfig",
}
# Read only where the version has them, which the code sees to: (class, name) → since or until.
GUARDED = {
    ("IBuilderConfig", "progress_monitor"): "where trt.IProgressMonitor is",
    ("ILayer", "precision"): "without strong typing, which 11 always has",
    ("ILayer", "set_output_type"): "without strong typing, which 11 always has",
    ("ICudaEngine", "create_runtime_config"): "where trt.CudaGraphStrategy is",
    ("IRuntimeConfig", "cuda_graph_strategy"): "the same",
    ("module", "ComputeCapability"): "of TensorRT-RTX, where compute capabilities are asked for",
    ("IBuilderConfig", "num_compute_capabilities"): "the same",
    ("IBuilderConfig", "set_compute_capability"): "the same",
}
OURS = {"__version__"}


def used(source: str) -> Iterator[tuple[str, ...]]:
    """(module, name[, member]) or (object, member) of every attribute in a source."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            chain = ast.unparse(node)
            for module in MODULES:
                if chain.startswith(f"{module}."):
                    yield ("module", *chain.removeprefix(f"{module}.").split("."))
            for name, kind in OBJECTS.items():
                if ast.unparse(node.value) == name:
                    yield (kind, node.attr)


def unknown(source: str, version: str) -> set[tuple[str, ...]]:
    """What a source uses and a version lacks."""
    names = names_of(version)
    missing = set()
    for kind, name, *members in used(source):
        if kind == "module" and name not in OURS:
            if name not in names["module"]:
                missing.add((kind, name))
            elif members and name in ENUMS and members[0] not in names["classes"][name]:
                missing.add((name, members[0]))
        elif kind != "module" and name not in names["classes"].get(kind, ()):
            missing.add((kind, name))
    return missing - GUARDED.keys()


def optional_names() -> Iterator[str]:
    tree = ast.parse((ROOT / "export/engine/build.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.List):
            words = [e.value for e in node.elts if isinstance(e, ast.Constant)]
            yield from (str(word) for word in words if str(word).isupper())
    for flags in FLAGS.values():
        yield from flags


@pytest.mark.parametrize("version", [*VERSIONS, RTX])
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_every_name_exists_in_every_version(source: Path, version: str):
    assert unknown(source.read_text(encoding="utf-8"), version) == set()


def test_the_check_is_not_blind():
    source = "trt.BuilderFlag.FP16\nconfig.int8_calibrator = 1\ntrt.Spam\nengine.num_bindings"
    assert unknown(source, "11.4.0.106") == {
        ("BuilderFlag", "FP16"),
        ("IBuilderConfig", "int8_calibrator"),
        ("module", "Spam"),
        ("ICudaEngine", "num_bindings"),
    }
    assert unknown(source, "8.6.1") == {("module", "Spam")}


def test_guarded_names_exist_somewhere_and_not_everywhere():
    for kind, name in GUARDED:
        lists = {version: names_of(version) for version in (*VERSIONS, RTX)}
        names = {
            v: found["module"] if kind == "module" else found["classes"].get(kind, ())
            for v, found in lists.items()
        }
        having = [version for version, members in names.items() if name in members]
        assert having and len(having) < len(lists)


def test_optional_flags_exist_in_some_version():
    found = set(optional_names())
    known = {
        name
        for version in VERSIONS
        for kind in ("BuilderFlag", "NetworkDefinitionCreationFlag")
        for name in names_of(version)["classes"][kind]
    }
    assert {"EXPLICIT_BATCH", "STRONGLY_TYPED", "FP16", "INT8"} <= found <= known


@pytest.mark.parametrize("version", VERSIONS)
def test_the_lists_are_those_of_the_official_bindings(version: str):
    full = ROOT.parent / "shared" / "tensorrt-api" / f"{version}.json"
    if not full.is_file():
        pytest.skip("needs ../shared/tensorrt-api beside the project")
    official = json.loads(full.read_text(encoding="utf-8"))
    ours = names_of(version)
    assert ours["tensorrt"] == official["tensorrt"]
    assert set(ours["module"]) <= set(official["module"])
    for kind, members in ours["classes"].items():
        assert members == official["classes"][kind]


def test_versions_cover_every_series():
    assert {version.split(".")[0] for version in VERSIONS} == {"8", "10", "11"}
    assert {path.stem for path in FOLDER.iterdir()} == {*VERSIONS, RTX}


def test_the_list_of_tensorrt_rtx_is_that_of_the_real_bindings():
    trt = pytest.importorskip("tensorrt_rtx")
    ours = names_of(RTX)
    if trt.__version__ != ours["tensorrt"]:
        pytest.skip(f"TensorRT-RTX {trt.__version__} is here, the list is of {ours['tensorrt']}")
    assert [name for name in ours["module"] if not hasattr(trt, name)] == []
    for kind, members in ours["classes"].items():
        assert members == sorted(n for n in dir(getattr(trt, kind)) if not n.startswith("_"))


def test_cuda_names_are_those_of_the_real_bindings():
    runtime = pytest.importorskip("cuda.bindings.runtime")
    assert [name for name in NAMES if not hasattr(runtime, name)] == []


@pytest.mark.parametrize(
    ("system", "processor", "wanted"),
    [
        ("linux", "x86_64", True),
        ("linux", "aarch64", False),  # a Jetson
        ("darwin", "arm64", False),
        ("win32", "AMD64", False),
    ],
)
def test_dev_brings_tensorrt_rtx_where_it_has_something_to_do(
    system: str, processor: str, wanted: bool
):
    tomllib = pytest.importorskip("tomllib")
    requirements = pytest.importorskip("packaging.requirements")
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    machine = {"sys_platform": system, "platform_machine": processor}
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    for extra in ("dev", "rtx"):
        found = [requirements.Requirement(line) for line in extras[extra]]
        (ours,) = [entry for entry in found if entry.name == "tensorrt-rtx-cu13"]
        assert ours.marker.evaluate(machine) is wanted
