"""Page on which people drop a video and read the verdicts: `python deploy/serve.py`.

Each file is judged in a process of its own, with the verdicts of `deploy/stream.py`, and nothing is
kept unless asked for. Page, API and bounds are in docs/serve.md, exit codes in docs/exit-codes.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:  # run as a script: import from the clone, and keep this folder off the path
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from deploy.judging.options import (
    add_face_options,
    add_max_megapixels,
    add_model_options,
    search_rule,
)
from deploy.log_lines import set_up_logging
from deploy.serving.limits import MIB, Limits
from deploy.web.settings import SERVE, Settings, add_proxy
from keras_ddl.edge.errors import USAGE, Parser, UserError, run_cli
from keras_ddl.edge.values import at_least, positive
from keras_ddl.edge.workers.pool import add_file_timeout

if TYPE_CHECKING:
    from deploy.scanning.kit import Options
    from deploy.web.server import PageServer

PURPOSE = "serve"
BOUNDS = Limits()
TICK_S = 0.5  # a signal that another thread was given is noticed when this one wakes


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = serve_parser().parse_args(argv)
    set_up_logging()
    return run_cli(lambda: _run(args))


def serve_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = Parser(prog="serve.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="only look whether it could serve")
    _page(parser.add_argument_group("page"))
    _bounds(parser.add_argument_group("bounds"))
    _kept(parser.add_argument_group("what is kept"))
    add_model_options(parser)
    add_face_options(parser)
    return parser


def _page(group: Any) -> None:
    group.add_argument(
        "--address",
        default=SERVE.address,
        metavar="HOST:PORT",
        help="others than this machine need a token (default: %(default)s)",
    )
    group.add_argument("--token-file", type=Path, metavar="FILE", help="the token")
    group.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name under which browsers reach this machine",
    )
    add_proxy(group, SERVE.proxy_option)
    group.add_argument(
        "--allow-links", action="store_true", help="fetch files from http:// and https:// links"
    )
    group.add_argument(
        "--allow-private-links",
        action="store_true",
        help="also from this machine and its network, which visitors could then explore",
    )
    group.add_argument(
        "--no-history", action="store_true", help="no common list: who has the link has the result"
    )


def _bounds(group: Any) -> None:
    group.add_argument(
        "--max-mib",
        type=at_least(1),
        default=BOUNDS.most_bytes // MIB,
        metavar="MIB",
        help="of one file (default: %(default)s)",
    )
    group.add_argument(
        "--max-minutes",
        type=positive,
        default=BOUNDS.longest_s / 60,
        metavar="MIN",
        help="of one video (default: %(default)g)",
    )
    add_file_timeout(group, BOUNDS.file_timeout_s)
    add_max_megapixels(group)
    group.add_argument(
        "--max-memory",
        type=at_least(1),
        default=BOUNDS.most_memory // MIB,
        metavar="MIB",
        help="of a process that judges (default: %(default)s)",
    )
    group.add_argument(
        "--jobs",
        type=at_least(1),
        default=BOUNDS.jobs,
        metavar="N",
        help="files judged at a time, each in a process (default: %(default)s)",
    )
    group.add_argument(
        "--max-waiting",
        type=at_least(1),
        default=BOUNDS.waiting,
        metavar="N",
        help="files that may wait; others are told to come again (default: %(default)s)",
    )


def _kept(group: Any) -> None:
    group.add_argument(
        "--forget-after",
        type=positive,
        default=BOUNDS.kept_s / 60,
        metavar="MIN",
        help="a result is forgotten after so many minutes (default: %(default)g)",
    )
    group.add_argument("--keep", type=Path, metavar="DIR", help="keep results there for good")
    group.add_argument("--keep-videos", action="store_true", help="and the videos beside them")


def _run(args: argparse.Namespace) -> int:
    with serving(args) as server:
        while server is not None:  # until Ctrl-C or SIGTERM
            time.sleep(TICK_S)
    return 0


@contextmanager
def serving(args: argparse.Namespace) -> Iterator[PageServer | None]:
    """Serve within this block, as the options say; None where they only ask whether it could.

    Raises:
        UserError: bad options (2), no model, or something else that is missing (3), see
            docs/exit-codes.md.
    """
    from deploy.serving.app import PUBLIC, Offer
    from deploy.serving.files_page import FilesPage
    from deploy.serving.store import check_keep
    from deploy.web.access import Access
    from deploy.web.server import PageServer, listen

    _check(args)
    settings = Settings.from_options(
        args.address, args.token_file, args.name, service=SERVE, proxies=args.proxy
    )
    limits = _limits(args)
    options, about = _look_at(args, limits)
    if args.check:
        listen(settings).close()
        check_keep(args.keep)
        _say(f"could serve at {settings.host}:{settings.port} with model {about['model']['id']}")
        yield None
        return
    links = args.allow_links or args.allow_private_links
    offer = Offer(about, links, not args.no_history, args.keep_videos)
    page = FilesPage(options, offer, limits, args.keep, args.allow_private_links)

    def make_app(port: int) -> Any:
        return page.guarded(Access(settings, port, PUBLIC))

    with page, PageServer(settings, make_app, PURPOSE) as server:
        _say(_introduction(about))
        yield server


def _check(args: argparse.Namespace) -> None:
    """Refuse what contradicts itself, and what is not installed.

    Raises:
        UserError: an option without the one that it needs (2); a package is missing (3).
    """
    from keras_ddl.edge.optional_import import need

    if args.keep_videos and args.keep is None:
        message = "expected --keep DIR beside --keep-videos, received none"
        raise UserError(f"{message}: name a folder, or leave --keep-videos out", USAGE)
    for package in ("uvicorn", "starlette", "av", "cv2"):
        need(package, PURPOSE)


def _limits(args: argparse.Namespace) -> Limits:
    return Limits(
        most_bytes=args.max_mib * MIB,
        longest_s=args.max_minutes * 60.0,
        file_timeout_s=args.file_timeout,
        most_memory=args.max_memory * MIB,
        jobs=args.jobs,
        waiting=args.max_waiting,
        kept_s=args.forget_after * 60.0,
    )


def _look_at(args: argparse.Namespace, limits: Limits) -> tuple[Options, dict[str, Any]]:
    """Open model and detector once, so that a mistake is one line, before any file comes."""
    from deploy.bundle import open_bundle
    from deploy.machine.choose_model import choose_model
    from deploy.scanning.about import who_judges
    from deploy.scanning.kit import Options
    from keras_ddl.edge.faces import open_detector

    model = choose_model(args.bundle, args.backend)
    bundle, backend = open_bundle(model, 1, args.device)
    with backend:
        options = Options(
            bundle=str(model),
            device=args.device,
            footage=args.domain,
            detector=open_detector(args.detector).name,
            detect_every=args.detect_every,
            search=search_rule(args),
            stride_ms=args.every * 1000.0,
            out="",
            threads=max(1, (os.cpu_count() or 1) // limits.jobs),
            timeout_s=limits.file_timeout_s,
            most_pixels=round(args.max_megapixels * 1e6),
        )
        return options, who_judges(bundle, backend.name, options)


def _introduction(about: dict[str, Any]) -> str:
    """Who judges, and what is known of its errors, in one line."""
    if why := about["abstain"]:
        return f"model {about['model']['id']}: no verdict on real footage: {why}"
    return f"model {about['model']['id']}: known errors: {about['model']['known_errors']}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
