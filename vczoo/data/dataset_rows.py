"""Rows of a data set of Hugging Face Datasets as recordings of speakers. The library itself is not imported.

A corpus consists of files, so sound that is not one is written into the user's cache, under the hash of its content.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeGuard

from vczoo.audio.reader import AUDIO_SUFFIXES
from vczoo.audio.recording import as_recording
from vczoo.audio.waveform import Waveform
from vczoo.audio.writer import wav_content
from vczoo.data.columns import column_of, read_annotations, read_texts
from vczoo.data.manifest import Listing, listed_row
from vczoo.errors import AudioError, CorpusError
from vczoo.io.cache_folder import user_cache_folder
from vczoo.io.files import write_bytes
from vczoo.io.text import truncated_list

__all__ = ["Dataset", "is_dataset", "list_dataset"]

# As LibriSpeech, VCTK and Common Voice call the columns of a manifest.
OTHER_NAMES = {"speaker_id": "speaker", "client_id": "speaker", "sentence": "text", "transcription": "text"}
NUMERIC = ("start", "end", "group")


class Dataset(Protocol):
    """What is used of `datasets.Dataset` and `datasets.IterableDataset`."""

    features: Any
    column_names: Any

    def __iter__(self) -> Any: ...


def is_dataset(value: object) -> TypeGuard[Dataset]:
    """Whether a value is a data set of rows."""
    return hasattr(value, "features") and hasattr(value, "column_names") and isinstance(value, Iterable)


def list_dataset(dataset: Dataset, listing: Listing, speaker: str = "") -> None:
    """Add the rows of a data set to a listing.

    The sound is the column of type `Audio`; `column_of` and `OTHER_NAMES` name the other columns. Sound is not decoded
    here if the data set holds it as files, or as the bytes of files.

    Args:
        dataset: The data set.
        listing: Receives the recordings, and the rows whose sound cannot be read.
        speaker: Speaker of all rows, if there is no column of speakers. "" if there is one.

    Raises:
        CorpusError: There is not exactly one column of sound, no column of speakers, or rows have faults. The message
            lists them.
    """
    features = dict(dataset.features or {})
    sound = _sound_column(features)
    columns = {name: column for name in features if (column := _column(name, features)) and name != sound}
    if "speaker" not in columns.values() and not speaker:
        raise CorpusError(
            f"the data set has no column of speakers, but {', '.join(features)}. Rename one with "
            'dataset.rename_column(…, "speaker"), or name the speaker of all rows with speaker='
        )
    others = [name for name in features if name not in columns and name != sound]
    faults: list[str] = []
    for number, row in enumerate(_undecoded(dataset, sound, features[sound])):
        try:
            path = _file(row[sound])
        except AudioError as error:
            listing.unlisted.append((Path(f"row {number}"), str(error)))
            continue
        row_faults: list[str] = []
        values = {column: _value(row[name], column, features[name]) for name, column in columns.items()}
        texts = read_texts({"speaker": speaker, **values, "path": str(path)}, row_faults)
        listed = None if row_faults else listed_row(Path("data set"), number, texts, row_faults)
        faults += [f"row {number}: {fault}" for fault in row_faults]
        if listed and not row_faults:
            annotations = read_annotations({name: row[name] for name in others})
            where = f"row {number} of the data set"
            listing.recordings.append(replace(listed, where=where, annotations=annotations))
    if faults:
        raise CorpusError("\n  ".join(["the data set has faults:", *truncated_list(faults)]))
    if others:
        listing.other_columns[Path("the data set")] = others


def _sound_column(features: Mapping[str, Any]) -> str:
    names = [name for name, feature in features.items() if type(feature).__name__ == "Audio"]
    if len(names) != 1:
        raise CorpusError(
            f"expected a data set with one column of type Audio, got {', '.join(names) or 'none'} of "
            f"{', '.join(features) or 'no known column'}; make one with dataset.cast_column(…, datasets.Audio()), or "
            "remove the others with dataset.remove_columns"
        )
    return names[0]


def _column(name: str, features: Mapping[str, Any]) -> str:
    """The column of a manifest that a column means; "" if none. `speaker_id` counts if there is no `speaker`."""
    column = column_of(name)
    other = OTHER_NAMES.get(name.lower(), "")
    if column and column not in ("path", "relative_path"):
        return column
    return other if other and other not in map(column_of, features) else ""


def _undecoded(dataset: Any, sound: str, feature: Any) -> Iterable[Mapping[str, Any]]:
    """The rows with the sound as the data set stores it: it decodes more kinds of files, and at their own rate."""
    if is_dataclass(feature) and not isinstance(feature, type) and hasattr(dataset, "cast_column"):
        plain: Any = dataset.with_format(None) if hasattr(dataset, "with_format") else dataset
        dataset = plain.cast_column(sound, replace(feature, decode=False))
    rows: Iterable[Mapping[str, Any]] = dataset
    return rows


def _value(value: Any, column: str, feature: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    if hasattr(feature, "int2str"):  # a ClassLabel
        return feature.int2str(value)
    return value if column in NUMERIC else str(value)


def _file(sound: Any) -> Path:
    """The file of a row's sound; it is written if there is none."""
    if isinstance(sound, Mapping) and "bytes" in sound:
        path = sound.get("path") or ""
        if os.path.isabs(path) and os.path.isfile(path):
            return Path(path)
        if not sound["bytes"]:
            raise AudioError(f"it has neither sound nor a file on this machine, but the path {path!r}; download it")
        suffix = Path(path).suffix.lower()
        return _cached(sound["bytes"], suffix if suffix in AUDIO_SUFFIXES else "")
    wave = as_recording(sound)
    if not isinstance(wave, Waveform):
        raise AudioError("its sound is text; cast the column with dataset.cast_column(…, datasets.Audio())")
    wave.check(speech=True)
    return _cached(wav_content(wave.samples[0].clamp(-1, 1).numpy(), wave.sample_rate_hz, None), ".wav")


def _cached(content: bytes, suffix: str) -> Path:
    path = user_cache_folder() / "recordings" / f"{hashlib.sha256(content).hexdigest()[:32]}{suffix}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_bytes(path, content)
        except OSError as error:
            raise CorpusError(
                f"{path}: cannot be written ({error.strerror}); free some space, or set VCZOO_CACHE to another folder"
            ) from error
    return path
