"""Evaluation of a run on a trial list, with the floor and the ceilings of its scores for comparison."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from importlib import metadata
from itertools import chain, count
from pathlib import Path
from typing import Any

import torch

from vczoo.audio.waveform import Waveform
from vczoo.conversion.converter import Converter
from vczoo.conversion.load import load, read_name
from vczoo.conversion.measured_system import describe_measurement
from vczoo.errors import AudioError, CorpusError, PluginError, RunError, VoiceError
from vczoo.evaluation.leakage import leakage_notes, shares_asr
from vczoo.evaluation.measures import DEFAULT_ASR, Measures, load_measures
from vczoo.evaluation.metrics.asr import load_recogniser
from vczoo.evaluation.plots import plot_contours, plot_mels, plot_similarity
from vczoo.evaluation.references import References, read_references
from vczoo.evaluation.report import METRICS, Report, Scores
from vczoo.evaluation.results import append_results, check_results, results_of
from vczoo.evaluation.scorer import Conversion, Evaluation
from vczoo.evaluation.trials import Trial, read_trials
from vczoo.io.files import sha256_of
from vczoo.io.temporary import temporary_folder
from vczoo.runs.run import MANIFEST

__all__ = ["SECOND_ASR", "draw", "evaluate", "setup_of"]

SECOND_ASR = "pocketsphinx"  # not trained on the data of any neural network here

Location = str | os.PathLike[str]


def evaluate(
    run: Converter | Location,
    trials: Location,
    *,
    root: Location | None = None,
    references: Location | None = None,
    asr: Sequence[str] = (),
    speaker: str | None = None,
    naturalness: bool = True,
    metrics: Sequence[str] = (),
    normalizer: str = "basic",
    out: Location | None = None,
    keep: bool = False,
    overwrite: bool = False,
    results: Location | None = None,
    seed: int = 0,
    device: str | None = None,
    measures: Measures | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Report:
    """Convert a list of trials and measure the conversions.

    For comparison it also measures the unconverted sources (the floor), and as ceilings the sources through the run's
    vocoder and real speech of the targets.

    Args:
        run: Folder of a run, name of a recipe, or a loaded converter.
        trials: The trial list, a .csv file (see `read_trials`).
        root: Folder that the paths in the trial list, and in a manifest of references, are relative to.
        references: Real speech of the voices: a manifest or a folder SPEAKER/*.wav. By default the run's own manifest.
            A voice that the run lacks is enrolled from its recordings in the splits train and validation.
        asr: Names of speech recognizers, the main one first. By default Whisper tiny.en through faster-whisper, and
            also pocketsphinx if the run's backbone is a Whisper model.
        speaker: Name of the speaker model. None for resemblyzer if it is installed, otherwise wavlm-sv.
        naturalness: Whether to measure naturalness with DNSMOS.
        metrics: Names of further metrics, from plugins; `vczoo list --parts metric` lists them.
        normalizer: Name of the normalizer of transcripts: `basic` or `whisper-english`.
        out: Folder for metrics.json and the plots. By default `<run>/evaluation` if `run` is a folder; otherwise
            nothing is written.
        keep: Whether to save the conversions there as WAV files.
        overwrite: Whether to replace an earlier evaluation in that folder.
        results: Results file (.csv) to append the figures to, or to create; see `vczoo.evaluation.results`.
        seed: Seed of the bootstrap resampling.
        device: Torch device on which the converter computes. By default a GPU, if there is one.
        measures: Measuring models that are loaded already; they replace `asr`, `speaker`, `naturalness`,
            `metrics` and `normalizer`.
        say: Function that is called with a status line before each long step.

    Raises:
        CorpusError: The trial list or its references have faults. The message lists all of them.
        VoiceError: The run has no voice head.
        RunError: The folder already contains an evaluation, the disk cannot be written, or `results` is a file of
            another format.
        UnknownNameError, PluginError, WeightsError: A measuring model is unavailable. The message says how to get it.
        VczooError: A part of the recipe is the speaker model itself.
    """
    run_folder = _folder_of(run)
    folder = Path(out) if out is not None else run_folder / "evaluation" if run_folder else None
    if folder and (folder / METRICS).exists() and not overwrite:
        raise RunError(f"{folder} already contains an evaluation; choose another folder, or set overwrite")
    if results is not None:
        check_results(results)
    converter = _with_own_voices(run if isinstance(run, Converter) else load(run, device=device))
    if not converter.model.voice_heads:
        raise VoiceError(
            f"{converter.recipe.name} only recognizes: it has no voice head, so there is nothing to measure. Choose a "
            "recipe or run with a voice head, see `vczoo list`, or score what its heads predict with --data"
        )
    with temporary_folder("parts") as parts:
        real, shown, notes = _real_speech(run_folder, references, root, parts)
        # With references, any of their speakers can be enrolled. Without them, only the run's voices are available.
        voices: Collection[str] | None = converter.voices if references is None else None
        checked = read_trials(trials, root=root, references=real, shown=shown, voices=voices)
        measures = measures or _measures(converter, asr, speaker, naturalness, metrics, normalizer)
        leakage = leakage_notes(converter.recipe, measures)
        notes += _enroll(converter, checked, real)
        evaluation = Evaluation(checked, real, measures, seed=seed, say=say)
        say(f"converting {len(checked)} trials")
        conversion = evaluation.convert(lambda trial, source: converter.convert(source, trial.voice))
        scores = (
            evaluation.floor(),
            _through_vocoder(converter, evaluation),
            evaluation.score(
                converter.recipe.name, conversion, finetune_seconds=converter.metrics.get("seconds"), notes=leakage
            ),
            evaluation.real_target(),
        )
        notes += _table_notes(evaluation, scores)
        report = Report(tuple(one for one in scores if one), setup_of(evaluation, trials), notes, folder)
        if folder:
            report.write(folder, overwrite=overwrite)
            draw(evaluation, report.scores, conversion, folder)
            if keep:
                for name, wave in zip(_distinct([trial.name for trial in checked]), conversion.waves, strict=True):
                    wave.save(folder / "converted" / f"{name}.wav", overwrite=overwrite)
        if results is not None:
            about = describe_measurement(converter, report.setup)
            append_results(results, results_of(report.scores, about))
        return report


def setup_of(evaluation: Evaluation, trials: Location) -> dict[str, Any]:
    """Everything that the figures of an evaluation depend on, for the report.

    Args:
        evaluation: The evaluation.
        trials: The file of its trial list.
    """
    measures = evaluation.measures
    return {
        "trials": Path(trials).name,
        "trials_sha256": sha256_of(Path(trials)),
        "trial_count": len(evaluation.trials),
        "words_against": evaluation.material.spoken(),
        "speaker": measures.speaker.name,
        "asr": [recogniser.name for recogniser in measures.recognisers],
        "naturalness": measures.rater.name if measures.rater else None,
        **({"metrics": list(measures.metrics)} if measures.metrics else {}),
        **({"normalizer": measures.normalizer} if measures.normalizer != "basic" else {}),
        "commits": measures.commits,
        "seed": evaluation.seed,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in ("vczoo", "torch", "soxr")},
    }


def draw(evaluation: Evaluation, scores: Sequence[Scores], conversion: Conversion, folder: Path) -> list[Path]:
    """Draw the plots similarity.png, contours.png and mels.png.

    The pitch contours and mels are those of one system's median trial by similarity.

    Args:
        evaluation: The evaluation that the scores are from.
        scores: Scores of all systems; the last one of role "system" is the system whose trial is drawn.
        conversion: Converted waveforms of that system.
        folder: Folder to write to.

    Returns:
        The files that were written.
    """
    ranked = sorted(range(len(conversion.waves)), key=lambda index: _similarities(scores)[index])
    index = ranked[len(ranked) // 2]
    trial, wave = evaluation.trials[index], conversion.waves[index]
    real = next((path for path, trials in evaluation.material.held_out().items() if trial in trials), None)
    waves = {f"source, {trial.source_speaker}": evaluation.sources[index], f"converted to {trial.voice}": wave}
    target = {f"real {trial.voice}": evaluation.material.read(real)} if real else {}
    title = f"{trial.source.stem} as {trial.voice} (median of {len(conversion.waves)} trials by similarity)"
    return [
        plot_similarity(scores, folder / "similarity.png"),
        plot_contours(waves, folder / "contours.png", title),
        plot_mels({**waves, **target}, folder / "mels.png", title),
    ]


def _similarities(scores: Sequence[Scores]) -> list[float]:
    last = [one for one in scores if one.role == "system"][-1]
    return [row["similarity_to_target"] for row in last.trials]


def _distinct(names: Sequence[str]) -> list[str]:
    """Number names that occur again, also where only their case differs, which some disks ignore."""
    distinct: dict[str, str] = {}
    for name in names:
        numbered = (f"{name}-{number}" for number in count(2))
        free = next(candidate for candidate in chain([name], numbered) if candidate.casefold() not in distinct)
        distinct[free.casefold()] = free
    return list(distinct.values())


def _folder_of(run: Converter | Location) -> Path | None:
    if isinstance(run, Converter):
        return None
    kind, location = read_name(run)
    return Path(location) if kind == "run" else None


def _with_own_voices(converter: Converter) -> Converter:
    """Copy a converter with its list of voices, so that voices enrolled here are not added to the caller's."""
    return Converter(replace(converter.run, voices=dict(converter.run.voices)), converter.device)


def _real_speech(
    run_folder: Path | None, references: Location | None, root: Location | None, parts: Path
) -> tuple[References, References | None, tuple[str, ...]]:
    """Return the references to measure with, further recordings that the run was trained on, and notes on them.

    Parts of recordings are written below `parts`.
    """
    run_references: References | None = None
    cause = ""
    manifest = run_folder / MANIFEST if run_folder else None
    if manifest and manifest.is_file():
        try:
            run_references = read_references(manifest, parts=parts)
        except (CorpusError, AudioError) as error:  # recordings were moved or removed
            cause = str(error)
    if references is not None:
        unchecked = "the run's own manifest cannot be read, so it is unknown whether the run was trained on a source"
        return read_references(references, root, parts=parts), run_references, (unchecked,) if cause else ()
    if run_references is None:
        reason = f"{manifest}: {cause or 'no such file'}" if manifest else "this converter has no manifest"
        raise CorpusError(f"no real speech to compare with ({reason}). Give references: a manifest or a folder")
    return run_references, None, ()


def _measures(
    converter: Converter,
    asr: Sequence[str],
    speaker: str | None,
    naturalness: bool,
    metrics: Sequence[str] = (),
    normalizer: str = "basic",
) -> Measures:
    names = tuple(asr) or (DEFAULT_ASR,)
    measures = load_measures(speaker, names, naturalness=naturalness, metrics=metrics, normalizer=normalizer)
    families = {recogniser.family for recogniser in measures.recognisers}
    if all(shares_asr(converter.recipe, family) for family in families):
        try:
            second = (load_recogniser(SECOND_ASR),)
        except PluginError:
            return measures  # `leakage_notes` reports that there is no other ASR
        return replace(measures, recognisers=(*measures.recognisers, *second))
    return measures


def _enroll(converter: Converter, trials: Sequence[Trial], real: References) -> tuple[str, ...]:
    missing = sorted({trial.voice for trial in trials} - set(converter.voices))
    for voice in missing:
        converter.enroll(voice, list(real.matching[voice]))
    return (f"enrolled for this evaluation, without training: {', '.join(missing)}",) if missing else ()


def _through_vocoder(converter: Converter, evaluation: Evaluation) -> Scores | None:
    """Score the sources after mel analysis and the vocoder only: the ceiling for any voice head before that vocoder."""
    model, vocoder = converter.model, converter.recipe.vocoder
    if model.vocoder is None or vocoder is None:
        return None
    rate_hz = model.vocoder.accepts.sample_rate_hz

    def resynthesize(_: Trial, source: Waveform) -> Waveform:
        wave = source.resample(rate_hz).to(converter.device)
        with torch.inference_mode():
            copy = model.synthesize(model.acoustic(wave), model.pitch(wave))
        length = round(wave.samples.shape[1] * copy.sample_rate_hz / wave.sample_rate_hz)
        return Waveform.of(copy.samples[:, :length], copy.sample_rate_hz)

    return evaluation.score(f"source through {vocoder.use}", evaluation.convert(resynthesize), role="ceiling")


def _table_notes(evaluation: Evaluation, scores: Sequence[Scores | None]) -> tuple[str, ...]:
    """Explain the figures of the table."""
    measures = evaluation.measures
    interval = "±: half the width of the 95% interval, by bootstrap over trials"
    notes = [interval if len(evaluation.trials) > 1 else "one trial has no interval; use twenty or more"]
    notes.append("EER: 0.5 if a verifier cannot distinguish it from the target, 0 if it never accepts it as the target")
    notes.append(f"similarity and EER by {measures.speaker.name}")
    if measures.recognisers:
        notes.append(f"WER and CER by {measures.recognisers[0].name} against {evaluation.material.spoken()}")
    if scores[-1] is None:
        notes.append(
            "no row of real target speech: there are neither parallel recordings nor a test split of the targets"
        )
    return tuple(notes)
