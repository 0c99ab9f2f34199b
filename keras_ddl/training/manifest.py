"""`manifest.json` of a run: what is needed to know what a result rests on, and to repeat it."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from keras_ddl import __version__
from keras_ddl.config import TrainConfig
from keras_ddl.data.prepared import read_summary
from keras_ddl.edge.files import file_sha256, read_json
from keras_ddl.edge.runs import WEIGHTS
from keras_ddl.training.devices import Devices

PACKAGES = (
    "tensorflow",
    "tf_keras",
    "keras",
    "numpy",
    "av",
    "opencv-python",
    "onnx",
    "tf2onnx",
    "onnxruntime",
    "tensorflow-model-optimization",
)

_IMBALANCE = {
    "": "classes as they come",
    "sampling": "as many reals as fakes drawn, and as many of each method",
    "weights": "both classes count alike in the loss",
}


def manifest(config: TrainConfig, prepared: Path, devices: Devices) -> dict[str, Any]:
    """Describe program, machine and data at the start of a training.

    Args:
        config: What is trained.
        prepared: Folder of prepared clips.
        devices: That train it.

    Returns:
        A JSON object: `program`, `packages`, `hardware`, `command`, `started`, `seed`,
        `deterministic`, `devices`, `batch` (global and per replica), `start` (its first weights),
        `data` (fingerprint, per split the counts of videos and of real and fake clips and the
        SHA-256 of its index, what is done about unequal classes).
    """
    summary = read_summary(prepared)
    splits = {
        split: {**counts, **_index(Path(prepared) / split / "index.json")}
        for split, counts in summary["splits"].items()
    }
    return {
        "program": {"version": __version__, "git": git_commit()},
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "hardware": hardware(),
        "command": shlex.join(sys.orig_argv),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "seed": config.seed,
        "deterministic": config.deterministic,
        "devices": devices.describe(),
        "batch": {"global": config.batch, "per_replica": config.batch // devices.replicas},
        "start": _start(config.weights),
        "synchronised_batch_norm": devices.synchronises(config.sync_batch_norm, config.batch),
        "data": {
            "fingerprint": summary["fingerprint"],
            "splits": splits,
            "imbalance": _IMBALANCE[config.balance],
        },
    }


def _start(weights: str) -> dict[str, str] | None:
    """The start weights with their SHA-256, where they are a file's or a run's."""
    if not weights:
        return None
    path = Path(weights) / WEIGHTS if Path(weights).is_dir() else Path(weights)
    named = {"weights": weights}
    return {**named, "sha256": file_sha256(path)} if path.is_file() else named


def _index(path: Path) -> dict[str, Any]:
    """SHA-256 of a split's index, and its clips by class."""
    labels = [row["label"] for row in read_json(path)["clips"]]
    fake = sum(labels)
    return {"index_sha256": file_sha256(path), "real": len(labels) - fake, "fake": fake}


def git_commit() -> str | None:
    """Commit of the clone this program runs from, with `+` where files differ; None without."""
    here = Path(__file__).resolve().parent.parent
    try:
        commit = _git(here, "rev-parse", "HEAD")
        # -uno: data and runs beside the sources are no change of the program
        return commit + ("+" if _git(here, "status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def hardware() -> dict[str, Any]:
    """Processor, cores, memory in GiB, and the GPUs that TensorFlow sees."""
    from keras_ddl.framework import tf

    gpus = [
        tf.config.experimental.get_device_details(device).get("device_name", device.name)
        for device in tf.config.list_physical_devices("GPU")
    ]
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "gpus": gpus,
    }


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None
