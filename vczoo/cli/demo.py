"""Voice conversion demo with the bundled model.

The model enrolls a voice from recordings of a person, or from synthetic ones, and is then fine-tuned on that voice.
The demo converts to and from the voice, and returns a table of measurements. It downloads nothing.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from vczoo.audio.espeak import SENTENCES, SYNTHETIC_VOICES, write_corpus
from vczoo.audio.waveform import Waveform
from vczoo.conversion.converter import Converter
from vczoo.conversion.load import load
from vczoo.data.excerpts import cut_part
from vczoo.data.listing import expand_recordings
from vczoo.data.manifest import name_fault
from vczoo.data.pauses import cut_at_pauses
from vczoo.errors import AudioError, PluginError, VczooError
from vczoo.evaluation.metrics.speaker_embedding import load_speaker_model
from vczoo.evaluation.metrics.verification import centroid
from vczoo.io.files import write_text
from vczoo.training.finetune import finetune

__all__ = ["run_demo"]

MODEL, TUNED = "base", "base-partialfreeze"
UTTERANCES = 10  # of the synthetic voice, used when there are no recordings
SHORTEST_SECONDS = 1.0  # least speech to enroll a voice from
LEAST_SECONDS = 12.0  # least speech to fine-tune on


def run_demo(
    out: Path, recordings: Sequence[Path] = (), voice: str | None = None
) -> tuple[list[dict[str, str]], list[Path]]:
    """Convert a sentence to the voice of some recordings, before and after fine-tuning, and a recording to others.

    Similarity is the cosine between the speaker embedding of a file and that of the voice. The embedding is
    Resemblyzer's, which no part was trained with. If the extra `eval` is not installed, it is the untuned model's own,
    which overrates an enrolled voice.

    Args:
        out: Folder to create.
        recordings: Recordings of one consenting person, or folders of them. Without any, a synthetic voice is used.
        voice: Name of the voice; by default "you", or that of the synthetic voice.

    Returns:
        The rows of the table, and the paths of the source sentence, the conversions and the run.

    Raises:
        VczooError: `out` exists, the extra `demo` is not installed, or the name of the voice is not valid.
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
    sentence = next((write_corpus(out / "sentence", [source_voice], SENTENCES[-1:]) / source_voice).iterdir())
    if not waves:
        folder = write_corpus(out / "recordings", [synthetic_voice], SENTENCES[:UTTERANCES]) / synthetic_voice
        recordings = sorted(folder.iterdir())
        waves = [Waveform.read(path) for path in recordings]
        name = voice or synthetic_voice
    places = [(path, wave, cut) for path, wave in zip(recordings, waves, strict=True) for cut in cut_at_pauses(wave)]
    pieces = [cut_part(wave, *cut) for _, wave, cut in places]
    seconds = sum(piece.seconds for piece in pieces)

    model = load(MODEL)
    model.enroll(name, pieces)
    files, rows = [sentence], [_row(f"speech of {name}", f"{seconds:.0f} s")]
    similarity, embedding_name = _similarity_measure(model, name, pieces)
    rows.append(_row("similarity is by", embedding_name))
    file, measurements = _convert(
        model, similarity, sentence, name, out / f"sentence-as-{name}-enrolled.wav", "enrolled"
    )
    files.append(file)
    rows += measurements
    for other in [voice for voice in model.voices if voice != name]:
        files.append(model.convert(pieces[0], other).save(out / f"{name}-as-{other}.wav"))
    if seconds < LEAST_SECONDS:
        rows.append(_row("fine-tuning", f"skipped: it takes at least {LEAST_SECONDS:.0f} s of speech"))
    else:
        start = time.perf_counter()
        manifest = _manifest([(path, *cut) for path, _, cut in places], name, out / "voice.jsonl")
        tuned = finetune(TUNED, manifest, out / "run")
        rows.append(_row(f"fine-tuning on {name}", f"{time.perf_counter() - start:.1f} s"))
        file, measurements = _convert(
            tuned, similarity, sentence, name, out / f"sentence-as-{name}-tuned.wav", "fine-tuned"
        )
        files += [file, out / "run"]
        rows += measurements
    return [*rows, _row("all of it", f"{time.perf_counter() - demo_start:.1f} s")], files


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
) -> tuple[Path, list[dict[str, str]]]:
    """Convert a sentence to a voice, and measure the similarity to that voice before and after."""
    start = time.perf_counter()
    converted = model.convert(sentence, name)
    seconds = time.perf_counter() - start
    file = converted.save(out)
    before, after = similarity(sentence), similarity(file)
    return file, [
        _row(f"similarity to {name} ({how}), before", f"{before:.3f}"),
        _row(f"similarity to {name} ({how}), after", f"{after:.3f}"),
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
    write_text(out, "".join(json.dumps(row) + "\n" for row in rows))
    return out


def _row(what: str, value: str) -> dict[str, str]:
    return {"what": what, "value": value}
