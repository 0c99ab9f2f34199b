"""Check or list evidence: `python -m deploy.evidence verify FOLDER`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from deploy.bundle import open_bundle
from deploy.evidence.manifest import Manifest
from deploy.evidence.rescore import TOLERANCE, rescore
from deploy.evidence.signing import public_key
from deploy.evidence.stamps import Authority
from deploy.evidence.verify import Demands, Findings, verify
from deploy.log_lines import set_up_logging
from keras_ddl.edge.errors import CHECK_FAILED, Parser, run_cli
from keras_ddl.edge.values import positive


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 where all that was asked for holds."""
    args = _parser().parse_args(argv)
    set_up_logging()
    return run_cli(lambda: _verify(args) if args.command == "verify" else _list(args))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m deploy.evidence", description=(__doc__ or "").strip())
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser(
        "verify",
        help="is it what was written? exit code 0 where every level asked for is reached, else 4",
        epilog="Every option that names something from elsewhere asks for the level that it "
        "proves: docs/evidence.md.",
    )
    check.add_argument("--bundle", type=Path, metavar="DIR", help="judge the stored crops again")
    check.add_argument(
        "--tolerance", type=positive, default=TOLERANCE, help="of a score (default: %(default)s)"
    )
    check.add_argument(
        "--head", type=_digest, metavar="SHA256", help="a head noted earlier: nothing is cut off"
    )
    check.add_argument(
        "--heads", type=Path, metavar="FILE", help="KEY.heads from beside the key: the same"
    )
    check.add_argument(
        "--key", metavar="FILE", help="public key, PEM or 64 hex digits: who wrote it"
    )
    check.add_argument(
        "--authority", type=Path, metavar="FILE", help="its certificates, PEM: since when it exists"
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
    demands = Demands(
        head=args.head or "",
        key=public_key(args.key) if args.key else "",
        heads=args.heads,
        authority=Authority(args.authority) if args.authority else None,
    )
    code = 0
    for path in args.paths:
        found = verify(path, demands)
        if args.bundle:
            _rescore(args, found)
        for line in found.problems:
            print(f"{path}: PROBLEM {line}")
        for line in found.notes:
            print(f"{path}: note: {line}")
        for line in _levels(found, demands):
            print(f"{path}: {line}")
        print(f"{path}: {_summary(found, demands)}")
        code = CHECK_FAILED if found.problems else code
    return code


def _rescore(args: argparse.Namespace, found: Findings) -> None:
    bundle, backend = open_bundle(args.bundle)
    with backend:
        for folder in found.folders:
            problems, notes = rescore(folder, bundle, backend, args.tolerance)
            found.problems += problems
            found.notes += notes


def _summary(found: Findings, demands: Demands) -> str:
    count = len(found.folders)
    events = f"{count} event{'' if count == 1 else 's'}"
    dropped = f", {found.dropped} let go by the quota" if found.dropped else ""
    head = f", head {found.head}" if found.head else ""
    if found.problems:
        many = len(found.problems)
        return f"{many} problem{'' if many == 1 else 's'} in {events}{dropped}{head}"
    asked = [
        "unbroken",
        "complete up to the head" if demands.head or demands.heads else "",
        "signed" if demands.key else "",
        "stamped" if demands.authority else "",
    ]
    return f"{', '.join(filter(None, asked))}: {events}{dropped}{head}"


def _levels(found: Findings, demands: Demands) -> Iterator[str]:
    """What each level proves of a folder in which nothing is wrong, or what would prove it."""
    audit = found.audit
    if found.problems or audit is None:
        return
    yield (
        "hashes: files, manifests and chain agree; this alone does not tell who made them: whoever "
        "can write there could make all of it anew"
    )
    if demands.head:
        line, last = audit.heads[demands.head], len(audit.lines)
        rest = f"; {last - line} lines came later" if last > line else ""
        yield f"end: lines 1 to {line} are as they were when that head was noted{rest}"
    elif demands.heads:
        yield "end: the head noted beside the signing key is there, nothing is cut off"
    else:
        yield "end: not asked for (--head, --heads); lines cut off the end do not show otherwise"
    if audit.signed_from and demands.key:
        yield (
            f"signature: every line, and so every file and removal, was written by the "
            f"holder of the key {audit.key[:12]}…"
        )
    elif audit.signed_from:
        yield (
            f"signature: by the key {audit.key[:12]}…, whoever has it; that it is yours is not "
            "asked for (--key)"
        )
    else:
        yield "signature: none; what was let go by the quota looks the same as what was removed"
    if demands.authority:
        waited = f"events waited {max(found.lag, timedelta()).total_seconds():.0f} s at most"
        yield f"time: lines 1 to {found.stamped} existed at {found.stamped_at}; {waited}"
    elif audit.stamps:
        yield f"time: {len(audit.stamps)} stamps, by whom is not asked for (--authority)"
    else:
        yield "time: none"


def _list(args: argparse.Namespace) -> int:
    code = 0
    for path in args.paths:
        for folder in verify(path).folders:
            try:
                event = Manifest.read(folder)
            except ValueError as error:
                print(f"PROBLEM {error}")
                code = CHECK_FAILED
                continue
            print(
                f"{event.at} {event.source} face {event.track} "
                f"score {event.probability_smoothed} model {event.model_id} {folder}"
            )
    return code


if __name__ == "__main__":
    raise SystemExit(main())
