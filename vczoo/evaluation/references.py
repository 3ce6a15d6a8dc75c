"""Real recordings of the speakers of a trial list, by what they serve for: a manifest or folder in, paths out."""

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
    """What is known of each speaker's real voice.

    Attributes:
        matching: recordings that a system was, or will be, shown: its fine-tuning or matching set (the splits train
            and validation). The centroid of similarity is made of them, and no source may be among them.
        held_out: recordings that it was not shown (the split test): the ceiling.
    """

    matching: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    held_out: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)

    def merge(self, other: References) -> References:
        """These, and of speakers that they do not know, the others'."""
        return References({**other.matching, **self.matching}, {**other.held_out, **self.held_out})

    def only(self, speakers: Iterable[str]) -> References:
        """Those of some speakers."""
        wanted = set(speakers)
        return References(
            {name: paths for name, paths in self.matching.items() if name in wanted},
            {name: paths for name, paths in self.held_out.items() if name in wanted},
        )


def read_references(path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> References:
    """Read a manifest (.csv or .jsonl: path, speaker, split) or a folder SPEAKER/*.wav.

    A recording without a split serves for matching, so that all of a folder does. None is opened.

    Args:
        path: of the manifest or folder.
        root: what the manifest's paths are relative to; None for the manifest itself.

    Raises:
        CorpusError: it is absent, has faults, or lists files that are not there: all of them, with lines.
    """
    path = Path(os.path.abspath(path))
    if root is None or path.is_dir():
        return _by_split(list_recordings(path, []))
    with tempfile.TemporaryDirectory() as folder:
        return _by_split(list_recordings(place_manifest(path, root, Path(folder) / path.name), []))


def place_manifest(manifest: str | os.PathLike[str], root: str | os.PathLike[str], out: Path) -> Path:
    """Write a .csv manifest again with absolute paths: a frozen one is kept apart from the recordings that it lists.

    Args:
        manifest: whose paths are relative to `root`.
        root: where the recordings are.
        out: the file to make, which `finetune` and `read_references` take.

    Raises:
        CorpusError: it cannot be read, is no .csv, or has no column path.
    """
    manifest, root = Path(manifest), Path(os.path.abspath(root))
    if manifest.suffix.lower() != ".csv":
        raise CorpusError(f"{manifest}: a manifest with a root is a .csv file; write its paths out, or convert it")
    try:
        reader = csv.DictReader(io.StringIO(manifest.read_text(encoding="utf-8-sig"), newline=""))
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{manifest}: cannot be read ({error})") from error
    names = list(reader.fieldnames or ())
    if "path" not in names:
        raise CorpusError(f"{manifest}: no column path, got {', '.join(names) or 'nothing'}")
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
