"""Who may import whom, read from the source, imports inside functions included.

The last tests plant violations of every rule in a small tree: a checker gone blind is noticed.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import deploy.score
from keras_ddl.edge.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("keras_ddl", "export", "deploy", "benchmarks")

# Folder or module, with all below it → what of this project it may import beside itself.
# The longest key decides. "keras_ddl" alone is its version: `from keras_ddl import DFDC` is more.
EDGE = ("keras_ddl", "keras_ddl.edge.*")
BUILDS_ENGINES = (*EDGE, "export.*", "deploy.backends.*")
RUNS_WHAT_SHIPS = ("export.*", "keras_ddl.*", "deploy.backends.*", "deploy.bundle")
ALLOWED = {
    "keras_ddl": (),  # keras_ddl.demo starts the other halves as processes, it does not import them
    "keras_ddl.edge": ("keras_ddl",),
    "export": RUNS_WHAT_SHIPS,
    "export.to_trt": BUILDS_ENGINES,
    "export.engine": BUILDS_ENGINES,
    "export.graph": BUILDS_ENGINES,
    "export.parity": BUILDS_ENGINES,
    "deploy": EDGE,
    "benchmarks": ("keras_ddl.*", "export.*", "deploy.*"),
}
# Module, or folder with all below it → commands of other halves that it starts as processes.
SPAWNS: dict[str, tuple[str, ...]] = {
    "deploy.score": deploy.score.SPAWNED,
    # The list of all commands; `keras_ddl.__main__` imports the one that is asked for.
    "keras_ddl.edge.commands": tuple(command.module for command in COMMANDS.values()),
    "keras_ddl.comparison": ("export.to_onnx", "export.clips_per_second"),
}
WITHOUT_TENSORFLOW = (
    "keras_ddl.edge.*",
    "keras_ddl.config",
    "export.to_trt",
    "export.clips_per_second",
    "export.engine.*",
    "export.graph.*",
    "export.parity.*",
    "deploy.*",
)
TENSORFLOW = ("tensorflow", "keras", "tf_keras", "tensorflow_model_optimization", "tf2onnx")
LIGHT = {*PACKAGES, *sys.stdlib_module_names, "numpy"}  # all that --help may need
# Others' modules that a file in a script's folder would stand in for, beside those imported here.
FOREIGN = {
    "onnx",
    "onnxruntime",
    "tensorrt",
    "tensorrt_rtx",
    "cuda",
    "cv2",
    "av",
    "numpy",
    "tqdm",
    "gi",
    "yaml",
    "starlette",
    "uvicorn",
    "anyio",
    "prometheus_client",
    "paho",
    "mss",
    "xcffib",
}


@dataclass
class Module:
    """A source file and the dotted names it imports, by where the import stands."""

    name: str
    path: Path
    is_package: bool
    is_command: bool = False
    top: set[str] = field(default_factory=set)  # run when the module is imported
    lazy: set[str] = field(default_factory=set)  # inside a function
    typing: set[str] = field(default_factory=set)  # under TYPE_CHECKING
    named: set[str] = field(default_factory=set)  # strings that are nothing but a command's name

    @property
    def all(self) -> set[str]:
        return self.top | self.lazy | self.typing


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether `name` is one of the patterns, or equal to or below the x of a pattern "x.*"."""
    return any(
        name == pattern.removesuffix(".*")
        or (pattern.endswith(".*") and name.startswith(pattern[:-1]))
        for pattern in patterns
    )


def read_tree(root: Path) -> dict[str, Module]:
    """Every module of the three packages by dotted name."""
    modules = {}
    for path in sorted(path for package in PACKAGES for path in (root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        modules[name] = Module(name, path, is_package)
    known = set(modules) | {f"{name.replace('.', '/')}.py" for name in modules}
    for module in modules.values():
        read_imports(module, known)
    return modules


def read_imports(module: Module, known: set[str]) -> None:
    source = module.path.read_text(encoding="utf-8")
    module.is_command = module.path.stem == "__main__" or '__name__ == "__main__"' in source

    def walk(node: ast.AST, found: set[str]) -> None:
        found.update(imported(node, module, known))
        if isinstance(node, ast.Constant) and node.value in known:
            module.named.add(str(node.value))
        for child in ast.iter_child_nodes(node):
            inside = found
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                inside = module.lazy
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                inside = module.typing
            walk(child, inside)

    walk(ast.parse(source), module.top)


def imported(node: ast.AST, module: Module, known: set[str]) -> Iterator[str]:
    """Absolute names that one statement, or one import_module("…"), imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parts = module.name.split(".")
        package = parts[: len(parts) - node.level + module.is_package] if node.level else []
        base = ".".join(filter(None, [*package, node.module]))
        for alias in node.names:
            part = f"{base}.{alias.name}"
            is_lazy_name = base in PACKAGES and not alias.name.startswith("__")
            yield part if part in known or is_lazy_name else base
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        if ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield str(node.args[0].value)


def reached(start: str, modules: dict[str, Module], in_functions: bool) -> dict[str, str]:
    """All that importing a module (or, `in_functions`, running it) imports, with who imports it.

    Importing a.b.c runs a and a.b too. What a package's functions import is left out: they are the
    lazy public names (PEP 562), and nobody here asks for one.
    """
    importer = {start: ""}
    queue = [start]
    while queue:
        name = queue.pop()
        found = {name.rpartition(".")[0]} - {""}
        if module := modules.get(name):
            found |= module.top
            found |= module.lazy if in_functions and not module.is_package else set()
        for other in found - importer.keys():
            importer[other] = name
            queue.append(other)
    return importer


def forbidden_imports(modules: dict[str, Module]) -> Iterator[str]:
    for module in modules.values():
        rule = max((key for key in ALLOWED if matches(module.name, [f"{key}.*"])), key=len)
        for name in sorted(module.all):
            ours = name.partition(".")[0] in PACKAGES
            if ours and not matches(name, [f"{rule}.*", *ALLOWED[rule]]):
                yield f"{module.name} imports {name}"


def arrows_in_strings(modules: dict[str, Module]) -> Iterator[str]:
    """Commands that a module may not import, named in a string as for a process; SPAWNS aside."""
    for module in modules.values():
        rule = max((key for key in ALLOWED if matches(module.name, [f"{key}.*"])), key=len)
        fine = [f"{module.name.partition('.')[0]}.*", *ALLOWED[rule]]
        for folder, commands in SPAWNS.items():
            fine += commands if matches(module.name, [f"{folder}.*"]) else ()
        for name in sorted(module.named - module.all - {*PACKAGES}):
            if name not in fine and not matches(name.replace("/", "."), fine):
                yield f"{module.name} names {name} in a string"


def tensorflow_on_the_edge(modules: dict[str, Module]) -> Iterator[str]:
    for name in modules:
        if matches(name, WITHOUT_TENSORFLOW):
            for found, importer in reached(name, modules, in_functions=True).items():
                if found in TENSORFLOW:
                    yield f"{name} reaches {found} through {importer}"


def heavy_commands(modules: dict[str, Module]) -> Iterator[str]:
    for name, module in modules.items():
        if module.is_command:
            for found, importer in reached(name, modules, in_functions=False).items():
                if found.partition(".")[0] not in LIGHT:
                    yield f"{name} --help needs {found}, at the top of {importer}"


def circles(modules: dict[str, Module]) -> Iterator[str]:
    graph = {
        name: module.top | (set() if module.is_package else module.lazy)
        for name, module in modules.items()
    }
    for name in graph:
        seen: set[str] = set()
        queue = [*graph[name]]
        while queue:
            found = queue.pop()
            if found in graph and found not in seen:
                seen.add(found)
                queue.extend(graph[found])
        if name in seen:
            yield f"{name} is in an import circle"


def shadowing_names(modules: dict[str, Module]) -> Iterator[str]:
    roots = {name.partition(".")[0] for module in modules.values() for name in module.all}
    taken = ({*sys.stdlib_module_names, *FOREIGN} | roots) - set(PACKAGES)
    for name, module in modules.items():
        folder, _, leaf = name.rpartition(".")
        if folder in ("export", "deploy") and leaf in taken:  # the folders that scripts stand in
            yield f"{name} ({module.path.name}) has the name of a module it may meet"


def arrows_back_up(modules: dict[str, Module]) -> Iterator[str]:
    """Circles between the rooms of a folder: its files, and its folders taken as one each."""
    folders = {name for name, module in modules.items() if module.is_package}
    for folder in sorted(folders):
        inside = len(folder) + 1
        arrows: dict[str, dict[str, str]] = {}
        for name, module in modules.items():
            for found in module.all if name.startswith(f"{folder}.") else ():
                if found.startswith(f"{folder}.") and found in modules:
                    room, other = (each[inside:].partition(".")[0] for each in (name, found))
                    if room != other:
                        arrows.setdefault(room, {})[other] = f"{name} imports {found}"
        for room, others in arrows.items():
            for other, example in others.items():
                if room in arrows.get(other, {}):
                    yield f"{folder}: {room} and {other} import each other; {example}"
                elif room in behind(other, arrows):
                    yield f"{folder}: {room} is imported by what it imports; {example}"


def behind(room: str, arrows: dict[str, dict[str, str]]) -> set[str]:
    """All rooms that one room reaches."""
    seen: set[str] = set()
    queue = [room]
    while queue:
        found = arrows.get(queue.pop(), {}).keys() - seen
        seen |= found
        queue.extend(found)
    return seen


TOP_LEVEL, IN_A_FOLDER = 40, 15  # modules without __init__; the first of the packages together


def crowded_folders(modules: dict[str, Module]) -> Iterator[str]:
    """Folders with more modules than a newcomer reads."""
    names = [name for name, module in modules.items() if not module.is_package]
    at_the_top = [name for name in names if name.count(".") == 1 and "benchmarks" not in name]
    if len(at_the_top) > TOP_LEVEL:
        yield f"{len(at_the_top)} modules at the top levels, {TOP_LEVEL} at most"
    for folder in {name.rpartition(".")[0] for name in names} - set(PACKAGES):
        inside = [name for name in names if name.rpartition(".")[0] == folder]
        if len(inside) > IN_A_FOLDER:
            yield f"{folder} has {len(inside)} modules, {IN_A_FOLDER} at most"


RULES = (
    forbidden_imports,
    arrows_in_strings,
    tensorflow_on_the_edge,
    heavy_commands,
    circles,
    arrows_back_up,
    crowded_folders,
    shadowing_names,
)


def violations(root: Path) -> list[str]:
    """Every broken rule of a tree, one line each."""
    modules = read_tree(root)
    return [line for rule in RULES for line in rule(modules)]


@pytest.fixture(scope="module")
def project() -> dict[str, Module]:
    return read_tree(ROOT)


@pytest.mark.parametrize("rule", RULES)
def test_the_project_keeps_the_rule(rule, project: dict[str, Module]):
    assert list(rule(project)) == []


CLEAN = {
    "keras_ddl/__init__.py": (
        "def __getattr__(name):\n    from keras_ddl.networks.model import build_model\n"
        "    return build_model\n"
    ),
    "keras_ddl/edge/clipspec.py": "import json\nimport numpy\n",
    "keras_ddl/networks/model.py": (
        "import argparse\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import tensorflow\n"
        "def main(argv=None):\n    import tensorflow\n"
        'if __name__ == "__main__":\n    main()\n'
    ),
    "keras_ddl/edge/faces/__init__.py": "from keras_ddl.edge.faces.track import Tracker\n",
    "keras_ddl/edge/faces/track.py": "import cv2\n",
    "export/to_trt.py": "from keras_ddl.edge.clipspec import ClipSpec\n",
    "export/conversion/keras_parity.py": (
        "from deploy.backends import open_backend\nimport keras_ddl.networks.model\n"
    ),
    "deploy/backends/__init__.py": "from .ort import OrtBackend\n",
    "deploy/backends/ort.py": "def start():\n    import onnxruntime\n",
    "deploy/stream.py": (
        "from keras_ddl import __version__\nfrom keras_ddl.edge.faces import Tracker\n"
        "from deploy.backends import OrtBackend\n"
    ),
}
PLANTED = [
    # deploy may use the edge half alone, whatever the form of the import
    (
        "deploy.x imports keras_ddl.networks.model",
        {"deploy/x.py": "from keras_ddl.networks import model"},
    ),
    ("deploy.x imports keras_ddl.train", {"deploy/x.py": "def f():\n    import keras_ddl.train"}),
    ("deploy.x imports keras_ddl.DFDC", {"deploy/x.py": "from keras_ddl import DFDC"}),
    (
        "deploy.x imports keras_ddl.layers",
        {"deploy/x.py": "if TYPE_CHECKING:\n    from keras_ddl.layers import MSA"},
    ),
    ("deploy.x imports export.y", {"deploy/x.py": 'importlib.import_module("export.y")'}),
    # the other directions
    ("keras_ddl.x imports deploy.stream", {"keras_ddl/x.py": "from deploy import stream"}),
    (
        "keras_ddl.x imports export.conversion.keras_parity",
        {"keras_ddl/x.py": "import export.conversion.keras_parity"},
    ),
    (
        "export.conversion.keras_parity imports deploy.stream",
        {"export/conversion/keras_parity.py": "import deploy.stream"},
    ),
    (
        "export.to_trt imports keras_ddl.networks.model",
        {"export/to_trt.py": "import keras_ddl.networks.model"},
    ),
    (
        "export.to_trt reaches tensorflow through export.rules",
        {"export/to_trt.py": "from . import rules", "export/rules.py": "import tensorflow as tf"},
    ),
    (
        "keras_ddl.edge.clips reaches tensorflow through keras_ddl.networks.model",
        {
            "keras_ddl/edge/clips.py": (
                "class A:\n    def f(self):\n        import keras_ddl.networks.model"
            )
        },
    ),
    # nor does a process hide an arrow
    (
        "keras_ddl.x names export/to_trt.py in a string",
        {"keras_ddl/x.py": 'subprocess.run([sys.executable, "export/to_trt.py", "--fp16"])'},
    ),
    (
        "deploy.x names keras_ddl.networks.model in a string",
        {"deploy/x.py": 'MODULE = "keras_ddl.networks.model"\nrun(["-m", MODULE])'},
    ),
    # commands, circles, names
    (
        "keras_ddl.x --help needs cv2, at the top of keras_ddl.edge.faces.track",
        {
            "keras_ddl/x.py": (
                'import keras_ddl.edge.faces.track\nif __name__ == "__main__":\n    f()'
            )
        },
    ),
    (
        "keras_ddl.a is in an import circle",
        {"keras_ddl/a.py": "import keras_ddl.b", "keras_ddl/b.py": "def f():\n    from . import a"},
    ),
    (
        "keras_ddl.edge.faces.track is in an import circle",
        {"keras_ddl/edge/faces/track.py": "from . import Tracker"},
    ),
    (
        "deploy: judging and sinks import each other",
        {
            "deploy/judging/a.py": "import deploy.sinks.b",
            "deploy/sinks/b.py": "from deploy.judging import c",
            "deploy/judging/c.py": "",
            "deploy/judging/__init__.py": "",
            "deploy/sinks/__init__.py": "",
            "deploy/__init__.py": "",
        },
    ),
    (
        "export.graph has 16 modules, 15 at most",
        {f"export/graph/m{number}.py": "" for number in range(16)},
    ),
    (
        "41 modules at the top levels, 40 at most",
        {f"export/m{number}.py": "" for number in range(39)},
    ),
    ("deploy.queue (queue.py) has the name", {"deploy/queue.py": ""}),
    ("export.onnx (onnx.py) has the name", {"export/onnx.py": ""}),
    (
        "export.mqtt (mqtt.py) has the name",
        {"export/mqtt.py": "", "deploy/sinks.py": "def f():\n    import mqtt.client"},
    ),
]


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in {**CLEAN, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def test_a_clean_tree_breaks_no_rule(tmp_path: Path):
    assert violations(plant(tmp_path, {})) == []


@pytest.mark.parametrize(("expected", "files"), PLANTED)
def test_a_planted_violation_is_found(tmp_path: Path, expected: str, files: dict[str, str]):
    assert any(line.startswith(expected) for line in violations(plant(tmp_path, files)))
