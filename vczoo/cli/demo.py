"""Voice conversion demo with the bundled model.

The model enrolls a voice from recordings of a person, or from synthetic ones, and is then fine-tuned on that voice.
The demo converts to and from the voice, and returns a table of measurements. It downloads nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from vczoo.audio.espeak import SENTENCES, SYNTHETIC_VOICES, write_corpus
from vczoo.audio.waveform import Waveform
from vczoo.conversion.converter import Converter
from vczoo.conversion.load import load
from vczoo.errors import AudioError, PluginError, VczooError
from vczoo.evaluation.metrics.speaker_embedding import load_speaker_model
from vczoo.evaluation.metrics.verification import centroid
from vczoo.io.files import write_text
from vczoo.training.finetune import finetune

__all__ = ["run_demo"]

MODEL, TUNED = "base", "base-partialfreeze"
UTTERANCES = 10  # of the synthetic voice, used when there are no recordings
PIECE_SECONDS = 6.0  # length of the segments of a recording, so that some are left for validation
SHORTEST_SECONDS = 1.0  # least speech to enroll a voice from
LEAST_SECONDS = 12.0  # least speech to fine-tune on


def run_demo(out: Path, recordings: Sequence[Path] = ()) -> tuple[list[dict[str, str]], list[Path]]:
    """Convert a sentence to the voice of some recordings, before and after fine-tuning, and a recording to others.

    Similarity is the cosine between the speaker embedding of a file and that of the voice. The embedding is
    Resemblyzer's, which no part was trained with. If the extra `eval` is not installed, it is the untuned model's own,
    which overrates an enrolled voice.

    Args:
        out: Folder to create.
        recordings: Recordings of one consenting person. Without any, a synthetic voice is used.

    Returns:
        The rows of the table, and the paths of the source sentence, the conversions and the run.

    Raises:
        VczooError: `out` exists, or the extra `demo` is not installed.
        AudioError: A recording cannot be read, or there is less than a second of speech in total.
    """
    if out.exists():
        raise VczooError(f"{out} already exists; choose another folder with --out, or remove it")
    demo_start = time.perf_counter()
    waves = [Waveform.read(path) for path in recordings]  # first, so that nothing is written if a file is unreadable
    if waves and sum(wave.seconds for wave in waves) < SHORTEST_SECONDS:
        raise AudioError(f"enrolling a voice takes at least {SHORTEST_SECONDS:g} s of speech; half a minute is better")
    source_voice, synthetic_voice = list(SYNTHETIC_VOICES)[:2]
    sentence = next((write_corpus(out / "sentence", [source_voice], SENTENCES[-1:]) / source_voice).iterdir())
    if not waves:
        folder = write_corpus(out / "recordings", [synthetic_voice], SENTENCES[:UTTERANCES]) / synthetic_voice
        waves = [Waveform.read(path) for path in sorted(folder.iterdir())]
    name = "you" if recordings else synthetic_voice
    pieces = _write_pieces(waves, out / "voice" / name)
    seconds = sum(wave.seconds for wave in waves)

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
        tuned = finetune(TUNED, _manifest(pieces, name, out / "voice.csv"), out / "run")
        rows.append(_row(f"fine-tuning on {name}", f"{time.perf_counter() - start:.1f} s"))
        file, measurements = _convert(
            tuned, similarity, sentence, name, out / f"sentence-as-{name}-tuned.wav", "fine-tuned"
        )
        files += [file, out / "run"]
        rows += measurements
    return [*rows, _row("all of it", f"{time.perf_counter() - demo_start:.1f} s")], files


def _similarity_measure(model: Converter, name: str, pieces: Sequence[Path]) -> tuple[Callable[[Path], float], str]:
    """Return a function from a file to its similarity to the voice, and the name of the embedding it compares."""
    try:
        embedder = load_speaker_model("resemblyzer")
    except PluginError:
        return lambda file: model.identify(file)[name], f"{MODEL}'s own embedding"
    voice = centroid(embedder.embed([Waveform.read(piece) for piece in pieces]))
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


def _write_pieces(waves: Sequence[Waveform], folder: Path) -> list[Path]:
    """Cut recordings into segments of about six seconds, and write them as files."""
    paths: list[Path] = []
    for wave in waves:
        count = max(1, round(wave.seconds / PIECE_SECONDS))
        length = -(-wave.samples.shape[1] // count)
        for first in range(0, wave.samples.shape[1], length):
            piece = Waveform.of(wave.samples[:, first : first + length], wave.sample_rate_hz)
            paths.append(piece.save(folder / f"{len(paths):03}.wav"))
    return paths


def _manifest(pieces: Sequence[Path], speaker: str, out: Path) -> Path:
    """Write a manifest that trains on all segments but the last.

    The default split would hold out a third of a minute of speech.
    """
    splits = ["train"] * (len(pieces) - 1) + ["validation"]
    rows = [f"{piece.relative_to(out.parent)},{speaker},{split}" for piece, split in zip(pieces, splits, strict=True)]
    write_text(out, "\n".join(["path,speaker,split", *rows, ""]))
    return out


def _row(what: str, value: str) -> dict[str, str]:
    return {"what": what, "value": value}
