"""The demo: nothing but this machine in; a fine-tuned run, converted WAV files and a table out."""

from __future__ import annotations

import time
from pathlib import Path

from vczoo.converter import Converter
from vczoo.errors import VczooError
from vczoo.run import save_run
from vczoo.synthesis import SENTENCES, SYNTHETIC_VOICES, write_corpus
from vczoo.train import finetune

__all__ = ["run_demo"]

TRAINED = 4  # voices that are fine-tuned on; one more is enrolled without training
UTTERANCES = 24  # a voice, of which a tenth is for validation and a tenth for test


def run_demo(out: Path, recipe: str = "demo") -> tuple[list[dict[str, str]], list[Path]]:
    """Make speech of synthetic voices, fine-tune on it, convert a sentence nobody said, enrol one more voice.

    Similarity is the cosine of the model's own speaker embedding to that of the target voice.

    Returns:
        The table's rows, and the files made: a source, a conversion to each of two voices, the run.

    Raises:
        VczooError: `out` exists, or the extra `demo` is not installed.
    """
    if out.exists():
        raise VczooError(f"{out} exists; choose another folder with --out, or remove it")
    began = time.perf_counter()
    *trained, enrolled = list(SYNTHETIC_VOICES)[: TRAINED + 1]
    recordings = write_corpus(out / "recordings", trained, SENTENCES[:UTTERANCES])
    references = write_corpus(out / "enrolment", [enrolled], SENTENCES[:UTTERANCES])
    source_voice, target_voice = trained[0], trained[1]
    sources = write_corpus(out / "unheard", [source_voice], SENTENCES[UTTERANCES : UTTERANCES + 1])
    source = next((sources / source_voice).iterdir())
    spoken = time.perf_counter()

    converter = finetune(recipe, recordings, out / "run")
    fine_tuned = time.perf_counter()
    converter.enroll(enrolled, sorted((references / enrolled).iterdir()))
    save_run(converter.run, out / "run")
    enrolment = time.perf_counter()

    files = [source]
    rows = []
    for voice, how in ((target_voice, "fine-tuned"), (enrolled, "enrolled, no training")):
        start = time.perf_counter()
        made = converter.convert(source, voice)
        seconds = time.perf_counter() - start
        files.append(made.save(out / f"{source_voice}-as-{voice}.wav"))
        before, after = converter.identify(source)[voice], converter.identify(files[-1])[voice]
        rows.append(_row(f"similarity to {voice} ({how}), before", f"{before:.3f}"))
        rows.append(_row(f"similarity to {voice} ({how}), after", f"{after:.3f}"))
        rows.append(_row(f"converting {made.seconds:.1f} s to {voice}", f"{seconds:.1f} s"))
    accuracy = converter.metrics["test"]["speaker.accuracy"]
    minutes = sum(converter.run.data["minutes"].values())
    rows = [
        _row(f"speaker accuracy, {len(trained)} voices, unheard test sentences", f"{accuracy:.3f}"),
        *rows,
        _row("similarity of real recordings to their own voice", f"{_own_similarity(converter, recordings):.3f}"),
        _row(f"speaking {minutes:.1f} minutes of synthetic speech", f"{spoken - began:.1f} s"),
        _row("fine-tuning", f"{fine_tuned - spoken:.1f} s"),
        _row(f"enrolling {enrolled}", f"{enrolment - fine_tuned:.1f} s"),
        _row("all of it", f"{time.perf_counter() - began:.1f} s"),
    ]
    return rows, [*files, out / "run"]


def _own_similarity(converter: Converter, recordings: Path) -> float:
    """Mean cosine of the first recording of each voice to that voice: what a perfect conversion would reach."""
    firsts = {folder.name: sorted(folder.iterdir())[0] for folder in sorted(recordings.iterdir())}
    return sum(converter.identify(file)[name] for name, file in firsts.items()) / len(firsts)


def _row(what: str, value: str) -> dict[str, str]:
    return {"what": what, "value": value}
