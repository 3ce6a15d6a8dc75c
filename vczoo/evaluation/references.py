"""Real recordings of the speakers in a trial list, split into a matching set and held-out recordings."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vczoo.data.manifest import Listed, list_recordings
from vczoo.errors import CorpusError
from vczoo.io.files import write_text

__all__ = ["References", "place_manifest", "read_references"]


@dataclass(frozen=True)
class References:
    """Real recordings of each speaker, as paths by speaker name.

    Attributes:
        matching: Recordings that a system is fine-tuned on or enrolls voices from (the splits train and validation).
            Their mean embedding is the target of similarity, and no source may be among them.
        held_out: Recordings that the system never sees (the split test). They score as the ceiling.
    """

    matching: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    held_out: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)

    def merge(self, other: References) -> References:
        """Add the recordings of speakers that only `other` has."""
        return References({**other.matching, **self.matching}, {**other.held_out, **self.held_out})

    def only(self, speakers: Iterable[str]) -> References:
        """Return only the recordings of these speakers."""
        names = set(speakers)
        return References(
            {name: paths for name, paths in self.matching.items() if name in names},
            {name: paths for name, paths in self.held_out.items() if name in names},
        )


def read_references(path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> References:
    """Read references from a manifest (.csv or .jsonl: path, speaker, split) or a folder SPEAKER/*.wav.

    Recordings without a split belong to the matching set, so all recordings of a folder do. No recording is opened.

    Args:
        path: Path of the manifest or folder.
        root: Folder that the manifest's paths are relative to; None for the manifest's own folder.

    Raises:
        CorpusError: The manifest or folder is missing, is malformed, or lists files that do not exist. The message
            lists every problem with its line.
    """
    path = Path(os.path.abspath(path))
    if root is None or path.is_dir():
        return _by_split(list_recordings(path, []))
    with tempfile.TemporaryDirectory() as folder:
        return _by_split(list_recordings(place_manifest(path, root, Path(folder) / path.name), []))


def place_manifest(manifest: str | os.PathLike[str], root: str | os.PathLike[str], out: Path) -> Path:
    """Copy a .csv manifest with absolute paths, for a published manifest that is stored apart from its recordings.

    Args:
        manifest: Manifest whose paths are relative to `root`.
        root: Folder of the recordings.
        out: File to write. `finetune` and `read_references` accept it.

    Returns:
        The file that was written, `out`.

    Raises:
        CorpusError: The manifest cannot be read, is not a .csv file, or has no column path.
    """
    manifest, root = Path(manifest), Path(os.path.abspath(root))
    if manifest.suffix.lower() != ".csv":
        raise CorpusError(
            f"{manifest}: only a .csv manifest can have a root; convert it to .csv, or write absolute paths in it"
        )
    try:
        reader = csv.DictReader(io.StringIO(manifest.read_text(encoding="utf-8-sig"), newline=""))
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{manifest}: cannot be read ({error})") from error
    names = list(reader.fieldnames or ())
    if "path" not in names:
        raise CorpusError(f"{manifest}: no column path, got {', '.join(names) or 'nothing'}; add it to the header")
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows({**row, "path": str(root / row["path"].strip())} for row in reader)
    write_text(out, text.getvalue())
    return out


def _by_split(listed: Iterable[Listed]) -> References:
    matching: dict[str, list[Path]] = {}
    held_out: dict[str, list[Path]] = {}
    for item in listed:
        (held_out if item.split == "test" else matching).setdefault(item.speaker, []).append(item.path)
    return References(
        {name: tuple(sorted(set(paths))) for name, paths in sorted(matching.items())},
        {name: tuple(sorted(set(paths))) for name, paths in sorted(held_out.items())},
    )
