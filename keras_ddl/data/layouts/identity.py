"""`IdentityRule`: who is in a video, by its name, in layouts whose names are the user's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from keras_ddl.data.video_index import Video
from keras_ddl.edge.errors import UserError

OPTION = "--identity"
LEAST = 3  # people, for a training, a validation and a test part


@dataclass(frozen=True)
class IdentityRule:
    """How the people in a video follow from its name.

    Args:
        pattern: Regular expression, searched in the path below the class folder (or as a table
            writes it); its groups are the people, without groups what it matches is. Empty: the
            file name up to its first underscore.

    Raises:
        UserError: If it is no regular expression.
    """

    pattern: str = ""

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise UserError(
                f"{OPTION}: expected a regular expression such as '^([a-z]+)-', received "
                f"{self.pattern!r}: {error}"
            ) from error

    def __str__(self) -> str:
        """The rule in words."""
        if self.pattern:
            return f"what {self.pattern!r} finds in their paths"
        return "their file names up to the first underscore"

    def people(self, inner: PurePath) -> tuple[str, ...]:
        """Return the people in a video.

        Raises:
            UserError: If the pattern finds none in its path.
        """
        if not self.pattern:
            return (inner.stem.split("_")[0] or inner.stem,)
        match = re.search(self.pattern, inner.as_posix())
        people = () if match is None else match.groups() or (match[0],)
        named = tuple(dict.fromkeys(person for person in people if person))
        if not named:
            raise UserError(
                f"{OPTION}: expected {self.pattern!r} to find who is in every video, received "
                f"{inner.as_posix()}, in which it finds nobody; widen it"
            )
        return named

    def check_held_out(self, videos: Sequence[Video]) -> None:
        """Refuse to hold people out of fewer than there are parts."""
        found = {person for video in videos for person in video.identities}
        if len(found) < LEAST:
            raise UserError(
                f"expected at least {LEAST} identities to hold some out, received {len(found)} in "
                f"{len(videos)} videos, taken from {self}; say who is who with {OPTION} PATTERN, "
                "or give the splits (train, val and test folders, or a split column)"
            )
