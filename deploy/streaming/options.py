"""The command line of `deploy/stream.py`."""

from __future__ import annotations

import argparse
from pathlib import Path

from deploy.judging.options import (
    add_decode,
    add_evidence_proofs,
    add_face_options,
    add_max_megapixels,
    add_model_options,
)
from deploy.judging.session import DEADLINE_S
from deploy.log_lines import FORMATS
from deploy.sinks import STDOUT
from deploy.sinks.mqtt.discovery import PREFIX, discovery_prefix
from deploy.sources.base import ANY_LINES
from deploy.web.settings import DASHBOARD, add_proxy
from keras_ddl.edge.errors import USAGE, Parser, UserError
from keras_ddl.edge.values import at_least, positive

SPOOL = Path("runs/spool")


def stream_parser(description: str) -> argparse.ArgumentParser:
    """All options, in groups; defaults stand in the help."""
    parser = Parser(prog="stream.py", description=description)
    for add in (_sources, _model, add_face_options, _results, _network, _operation):
        add(parser)
    return parser


def check_uploads(args: argparse.Namespace) -> None:
    """Refuse what contradicts itself.

    Raises:
        UserError: an option without the one that it needs (2).
    """
    uploads, links = "--dashboard-uploads", "--dashboard-links"
    for given, option, there, needed in (
        (args.dashboard_links, links, args.dashboard_uploads, uploads),
        (args.dashboard_uploads, uploads, args.dashboard, "--dashboard"),
    ):
        if given and not there:
            message = f"expected {needed} beside {option}, received none"
            raise UserError(f"{message}: add it, or leave {option} out", USAGE)


def _sources(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to watch; any number of each")
    group.add_argument(
        "--camera",
        type=at_least(0),
        metavar="N",
        action="append",
        default=[],
        help="camera by index",
    )
    group.add_argument(
        "--source",
        metavar="WHAT",
        action="append",
        default=[],
        help="file, folder of pictures, /dev/video0, csi://0, screen://0, rtsp://, http:// or "
        "synthetic:// (docs/sources.md)",
    )
    group.add_argument(
        "--config",
        type=Path,
        metavar="FILE.toml",
        help="sources with names and options of their own",
    )
    group.add_argument(
        "--keep-trying",
        action="store_true",
        help="try a camera or address for ever that is not there at first; what was there once is "
        "always tried again",
    )
    group.add_argument(
        "--realtime", action="store_true", help="play files at the pace they were recorded at"
    )
    group.add_argument(
        "--variant",
        type=at_least(1),
        default=ANY_LINES,
        metavar="LINES",
        help="of an HLS stream with several qualities the best of at most so many lines, such as "
        "480 (default: the best)",
    )
    add_max_megapixels(group)
    add_decode(group)


def _model(parser: argparse.ArgumentParser) -> None:
    group = add_model_options(parser)
    group.add_argument(
        "--threads",
        type=at_least(1),
        metavar="N",
        help="compute threads (default: of a small network one, where trying shows that to be "
        "about as fast; else all)",
    )
    group.add_argument(
        "--max-batch",
        type=at_least(1),
        metavar="CLIPS",
        help="most clips in one call of the model (default: 8, on a CPU 2)",
    )
    group.add_argument(
        "--deadline-ms",
        type=positive,
        default=DEADLINE_S * 1000.0,
        metavar="MS",
        help="longest that a clip waits for others to share a call (default: %(default)g)",
    )


def _results(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("results (docs/outputs.md)")
    group.add_argument(
        "--jsonl", default=STDOUT, metavar="FILE", help="JSON Lines to a file (default: stdout)"
    )
    group.add_argument(
        "--jsonl-max-mib", type=at_least(1), metavar="MIB", help="rotate the file at this size"
    )
    group.add_argument("--save", type=Path, metavar="OUT.mp4", help="annotated video")
    group.add_argument(
        "--save-minutes", type=positive, metavar="M", help="a new video file this often"
    )
    group.add_argument("--show", action="store_true", help="annotated video in a window")
    group.add_argument("--heat", action="store_true", help="draw the model's map, and what it is")
    group.add_argument("--evidence", type=Path, metavar="DIR", help="a folder per FAKE event there")
    group.add_argument(
        "--evidence-max-gib",
        type=positive,
        metavar="GIB",
        help="room for evidence; the oldest goes (default: 10)",
    )
    group.add_argument(
        "--evidence-days", type=positive, metavar="D", help="keep evidence this long at most"
    )
    add_evidence_proofs(group)


def _network(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("results over the network")
    group.add_argument(
        "--mqtt", metavar="URL", help="events to mqtt(s)://[USER@]HOST[:PORT][/PREFIX]"
    )
    group.add_argument("--mqtt-clips", action="store_true", help="each clip's score as well")
    group.add_argument(
        "--mqtt-certificate",
        type=Path,
        metavar="FILE",
        help="this device's certificate and key (PEM), for a broker that asks for one",
    )
    group.add_argument(
        "--mqtt-discovery",
        nargs="?",
        const=PREFIX,
        type=discovery_prefix,
        metavar="PREFIX",
        help=f"announce the sources to Home Assistant (alone: {PREFIX})",
    )
    group.add_argument(
        "--mqtt-discovery-off",
        nargs="?",
        const=PREFIX,
        type=discovery_prefix,
        metavar="PREFIX",
        help="take back what --mqtt-discovery announced of these sources",
    )
    group.add_argument("--webhook", metavar="URL", help="events by POST, signed")
    group.add_argument(
        "--spool",
        type=Path,
        default=SPOOL,
        metavar="DIR",
        help="where events wait for broker and receiver (default: %(default)s)",
    )
    group.add_argument(
        "--ca", type=Path, metavar="FILE", help="trust these certificates of broker and receiver"
    )
    group.add_argument(
        "--dashboard",
        nargs="?",
        const=DASHBOARD.address,
        metavar="HOST:PORT",
        help=f"a page that shows it all, and /metrics (alone: {DASHBOARD.address})",
    )
    group.add_argument("--dashboard-token-file", type=Path, metavar="FILE", help="its token")
    group.add_argument(
        "--dashboard-name",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name under which browsers reach this machine",
    )
    add_proxy(group, DASHBOARD.proxy_option)
    group.add_argument(
        "--dashboard-uploads",
        action="store_true",
        help="its page takes files too, as serve.py does: one at a time, after the sources",
    )
    group.add_argument(
        "--dashboard-links",
        action="store_true",
        help="and fetches files from http:// and https:// links",
    )


def _operation(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("operation")
    group.add_argument("--max-seconds", type=positive, metavar="S", help="stop after this time")
    group.add_argument(
        "--max-memory",
        type=at_least(64),
        metavar="MIB",
        help="end in good order (exit code 3) when the process holds more, for a supervisor to "
        "start it again",
    )
    group.add_argument("--log", choices=FORMATS, default=FORMATS[0], help="(default: %(default)s)")
