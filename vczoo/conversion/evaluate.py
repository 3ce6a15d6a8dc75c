"""A run and a trial list in; a report out: the run's conversions beside their floor and their ceilings."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from vczoo.audio.waveform import Waveform
from vczoo.conversion.converter import Converter
from vczoo.conversion.load import load, read_name
from vczoo.errors import CorpusError, PluginError, RunError, VoiceError
from vczoo.evaluation.leakage import leakage_notes, shares_asr
from vczoo.evaluation.measures import DEFAULT_ASR, DEFAULT_SPEAKER, Measures, load_measures
from vczoo.evaluation.plots import plot_contours, plot_mels, plot_similarity
from vczoo.evaluation.references import References, read_references
from vczoo.evaluation.report import METRICS, Report, Scores
from vczoo.evaluation.scorer import Conversion, Evaluation
from vczoo.evaluation.trials import Trial, read_trials
from vczoo.io.optional_imports import require
from vczoo.runs.run import MANIFEST

__all__ = ["SECOND_ASR", "draw", "evaluate", "setup_of"]

SECOND_ASR = "pocketsphinx"  # learnt nothing from the data of any neural network here

Location = str | os.PathLike[str]


def evaluate(
    run: Converter | Location,
    trials: Location,
    *,
    root: Location | None = None,
    references: Location | None = None,
    asr: Sequence[str] = (),
    speaker: str = DEFAULT_SPEAKER,
    naturalness: bool = True,
    out: Location | None = None,
    keep: bool = False,
    overwrite: bool = False,
    seed: int = 0,
    device: str | None = None,
    measures: Measures | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Report:
    """Convert a list of trials and measure what comes out, beside the unconverted sources, the sources through the
    run's vocoder and real speech of the targets.

    Args:
        run: a run's folder, a recipe, or a loaded converter.
        trials: the list, see `read_trials`.
        root: what the paths of the list, and of a manifest of references, are relative to.
        references: real speech of the voices, a manifest or a folder SPEAKER/*.wav; without it, the run's own
            manifest. A voice that the run lacks is enrolled from its recordings for train and validation.
        asr: names of recognisers, the main one first; by default Whisper tiny.en through faster-whisper, and where
            the run's own backbone is a Whisper, pocketsphinx beside it.
        speaker: name of the speaker model.
        naturalness: whether DNSMOS is measured.
        out: a folder for metrics.json and the plots; by default `<run>/evaluation`, for a run's folder.
        keep: whether the conversions stay there as WAV files.
        overwrite: whether an earlier evaluation there is replaced.
        seed: of the bootstraps.
        device: where the converter computes.
        measures: models that are loaded already, instead of `asr`, `speaker` and `naturalness`.
        say: called with a line before each long step.

    Raises:
        CorpusError: every fault of the trial list and its references.
        VoiceError: the run has no voice head.
        RunError: an evaluation is there already, or the disk refuses.
        UnknownNameError, PluginError, WeightsError: a measuring model cannot be had, and how to get it.
        VczooError: the recipe uses the speaker model itself.
    """
    place = _folder_of(run)
    folder = Path(out) if out is not None else place / "evaluation" if place else None
    if folder and (folder / METRICS).exists() and not overwrite:
        raise RunError(f"{folder}: an evaluation is here already; choose another folder, or overwrite it on purpose")
    if folder:
        require("matplotlib", "a plot", "eval")  # now, not after all the work
    converter = _apart(run if isinstance(run, Converter) else load(run, device=device))
    if not converter.model.voice_heads:
        raise VoiceError(
            f"{converter.recipe.name} only recognises: it has no voice head, so there is nothing to measure"
        )
    real, shown, notes = _real_speech(place, references, root)
    # With references given, any of their speakers can be enrolled; without, the run's voices are all there is.
    voices: Collection[str] | None = converter.voices if references is None else None
    checked = read_trials(trials, root=root, references=real, shown=shown, voices=voices)
    measures = measures or _measures(converter, asr, speaker, naturalness)
    kin = leakage_notes(converter.recipe, measures)
    notes += _enroll(converter, checked, real)
    evaluation = Evaluation(checked, real, measures, seed=seed, say=say)
    say(f"converting {len(checked)} trials")
    made = evaluation.convert(lambda trial, source: converter.convert(source, trial.voice))
    scores = (
        evaluation.floor(),
        _through_vocoder(converter, evaluation),
        evaluation.score(converter.recipe.name, made, finetune_seconds=converter.metrics.get("seconds"), notes=kin),
        evaluation.real_target(),
    )
    told = (*notes, *_explained(evaluation, scores))
    report = Report(tuple(one for one in scores if one), setup_of(evaluation, trials), told, folder)
    if folder:
        report.write(folder)
        draw(evaluation, report.scores, made, folder)
        if keep:
            for trial, wave in zip(checked, made.waves, strict=True):
                wave.save(folder / "converted" / f"{trial.name}.wav", overwrite=overwrite)
    return report


def setup_of(evaluation: Evaluation, trials: Location) -> dict[str, Any]:
    """What the figures of an evaluation depend on."""
    measures = evaluation.measures
    return {
        "trials": Path(trials).name,
        "trials_sha256": hashlib.sha256(Path(trials).read_bytes()).hexdigest(),
        "trial_count": len(evaluation.trials),
        "words_against": evaluation.material.spoken(),
        "speaker": measures.speaker.name,
        "asr": [recogniser.name for recogniser in measures.recognisers],
        "naturalness": measures.rater.name if measures.rater else None,
        "seed": evaluation.seed,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in ("vczoo", "torch", "torchaudio")},
    }


def draw(evaluation: Evaluation, scores: Sequence[Scores], made: Conversion, folder: Path) -> list[Path]:
    """Draw the three plots of one system's conversions; contours and mels are of its median trial by similarity.

    Raises:
        PluginError: matplotlib is not installed.
    """
    ranked = sorted(range(len(made.waves)), key=lambda index: _similarities(scores)[index])
    index = ranked[len(ranked) // 2]
    trial, wave = evaluation.trials[index], made.waves[index]
    real = next((path for path, serves in evaluation.material.held_out().items() if trial in serves), None)
    waves = {f"source, {trial.source_speaker}": evaluation.sources[index], f"converted to {trial.voice}": wave}
    target = {f"real {trial.voice}": evaluation.material.read(real)} if real else {}
    title = f"{trial.source.stem} as {trial.voice} (median of {len(made.waves)} trials by similarity)"
    return [
        plot_similarity(scores, folder / "similarity.png"),
        plot_contours(waves, folder / "contours.png", title),
        plot_mels({**waves, **target}, folder / "mels.png", title),
    ]


def _similarities(scores: Sequence[Scores]) -> list[float]:
    last = [one for one in scores if one.role == "system"][-1]
    return [row["similarity_to_target"] for row in last.trials]


def _folder_of(run: Converter | Location) -> Path | None:
    if isinstance(run, Converter):
        return None
    kind, place = read_name(run)
    return Path(place) if kind == "run" else None


def _apart(converter: Converter) -> Converter:
    """The same converter with a list of voices of its own: voices that an evaluation enrols are not the caller's."""
    return Converter(replace(converter.run, voices=dict(converter.run.voices)), converter.device)


def _real_speech(
    place: Path | None, references: Location | None, root: Location | None
) -> tuple[References, References | None, tuple[str, ...]]:
    """References to measure with, what the run was shown, and what is to be said of it."""
    own: References | None = None
    cause = ""
    if place and (place / MANIFEST).is_file():
        try:
            own = read_references(place / MANIFEST)
        except CorpusError as error:  # recordings moved or gone
            cause = str(error)
    if references is not None:
        unchecked = "the run's own manifest could not be read: whether a source was trained on is not known"
        return read_references(references, root), own, (unchecked,) if cause else ()
    if own is None:
        where = f"{place / MANIFEST}: {cause or 'no such file'}" if place else "this converter comes with no manifest"
        raise CorpusError(f"there is no real speech to compare with ({where}). Give references: a manifest or a folder")
    return own, None, ()


def _measures(converter: Converter, asr: Sequence[str], speaker: str, naturalness: bool) -> Measures:
    names = tuple(asr) or (DEFAULT_ASR,)
    measures = load_measures(speaker, names, naturalness=naturalness)
    families = {recogniser.family for recogniser in measures.recognisers}
    if all(shares_asr(converter.recipe, family) for family in families):
        try:
            second = load_measures(speaker, (SECOND_ASR,), naturalness=False).recognisers
        except PluginError:
            return measures  # kin_notes says that no other rate is here
        return replace(measures, recognisers=(*measures.recognisers, *second))
    return measures


def _enroll(converter: Converter, trials: Sequence[Trial], real: References) -> tuple[str, ...]:
    missing = sorted({trial.voice for trial in trials} - set(converter.voices))
    for voice in missing:
        converter.enroll(voice, list(real.matching[voice]))
    return (f"enrolled for this evaluation, with no training: {', '.join(missing)}",) if missing else ()


def _through_vocoder(converter: Converter, evaluation: Evaluation) -> Scores | None:
    """The sources through the vocoder alone: what the best voice head before it could reach."""
    model, vocoder = converter.model, converter.recipe.vocoder
    if model.vocoder is None or vocoder is None:
        return None
    rate_hz = model.vocoder.accepts.sample_rate_hz

    def resynthesise(_: Trial, source: Waveform) -> Waveform:
        wave = source.resample(rate_hz).to(converter.device)
        with torch.inference_mode():
            made: Waveform = model.vocoder(model.acoustic(wave))  # type: ignore[misc]
        length = round(wave.samples.shape[1] * made.sample_rate_hz / wave.sample_rate_hz)
        return Waveform.of(made.samples[:, :length], made.sample_rate_hz)

    return evaluation.score(f"source through {vocoder.use}", evaluation.convert(resynthesise), role="ceiling")


def _explained(evaluation: Evaluation, scores: Sequence[Scores | None]) -> tuple[str, ...]:
    measures = evaluation.measures
    notes = ["±: half of a 95 % interval, bootstrap over trials"]
    notes.append("EER: 0.5 where a verifier cannot tell it from the target, 0 where it never takes it for the target")
    notes.append(f"similarity and EER by {measures.speaker.name}")
    if measures.recognisers:
        notes.append(f"WER and CER by {measures.recognisers[0].name} against {evaluation.material.spoken()}")
    if scores[-1] is None:
        notes.append(
            "no row of real target speech: neither parallel recordings nor a test split of the targets is known"
        )
    return tuple(notes)
