"""Check or list evidence: `python -m deploy.evidence verify FOLDER`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from deploy.bundle import open_bundle
from deploy.evidence.rescore import TOLERANCE, rescore
from deploy.evidence.verify import Findings, read_manifest, verify
from deploy.judging.options import positive
from deploy.log_lines import set_up_logging
from keras_ddl.edge.errors import CHECK_FAILED, Parser, run_cli


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 as written, 4 not, 2 for what is no evidence."""
    args = _parser().parse_args(argv)
    set_up_logging()
    return run_cli(lambda: _verify(args) if args.command == "verify" else _list(args))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m deploy.evidence", description=(__doc__ or "").strip())
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("verify", help="is it what was written? exit code 0 or 4")
    check.add_argument("--bundle", type=Path, metavar="DIR", help="judge the stored crops again")
    check.add_argument(
        "--tolerance", type=positive, default=TOLERANCE, help="of a score (default: %(default)s)"
    )
    check.add_argument(
        "--head", type=_digest, metavar="SHA256", help="a head noted earlier: nothing is cut off"
    )
    show = commands.add_parser("list", help="one line per event")
    for command in (check, show):
        command.add_argument("paths", nargs="+", type=Path, metavar="FOLDER")
    return parser


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text.lower()):
        raise argparse.ArgumentTypeError(f"expected 64 hex digits, got {text!r}")
    return text.lower()


def _verify(args: argparse.Namespace) -> int:
    code = 0
    for path in args.paths:
        found = verify(path)
        if args.head and args.head not in found.heads:
            found.problems.append(f"the chain does not have the line {args.head[:12]}…: cut off")
        if args.bundle:
            _rescore(args, found)
        for line in found.problems:
            print(f"{path}: PROBLEM {line}")
        for line in found.notes:
            print(f"{path}: note: {line}")
        print(f"{path}: {_summary(found)}")
        code = CHECK_FAILED if found.problems else code
    return code


def _rescore(args: argparse.Namespace, found: Findings) -> None:
    bundle, backend = open_bundle(args.bundle)
    with backend:
        for folder in found.folders:
            problems, note = rescore(folder, bundle, backend, args.tolerance)
            found.problems += problems
            found.notes += [note] if note else []


def _summary(found: Findings) -> str:
    count = len(found.folders)
    events = f"{count} event{'' if count == 1 else 's'}"
    dropped = f", {found.dropped} let go by the quota" if found.dropped else ""
    head = f", head {found.head}" if found.head else ""
    if found.problems:
        many = len(found.problems)
        return f"{many} problem{'' if many == 1 else 's'} in {events}{dropped}{head}"
    return f"as written: {events}{dropped}{head}"


def _list(args: argparse.Namespace) -> int:
    code = 0
    for path in args.paths:
        for folder in verify(path).folders:
            try:
                event = read_manifest(folder)
            except ValueError as error:
                print(f"PROBLEM {error}")
                code = CHECK_FAILED
                continue
            model = event.get("model")
            name = model.get("id") if isinstance(model, dict) else None
            print(
                f"{event.get('at')} {event.get('source')} face {event.get('track')} "
                f"score {event.get('probability_smoothed')} model {name} {folder}"
            )
    return code


if __name__ == "__main__":
    raise SystemExit(main())
