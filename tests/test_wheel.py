"""The wheel, installed apart from the checkout: from training to a judged video."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from keras_ddl.edge.commands import ROOT

pytest.importorskip("hatchling")
pytest.importorskip("tensorflow")
pytest.importorskip("tf2onnx")


def run(folder: Path, site: Path, *command: str) -> str:
    """Run a command of the installed wheel, somewhere else; returns what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(site), "PATH": f"{site}/bin:/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout without a package index."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w"]
    subprocess.run([*build, str(folder), str(ROOT)], check=True, capture_output=True)
    (path,) = folder.glob("keras_ddl-*.whl")
    return path


def test_it_holds_the_packages_their_files_and_the_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entry,) = [name for name in names if name.endswith("entry_points.txt")]
        assert "keras-ddl = keras_ddl.__main__:main" in archive.read(entry).decode()
        (facts,) = [name for name in names if name.endswith("dist-info/METADATA")]
        assert "Project-URL: Paper, https://doi.org/10.1109/TIFS.2023.3290752" in (
            archive.read(facts).decode()
        )
    tops = {name.split("/")[0] for name in names if not name.startswith("keras_ddl-")}
    assert tops == {"keras_ddl", "export", "deploy"}
    assert "keras_ddl/py.typed" in names
    tracked = subprocess.run(
        ["git", "ls-files", "keras_ddl", "export", "deploy"], cwd=ROOT, capture_output=True
    )
    if tracked.returncode == 0:  # else no checkout of git's
        assert set(tracked.stdout.decode().split()) <= names


@pytest.mark.slow
def test_from_training_to_a_verdict_outside_any_checkout(wheel: Path, tmp_path: Path) -> None:
    site, here = tmp_path / "site", tmp_path / "here"
    here.mkdir()
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(site)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    where = run(here, site, "-c", "import keras_ddl as package; print(package.__file__)")
    assert where.startswith(str(site))
    program = str(site / "bin" / "keras-ddl")
    assert "judge an archive" in run(here, site, program)
    run(here, site, program, "train", "--preset", "smoke")
    assert "keras-ddl evaluate" in run(here, site, program, "to-onnx")
    assert (here / "runs/latest/bundle/proof.npz").is_file()
    (video,) = list(here.glob("data/*/test/real/*.mp4"))[:1]
    arguments = ["--source", str(video), "--domain", "synthetic", "--detector", "haar"]
    assert '"type": "end"' in run(here, site, program, "stream", *arguments)
