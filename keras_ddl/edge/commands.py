"""Command line of the project: every command's name, module and task, and how a user types it.

`keras-ddl NAME` is the form of an installed package; in a checkout the commands are files and
modules of it. What tells a user to run one asks `typed`, so that the line works where it is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""Of the checkout; of an installed package the folder that holds all packages."""
PROGRAM = "keras-ddl"


@dataclass(frozen=True)
class Command:
    """One command.

    Args:
        name: Behind `keras-ddl`.
        module: Whose `main(argv)` it is.
        does: What it does, in a few words.
        checkout: How it is typed in a checkout, where not by its module.
    """

    name: str
    module: str
    does: str
    checkout: str = ""

    @property
    def in_checkout(self) -> str:
        """How it is typed in a checkout."""
        return self.checkout or f"python -m {self.module.removesuffix('.__main__')}"


TASKS: dict[str, tuple[Command, ...]] = {
    "start": (
        Command("demo", "keras_ddl.demo", "train, export and judge, in small", "make demo"),
        Command("doctor", "deploy.doctor", "what this machine has, and what to type next"),
    ),
    "data": (
        Command("verify", "keras_ddl.data.verify", "is a dataset safe to train on?"),
        Command("prepare", "keras_ddl.data.prepare", "videos → face clips"),
        Command("synthetic", "keras_ddl.data.synthetic.__main__", "draw a dataset of portraits"),
        Command("pseudo-fakes", "keras_ddl.data.pseudo_fakes.__main__", "look at fakes of reals"),
    ),
    "train": (
        Command("train", "keras_ddl.train", "train a detector, or go on with one"),
        Command("quantize", "keras_ddl.quantize", "fine-tune it for 8 bits"),
        Command("import-mesonet", "keras_ddl.import_mesonet", "MesoNet's weights as a run"),
        Command("import-released", "keras_ddl.import_released", "the authors' weights"),
    ),
    "measure": (
        Command("evaluate", "keras_ddl.evaluate", "error rates on the test split, with a report"),
        Command("robustness", "keras_ddl.robustness", "the same under compression, blur, noise"),
        Command("compare", "keras_ddl.compare", "many methods under one protocol"),
        Command("ablation", "keras_ddl.ablation", "with and without each module"),
        Command("model-card", "keras_ddl.model_card", "write a run's model card"),
    ),
    "export": (
        Command(
            "to-onnx", "export.to_onnx", "run → bundle, with proof", "python export/to_onnx.py"
        ),
        Command("to-trt", "export.to_trt", "bundle → TensorRT engine", "python export/to_trt.py"),
        Command("calibration-clips", "export.calibration_clips", "clips for 8-bit engines"),
        Command("rules", "export.engine.rules", "will TensorRT read a graph?"),
    ),
    "judge": (
        Command(
            "stream", "deploy.stream", "watch cameras, streams, files", "python deploy/stream.py"
        ),
        Command("scan", "deploy.scan", "judge an archive, resumable", "python deploy/scan.py"),
        Command("score", "deploy.score", "judge a few files"),
        Command("serve", "deploy.serve", "a page to drop videos on", "python deploy/serve.py"),
        Command("evidence", "deploy.evidence.__main__", "list and verify evidence"),
        Command("contact-sheet", "deploy.contact_sheet", "verdicts as one picture"),
    ),
}
COMMANDS = {command.name: command for group in TASKS.values() for command in group}


def typed(name: str) -> str:
    """How a user types a command where this program runs: in a checkout's folder, or elsewhere."""
    command = COMMANDS[name]
    return command.in_checkout if stands_in_checkout() else f"{PROGRAM} {name}"


def stands_in_checkout() -> bool:
    """Whether the working folder is that of a checkout."""
    try:
        here = Path.cwd()
    except FileNotFoundError:  # somebody removed it
        return False
    return here == ROOT and (ROOT / "pyproject.toml").is_file()
