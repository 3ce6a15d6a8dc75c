"""The demo: a person's recordings, or synthetic ones, in; conversions into and out of that voice and a table out.

Nothing is downloaded: the model is the one inside the package, heard as it is and tuned to the voice.
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
UTTERANCES = 10  # of the synthetic voice that stands in for a person
PIECE_SECONDS = 6.0  # that a recording is cut into, so that some of it is left to validate on
SHORTEST_SECONDS = 1.0  # of speech that a voice is enrolled from
LEAST_SECONDS = 12.0  # of speech that a voice is tuned with


def run_demo(out: Path, recordings: Sequence[Path] = ()) -> tuple[list[dict[str, str]], list[Path]]:
    """Say a sentence in the voice of some recordings, before and after fine-tuning on them, and these in other voices.

    Similarity is the cosine of a speaker embedding to that of the voice: Resemblyzer's, which no part was trained with;
    where the extra `eval` is not installed, the untuned model's own, which flatters an enrolled voice.

    Args:
        out: the folder to make.
        recordings: of one person who agrees; without any, a synthetic voice stands in.

    Returns:
        The table's rows, and the files made: sources, conversions, and the run.

    Raises:
        VczooError: `out` exists, or the extra `demo` is not installed.
        AudioError: a recording cannot be read, or there is less than a second of speech in all.
    """
    if out.exists():
        raise VczooError(f"{out} exists; choose another folder with --out, or remove it")
    began = time.perf_counter()
    waves = [Waveform.read(path) for path in recordings]  # what cannot be read is told before anything is made
    if waves and sum(wave.seconds for wave in waves) < SHORTEST_SECONDS:
        raise AudioError(f"a voice is made of at least {SHORTEST_SECONDS:g} s of speech; half a minute is better")
    stranger, stand_in = list(SYNTHETIC_VOICES)[:2]
    sentence = next((write_corpus(out / "sentence", [stranger], SENTENCES[-1:]) / stranger).iterdir())
    if not waves:
        spoken = write_corpus(out / "recordings", [stand_in], SENTENCES[:UTTERANCES]) / stand_in
        waves = [Waveform.read(path) for path in sorted(spoken.iterdir())]
    name = "you" if recordings else stand_in
    pieces = _write_pieces(waves, out / "voice" / name)
    seconds = sum(wave.seconds for wave in waves)

    model = load(MODEL)
    model.enroll(name, pieces)
    files, rows = [sentence], [_row(f"speech of {name}", f"{seconds:.0f} s")]
    judge, judged = _judge(model, name, pieces)
    rows.append(_row("similarity is by", judged))
    said, told = _said(model, judge, sentence, name, out / f"sentence-as-{name}-enrolled.wav", "enrolled")
    files.append(said)
    rows += told
    for other in [voice for voice in model.voices if voice != name]:
        files.append(model.convert(pieces[0], other).save(out / f"{name}-as-{other}.wav"))
    if seconds < LEAST_SECONDS:
        rows.append(_row("fine-tuning", f"left out: it takes {LEAST_SECONDS:.0f} s of speech"))
    else:
        start = time.perf_counter()
        tuned = finetune(TUNED, _manifest(pieces, name, out / "voice.csv"), out / "run")
        rows.append(_row(f"fine-tuning on {name}", f"{time.perf_counter() - start:.1f} s"))
        said, told = _said(tuned, judge, sentence, name, out / f"sentence-as-{name}-tuned.wav", "fine-tuned")
        files += [said, out / "run"]
        rows += told
    return [*rows, _row("all of it", f"{time.perf_counter() - began:.1f} s")], files


def _judge(model: Converter, name: str, pieces: Sequence[Path]) -> tuple[Callable[[Path], float], str]:
    """How near to the voice a recording is, and who says so."""
    try:
        ears = load_speaker_model("resemblyzer")
    except PluginError:
        return lambda file: model.identify(file)[name], f"{MODEL}'s own embedding"
    voice = centroid(ears.embed([Waveform.read(piece) for piece in pieces]))
    return lambda file: float(ears.embed([Waveform.read(file)])[0] @ voice), ears.name


def _said(
    model: Converter, judge: Callable[[Path], float], sentence: Path, name: str, out: Path, how: str
) -> tuple[Path, list[dict[str, str]]]:
    """Convert by a model, and let a judge compare what came in and what came out."""
    start = time.perf_counter()
    made = model.convert(sentence, name)
    seconds = time.perf_counter() - start
    file = made.save(out)
    before, after = judge(sentence), judge(file)
    return file, [
        _row(f"similarity to {name} ({how}), before", f"{before:.3f}"),
        _row(f"similarity to {name} ({how}), after", f"{after:.3f}"),
        _row(f"converting {made.seconds:.1f} s ({how})", f"{seconds:.1f} s"),
    ]


def _write_pieces(waves: Sequence[Waveform], folder: Path) -> list[Path]:
    """Recordings in pieces of about six seconds, as files."""
    made: list[Path] = []
    for wave in waves:
        count = max(1, round(wave.seconds / PIECE_SECONDS))
        length = -(-wave.samples.shape[1] // count)
        for first in range(0, wave.samples.shape[1], length):
            piece = Waveform.of(wave.samples[:, first : first + length], wave.sample_rate_hz)
            made.append(piece.save(folder / f"{len(made):03}.wav"))
    return made


def _manifest(pieces: Sequence[Path], speaker: str, out: Path) -> Path:
    """All pieces but the last to train on: of a minute, a split by shares would leave a third unheard."""
    splits = ["train"] * (len(pieces) - 1) + ["validation"]
    rows = [f"{piece.relative_to(out.parent)},{speaker},{split}" for piece, split in zip(pieces, splits, strict=True)]
    write_text(out, "\n".join(["path,speaker,split", *rows, ""]))
    return out


def _row(what: str, value: str) -> dict[str, str]:
    return {"what": what, "value": value}
