"""A model while it trains in; how much a few held-out conversions sound like their targets, and how many characters
an ASR gets wrong in them, out.

Up to 8 validation utterances, their first 10 s, are converted into the voices of other training speakers, each
enrolled from half a minute of its training recordings. Which ones is decided once, by the seed, so that epochs are
compared on the same conversions.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from random import Random
from typing import NamedTuple

import torch
from torch import Tensor

from vczoo.audio.frames import Frames
from vczoo.audio.waveform import Waveform
from vczoo.data.corpus import Corpus, Utterance
from vczoo.errors import PluginError, VczooError, WeightsError
from vczoo.evaluation.measures import Measures, load_measures
from vczoo.evaluation.metrics.verification import centroid
from vczoo.evaluation.metrics.word_errors import count_errors
from vczoo.models.model import Model
from vczoo.models.selection_metric import Criterion, needs_conversions

__all__ = [
    "PAIRS",
    "SOURCE_SECONDS",
    "VOICE_SECONDS",
    "ConversionValidator",
    "Pair",
    "choose_pairs",
    "load_measuring_models",
]

PAIRS = 8  # at most: with them an epoch's figures cost seconds, and move by less than an epoch's training does
SOURCE_SECONDS = 10.0
VOICE_SECONDS = 30.0


class Pair(NamedTuple):
    """A held-out utterance and the speaker whom it is converted to."""

    source: Utterance
    target: str


def choose_pairs(corpus: Corpus, speakers: Sequence[str], seed: int) -> tuple[Pair, ...]:
    """Choose up to 8 pairs, of as many sources and targets as there are: who was taken least is next.

    A target is another speaker than the source's. Where there is but one, who has the validation split to
    himself, his own utterances are converted to his own voice.

    Args:
        corpus: its validation split gives the sources; strangers to training are welcome there.
        speakers: of the training data.
        seed: what decides.
    """
    random = Random(seed)
    validation = corpus.split("validation")
    sources, targets = random.sample(validation, len(validation)), random.sample(list(speakers), len(speakers))
    others = any(target != source.speaker for source in sources for target in targets)
    pairs: list[Pair] = []
    used: Counter[Hashable] = Counter()
    while len(pairs) < PAIRS:
        for source in sorted(sources, key=lambda one: (used["from", one.speaker], used[one.path])):
            who = source.speaker
            free = [to for to in targets if (to != who or not others) and Pair(source, to) not in pairs]
            if free:
                break
        else:
            break
        target = min(free, key=lambda to: (used["to", to], used[who, to]))
        pairs.append(Pair(source, target))
        used.update([("from", who), ("to", target), (who, target), source.path])
    return tuple(pairs)


def load_measuring_models(criterion: Criterion) -> Measures | None:
    """The models that a criterion needs: None where it needs none. DNSMOS is left out.

    Where similarity decides and the ASR cannot be had, a line on standard error says so, and character errors are
    not counted.

    Raises:
        PluginError: the extra `eval` is not installed.
        WeightsError: the ASR's weights cannot be had, and character error decides.
    """
    if not needs_conversions(criterion):
        return None
    try:
        return load_measures(naturalness=False)
    except (PluginError, WeightsError) as error:
        if criterion == "character-error":
            raise
        ears = load_measures(asr=(), naturalness=False)
        sys.stderr.write(f"character errors are not counted, similarity alone is measured: {error}\n")
        return ears


class ConversionValidator:
    """Converts the same few utterances each time it is called, and measures what comes out.

    What does not change in between is made once: pitch, mels, and the frames of a backbone that is wholly frozen.

    Args:
        model: that trains; each call hears it as it then is.
        corpus: validation utterances are converted, training utterances make the voices.
        speakers: of the training data.
        measures: a speaker model, and the ASR if its list has one; the first counts.
        criterion: the recipe's.
        seed: chooses the pairs.
        frozen: whether no stage of the backbone ever trains.

    Raises:
        VczooError: character error decides, and the ASR hears no word in any of the utterances.
    """

    def __init__(
        self,
        model: Model,
        corpus: Corpus,
        speakers: Sequence[str],
        measures: Measures,
        criterion: Criterion,
        seed: int,
        *,
        frozen: bool = False,
    ) -> None:
        self.model, self.measures, self.frozen = model, measures, frozen
        self.pairs = choose_pairs(corpus, speakers, seed)
        rate_hz = model.sample_rate_hz
        files = {pair.source.path for pair in self.pairs}
        self.sources = {path: _first(Waveform.read(path, rate_hz), SOURCE_SECONDS) for path in sorted(files)}
        self.voices = {pair.target: _recordings(corpus, pair.target, rate_hz, seed) for pair in self.pairs}
        self._kept: dict[tuple[str, int], Frames] = {}
        self.centroids = {name: centroid(measures.speaker.embed(waves)) for name, waves in self.voices.items()}
        self.recogniser = measures.recognisers[0] if measures.recognisers else None
        self.said = {path: self.recogniser.transcribe(wave) for path, wave in self.sources.items() if self.recogniser}
        if self.recogniser and not any(count_errors(text, "").of_characters for text in self.said.values()):
            if criterion == "character-error":
                raise VczooError(
                    f"training.criterion is character-error, and {self.recogniser.name} hears no word in the "
                    f"{len(files)} validation utterances that would be converted; choose another criterion"
                )
            self.recogniser = None

    @torch.inference_mode()
    def __call__(self) -> dict[str, float]:
        """Convert and measure, in eval mode.

        Returns:
            `similarity`, the mean cosine to the target's real speech; and with an ASR `character_error`, its wrong
            characters over those of its own transcripts of the sources.
        """
        self.model.eval()
        voices = {name: self._enrolled(waves) for name, waves in self.voices.items()}
        cosines: list[float] = []
        wrong = of = 0
        for pair in self.pairs:
            source = self.sources[pair.source.path]
            content, pitch = self._content(source), self._once("pitch", source, self.model.pitch)
            made = self.model.convert(source, voices[pair.target], content=content, pitch=pitch).to("cpu")
            cosines.append(float(self.measures.speaker.embed([made])[0] @ self.centroids[pair.target]))
            if self.recogniser:
                errors = count_errors(self.said[pair.source.path], self.recogniser.transcribe(made))
                wrong, of = wrong + errors.characters, of + errors.of_characters
        figures = {"similarity": sum(cosines) / len(cosines)}
        return figures | ({"character_error": wrong / of} if self.recogniser else {})

    def _enrolled(self, waves: Sequence[Waveform]) -> dict[str, Tensor]:
        contents = [self._content(wave) for wave in waves]
        model = self.model
        acoustics = [self._once("mel", wave, model.acoustic) for wave in waves] if model.acoustic_mel else contents
        return model.voice_of(contents, acoustics, [self._once("pitch", wave, model.pitch) for wave in waves])

    def _content(self, wave: Waveform) -> Frames:
        if self.frozen:
            return self._once("content", wave, self.model.content)
        return self.model.content(wave.to(self._device))

    def _once(self, what: str, wave: Waveform, make: Callable[[Waveform], Frames]) -> Frames:
        """What is made of one of the recordings here, made once."""
        if (what, id(wave)) not in self._kept:
            self._kept[what, id(wave)] = make(wave.to(self._device))
        return self._kept[what, id(wave)]

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device


def _recordings(corpus: Corpus, speaker: str, rate_hz: int, seed: int) -> list[Waveform]:
    """Half a minute of a speaker's training recordings, or all there is."""
    own = [utterance for utterance in corpus.split("train") if utterance.speaker == speaker]
    left, waves = VOICE_SECONDS, []
    for utterance in Random(seed).sample(own, len(own)):
        waves.append(_first(Waveform.read(utterance.path, rate_hz), left))
        left -= waves[-1].seconds
        if left < 1.0:  # the rest of a recording would be too short to hear anyone in
            break
    return waves


def _first(wave: Waveform, seconds: float) -> Waveform:
    return Waveform.of(wave.samples[:, : round(seconds * wave.sample_rate_hz)], wave.sample_rate_hz)
