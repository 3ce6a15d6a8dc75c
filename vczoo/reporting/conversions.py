"""Held-out recordings converted for a report: to be played, to be seen, and to be compared with floor and ceiling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vczoo.audio.waveform import Waveform
from vczoo.conversion.converter import Converter
from vczoo.data.corpus import Corpus, Utterance
from vczoo.data.excerpts import UtteranceReader
from vczoo.errors import AudioError
from vczoo.evaluation.metrics.bootstrap import figure as bootstrap
from vczoo.evaluation.plots import contours_figure, mels_figure, similarity_figure
from vczoo.evaluation.report import Report, Role, Scores
from vczoo.reporting.blocks import Block, Figure, Players, Section, Text, table_of
from vczoo.reporting.figures import inline_svg, shortened
from vczoo.reporting.recordings import held_out
from vczoo.reporting.sound import excerpt, player
from vczoo.runs.run import own_voices
from vczoo.training.conversion_validation import choose_pairs

__all__ = ["Converted", "convert_held_out", "listening_section", "own_similarity", "picture_section"]

PLAYED = 4  # conversions to play; the others are only measured
LISTEN, PICTURES = ("listen", "Listen"), ("pictures", "Before and after")


@dataclass(frozen=True)
class Converted:
    """A held-out recording in another voice.

    Attributes:
        source: The recording.
        voice: The voice that it was converted to.
        before: Its first seconds, (1, S).
        after: The same, converted.
        real: Real speech of the voice, if a recording of it is there.
    """

    source: Utterance
    voice: str
    before: Waveform
    after: Waveform
    real: Waveform | None


def convert_held_out(converter: Converter, corpus: Corpus) -> tuple[Converted, ...]:
    """Convert the first seconds of up to 8 held-out recordings, each to a voice of the run.

    Raises:
        AudioError: A recording cannot be read any more.
    """
    voices = list(own_voices(converter.run)) or list(converter.voices)
    sources = tuple(replace(utterance, split="validation") for utterance in held_out(corpus))
    if not voices or not sources or not converter.model.voice_heads or converter.model.vocoder is None:
        return ()
    reader = UtteranceReader(converter.model.sample_rate_hz)
    conversions: list[Converted] = []
    for pair in choose_pairs(replace(corpus, utterances=sources), voices, converter.recipe.training.seed):
        before = excerpt(reader.read(pair.source))
        try:
            after = converter.convert(before, pair.target)
        except AudioError:  # its first seconds are silent
            continue
        real = _real(corpus, pair.target)
        conversions.append(
            Converted(pair.source, pair.target, before, after, excerpt(reader.read(real)) if real else None)
        )
    return tuple(conversions)


def listening_section(conversions: Sequence[Converted], reason: str) -> Section:
    """The section with audio players.

    Args:
        conversions: The conversions.
        reason: Why there are none; empty if there are some.
    """
    if not conversions:
        return Section(*LISTEN, (Text(reason),))
    blocks: list[Block] = [Text("The first seconds of held-out recordings, which the run was not trained on.")]
    for conversion in conversions[:PLAYED]:
        speaker, voice = conversion.source.speaker, conversion.voice
        players = [player(f"Source: {speaker}", conversion.before), player(f"As {voice}", conversion.after)]
        players += [player(f"Real: {voice}", conversion.real)] if conversion.real else []
        blocks.append(Players(f"{speaker} as {voice}", tuple(players)))
    return Section(*LISTEN, tuple(blocks))


def picture_section(conversions: Sequence[Converted], reason: str) -> Section:
    """The section with mels and pitch contours of one conversion, the longest."""
    if not conversions:
        return Section(*PICTURES, (Text(reason),))
    first = max(conversions, key=lambda conversion: conversion.before.seconds)
    speaker, voice = shortened(first.source.speaker), shortened(first.voice)
    waves = {f"source: {speaker}": first.before, f"converted to {voice}": first.after}
    real = {f"real {voice}, other words": first.real} if first.real else {}
    title = f"{shortened(first.source.path.stem)} of {speaker} as {voice}"
    mels = inline_svg(
        mels_figure({**waves, **real}, title), "mels", f"Mel spectrograms of a recording of {speaker} before and after."
    )
    contours = inline_svg(
        contours_figure(waves, f"Pitch of {title}"), "contours", f"Pitch of {speaker}'s recording before and after."
    )
    return Section(
        *PICTURES,
        (
            Figure(mels, "Words are where they were; the bands of energy move to where the other voice has them."),
            Figure(contours, "The shape of the pitch stays, and its height moves to that of the voice."),
        ),
    )


def own_similarity(converter: Converter, conversions: Sequence[Converted]) -> tuple[Block, ...]:
    """Compare conversions with floor and ceiling by the run's own speaker head; nothing if it cannot."""
    pairs = [c for c in conversions if c.source.speaker in converter.voices and c.source.speaker != c.voice]
    if not pairs or not converter.model.speaker_heads:
        return ()
    key = f"{next(iter(converter.model.speaker_heads))}.embedding"

    def row(wave: Waveform, pair: Converted) -> dict[str, float]:
        embedding = converter.embed(wave)
        target, source = (converter.run.voices[name].tensors[key] for name in (pair.voice, pair.source.speaker))
        return {
            "similarity_to_target": float(embedding @ target.flatten()),
            "similarity_to_source": float(embedding @ source.flatten()),
        }

    scores = [
        _scores("unconverted source", "floor", [row(pair.before, pair) for pair in pairs]),
        _scores("this run", "system", [row(pair.after, pair) for pair in pairs]),
        _scores("real target", "ceiling", [row(pair.real, pair) for pair in pairs if pair.real]),
    ]
    scores = [one for one in scores if one.trials]
    svg = inline_svg(similarity_figure(scores), "similarity", _in_words(scores))
    return (
        Text(
            f"This run was not evaluated yet, so its own speaker head compares {len(pairs)} conversions. It was "
            "trained on these voices and flatters them: vczoo evaluate measures with models that were not, and "
            "counts wrong words, too."
        ),
        Figure(svg, "A conversion should move from the floor (source) to the ceiling (real speech of the target)."),
        table_of(
            "Cosine similarity by the run's own speaker head, ± half the 95% interval", Report(tuple(scores)).rows()
        ),
    )


def _scores(system: str, role: Role, rows: Sequence[dict[str, float]]) -> Scores:
    names = ("similarity_to_target", "similarity_to_source")
    figures = {name: value for name in names if (value := bootstrap([row[name] for row in rows], None, seed=0))}
    return Scores(system, role, figures, tuple(rows))


def _in_words(scores: Sequence[Scores]) -> str:
    means = [f"{one.system} {np.mean([row['similarity_to_target'] for row in one.trials]):.2f}" for one in scores]
    return (
        f"Scatter of the cosine to the target over that to the source. Mean cosine to the target: {', '.join(means)}."
    )


def _real(corpus: Corpus, voice: str) -> Utterance | None:
    """A recording of a voice, held out if there is one."""
    recordings = corpus.of_speaker(voice)
    return next((u for u in recordings if u in held_out(corpus)), recordings[0] if recordings else None)
