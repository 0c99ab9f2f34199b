"""Writer of prepared folders, part by part, so that a killed run goes on where it was.

Workers write the shards into the folder themselves (`keras_ddl.data.shards.part`); what they say
of them is noted here, a small file per part, by the command alone. A part is finished once it is
noted. At the end the index is written of the notes, what no index names is deleted, and the folder
takes its place: nothing is copied. Only then are the notes thrown away: whenever it is killed,
nothing that was finished is lost.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_ddl.data.prepared import FORMAT, INDEX, REPORTS, SPEC, SUMMARY, Cut, read_summary
from keras_ddl.data.shards.part import Part, write_part
from keras_ddl.data.shards.target import PARTS, RULES, target_at, tidy
from keras_ddl.data.video_index import SPLITS, Video
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import json_bytes
from keras_ddl.edge.storage.address import Address
from keras_ddl.edge.storage.folder import open_folder


class PreparedWriter:
    """Writer of one prepared folder; `with` holds a lock on it.

    Args:
        out: The folder, or its address. It is whole or is not one; an older one there is replaced.
        spec: What a clip is.
        rules: Digest of what decides the clips of every video. Work that was left unfinished under
            other rules is thrown away.

    Attributes:
        folder: Where parts are written; for `write_part`.

    Raises:
        UserError: `out` is a folder of something else, or another process writes it.
    """

    def __init__(self, out: Path | Address, spec: ClipSpec, rules: str) -> None:
        self._target, self._spec = target_at(out, rules), spec
        self.folder = self._target.folder

    def __enter__(self) -> PreparedWriter:
        self._target.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._target.__exit__(*exception)

    def done(self) -> set[str]:
        """Names of the parts that are finished."""
        names = (name.removeprefix(f"{PARTS}/") for name in self.folder.sizes(PARTS))
        notes = {name for name in names if name.endswith(".json") and not name.startswith(".")}
        return {name.removesuffix(".json") for name in notes - {RULES}}

    def note(self, name: str, written: Mapping[str, Any]) -> None:
        """Take down what `write_part` has written; that part is finished from here on."""
        self.folder.write(f"{PARTS}/{name}.json", json.dumps(written).encode())

    def finish(self, parts: Sequence[Part], fingerprint: str, facts: Mapping[str, Any]) -> None:
        """Write the index and put the folder in its place.

        Args:
            parts: In the dataset's order; each noted, or each of its videos. Of others nothing is
                kept.
            fingerprint: Digest of all that decides the clips.
            facts: What else `prepared.json` shall say.

        Raises:
            UserError: A shard is not there any more, or not whole.
        """
        done = self.done()
        names = [p.name for part in parts for p in ([part] if part.name in done else part.singly())]
        notes = {name: self._noted(name) for name in names}
        self._check(notes)
        videos = [video for note in notes.values() for video in note["videos"]]
        found = {shard["name"]: shard for note in notes.values() for shard in note["shards"]}
        counts, shards, indexes = {}, {}, {}
        for name in (SUMMARY, *REPORTS):
            self.folder.remove(name)
        for split in SPLITS:
            mine = [video for video in videos if video["split"] == split]
            rows = [row for video in mine for row in video["clips"]]
            shards[split] = [found[name] for name in dict.fromkeys(row["shard"] for row in rows)]
            index = json_bytes({"clips": rows, "videos": [video["video"] for video in mine]})
            self.folder.write(f"{split}/{INDEX}", index)
            indexes[split] = hashlib.sha256(index).hexdigest()
            counts[split] = {"clips": len(rows), **Counter(v["video"]["status"] for v in mine)}
        self.folder.write(SPEC, f"{self._spec.to_json()}\n".encode())
        summary = {"format": FORMAT, "fingerprint": fingerprint, "splits": counts, **facts}
        files = {"indexes": indexes, "shards": shards}
        self._target.publish(_files(shards), json_bytes({**summary, **files}))

    def _noted(self, name: str) -> dict[str, Any]:
        content = self.folder.read(f"{PARTS}/{name}.json")
        if content is None:
            raise UserError(f"{self.folder.where(f'{PARTS}/{name}.json')} is gone; {_AGAIN}")
        noted: dict[str, Any] = json.loads(content)
        return noted

    def _check(self, notes: Mapping[str, Mapping[str, Any]]) -> None:
        """Refuse to name a shard that is not there as it was noted; its part is done again."""
        sizes = {name: size for split in SPLITS for name, size in self.folder.sizes(split).items()}
        lost = ""
        for name, note in notes.items():
            for shard in note["shards"]:
                file = f"{note['videos'][0]['split']}/{shard['name']}"
                if sizes.get(file) != shard["bytes"]:
                    self.folder.remove(f"{PARTS}/{name}.json")
                    received = sizes.get(file, "no file")
                    where = self.folder.where(file)
                    lost = lost or f"{where}: expected {shard['bytes']} bytes, received {received}"
        if lost:
            raise UserError(f"{lost}; {_AGAIN}")


_AGAIN = "run the same command again, and no other that writes there"


def drop_unfinished(prepared: Path | Address) -> None:
    """Throw away what a run that was killed at its very end left in a finished folder."""
    folder, summary = open_folder(prepared), read_summary(prepared)
    if folder.sizes(PARTS):
        tidy(folder, _files(summary["shards"]))


def _files(shards: Mapping[str, Iterable[Mapping[str, Any]]]) -> set[str]:
    """Names of the files of splits."""
    named = {f"{split}/{shard['name']}" for split, mine in shards.items() for shard in mine}
    return named | {f"{split}/{INDEX}" for split in shards}


def write_prepared(
    out: Path | Address,
    spec: ClipSpec,
    cuts: Iterable[tuple[Video, Cut]],
    fingerprint: str,
) -> Path | Address:
    """Write a prepared folder from videos and what they gave, in order, a part each."""
    with PreparedWriter(out, spec, fingerprint) as writer:
        parts = []
        for number, (video, cut) in enumerate(cuts):
            name = f"{number:07d}"
            writer.note(name, write_part(writer.folder, [(video, cut)]))
            parts.append(Part(name, ((name, video),)))
        writer.finish(parts, fingerprint, {})
    return out


def check_hashes(prepared: Path | Address) -> list[str]:
    """Compare every shard with the SHA-256 in `prepared.json`; return what is wrong, line by line.

    Raises:
        UserError: If the folder is not a prepared one.
    """
    problems = []
    folder = open_folder(prepared)
    for split, shards in read_summary(prepared)["shards"].items():
        for shard in shards:
            name = f"{split}/{shard['name']}"
            content = folder.read(name)
            found = "no file" if content is None else hashlib.sha256(content).hexdigest()
            if found != shard["sha256"]:
                place = folder.where(name)
                problems.append(f"{place}: expected SHA-256 {shard['sha256']}, received {found}")
    return problems
