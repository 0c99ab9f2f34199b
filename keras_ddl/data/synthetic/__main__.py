"""Command that writes the synthetic set: `python -m keras_ddl.data.synthetic OUT`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from keras_ddl.data.synthetic import dataset
from keras_ddl.edge.errors import Parser, UserError, run_cli


def _people(text: str) -> tuple[str, int]:
    """`train=40` → ("train", 40)."""
    split, _, count = text.partition("=")
    if not split or not count.isdigit():
        raise argparse.ArgumentTypeError(
            f"expected SPLIT=COUNT, for instance train=40, got {text!r}"
        )
    return split, int(count)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m keras_ddl.data.synthetic",
        description="Write seeded portrait videos into OUT/{train,val,test}/{real,fake}/*.mp4 "
        "and OUT/manifest.json. A finished set is left alone, an interrupted one completed.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the set")
    content = parser.add_argument_group("content")
    people = [f"{split}={count}" for split, count in dataset.DEFAULT_IDENTITIES.items()]
    content.add_argument(
        "--identities",
        type=_people,
        nargs="+",
        default=[_people(text) for text in people],
        metavar="SPLIT=N",
        help="people per split; nobody is in two splits",
    )
    content.add_argument(
        "--videos-per-identity",
        type=int,
        default=dataset.Recipe.videos_per_identity,
        metavar="N",
        help="real videos of each person, and as many fake ones",
    )
    content.add_argument(
        "--difficulty",
        type=float,
        default=dataset.DEFAULT_DIFFICULTY,
        help="0: the marks of a fake are redrawn in every frame; 1: hardly",
    )
    content.add_argument("--seed", type=int, default=0, help="another seed, other people")
    form = parser.add_argument_group("form")
    form.add_argument("--frames", type=int, default=dataset.Recipe.frames, help="per video")
    form.add_argument("--fps", type=int, default=dataset.Recipe.fps, help="frames per second")
    form.add_argument(
        "--size", type=int, nargs=2, default=dataset.Recipe.size, metavar=("WIDTH", "HEIGHT")
    )
    form.add_argument(
        "--crf",
        type=int,
        nargs=2,
        default=dataset.Recipe.crf,
        metavar=("LOW", "HIGH"),
        help="x264 quality, drawn from this range",
    )
    parser.add_argument("--processes", type=int, default=1, help="worker processes")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    args = _parser().parse_args(argv)
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    identities = dict(args.identities)
    if len(identities) < len(args.identities):
        raise UserError("identities: expected each split once")
    out = dataset.generate(
        args.out,
        identities=identities,
        videos_per_identity=args.videos_per_identity,
        frames=args.frames,
        fps=args.fps,
        size=tuple(args.size),
        difficulty=args.difficulty,
        seed=args.seed,
        crf=tuple(args.crf),
        processes=args.processes,
    )
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
