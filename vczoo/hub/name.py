"""Names of runs on the Hugging Face Hub: `owner/name@revision`.

This module does not import huggingface_hub.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from vczoo.errors import HubError, UnknownNameError

__all__ = ["HubName", "check_path", "is_hub_name"]

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9_][\w./-]*", re.ASCII)


@dataclass(frozen=True)
class HubName:
    """The name of a run on the Hub: `owner/name` or `owner/name@revision`.

    Attributes:
        repository: `owner/name`.
        revision: A branch, tag or commit; "" for the default branch.
    """

    repository: str
    revision: str = ""

    @classmethod
    def parse(cls, text: str) -> HubName:
        """Parse a name.

        Raises:
            HubError: `text` is not of the form `owner/name` or `owner/name@revision`.
        """
        repository, at, revision = text.partition("@")
        fits = _NAME.fullmatch(repository) and ".." not in text and len(text) <= 200
        if not fits or (at and not _REVISION.fullmatch(revision)):
            raise HubError(
                f"{text!r} is not the name of a run on the Hub; expected owner/name or owner/name@revision, "
                "of letters, digits, '.', '_' and '-'"
            )
        return cls(repository, revision)

    def __str__(self) -> str:
        return f"{self.repository}@{self.revision}" if self.revision else self.repository


def is_hub_name(text: str) -> bool:
    """Whether `text` has the form `owner/name` or `owner/name@revision`."""
    try:
        return bool(HubName.parse(text))
    except HubError:
        return False


def check_path(text: str) -> None:
    """Check that a name without a revision is not a mistyped path: one in an existing folder that does not exist.

    Raises:
        UnknownNameError: It is such a path. `owner/name@main` is always a name on the Hub.
    """
    path = Path(text)
    if "@" not in text and path.parent.is_dir() and not path.exists():
        raise UnknownNameError(
            f"{text}: there is no such folder in {path.parent}; check the path. If you mean the run {text} on the Hub, "
            f"write {text}@main"
        )
