"""`Specimen`: a part under check, how to make another, and what to feed it. An entry and options in; tensors out.

What a part is fed comes from fixed seeds; torch's own random state is left alone.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec, MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import ContractError
from vczoo.modules.interfaces.backbone import Backbone
from vczoo.modules.interfaces.heads import FrameHead, LabelHead, Source, SpeakerHead, TextHead, VoiceHead
from vczoo.modules.interfaces.vocoder import Vocoder, Watermark
from vczoo.registry.entry import Entry, Kind
from vczoo.testing.checks.expectations import expect, noise
from vczoo.testing.checks.network_guard import NetworkWatch

__all__ = ["CONTEXT", "Specimen", "UnsupportedError", "excerpt_of", "missing_options", "random_frames"]

CONTEXT: dict[str, Any] = {
    "frames": FrameSpec(16000, 320, 24),
    "acoustic": MelSpec(num_mels=20),
    "num_speakers": 3,
    "labels": ("angry", "calm", "sad"),
    "embedding_width": 16,
}
"""What the suite gives to a factory that asks for it, as a recipe would: for tests that build a part by themselves."""


class UnsupportedError(Exception):
    """A part cannot do something that no part has to: the check is skipped, and says why."""


@dataclass(frozen=True)
class Specimen:
    """A part and what is known of it.

    Attributes:
        kind: of the entry.
        part: never changed by a check: see `copy`.
        context: the specs that a head was built for.
        make: another one, from a seed; None for a part that came without its entry.
        contacts: what was asked of the network while it was made.
        trained: whether it is to work as it stands: its weights are not random, or it has none.
        exports: whether its entry says that torch.export takes it.
    """

    kind: Kind
    part: Any
    context: Mapping[str, Any] = field(default_factory=lambda: CONTEXT)
    make: Callable[[int], Any] | None = None
    contacts: tuple[str, ...] = ()
    trained: bool = False
    exports: bool = False
    _heard: dict[int, Tensor] = field(default_factory=dict, repr=False)

    @classmethod
    def built(cls, entry: Entry, options: Mapping[str, Any]) -> Specimen:
        """Build an entry's part: with `check_with`, these options and random weights.

        Raises:
            PluginError: its factory cannot be imported.
            Exception: whatever the factory raises.
        """
        given = dict(entry.check_with) | dict(options)

        def make(seed: int) -> Any:
            factory = entry.load()
            wanted = inspect.signature(factory).parameters
            context = {name: value for name, value in CONTEXT.items() if name in wanted}
            if "weights" in wanted:
                given.setdefault("weights", "random")
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return factory(**{**entry.arguments, **given, **context})

        with NetworkWatch() as watch:
            part = make(0)
        trained = given.get("weights") != "random"
        return cls(entry.kind, part, CONTEXT, make, tuple(watch.contacts), trained, entry.exports)

    def copy(self) -> Any:
        """The part again, in eval mode, to be changed."""
        return copy.deepcopy(self.part).eval()

    def another(self, seed: int = 1) -> Any:
        """A second part, made with another seed, in eval mode."""
        expect(self.make is not None, "a part that came without its entry cannot be made again")
        assert self.make is not None
        made = self.make(seed)
        return made.eval() if isinstance(made, nn.Module) else made

    def plain(self, seed: int = 0) -> Tensor:
        """What the part itself makes of an input, worked out once."""
        if seed not in self._heard:
            self._heard[seed] = self.infer(self.copy(), seed)
        return self._heard[seed]

    def infer(
        self, part: Any, seed: int = 0, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> Tensor:
        """What a part makes of one input: (1 or B, …). Another seed gives another input, of another length."""
        with torch.inference_mode():
            if isinstance(part, Backbone):
                found: Tensor = part(noise(part.spec, 12 + 5 * seed, seed, dtype).to(device)).values
                return found
            if isinstance(part, Vocoder):
                values = random_frames(part.accepts.channels, seed, dtype, 6 + 3 * seed)[:1] - 5
                sound: Tensor = part(Frames.of(values.to(device))).samples
                return sound
            if isinstance(part, SpeakerHead):
                content = Frames.of(random_frames(self.context["frames"].channels, seed, dtype).to(device))
                return torch.cat([part.embed(content), part.logits(content)], dim=1)
            if isinstance(part, TextHead):
                content = Frames.of(random_frames(self.context["frames"].channels, seed, dtype).to(device))
                return part.log_probabilities(content).values
            if isinstance(part, LabelHead):
                return part.logits(Frames.of(random_frames(self.context["frames"].channels, seed, dtype).to(device)))
            if isinstance(part, FrameHead):
                content = Frames.of(random_frames(self.context["frames"].channels, seed, dtype).to(device))
                return part.frames(content).values
            if isinstance(part, VoiceHead):
                source, embedding, target = self.lesson(seed, dtype, device)
                voice = part.enroll(source.content, target) | {"embedding": embedding[0]}
                return part.convert(source, voice).values
            if isinstance(part, Watermark):
                return part.embed(noise(FrameSpec(16000, 100, 1), 200 + 9.99 * seed, seed).to(device)).samples
        raise ContractError(f"a {type(part).__name__} is no module of a known kind")

    def loss(self, part: Any) -> Tensor | None:
        """A number to be minimised, with its graph; None where the part has nothing that trains."""
        if not any(True for _ in part.parameters()):
            return None
        if isinstance(part, Backbone):
            frames: Frames = part(noise(part.spec, 25, 3))
            return frames.values.square().mean()
        if isinstance(part, Vocoder):
            heard = Frames.of(random_frames(part.accepts.channels, 0)[:1] - 5)
            return part.rebuild(heard, excerpt_of(part.accepts, heard)).samples.square().mean()
        if isinstance(part, SpeakerHead):
            content = Frames.of(random_frames(self.context["frames"].channels, 0))
            return part.loss(content, torch.arange(len(content)) % part.num_speakers).value
        if isinstance(part, LabelHead):
            content = Frames.of(random_frames(self.context["frames"].channels, 0))
            return part.loss(content, torch.arange(len(content)) % len(part.labels)).value
        if isinstance(part, TextHead):
            content = Frames.of(random_frames(self.context["frames"].channels, 0))
            return part.loss(content, [part.alphabet.strip()[0]] * len(content)).value
        if isinstance(part, FrameHead):
            content = Frames.of(random_frames(self.context["frames"].channels, 0))
            return part.loss(content, Frames.of(random_frames(part.channels, 1, count=content.longest))).value
        if isinstance(part, VoiceHead):
            loss = part.loss(*self.lesson(0))
            return loss.value if loss else None
        return None

    def lesson(
        self, seed: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> tuple[Source, Tensor, Frames]:
        """What a voice head learns from: two recordings, embeddings of their speakers, and acoustic frames."""
        frames, acoustic = self.context["frames"], self.context["acoustic"]
        content = random_frames(frames.channels, seed, dtype).to(device)
        count = round(content.shape[1] * frames.hop_length / acoustic.hop_length)
        pitch = random_frames(2, seed + 1, dtype, count).to(device)
        target = random_frames(acoustic.channels, seed + 2, dtype, count).to(device)
        embedding = random_frames(int(self.context["embedding_width"]), seed + 3, dtype, 1)[:, 0].to(device)
        source = Source(Frames.of(content), frames, Frames.of(pitch))
        return source, nn.functional.normalize(embedding, dim=1), Frames.of(target)


def random_frames(channels: int, seed: int, dtype: torch.dtype = torch.float32, count: int = 0) -> Tensor:
    """(2, count, channels), normal, the same for the same seed; by default 12 frames and more for another seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, count or 12 + 5 * seed, channels, generator=generator).to(dtype)


def missing_options(entry: Entry, options: Mapping[str, Any]) -> list[str]:
    """Names of what a factory must be given and nobody gives.

    Raises:
        PluginError: the factory cannot be imported.
    """
    given = {*entry.arguments, *entry.check_with, *options, *CONTEXT}
    fixed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        name
        for name, parameter in inspect.signature(entry.load()).parameters.items()
        if parameter.default is parameter.empty and parameter.kind not in fixed and name not in given
    ]


def excerpt_of(spec: MelSpec | FrameSpec, frames: Frames) -> Waveform:
    """Noise that could have been what frames were made of."""
    count = frames.longest - (1 if isinstance(spec, MelSpec) and spec.centred else 0)
    generator = torch.Generator().manual_seed(0)
    samples = 0.1 * torch.randn(len(frames), count * spec.hop_length, generator=generator)
    return Waveform.of(samples, spec.sample_rate_hz)
