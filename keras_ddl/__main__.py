"""`keras-ddl`: every command of the project under one name."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from keras_ddl import __version__
from keras_ddl.edge.commands import COMMANDS, PROGRAM, TASKS
from keras_ddl.edge.errors import USAGE, UserError, call_as, run_cli
from keras_ddl.edge.values import unknown

SHELLS = ("bash", "zsh", "fish")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first word names; return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if "_ARGCOMPLETE" in os.environ:
        return _complete()
    if not words or words[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0
    if words[0] == "--version":
        print(__version__)
        return 0
    if words[0] == "completion":
        return run_cli(lambda: _completion(words[1:]))
    return run_cli(lambda: _run(words[0], words[1:]))


def _run(name: str, words: list[str]) -> int:
    if name not in COMMANDS:
        raise UserError(unknown("command", name, [*COMMANDS, "completion"]), USAGE)
    call_as(f"{PROGRAM} {name}")
    code: int = import_module(COMMANDS[name].module).main(words)
    return code


def help_text() -> str:
    """All commands, by task."""
    width = max(map(len, COMMANDS)) + 2
    lines = [
        f"usage: {PROGRAM} COMMAND [OPTIONS], {PROGRAM} COMMAND --help",
        "",
        "Deepfake video detection, from training to the device.",
    ]
    for task, commands in TASKS.items():
        lines += ["", f"{task}:"]
        lines += [f"  {command.name:{width}}{command.does}" for command in commands]
    lines += ["", f"Completion of words: {PROGRAM} completion {'|'.join(SHELLS)} --help"]
    return "\n".join(lines)


def _completion(words: list[str]) -> int:
    """Print what a shell has to read so that it completes commands and options."""
    from keras_ddl.edge.errors import Parser
    from keras_ddl.edge.optional_import import need

    parser = Parser(
        prog=f"{PROGRAM} completion",
        description="Print what the shell has to read, such as: "
        f'eval "$({PROGRAM} completion bash)" in ~/.bashrc.',
    )
    parser.add_argument("shell", choices=SHELLS)
    shell = parser.parse_args(words).shell
    print(need("argcomplete", "completing words").shellcode([PROGRAM], shell=shell))
    return 0


def _complete() -> int:
    """Answer a shell that asks how a line goes on: with commands, or with those of a command."""
    import argparse

    import argcomplete

    line = os.environ.get("COMP_LINE", "")
    words = line[: int(os.environ.get("COMP_POINT", len(line)))].split(" ")
    given = [word for word in words[1:-1] if word]
    if given and given[0] in COMMANDS:
        os.environ["_ARGCOMPLETE"] = "2"  # the command's own words begin behind its name
        return int(import_module(COMMANDS[given[0]].module).main([]))
    parser = argparse.ArgumentParser(PROGRAM)
    parser.add_argument("command", choices=[*COMMANDS, "completion"])
    argcomplete.autocomplete(parser)
    return 0


if __name__ == "__main__":
    sys.exit(main())
