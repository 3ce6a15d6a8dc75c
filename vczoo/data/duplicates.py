"""Sentences that are likely recorded twice, as by two microphones, and are in training and held out at once."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, pairwise

import torch
from torch import Tensor

from vczoo.audio.waveform import Waveform
from vczoo.data.corpus import Utterance
from vczoo.io.text import harmless

__all__ = ["envelope", "leak_notes"]

MICROPHONE = re.compile(
    r"[-_. ]((mic|microphone|ch|chan|channel|cam|dev|device|track)[-_]?\w?\d*"
    r"|left|right|l|r|mono|stereo|close|near|far|headset|lavalier|lav|array|boom)$",
    re.IGNORECASE,
)
BINS = 48  # of an envelope
ALIKE = 0.95  # correlation of two envelopes of one sentence; those of two sentences hardly reach 0.8
LEAST_VARIATION = 0.1  # standard deviation over mean: a tone's envelope says nothing
MOST_PER_DURATION = 50  # utterances of one speaker and exactly one duration; more come from cutting, not from speaking
LEAST_SECONDS = 1.0  # two takes of one short word sound alike, but are not one recording
SHOWN = 3


def envelope(wave: Waveform) -> Tensor:
    """The loudness of a recording over time, (48,), for `leak_notes`."""
    return torch.nn.functional.adaptive_avg_pool1d(wave.samples[:1].abs(), BINS)[0]


def leak_notes(envelopes: Mapping[Utterance, Tensor]) -> tuple[str, ...]:
    """Point out sentences that are likely in training and also in validation or test.

    Two recordings of one speaker are likely the same sentence if they are in one folder and their names differ only in
    a suffix such as "_mic1"; if they have the same duration and the same loudness over time; or if they are parts of
    one file that overlap.

    Args:
        envelopes: The utterances, with what `envelope` returned for each.

    Returns:
        A note, or nothing.
    """
    pairs: dict[Utterance, Utterance] = {}  # each held-out utterance, with one for training
    for held_out, trained in (*_alike_in_name(envelopes), *_alike_in_sound(envelopes), *_overlapping(envelopes)):
        pairs.setdefault(held_out, trained)
    if not pairs:
        return ()
    shown = [
        f"  {harmless(held_out.path.name)} ({held_out.split}) and "
        f"{harmless(trained.path.name)} ({trained.split}) of {held_out.speaker}"
        for held_out, trained in list(pairs.items())[:SHOWN]
    ]
    more = [f"  and {len(pairs) - SHOWN} more"] if len(pairs) > SHOWN else []
    count = "1 held-out recording" if len(pairs) == 1 else f"{len(pairs)} held-out recordings"
    return (
        "\n".join(
            [
                f"likely leak: {count} and one for training seem to be the same sentence,",
                "so the figures would be too good. Give them one value in a manifest's column group:",
                *shown,
                *more,
            ]
        ),
    )


def _alike_in_name(utterances: Iterable[Utterance]) -> Iterator[tuple[Utterance, Utterance]]:
    sentences: defaultdict[Hashable, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        stem = MICROPHONE.sub("", utterance.path.stem)
        sentences[utterance.speaker, utterance.path.parent, stem, utterance.first_second].append(utterance)
    for takes in sentences.values():
        if any(MICROPHONE.search(take.path.stem) for take in takes):
            yield from _leaks(takes)


def _alike_in_sound(envelopes: Mapping[Utterance, Tensor]) -> Iterator[tuple[Utterance, Utterance]]:
    durations: defaultdict[Hashable, list[Utterance]] = defaultdict(list)
    for utterance in (utterance for utterance in envelopes if utterance.seconds >= LEAST_SECONDS):
        durations[utterance.speaker, round(utterance.seconds, 3)].append(utterance)
    for takes in durations.values():
        if len(takes) <= MOST_PER_DURATION:
            shapes = {take: _shape(envelopes[take]) for take in takes}
            for pair in combinations(shapes, 2):
                if float(shapes[pair[0]] @ shapes[pair[1]]) >= ALIKE:
                    yield from _leaks(pair)


def _overlapping(utterances: Iterable[Utterance]) -> Iterator[tuple[Utterance, Utterance]]:
    files: defaultdict[Hashable, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        if utterance.is_part:
            files[utterance.speaker, utterance.path].append(utterance)
    for parts in files.values():
        for pair in pairwise(sorted(parts, key=lambda part: part.first_second)):
            if pair[0].overlaps(pair[1]):
                yield from _leaks(pair)


def _leaks(takes: Sequence[Utterance]) -> Iterator[tuple[Utterance, Utterance]]:
    trained = next((take for take in takes if take.split == "train"), None)
    if trained:
        yield from ((take, trained) for take in takes if take.split != "train")


def _shape(loudness: Tensor) -> Tensor:
    """An envelope without its mean, of length 1; zeros if it hardly varies."""
    centered = loudness - loudness.mean()
    if float(centered.std()) < LEAST_VARIATION * float(loudness.mean()):
        return torch.zeros_like(centered)
    shape: Tensor = centered / centered.norm()
    return shape
