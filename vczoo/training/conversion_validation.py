"""Validation by converting: speaker similarity and character errors of a few held-out conversions after each epoch.

The first 10 s of up to 8 validation utterances are converted into the voices of other training speakers. Each voice is
enrolled from half a minute of the speaker's training recordings. The seed chooses the pairs once, so that all epochs
are compared on the same conversions.
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
from vczoo.data.excerpts import UtteranceReader
from vczoo.errors import PluginError, VczooError, WeightsError
from vczoo.evaluation.leakage import leakage_notes
from vczoo.evaluation.measures import Measures, load_measures
from vczoo.evaluation.metrics.verification import centroid
from vczoo.evaluation.metrics.word_errors import count_errors
from vczoo.io.text import harmless
from vczoo.models.model import Model
from vczoo.models.recipe import Recipe
from vczoo.models.selection_metric import Criterion, needs_conversions

__all__ = [
    "PAIRS",
    "SOURCE_SECONDS",
    "VOICE_SECONDS",
    "ConversionValidator",
    "Pair",
    "choose_pairs",
    "conversion_validator",
    "load_measuring_models",
]

PAIRS = 8  # at most: an epoch's figures then take seconds, and their noise is smaller than the effect of an epoch
SOURCE_SECONDS = 10.0
VOICE_SECONDS = 30.0


class Pair(NamedTuple):
    """A held-out utterance and the speaker that it is converted to."""

    source: Utterance
    target: str


def choose_pairs(corpus: Corpus, speakers: Sequence[str], seed: int) -> tuple[Pair, ...]:
    """Choose up to 8 pairs of a source utterance and a target speaker, preferring those that were used least.

    The target is a different speaker from the source's. If all validation utterances are by the only training speaker,
    they are converted to the same speaker's voice.

    Args:
        corpus: The corpus. The sources come from its validation split, and need not be by training speakers.
        speakers: The speakers of the training data.
        seed: Seed of the choice.
    """
    random = Random(seed)
    validation = corpus.split("validation")
    sources, targets = random.sample(validation, len(validation)), random.sample(list(speakers), len(speakers))
    others = any(target != source.speaker for source in sources for target in targets)
    pairs: list[Pair] = []
    used: Counter[Hashable] = Counter()
    while len(pairs) < PAIRS:
        for source in sorted(sources, key=lambda utterance: (used["from", utterance.speaker], used[utterance])):
            speaker = source.speaker
            free = [to for to in targets if (to != speaker or not others) and Pair(source, to) not in pairs]
            if free:
                break
        else:
            break
        target = min(free, key=lambda to: (used["to", to], used[speaker, to]))
        pairs.append(Pair(source, target))
        used.update([("from", speaker), ("to", target), (speaker, target), source])
    return tuple(pairs)


def load_measuring_models(criterion: Criterion) -> Measures | None:
    """Load the measuring models that a criterion needs, without DNSMOS; None if it needs none.

    If the criterion is similarity and the ASR is unavailable, a message on standard error says so, and character errors
    are not counted.

    Raises:
        PluginError: The extra `eval` is not installed.
        WeightsError: The criterion is character error, and the ASR's weights are unavailable.
    """
    if not needs_conversions(criterion):
        return None
    try:
        return load_measures(naturalness=False)
    except (PluginError, WeightsError) as error:
        if criterion == "character-error":
            raise
        measures = load_measures(asr=(), naturalness=False)
        sys.stderr.write(f"character errors are not counted, only similarity is measured: {harmless(str(error))}\n")
        return measures


class ConversionValidator:
    """Converts the same few utterances each time it is called, and measures the results.

    Everything that does not change between calls is computed once: pitch, mels, and the frames of a frozen backbone.

    Args:
        model: The model that trains; each call uses its current weights.
        corpus: The corpus. Validation utterances are converted, and training utterances are enrolled as voices.
        speakers: The speakers of the training data.
        measures: The measuring models: a speaker model, and perhaps ASRs, of which the first is used.
        criterion: The recipe's criterion.
        seed: Seed of the choice of pairs.
        frozen: Whether no stage of the backbone ever trains.

    Raises:
        VczooError: The criterion is character error, but the ASR recognizes no words in any of the utterances.
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
        reader = UtteranceReader(model.sample_rate_hz)
        utterances = sorted({pair.source for pair in self.pairs}, key=lambda source: source.key)
        self.sources = {source: _first(reader.read(source), SOURCE_SECONDS) for source in utterances}
        self.voices = {pair.target: _recordings(corpus, pair.target, reader, seed) for pair in self.pairs}
        self._cache: dict[tuple[str, int], Frames] = {}
        self.centroids = {name: centroid(measures.speaker.embed(waves)) for name, waves in self.voices.items()}
        self.recogniser = measures.recognisers[0] if measures.recognisers else None
        self.transcripts = {
            source: self.recogniser.transcribe(wave) for source, wave in self.sources.items() if self.recogniser
        }
        if self.recogniser and not any(count_errors(text, "").of_characters for text in self.transcripts.values()):
            if criterion == "character-error":
                raise VczooError(
                    f"training.criterion is character-error, but {self.recogniser.name} recognizes no words in the "
                    f"{len(utterances)} validation utterances that would be converted; choose another criterion"
                )
            self.recogniser = None

    @torch.inference_mode()
    def __call__(self) -> dict[str, float]:
        """Convert the pairs in eval mode and measure the conversions.

        Returns:
            `similarity`, the mean cosine similarity to the target's real speech; and with an ASR `character_error`, the
            character error rate against the ASR's own transcripts of the sources.
        """
        self.model.eval()
        voices = {name: self._enrolled(waves) for name, waves in self.voices.items()}
        cosines: list[float] = []
        wrong = total = 0
        for pair in self.pairs:
            source = self.sources[pair.source]
            content, pitch = self._content(source), self._once("pitch", source, self.model.pitch)
            converted = self.model.convert(source, voices[pair.target], content=content, pitch=pitch).to("cpu")
            cosines.append(float(self.measures.speaker.embed([converted])[0] @ self.centroids[pair.target]))
            if self.recogniser:
                errors = count_errors(self.transcripts[pair.source], self.recogniser.transcribe(converted))
                wrong, total = wrong + errors.characters, total + errors.of_characters
        figures = {"similarity": sum(cosines) / len(cosines)}
        return figures | ({"character_error": wrong / total} if self.recogniser else {})

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
        """Compute something from one of the recordings here, once."""
        if (what, id(wave)) not in self._cache:
            self._cache[what, id(wave)] = make(wave.to(self._device))
        return self._cache[what, id(wave)]

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device


def conversion_validator(
    recipe: Recipe, model: Model, corpus: Corpus, speakers: Sequence[str], measures: Measures | None, frozen: bool
) -> tuple[ConversionValidator, Sequence[str]]:
    """The validator of a recipe whose criterion needs conversions, and the leakage notes for its figures.

    Args:
        recipe: The recipe.
        model: The model that trains.
        corpus: The corpus.
        speakers: The speakers of the training data.
        measures: Measuring models; None loads those that the criterion needs.
        frozen: Whether no stage of the backbone ever trains.
    """
    criterion = recipe.training.criterion
    models = measures or load_measuring_models(criterion)
    assert models is not None
    notes = leakage_notes(recipe, models)
    return ConversionValidator(model, corpus, speakers, models, criterion, recipe.training.seed, frozen=frozen), notes


def _recordings(corpus: Corpus, speaker: str, reader: UtteranceReader, seed: int) -> list[Waveform]:
    """Half a minute of a speaker's training recordings, or all there is."""
    utterances = [utterance for utterance in corpus.split("train") if utterance.speaker == speaker]
    seconds_left, waves = VOICE_SECONDS, []
    for utterance in Random(seed).sample(utterances, len(utterances)):
        waves.append(_first(reader.read(utterance), seconds_left))
        seconds_left -= waves[-1].seconds
        if seconds_left < 1.0:  # the next piece would be too short to identify a speaker
            break
    return waves


def _first(wave: Waveform, seconds: float) -> Waveform:
    return Waveform.of(wave.samples[:, : round(seconds * wave.sample_rate_hz)], wave.sample_rate_hz)
