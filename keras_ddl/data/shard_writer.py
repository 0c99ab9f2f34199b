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
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_ddl.data.prepared import FORMAT, INDEX, REPORTS, SPEC, SUMMARY, Cut, read_summary
from keras_ddl.data.shards.index_file import IndexFile
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
        with tempfile.TemporaryDirectory(prefix="keras-ddl-index-") as aside:
            indexes = {split: self._index(parts, split, Path(aside)) for split in SPLITS}
            for name in (SUMMARY, *REPORTS):
                self.folder.remove(name)
            for split, index in indexes.items():
                self.folder.put(f"{split}/{INDEX}", index.path)
        self.folder.write(SPEC, f"{self._spec.to_json()}\n".encode())
        shards = {split: index.shards for split, index in indexes.items()}
        summary = {
            "format": FORMAT,
            "fingerprint": fingerprint,
            "splits": {split: dict(index.counts) for split, index in indexes.items()},
            **facts,
            "indexes": {split: index.sha256 for split, index in indexes.items()},
            "shards": shards,
        }
        self._target.publish(_files(shards), json_bytes(summary))

    def _index(self, parts: Sequence[Part], split: str, aside: Path) -> IndexFile:
        """Write a split's index of what is noted; refuse where a noted shard is not as it was.

        The part of such a shard is then to be done again.
        """
        done, sizes, lost = self.done(), self.folder.sizes(split), ""
        mine = [part for part in parts if part.split == split]
        with IndexFile(aside / f"{split}.json") as index:
            for part in mine:
                for name in [part.name] if part.name in done else [p.name for p in part.singly()]:
                    index.add(note := self._noted(name))
                    for shard in note["shards"]:
                        file = f"{split}/{shard['name']}"
                        if (found := sizes.get(file, "no file")) != shard["bytes"]:
                            self.folder.remove(f"{PARTS}/{name}.json")
                            wanted = f"expected {shard['bytes']} bytes, received {found}"
                            lost = lost or f"{self.folder.where(file)}: {wanted}"
        if lost:
            raise UserError(f"{lost}; {_AGAIN}")
        return index

    def _noted(self, name: str) -> dict[str, Any]:
        content = self.folder.read(f"{PARTS}/{name}.json")
        if content is None:
            raise UserError(f"{self.folder.where(f'{PARTS}/{name}.json')} is gone; {_AGAIN}")
        noted: dict[str, Any] = json.loads(content)
        return noted


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
