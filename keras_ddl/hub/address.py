"""Addresses of presets: a folder, ``hf://OWNER/NAME``, ``kaggle://OWNER/MODEL/keras/VARIATION``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.optional_import import need

CONFIG = "config.json"
METADATA = "metadata.json"
WEIGHTS = "model.weights.h5"
SPEC = "clipspec.json"
CARD = "README.md"  # what both hubs show
FILES = (CONFIG, METADATA, SPEC, WEIGHTS)

HF, KAGGLE = "hf://", "kaggle://"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_FORMS = {
    HF: (re.compile(rf"{_NAME}/{_NAME}(@{_NAME})?"), "hf://OWNER/NAME or hf://OWNER/NAME@REVISION"),
    KAGGLE: (
        re.compile(rf"{_NAME}/{_NAME}/[Kk]eras/{_NAME}(/[0-9]+)?"),
        "kaggle://OWNER/MODEL/keras/VARIATION or …/VARIATION/VERSION",
    ),
}


@dataclass(frozen=True)
class Preset:
    """Files of a preset on this machine.

    Args:
        address: As the user gave it.
        folder: Where they lie.
        root: What none of them may lie outside of, links followed: the folder itself, or the hub's
            own cache of that repository.
    """

    address: str
    folder: Path
    root: Path

    def file(self, name: str) -> Path:
        """Return a file of the preset.

        Raises:
            UserError: It is not there, or is a link out of the preset.
        """
        path = self.folder / name
        if not path.is_file():
            raise UserError(
                f"{self.address} is no preset of keras-ddl: it holds no {name}; "
                "make one with keras_ddl.save_to_preset"
            )
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise UserError(f"{self.address}: {name} is a link out of the preset; expected a file")
        return path


def located(address: str | Path) -> Preset:
    """Find a preset, and fetch it where its address names a hub, with that hub's own library.

    Of a repository the files in `FILES` are fetched and no others; the library keeps them in its
    cache, and knows mirrors and credentials (``HF_ENDPOINT``, ``HF_TOKEN``, ``KAGGLE_KEY``).

    Raises:
        UserError: An address of no known form, no such folder or repository, no connection, or
            the library is not installed.
    """
    text = str(address)
    if text.startswith(HF):
        return _from_hugging_face(text)
    if text.startswith(KAGGLE):
        return _from_kaggle(text)
    if "://" in text:
        raise UserError(f"preset: expected a folder, {HF}… or {KAGGLE}…, received {text}")
    folder = Path(text)
    if not folder.is_dir():
        raise UserError(f"preset: expected a folder, {HF}… or {KAGGLE}…; there is no folder {text}")
    return Preset(text, folder, folder)


def _handle(address: str, scheme: str) -> str:
    handle = address.removeprefix(scheme)
    form, expected = _FORMS[scheme]
    if not form.fullmatch(handle):
        raise UserError(f"preset: expected {expected}, received {address}")
    return handle


def _from_hugging_face(address: str) -> Preset:
    name, _, revision = _handle(address, HF).partition("@")
    hub = need("huggingface_hub", f"an address {HF}…", "hub")
    try:
        snapshot = hub.snapshot_download(name, revision=revision or None, allow_patterns=FILES)
    except (OSError, ValueError) as error:  # all of the library's own are among the two
        raise _not_fetched(address, error) from error
    folder = Path(snapshot)  # …/models--OWNER--NAME/snapshots/COMMIT, links to …/blobs
    return Preset(address, folder, folder.parents[1])


def _from_kaggle(address: str) -> Preset:
    handle = _handle(address, KAGGLE)
    hub = need("kagglehub", f"an address {KAGGLE}…", "hub")
    try:
        folder = Path(hub.model_download(handle))
    except Exception as error:  # its errors have no base class of their own
        raise _not_fetched(address, error) from error
    return Preset(address, folder, folder)


def _not_fetched(address: str, error: Exception) -> UserError:
    cause = (str(error) or type(error).__name__).splitlines()[0]
    return UserError(f"cannot fetch {address}: {cause}", MISSING)
