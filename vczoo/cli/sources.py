"""Sources and output files of `vczoo convert`, as the command line names them. Imports no torch."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

from vczoo.audio.reader import AUDIO_SUFFIXES, SoundReader
from vczoo.audio.writer import WRITE_SUFFIXES, Depth
from vczoo.conversion.outputs import pair_files, pair_folder, refuse_outputs
from vczoo.data.listing import match_wildcard
from vczoo.errors import AudioError, VczooError
from vczoo.io.names import file_stem
from vczoo.io.temporary import temporary_name
from vczoo.io.text import nearest

__all__ = ["expand_sources", "plan_outputs"]


def expand_sources(words: Sequence[str]) -> list[Path]:
    """Return the files and folders that some words name. Shells on Windows leave wildcards to the program.

    Of a folder that matches a wildcard, all recordings below it are meant.

    Args:
        words: Paths, in which *, ** and ? may stand for parts of names.

    Raises:
        AudioError: No recording matches a wildcard.
    """
    sources: dict[Path, None] = {}
    for word in words:
        if os.path.exists(word) or not glob.has_magic(word):
            sources[Path(word)] = None
            continue
        sources |= dict.fromkeys(match_wildcard(word))
    return list(sources)


def plan_outputs(
    sources: Sequence[Path], out: str, voice: str, suffix: str, *, overwrite: bool, depth: Depth = "16"
) -> list[tuple[Path, Path]]:
    """Pair each recording with the file to write, and check both.

    Args:
        sources: Recordings, or a single folder of them.
        out: Text of --out: a file; a folder, with a slash at its end unless it exists; a pattern such as
            "made/{name}-{voice}.flac"; or "" for the working directory.
        voice: Text of --voice, which is part of the output's name if `out` is empty.
        suffix: Suffix of the files in a folder, or "keep".
        overwrite: Whether to replace existing files.
        depth: Bits of a sample, as for `Converter.convert_file`.

    Raises:
        AudioError: A source is missing or is not audio, or an output cannot be written. All of them are listed.
        VczooError: `suffix` is not a known format, a pattern has an unknown field, several sources are to become one
            file, or a folder is one of them.
    """
    folders = [source for source in sources if source.is_dir()]
    if folders and len(sources) > 1:
        raise VczooError(f"{folders[0]} is a folder; convert it by itself, or name its files: {folders[0]}/*.wav")
    tail = f"-as-{_label(voice)}" if voice else "-converted"
    if "{" in out:
        pairs = _fill_pattern(sources, out, voice, suffix)
    elif folders:
        pairs = pair_folder(folders[0], Path(out or f"{folders[0].resolve().name}{tail}"), suffix)
    else:
        _refuse_sources(sources)
        pairs = pair_files(sources, Path(out), suffix) if _is_folder(out, len(sources)) else [(sources[0], Path(out))]
        if not out:
            pairs = [(source, target.with_stem(target.stem + tail)) for source, target in pairs]
    if len(pairs) == 1 and pairs[0][1].exists() and not overwrite:
        raise AudioError(f"{pairs[0][1]} already exists; choose another --out, or pass --overwrite")
    refuse_outputs(pairs, overwrite, depth)
    return pairs


def _fill_pattern(sources: Sequence[Path], pattern: str, voice: str, suffix: str) -> list[tuple[Path, Path]]:
    """Pair each recording with the file that a pattern names for it."""
    prefix = pattern.partition("{")[0]
    if sources[0].is_dir():  # what the pattern wrote into the folder before is not converted again
        written = Path(prefix) if prefix.endswith(("/", os.sep)) else sources[0] / temporary_name("out")
        recordings = [recording for recording, _ in pair_folder(sources[0], written, suffix)]
    else:
        _refuse_sources(sources)
        recordings = list(sources)
    pairs = []
    for recording in recordings:
        values = {
            "name": recording.stem,
            "voice": _label(voice) if voice else "converted",
            "folder": recording.resolve().parent.name,
        }

        def value(match: re.Match[str], values: dict[str, str] = values) -> str:
            if match[1] not in values:
                hint = nearest(match[1], values)
                raise VczooError(
                    f"--out {pattern}: {{{match[1]}}} is unknown{hint} Known: {{name}}, {{voice}}, {{folder}}"
                )
            return values[match[1]]

        target = Path(re.sub(r"\{(\w*)\}", value, pattern))
        if target.suffix.lower() not in WRITE_SUFFIXES:
            (_, named), *_ = pair_files([recording], target.parent, suffix)
            target = target.with_name(target.name + named.suffix)
        pairs.append((recording, target))
    return pairs


def _is_folder(out: str, count: int) -> bool:
    """Whether the outputs go into a folder: the one named, or the working directory if `out` is empty."""
    if not out or out.endswith(("/", os.sep)) or Path(out).is_dir():
        return True
    suffix = Path(out).suffix.lower()
    if count > 1 and suffix in AUDIO_SUFFIXES:
        folder = Path(out).with_suffix("")
        raise VczooError(f"--out {out} is one file, but there are {count} recordings; name a folder: {folder}/")
    if count == 1 and suffix not in WRITE_SUFFIXES:
        raise VczooError(
            f"--out {out}: the name of a sound file must end in {', '.join(WRITE_SUFFIXES[:-1])} or "
            f"{WRITE_SUFFIXES[-1]}; to write into a folder of that name, add a slash: {out}/"
        )
    return count > 1


def _refuse_sources(sources: Sequence[Path]) -> None:
    """Raise AudioError for every source that is missing or is not audio."""
    faults = []
    for source in sources:
        try:
            SoundReader(source)
        except AudioError as error:
            faults.append(str(error))
    if faults:
        raise AudioError("\n  ".join(faults))


def _label(voice: str) -> str:
    """A voice or a mix as a part of a file name: alice:0.7,takes/me.wav:0.3 is alice+me."""
    names = [re.sub(r":[^:,/]*$", "", part) for part in voice.split(",")]
    paths = [Path(name) for name in names]
    return file_stem(
        "+".join(path.stem if path.suffix.lower() in AUDIO_SUFFIXES else path.resolve().name for path in paths)
    )
