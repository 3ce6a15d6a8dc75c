"""Real recordings of the speakers in a trial list, split into a matching set and held-out recordings."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vczoo.data.excerpts import read_recording, write_part
from vczoo.data.listing import list_recordings
from vczoo.data.manifest import Listed, Listing, manifest_text
from vczoo.errors import CorpusError
from vczoo.io.files import write_text
from vczoo.io.temporary import temporary_folder

__all__ = ["References", "place_manifest", "read_references"]


@dataclass(frozen=True, repr=False)
class References:
    """Real recordings of each speaker, as paths by speaker name.

    Attributes:
        matching: Recordings that a system is fine-tuned on or enrolls voices from (the splits train and validation).
            Their mean embedding is the target of similarity, and no source may be among them.
        held_out: Recordings that the system never sees (the split test). They score as the ceiling.
        cut_from: The files that the recordings in `matching` are parts of, if a manifest lists parts.
    """

    matching: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    held_out: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    cut_from: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)

    def __repr__(self) -> str:
        counts = [sum(map(len, recordings.values())) for recordings in (self.matching, self.held_out)]
        return f"<References of {len(self.matching)} speakers: {counts[0]} recordings, {counts[1]} held out>"

    def merge(self, other: References) -> References:
        """Add the recordings of speakers that only `other` has."""
        return References(
            {**other.matching, **self.matching},
            {**other.held_out, **self.held_out},
            {**other.cut_from, **self.cut_from},
        )

    def only(self, speakers: Iterable[str]) -> References:
        """Return only the recordings of these speakers."""
        names = set(speakers)
        return References(
            {name: paths for name, paths in self.matching.items() if name in names},
            {name: paths for name, paths in self.held_out.items() if name in names},
            {name: paths for name, paths in self.cut_from.items() if name in names},
        )


def read_references(
    path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None, *, parts: Path | None = None
) -> References:
    """Read references from a manifest (.csv or .jsonl: path, speaker, split) or a folder SPEAKER/*.wav.

    Recordings without a split belong to the matching set, so all recordings of a folder do. No recording is opened,
    except those of which a manifest lists parts (start, end) or a channel.

    Args:
        path: Path of the manifest or folder.
        root: Folder that the manifest's paths are relative to; None for the manifest's own folder.
        parts: Folder to write the parts to that a manifest lists, as WAV files.

    Raises:
        CorpusError: The manifest or folder is missing, is malformed, or lists files that do not exist; or it lists
            parts, and `parts` is None. The message lists every problem with its line.
        AudioError: A recording of which the manifest lists parts cannot be read.
    """
    path = Path(os.path.abspath(path))
    if root is None or path.is_dir():
        return _by_split(_listed(path), parts)
    with temporary_folder("manifest") as folder:
        return _by_split(_listed(place_manifest(path, root, folder / path.name)), parts)


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
    reader = csv.DictReader(io.StringIO(manifest_text(manifest), newline=""))
    names = list(reader.fieldnames or ())
    if "path" not in names:
        raise CorpusError(f"{manifest}: no column path, got {', '.join(names) or 'nothing'}; add it to the header")
    copy = io.StringIO()
    writer = csv.DictWriter(copy, names, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    try:
        writer.writerows({**row, "path": str(root / (row["path"] or "").strip())} for row in reader)
    except csv.Error as error:
        raise CorpusError(f"{manifest} line {reader.line_num}: not CSV ({error})") from error
    write_text(out, copy.getvalue())
    return out


def _listed(path: Path) -> list[Listed]:
    listing = Listing()
    list_recordings(path, listing)
    return listing.recordings


def _by_split(listed: Iterable[Listed], parts: Path | None) -> References:
    matching: dict[str, list[Path]] = {}
    held_out: dict[str, list[Path]] = {}
    cut_from: dict[str, list[Path]] = {}
    for item, path in _files(listed, parts):
        (held_out if item.split == "test" else matching).setdefault(item.speaker, []).append(path)
        if path != item.path and item.split != "test":
            cut_from.setdefault(item.speaker, []).append(item.path)
    return References(_sorted(matching), _sorted(held_out), _sorted(cut_from))


def _sorted(paths_of: Mapping[str, Iterable[Path]]) -> dict[str, tuple[Path, ...]]:
    return {name: tuple(sorted(set(paths))) for name, paths in sorted(paths_of.items())}


def _files(listed: Iterable[Listed], parts: Path | None) -> Iterator[tuple[Listed, Path]]:
    """Yield each utterance with the file that holds it and nothing else."""
    by_file: dict[tuple[Path, str], list[Listed]] = {}
    for item in listed:
        if item.is_whole and not item.channel:
            yield item, item.path
        else:
            by_file.setdefault((item.path, item.channel), []).append(item)
    for (path, channel), items in by_file.items():
        if parts is None:
            raise CorpusError(f"{items[0].where}: a part of a recording; give a folder to write the parts to (parts=)")
        wave = read_recording(path, channel)
        for item in items:
            yield item, write_part(wave, path, item.start, item.end, parts)
