"""Hook of the build backend: the README as the package's description, without links into the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

RELATIVE_LINK = re.compile(r"!?\[([^\]]*)\]\((?!https?://|mailto:|#)[^)\s]*\)")


class ReadmeHook(MetadataHookInterface):
    """Sets `readme`. On a package index a relative link leads nowhere, so its text alone is left."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the description to the metadata of the project."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": RELATIVE_LINK.sub(r"\1", text)}
