"""Writer of prepared folders, video by video, so that a killed run goes on where it was.

While it works, everything lies in a hidden folder beside the target: two files for each finished
video, its records and then its row, which says that it is finished. They are named by what decides
the video's clips, so that other videos may come and go meanwhile. At the end the records are
joined to shards (a TFRecord file is nothing but records one after the other), the index is written,
and the folder takes the target's place. Only then are the parts thrown away: whenever it is killed,
nothing that was finished is lost.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from keras_ddl.data.prepared import FORMAT, SPEC, SUMMARY, Cut, EncodedClip, read_summary
from keras_ddl.data.video_index import SPLITS, Video
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import file_sha256, read_json, write_json

SHARD_BYTES = 256 << 20
PARTS = "parts"
RULES = "rules.json"
_OPTIONAL = ("original", "source")  # facts of a video that not every dataset gives
_FRAMING = (12, 4)  # bytes of a TFRecord before and after its payload


class PreparedWriter:
    """Writer of one prepared folder; `with` holds a lock on it.

    Args:
        out: The folder. It appears whole or not at all; an older one there is replaced.
        spec: What a clip is.
        rules: Digest of what decides the clips of every video. Work that was left unfinished under
            other rules is thrown away.

    Raises:
        UserError: `out` is a folder of something else, or another process writes it.
    """

    def __init__(self, out: Path, spec: ClipSpec, rules: str) -> None:
        self._out, self._spec, self._rules = Path(out), spec, rules
        self._partial = self._out.with_name(f".{self._out.name}.partial")
        self._parts = self._partial / PARTS

    def __enter__(self) -> PreparedWriter:
        from keras_ddl import framework  # noqa: F401 - a lack is told of before hours of work

        if self._out.exists():
            read_summary(self._out)  # refuses to replace a folder of anything else
        self._out.parent.mkdir(parents=True, exist_ok=True)
        self._lock = self._out.with_name(f".{self._out.name}.lock").open("w")
        if not _locked(self._lock):
            self._lock.close()
            raise UserError(f"another process is preparing {self._out}; wait for it")
        mark = self._partial / PARTS / RULES
        if not mark.is_file() or read_json(mark) != self._rules:
            shutil.rmtree(self._partial, ignore_errors=True)
            self._parts.mkdir(parents=True)
            write_json(mark, self._rules)
        return self

    def __exit__(self, *exception: object) -> None:
        Path(self._lock.name).unlink(missing_ok=True)
        self._lock.close()

    def done(self) -> set[str]:
        """Names of the videos that are finished, as of `add`."""
        return {path.stem for path in self._parts.glob("*.json")} - {Path(RULES).stem}

    def add(self, name: str, video: Video, cut: Cut) -> None:
        """Keep what one video gave; it is finished from here on.

        Args:
            name: Of a file, unlike any other video's: a digest of what decides this one's clips.
            video: The video.
            cut: Its clips, or why it has none.
        """
        from keras_ddl.framework import tf

        records = self._parts / f"{name}.tfrecord"
        common = {"key": list(video.key), "label": video.label}
        rows, offset = [], 0
        try:
            with tf.io.TFRecordWriter(str(records)) as writer:
                for clip in cut.clips:
                    payload = _example(video, clip)
                    writer.write(payload)
                    start, end = (round(float(clip.times_ms[i]), 3) for i in (0, -1))
                    place = {"offset": offset + _FRAMING[0], "length": len(payload)}
                    times = {"start_ms": start, "end_ms": end}
                    rows.append({**common, "track": clip.track_id, **times, **place})
                    offset += len(payload) + sum(_FRAMING)
        except tf.errors.OpError as error:  # TensorFlow's word for what the system refused
            full = isinstance(error, tf.errors.ResourceExhaustedError)
            code = errno.ENOSPC if full else errno.EIO
            raise OSError(code, os.strerror(code), str(records)) from error
        if records.stat().st_size != offset:  # not all of it has reached the disk
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(records))
        facts = {"identities": list(video.identities), "clips": len(rows), "status": cut.status}
        more = {"message": cut.message, "duration_ms": round(cut.duration_ms, 3)}
        more |= {name: getattr(video, name) for name in _OPTIONAL if getattr(video, name)}
        entry = {"split": video.split, "video": {**common, **facts, **more}, "clips": rows}
        write_json(records.with_suffix(".json"), entry)

    def finish(self, names: Sequence[str], fingerprint: str, facts: Mapping[str, Any]) -> Path:
        """Join the videos to shards and put the folder in its place; return it.

        Args:
            names: The videos, as of `add`, in the dataset's order; of others nothing is kept.
            fingerprint: Digest of all that decides the clips.
            facts: What else `prepared.json` shall say.
        """
        paths = [self._parts / f"{name}.json" for name in names]
        entries = [(path, read_json(path)) for path in paths]
        counts, shards = {}, {}
        for split in SPLITS:
            mine = [(path, entry) for path, entry in entries if entry["split"] == split]
            videos = [entry["video"] for _, entry in mine]
            clips = [entry["clips"] for _, entry in mine]
            folder = self._partial / split
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            parts = [path.with_suffix(".tfrecord") for path, _ in mine]
            shards[split] = _join(parts, clips, folder)
            rows = [row for video in clips for row in video]
            write_json(folder / "index.json", {"clips": rows, "videos": videos})
            counts[split] = {"clips": len(rows), **Counter(v["status"] for v in videos)}
        summary = {"format": FORMAT, "fingerprint": fingerprint, "splits": counts}
        self._spec.write(self._partial / SPEC)
        write_json(self._partial / SUMMARY, {**summary, **facts, "shards": shards})
        if self._out.exists():
            shutil.rmtree(self._out)
        self._partial.rename(self._out)
        drop_parts(self._out)
        return self._out


def drop_parts(prepared: Path) -> None:
    """Throw away what a run that was killed at its very end left in a finished folder."""
    shutil.rmtree(Path(prepared) / PARTS, ignore_errors=True)


def write_prepared(
    out: Path,
    spec: ClipSpec,
    cuts: Iterable[tuple[Video, Cut]],
    fingerprint: str,
) -> Path:
    """Write a prepared folder from videos and what they gave, in order."""
    with PreparedWriter(out, spec, fingerprint) as writer:
        names = []
        for number, (video, cut) in enumerate(cuts):
            names.append(f"{number:07d}")
            writer.add(names[-1], video, cut)
        return writer.finish(names, fingerprint, {})


def check_hashes(prepared: Path) -> list[str]:
    """Compare every shard with the SHA-256 in `prepared.json`; return what is wrong, line by line.

    Raises:
        UserError: If the folder is not a prepared one.
    """
    problems = []
    for split, shards in read_summary(prepared)["shards"].items():
        for shard in shards:
            path = Path(prepared) / split / shard["name"]
            found = file_sha256(path) if path.is_file() else "no file"
            if found != shard["sha256"]:
                problems.append(f"{path}: expected SHA-256 {shard['sha256']}, received {found}")
    return problems


def _locked(file: IO[str]) -> bool:
    """Lock a file; false where another process has it, or has just unlinked it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(file.fileno()), os.stat(file.name))
    except OSError:
        return False


def _example(video: Video, clip: EncodedClip) -> bytes:
    from keras_ddl.framework import tf

    feature, train = tf.train.Feature, tf.train
    key = [part.encode() for part in video.key]
    features = {
        "frames": feature(bytes_list=train.BytesList(value=clip.images)),
        "label": feature(int64_list=train.Int64List(value=[video.label])),
        "key": feature(bytes_list=train.BytesList(value=key)),
        "track": feature(int64_list=train.Int64List(value=[clip.track_id])),
        "times_ms": feature(float_list=train.FloatList(value=clip.times_ms)),
    }
    if clip.wide and clip.points is not None:
        features["wide"] = feature(bytes_list=train.BytesList(value=clip.wide))
        features["points"] = feature(float_list=train.FloatList(value=clip.points.ravel()))
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return bytes(example.SerializeToString(deterministic=True))


def _join(
    parts: list[Path], clips: list[list[dict[str, Any]]], folder: Path
) -> list[dict[str, Any]]:
    """Append files to shards of about `SHARD_BYTES`; tell each row where its clip lies now."""
    shards: list[dict[str, Any]] = []
    target = None
    try:
        for part, rows in zip(parts, clips, strict=True):
            if not rows:
                continue
            if target is None or target.tell() >= SHARD_BYTES:
                if target is not None:
                    target.close()
                shards.append({"name": f"clips-{len(shards):05d}.tfrecord"})
                target = (folder / shards[-1]["name"]).open("wb")
            start = target.tell()
            with part.open("rb") as source:
                shutil.copyfileobj(source, target, 1 << 20)
            for row in rows:
                row["shard"] = shards[-1]["name"]
                row["offset"] += start
    finally:
        if target is not None:
            target.flush()
            os.fsync(target.fileno())
            target.close()
    for shard in shards:
        path = folder / shard["name"]
        shard |= {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
    return shards
