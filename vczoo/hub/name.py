"""`owner/name@revision` in, its parts out. The Hub's client is not imported."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vczoo.errors import HubError

__all__ = ["HubName", "is_hub_name"]

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9_][\w./-]*", re.ASCII)


@dataclass(frozen=True)
class HubName:
    """`owner/name`, or `owner/name@revision`.

    Attributes:
        repository: owner/name.
        revision: a branch, tag or commit; "" for the default branch.
    """

    repository: str
    revision: str = ""

    @classmethod
    def parse(cls, text: str) -> HubName:
        """Read it from text.

        Raises:
            HubError: it is no such name.
        """
        repository, at, revision = text.partition("@")
        fits = _NAME.fullmatch(repository) and ".." not in text and len(text) <= 200
        if not fits or (at and not _REVISION.fullmatch(revision)):
            raise HubError(
                f"{text!r} names no speaker on the Hub: that is owner/name or owner/name@revision, "
                "of letters, digits, . _ and -"
            )
        return cls(repository, revision)

    def __str__(self) -> str:
        return f"{self.repository}@{self.revision}" if self.revision else self.repository


def is_hub_name(text: str) -> bool:
    """Whether a text has the form owner/name or owner/name@revision."""
    try:
        return bool(HubName.parse(text))
    except HubError:
        return False
