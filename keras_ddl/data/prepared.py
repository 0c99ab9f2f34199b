"""Prepared clips on disk: TFRecord shards with an index, written once, read at random.

A prepared folder holds

- `clipspec.json`, what a clip is, and `prepared.json`: fingerprint, counts, size and SHA-256 of
  every shard;
- for each split `clips-….tfrecord`, named by its SHA-256: the clips of one video, or of a few, as a
  `tf.train.Example` each with `frames` (T JPEG images, 4:4:4), `label`, `key`, `track` and
  `times_ms`; where pseudo-fakes will be made of them also `wide` (the same frames with the
  surroundings of the face) and `points` (five of each face there);
- for each split `index.json`: a row per clip (video key, label, track, first time stamp, where it
  lies in which shard) and a row per video with what became of it.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from keras_ddl.data.video_index import SPLITS
from keras_ddl.edge.clips import Clip
from keras_ddl.edge.clipspec import CUTTING, ClipSpec
from keras_ddl.edge.commands import typed
from keras_ddl.edge.errors import CHECK_FAILED, MISSING, USAGE, UserError
from keras_ddl.edge.files import parse_json, read_json
from keras_ddl.edge.optional_import import need
from keras_ddl.edge.storage.address import Address
from keras_ddl.edge.storage.file_cache import FileCache, cache_bytes
from keras_ddl.edge.storage.folder import open_folder
from keras_ddl.edge.storage.random_reads import RandomReads, noted

if TYPE_CHECKING:
    from keras_ddl.framework import tf

FORMAT = 2
SUMMARY = "prepared.json"
SPEC = "clipspec.json"
INDEX = "index.json"
ADDRESS = "address"  # in `prepared.json` of a set that was fetched: where its shards are
REPORTS = ("report.md", "crops.png")
JPEG_QUALITY = 95
SUM = 4  # bytes that follow a clip in its shard: its `masked_sum`
_MASK = 0xA282EAD8  # what TFRecord adds to a rotated CRC-32C
WIDER = 1.5
"""Side of a wide crop over that of the model's."""

Key = tuple[str, str, str, str]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class EncodedClip:
    """A clip as it lies on disk.

    Args:
        images: T JPEG files.
        times_ms: float64, (T,).
        track_id: The track the crops belong to.
        wide: T JPEG files of crops `WIDER` times as wide; empty where they were not asked for.
        points: float32, (T, 5, 2), of the faces in `wide`; NaN where none was found.
    """

    images: tuple[bytes, ...]
    times_ms: np.ndarray
    track_id: int
    wide: tuple[bytes, ...] = ()
    points: np.ndarray | None = None


@dataclass(frozen=True)
class Cut:
    """Outcome of cutting one video.

    Args:
        status: `ok`, `no face`, `too short` (faces, but no complete clip), `unreadable`,
            `crashed` (its worker died over it, twice) or `timeout`.
        message: Why it is not `ok`, in one line.
        clips: The sampled clips, track by track.
        duration_ms: Time of the last frame read.
    """

    status: str
    message: str = ""
    clips: tuple[EncodedClip, ...] = ()
    duration_ms: float = 0.0


@dataclass(frozen=True)
class PreparedSplit:
    """The clips of one split.

    Args:
        clips: Reads uint8 clips (T, S, S, 3), RGB, by number.
        labels: int32, (N,), 0 = real, 1 = fake.
        keys: Per clip its video's key (dataset, method, compression, video id).
        rows: Per clip the row of `index.json`.
        videos: Per video the row of `index.json`, with its status.
    """

    clips: StoredClips
    labels: np.ndarray
    keys: tuple[Key, ...]
    rows: tuple[dict[str, Any], ...]
    videos: tuple[dict[str, Any], ...]


class StoredClips:
    """The clips of one split, read from their shards when asked for; threads may share it.

    Args:
        shards: Reads pieces of the shards.
        rows: Per clip its row of the index.
        shape: Of one clip, (T, S, S, 3).
    """

    def __init__(self, shards: RandomReads, rows: tuple[dict[str, Any], ...], shape: Shape):
        self.shards = shards
        self._places = [(row["shard"], row["offset"], row["length"]) for row in rows]
        self.shape = (len(rows), *shape)

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, number: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, number: slice | np.ndarray | list[int]) -> np.ndarray: ...
    def __getitem__(self, number: Any) -> np.ndarray:
        """Return one clip, uint8 (T, S, S, 3), or several, (n, T, S, S, 3)."""
        if np.ndim(number) == 0 and not isinstance(number, slice):
            return np.asarray(decode_record(self.record(int(number)), self.shape[1:]))
        chosen = np.arange(len(self))[number]
        clips = [self[int(one)] for one in chosen]
        return np.stack(clips) if clips else np.empty((0, *self.shape[1:]), np.uint8)

    def record(self, number: int) -> bytes:
        """Return the serialised `tf.train.Example` of one clip.

        Raises:
            UserError: Its shard is not there, ends early, or is damaged: that with code 4.
        """
        shard, offset, length = self._places[number]
        data = self.shards.read(shard, offset, length + SUM)
        place = self.shards.place / shard
        if len(data) != length + SUM:
            told = f"ends early: expected {length + SUM} bytes at {offset}, received {len(data)}"
            raise noted(UserError(f"{place} {told}; prepare the videos again"))
        payload = data[:-SUM]
        if masked_sum(payload) != data[-SUM:]:
            told = f"is damaged: the clip at byte {offset} is not as it was written"
            raise noted(UserError(f"{place} {told}; prepare the videos again", CHECK_FAILED))
        return payload


def masked_sum(content: bytes) -> bytes:
    """Return the sum by which TFRecord tells damage: CRC-32C, rotated and shifted, 4 bytes."""
    crc = need("google_crc32c", "clips", "train").value(content)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF)


def encode_clip(clip: Clip, quality: int = JPEG_QUALITY) -> EncodedClip:
    """Compress a clip's frames; chroma is not subsampled."""
    images = tuple(encode_image(frame, quality) for frame in clip.frames)
    return EncodedClip(images, clip.times_ms, int(clip.track_id))


def encode_image(image: np.ndarray, quality: int) -> bytes:
    """Compress an RGB picture as JPEG, 4:4:4."""
    import cv2

    rules = [cv2.IMWRITE_JPEG_QUALITY, quality]
    rules += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return bytes(cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), rules)[1])


def decode_record(record: Any, shape: tuple[int, ...]) -> tf.Tensor:
    """Return the clip of a serialised `tf.train.Example`, uint8 (T, S, S, 3), RGB.

    Args:
        record: bytes or a string tensor.
        shape: Expected shape of the clip.
    """
    from keras_ddl.framework import tf

    features = {"frames": tf.io.FixedLenFeature((shape[0],), tf.string)}
    images = tf.io.parse_single_example(record, features)["frames"]
    decode = partial(tf.io.decode_jpeg, channels=3, dct_method="INTEGER_ACCURATE")
    # Unstacked, not mapped: a loop in the graph costs more than eight decoders.
    return tf.ensure_shape(tf.stack([decode(image) for image in tf.unstack(images)]), shape)


def read_summary(prepared: Path | Address) -> dict[str, Any]:
    """Return `prepared.json`; a UserError says that a folder is not a prepared one."""
    content = open_folder(prepared).read(SUMMARY)
    if content is None:
        raise UserError(
            f"expected a folder of prepared clips, received {prepared}, which holds no "
            f"{SUMMARY}; make one with: {typed('prepare')} ROOT --out DIR"
        )
    summary: dict[str, Any] = parse_json(content, f"{prepared}/{SUMMARY}")
    return summary


def read_split(prepared: Path, split: str, whole: bool = True) -> PreparedSplit:
    """Open one split of a prepared folder.

    Args:
        prepared: The folder.
        split: `train`, `val` or `test`.
        whole: Of a set in a store: keep whole shards here, for clips that are read more than once.

    Raises:
        UserError: If the folder is not a prepared one, of another format, changed since it was
            written, or the split has no clips.
    """
    if split not in SPLITS:
        raise UserError(f"split: expected one of {', '.join(SPLITS)}; received {split!r}")
    prepared = Path(prepared)
    summary = read_summary(prepared)
    if summary.get("format") != FORMAT:
        raise UserError(
            f"{prepared}: expected format {FORMAT}, received {summary.get('format')}; "
            "prepare the videos again"
        )
    counts = summary["splits"]
    if not counts[split]["clips"]:
        raise UserError(f"{prepared} has no clips in {split}; it has {json.dumps(counts)}")
    shards = _shards(prepared, summary, split, whole)
    index = read_json(prepared / split / INDEX)
    rows = tuple(index["clips"])
    spec = ClipSpec.read(prepared / SPEC)
    shape = (spec.frames, spec.size, spec.size, 3)
    return PreparedSplit(
        clips=StoredClips(shards, rows, shape),
        labels=np.array([row["label"] for row in rows], np.int32),
        keys=tuple(tuple(row["key"]) for row in rows),
        rows=rows,
        videos=tuple(index["videos"]),
    )


def check_spec(prepared: Path, spec: ClipSpec, settable: bool = False) -> None:
    """Refuse clips that were cut to other rules than a model's.

    Args:
        prepared: Folder of prepared clips.
        spec: What the model expects.
        settable: The model is yet to be trained, so its settings may follow the clips.

    Raises:
        UserError: naming every field that differs, and what to pass to which command.
    """
    cut = ClipSpec.read(Path(prepared) / SPEC)
    names = (*CUTTING, "color")
    pairs = {name: (getattr(cut, name), getattr(spec, name)) for name in names}
    unlike = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if not unlike:
        return
    if settable:
        settings = " ".join(f"{name}={there}" for name, (there, _) in unlike.items())
        remedy = f"take them as they are with --set {settings}, or prepare the videos again"
    else:
        options = " ".join(
            f"--{name.replace('_', '-')} {wanted}" for name, (_, wanted) in unlike.items()
        )
        remedy = f"prepare the videos again with {options}"
    has = " and ".join(f"{name} {there}" for name, (there, _) in unlike.items())
    expected = " and ".join(str(wanted) for _, wanted in unlike.values())
    raise UserError(f"{prepared} is cut with {has}, the model expects {expected}; {remedy}")


def check_sizes(prepared: Path | Address, summary: dict[str, Any], split: str) -> None:
    """Refuse a set of which a shard is missing or has another size.

    Sizes only, for speed; `python -m keras_ddl.data.prepare --check DIR` compares the hashes.
    """
    folder, shards = open_folder(prepared), summary["shards"][split]
    sizes = folder.sizes(split) if shards else {}
    for shard in shards:
        name = f"{split}/{shard['name']}"
        size = sizes.get(name)
        if size != shard["bytes"]:
            received = f"received {'no file' if size is None else size}; prepare the videos again"
            told = f"{folder.where(name)}: expected {shard['bytes']} bytes, {received}"
            raise UserError(told, MISSING if size is None else USAGE)


def _shards(prepared: Path, summary: dict[str, Any], split: str, whole: bool) -> RandomReads:
    """The shards of a split: beside its index, or in the store of a set that was fetched."""
    if ADDRESS not in summary:
        check_sizes(prepared, summary, split)
        return RandomReads(prepared / split)
    place, shards = Address(summary[ADDRESS]) / split, summary["shards"]
    files = {shard["name"]: (shard["bytes"], shard["sha256"]) for shard in shards[split]}
    wanted = {shard["sha256"] for these in shards.values() for shard in these}
    cache = FileCache(prepared.parent / "shards", cache_bytes(), wanted) if whole else None
    return RandomReads(place, files, cache)
