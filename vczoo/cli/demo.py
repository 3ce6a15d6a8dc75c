"""Voice conversion demo with the bundled model.

The model enrolls a voice from recordings of a person, or from synthetic ones, and is then fine-tuned on that voice.
The demo converts to and from the voice, and returns a table of measurements. It downloads nothing. The sentence that
it converts to the voice is synthetic: without a synthesizer, it is left out.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Callable, Sequence
from itertools import chain, count
from pathlib import Path
from typing import NamedTuple

from vczoo.audio.espeak import SENTENCES, SYNTHETIC_VOICES, write_corpus
from vczoo.audio.waveform import Waveform
from vczoo.conversion.converter import Converter
from vczoo.conversion.load import load
from vczoo.data.excerpts import cut_part
from vczoo.data.listing import expand_recordings
from vczoo.data.pauses import cut_at_pauses
from vczoo.errors import AudioError, PluginError, RunError, VczooError
from vczoo.evaluation.metrics.speaker_embedding import load_speaker_model
from vczoo.evaluation.metrics.verification import centroid
from vczoo.io.files import write_text
from vczoo.io.names import file_stem, name_fault
from vczoo.training.finetune import finetune

__all__ = ["DemoResult", "new_folder", "run_demo"]

MODEL, TUNED = "base", "base-partialfreeze"
UTTERANCES = 10  # of the synthetic voice, used when there are no recordings
SHORTEST_SECONDS = 1.0  # least speech to enroll a voice from
LEAST_SECONDS = 12.0  # least speech to fine-tune on


class DemoResult(NamedTuple):
    """What the demo made.

    Attributes:
        rows: The rows of the table of measurements.
        notes: What the figures mean, and what was left out.
        files: Paths of the source sentence, the conversions and the run.
        next_command: The command line to go on with.
    """

    rows: list[dict[str, str]]
    notes: list[str]
    files: list[Path]
    next_command: str


def new_folder(path: Path) -> Path:
    """Return the path, with the first number from 2 that makes it new if it exists: demo-2."""
    numbered = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return next(candidate for candidate in chain([path], numbered) if not candidate.exists())


def run_demo(
    out: Path, recordings: Sequence[Path] = (), voice: str | None = None, *, device: str | None = None
) -> DemoResult:
    """Convert a sentence to the voice of some recordings, before and after fine-tuning, and a recording to others.

    Similarity is the cosine between the speaker embedding of a file and that of the voice. The embedding is
    Resemblyzer's, which no part was trained with. If the extra `eval` is not installed, it is the untuned model's own,
    which overrates an enrolled voice.

    Args:
        out: Folder to create.
        recordings: Recordings of one consenting person, or folders of them. Without any, a synthetic voice is used,
            which takes the extra `demo`.
        voice: Name of the voice; by default "you", or that of the synthetic voice.
        device: Torch device to compute on; None means a GPU if there is one.

    Raises:
        VczooError: `out` exists, the name of the voice is not valid, or there is no recording and the extra `demo` is
            not installed.
        AudioError: A recording cannot be read, or there is less than a second of speech in total.
    """
    if out.exists():
        raise VczooError(f"{out} already exists; choose another folder with --out, or remove it")
    if voice is not None and (fault := name_fault(voice)):
        raise VczooError(f"{fault}; choose another --voice")
    demo_start = time.perf_counter()
    recordings = expand_recordings(recordings, [])
    waves = [Waveform.read(path) for path in recordings]  # first, so that nothing is written if a file is unreadable
    if waves and sum(wave.seconds for wave in waves) < SHORTEST_SECONDS:
        raise AudioError(f"enrolling a voice takes at least {SHORTEST_SECONDS:g} s of speech; half a minute is better")
    name = voice or "you"
    source_voice, synthetic_voice = list(SYNTHETIC_VOICES)[:2]
    sentence, notes = _speak_sentence(out / "sentence", source_voice, optional=bool(waves))
    if not waves:
        folder = write_corpus(out / "recordings", [synthetic_voice], SENTENCES[:UTTERANCES]) / synthetic_voice
        recordings = sorted(folder.iterdir())
        waves = [Waveform.read(path) for path in recordings]
        name = voice or synthetic_voice
    places = [(path, wave, cut) for path, wave in zip(recordings, waves, strict=True) for cut in cut_at_pauses(wave)]
    pieces = [cut_part(wave, *cut) for _, wave, cut in places]
    seconds = sum(piece.seconds for piece in pieces)

    model = load(MODEL, device=device)
    model.enroll(name, pieces)
    similarity, embedding_name = _similarity_measure(model, name, pieces)
    rows = [_row(f"speech of {name}", f"{seconds:.0f} s"), _row("similarity is by", embedding_name)]
    files: list[Path] = []
    if sentence:
        files += [sentence, out / f"sentence-as-{file_stem(name)}-enrolled.wav"]
        rows.append(_row(f"similarity to {name} of the sentence, unconverted", f"{similarity(sentence):.3f}"))
        rows += _convert(model, similarity, sentence, name, files[-1], "enrolled")
    for other in [voice for voice in model.voices if voice != name]:
        files.append(model.convert(pieces[0], other).save(out / f"{file_stem(f'{name}-as-{other}')}.wav"))
        rows.append(
            _row(f"similarity to {name} of the recording, converted to {other}", f"{similarity(files[-1]):.3f}")
        )
    if seconds < LEAST_SECONDS:
        rows.append(_row("fine-tuning", f"skipped: it takes at least {LEAST_SECONDS:.0f} s of speech"))
        next_command = f"vczoo convert {MODEL} FILE.wav --voice {shlex.quote(str(recordings[0]))}"
    else:
        start = time.perf_counter()
        manifest = _manifest([(path, *cut) for path, _, cut in places], name, out / "voice.jsonl")
        tuned = finetune(TUNED, manifest, out / "run", device=device)
        rows.append(_row(f"fine-tuning on {name}", f"{time.perf_counter() - start:.1f} s"))
        if sentence:
            files.append(out / f"sentence-as-{file_stem(name)}-tuned.wav")
            rows += _convert(tuned, similarity, sentence, name, files[-1], "fine-tuned")
        files.append(out / "run")
        next_command = f"vczoo convert {shlex.quote(str(out / 'run'))} FILE.wav --voice {name}"
    rows.append(_row("all of it", f"{time.perf_counter() - demo_start:.1f} s"))
    return DemoResult(rows, [_scale(embedding_name), *notes], files, next_command)


def _speak_sentence(folder: Path, voice: str, *, optional: bool) -> tuple[Path | None, list[str]]:
    """Synthesize the sentence to convert; without a synthesizer, return a note instead if it is optional."""
    try:
        return next((write_corpus(folder, [voice], SENTENCES[-1:]) / voice).iterdir()), []
    except VczooError as error:
        if not optional:
            raise VczooError(f"{error}; or use a recording of yours: vczoo demo me.wav") from error
        return None, [
            f"(No sentence was converted to your voice: {error}. The conversions of your recording are here.)"
        ]


def _scale(embedding_name: str) -> str:
    """What the figures of similarity mean."""
    if embedding_name == "resemblyzer":
        return (
            "(similarity: cosine between speaker embeddings, at most 1. A real recording of the same person scores "
            "about 0.95, of another person about 0.66.)"
        )
    return "(similarity: cosine between the model's own speaker embeddings, at most 1, which flatters it.)"


def _similarity_measure(model: Converter, name: str, pieces: Sequence[Waveform]) -> tuple[Callable[[Path], float], str]:
    """Return a function from a file to its similarity to the voice, and the name of the embedding it compares."""
    try:
        embedder = load_speaker_model("resemblyzer")
    except PluginError:
        return lambda file: model.identify(file)[name], f"{MODEL}'s own embedding"
    voice = centroid(embedder.embed(pieces))
    return lambda file: float(embedder.embed([Waveform.read(file)])[0] @ voice), embedder.name


def _convert(
    model: Converter, similarity: Callable[[Path], float], sentence: Path, name: str, out: Path, how: str
) -> list[dict[str, str]]:
    """Convert a sentence to a voice, and measure its similarity to that voice."""
    start = time.perf_counter()
    converted = model.convert(sentence, name)
    seconds = time.perf_counter() - start
    return [
        _row(f"similarity to {name} of the sentence, converted ({how})", f"{similarity(converted.save(out)):.3f}"),
        _row(f"converting {converted.seconds:.1f} s ({how})", f"{seconds:.1f} s"),
    ]


def _manifest(cuts: Sequence[tuple[Path, float, float]], speaker: str, out: Path) -> Path:
    """Write a manifest that trains on all pieces of the recordings but the last.

    The default split would hold out a third of a minute of speech.
    """
    splits = ["train"] * (len(cuts) - 1) + ["validation"]
    rows = [
        {"path": os.path.abspath(path), "speaker": speaker, "split": split, "start": start, "end": end}
        for (path, start, end), split in zip(cuts, splits, strict=True)
    ]
    try:
        write_text(out, "".join(json.dumps(row) + "\n" for row in rows))
    except OSError as error:
        raise RunError(f"{out} cannot be written ({error.strerror or error}); free some space") from error
    return out


def _row(what: str, value: str) -> dict[str, str]:
    return {"what": what, "value": value}
