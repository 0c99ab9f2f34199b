"""Modules and files that documents, comments and strings name: each of them is there."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (".md", ".py", ".toml", ".sh", ".txt", ".yaml", ".js", ".html", ".css", "Makefile")
OTHERS = ("docs/operators.md",)  # a file of the project that TensorRT's parser lies in
PLANTS_NAMES = ("test_layering.py", "test_named_paths.py")  # they name what is not there
NAME = re.compile(
    r"(?<![\w./-])(?:keras_ddl|export|deploy|benchmarks)(?:\.[a-z_]\w*)*\.[A-Za-z_]\w*\b(?!/)"
)
FILE = re.compile(
    r"(?<![\w./{-])(?:keras_ddl|export|deploy|benchmarks|tests|scripts|docs)(?:/[\w-]+)+\.\w+\b"
)


def stale(root: Path, text: str) -> Iterator[str]:
    """Dotted names and paths in a text that lead to nothing below `root`."""
    for path in FILE.findall(text):
        if path not in OTHERS and not (root / path).exists():
            yield path
    for name in NAME.findall(text):
        if not leads_somewhere(root, name):
            yield name


def leads_somewhere(root: Path, name: str) -> bool:
    """Whether a dotted name is a module, or something that its module has."""
    place, parts = root, name.split(".")
    while parts and (place / parts[0] / "__init__.py").is_file():
        place /= parts.pop(0)
    if parts and (place / f"{parts[0]}.py").is_file():
        place /= f"{parts.pop(0)}.py"
    # All of it; or a file's name in a sentence; or what Python itself gives every package.
    if not parts or parts[0] in ("py", "md", "html", "__path__"):
        return True
    source = place if place.is_file() else place / "__init__.py"
    return source.is_file() and parts[0] in names_of(source)


def names_of(source: Path) -> set[str]:
    """What a module defines, imports, or hands on by name (`_LAZY`, `__all__`)."""
    names = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.alias(name=name):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Constant(value=str(name)):
                names.add(name)
    return names


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("needs git and a checkout")
    return [ROOT / name for name in listed.stdout.splitlines()]


def test_whatever_is_named_is_there() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in tracked()
        if path.name.endswith(TEXT) and path.name not in PLANTS_NAMES and path.is_file()
        if path.name != "CHANGELOG.md"
        for name in stale(ROOT, path.read_text(encoding="utf-8"))
    }
    assert sorted(found) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see `deploy.judging.verdict`", []),
        ("see `deploy.verdict`", ["deploy.verdict"]),
        ("`keras_ddl.edge.clipspec.ClipSpec`", []),
        ("`keras_ddl.edge.clipspec.Oracle`", ["keras_ddl.edge.clipspec.Oracle"]),
        ("run export/to_trt.py, not export/trt_gate.py", ["export/trt_gate.py"]),
        ("`python -m keras_ddl.train`", []),
        ("from keras_ddl.zoo import clrnet", ["keras_ddl.zoo"]),
    ],
)
def test_a_stale_name_is_found(text: str, expected: list[str]) -> None:
    assert list(stale(ROOT, text)) == expected
