"""Part under check, with the inputs that the conformance checks run it on.

Inputs come from fixed seeds. The random state of torch is not changed.
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
from vczoo.modules.interfaces.head import Head, HeadBatch
from vczoo.modules.interfaces.vocoder import Vocoder, Watermark
from vczoo.registry.entry import Entry, Kind
from vczoo.testing.checks.expectations import expect, noise
from vczoo.testing.checks.network_guard import NetworkWatch

__all__ = [
    "CONTEXT",
    "Specimen",
    "UnsupportedError",
    "annotations_of",
    "excerpt_of",
    "missing_options",
    "random_frames",
]

CONTEXT: dict[str, Any] = {
    "frames": FrameSpec(16000, 320, 24),
    "acoustic": MelSpec(num_mels=20),
    "num_speakers": 3,
    "labels": ("angry", "calm", "sad"),
    "embedding_width": 16,
}
"""The values that the suite passes to a factory whose signature names them, as a recipe would.

Use them in tests that build a part themselves.
"""


class UnsupportedError(Exception):
    """A check does not apply to a part. It is skipped, and the message says why."""


@dataclass(frozen=True)
class Specimen:
    """A part under check.

    Attributes:
        kind: Kind of the part.
        part: The part. Checks never change it, but work on a `copy`.
        context: Specs that a head was built for, with the keys of `CONTEXT`.
        make: Function from a seed to another such part; None for a part that was passed without its entry.
        contacts: Attempts to access the network while the part was built.
        trained: Whether the part should work without training: its weights are not random, or it has none.
        exports: Whether the entry says that `torch.export` supports the part.
    """

    kind: Kind
    part: Any
    context: Mapping[str, Any] = field(default_factory=lambda: CONTEXT)
    make: Callable[[int], Any] | None = None
    contacts: tuple[str, ...] = ()
    trained: bool = False
    exports: bool = False
    _outputs: dict[int, Tensor] = field(default_factory=dict, repr=False)

    @classmethod
    def built(cls, entry: Entry, options: Mapping[str, Any]) -> Specimen:
        """Build an entry's part with its `check_with`, these options and random weights.

        Raises:
            PluginError: The factory cannot be imported.
            Exception: Any error of the factory.
        """
        chosen = dict(entry.check_with) | dict(options)

        def make(seed: int) -> Any:
            factory = entry.load()
            parameters = inspect.signature(factory).parameters
            context = {name: value for name, value in CONTEXT.items() if name in parameters}
            if "weights" in parameters:
                chosen.setdefault("weights", "random")
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return factory(**{**entry.arguments, **chosen, **context})

        with NetworkWatch() as watch:
            part = make(0)
        trained = chosen.get("weights") != "random"
        return cls(entry.kind, part, CONTEXT, make, tuple(watch.contacts), trained, entry.exports)

    def copy(self) -> Any:
        """Copy the part. The copy is in eval mode and may be changed."""
        return copy.deepcopy(self.part).eval()

    def another(self, seed: int = 1) -> Any:
        """Build a second part from a seed, in eval mode.

        Raises:
            ContractError: The part was passed without its entry, so it cannot be built again.
        """
        expect(self.make is not None, "a part that was passed without its entry cannot be built again")
        assert self.make is not None
        part = self.make(seed)
        return part.eval() if isinstance(part, nn.Module) else part

    def plain(self, seed: int = 0) -> Tensor:
        """The output of the unchanged part for the input of a seed. It is computed once and kept."""
        if seed not in self._outputs:
            self._outputs[seed] = self.infer(self.copy(), seed)
        return self._outputs[seed]

    def infer(
        self, part: Any, seed: int = 0, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> Tensor:
        """Run a part on one input. Another seed gives another input with another length.

        Returns:
            The output, (1, …) or (B, …): frames, samples, or embeddings and logits, by the kind of part.

        Raises:
            ContractError: The part is a module of an unknown kind.
        """
        with torch.inference_mode():
            if isinstance(part, Backbone):
                frames: Tensor = part(noise(part.spec, 12 + 5 * seed, seed, dtype).to(device)).values
                return frames
            if isinstance(part, Vocoder):
                values = random_frames(part.accepts.channels, seed, dtype, 6 + 3 * seed)[:1] - 5
                samples: Tensor = part(Frames.of(values.to(device))).samples
                return samples
            if isinstance(part, Head):
                output = part.conformance_output(part.conformance_batch(self.head_batch(seed, dtype, device)))
                return output.values if isinstance(output, Frames) else output
            if isinstance(part, Watermark):
                return part.embed(noise(FrameSpec(16000, 100, 1), 200 + 9.99 * seed, seed).to(device)).samples
        raise ContractError(f"expected a backbone, head, vocoder or watermark, got {type(part).__name__}")

    def loss(self, part: Any) -> Tensor | None:
        """Compute a loss, (), with its graph; None if the part has nothing to train."""
        if not any(True for _ in part.parameters()):
            return None
        if isinstance(part, Backbone):
            frames: Frames = part(noise(part.spec, 25, 3))
            return frames.values.square().mean()
        if isinstance(part, Vocoder):
            mel = Frames.of(random_frames(part.accepts.channels, 0)[:1] - 5)
            return part.rebuild(mel, excerpt_of(part.accepts, mel)).samples.square().mean()
        if isinstance(part, Head):
            loss = part.training_loss(part.conformance_batch(self.head_batch(0)))
            return loss.value if loss else None
        return None

    def head_batch(
        self, seed: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> HeadBatch:
        """Make a batch of two items of noise with every field that a head may read.

        A head replaces the fields that it cannot learn from so, such as texts (`Head.conformance_batch`).
        """
        frames, acoustic = self.context["frames"], self.context["acoustic"] or self.context["frames"]
        content = random_frames(frames.channels, seed, dtype).to(device)
        count = round(content.shape[1] * frames.hop_length / acoustic.hop_length)
        embedding = random_frames(int(self.context["embedding_width"]), seed + 3, dtype, 1)[:, 0].to(device)
        return HeadBatch(
            Frames.of(content),
            frames,
            speakers=torch.arange(2, device=device),
            has_unknown_speakers=False,
            pitch=Frames.of(random_frames(2, seed + 1, dtype, count).to(device)),
            target=Frames.of(random_frames(acoustic.channels, seed + 2, dtype, count).to(device)),
            embedding=nn.functional.normalize(embedding, dim=1),
            texts=("a", "b"),
            labels=torch.arange(2, device=device),
            teacher_frames=Frames.of(content),
            annotations=annotations_of(self.part, 2, device),
        )


def annotations_of(part: Any, count: int, device: torch.device | str = "cpu") -> dict[str, Tensor | tuple[str, ...]]:
    """Make values of the manifest columns that a head reads: normally distributed numbers, and short texts."""
    numbers = torch.randn(count, generator=torch.Generator().manual_seed(4)).to(device)
    columns = part.annotation_columns if isinstance(part, Head) else {}
    texts = tuple(f"text {index}" for index in range(count))
    return {name: numbers if kind == "number" else texts for name, kind in columns.items()}


def random_frames(channels: int, seed: int, dtype: torch.dtype = torch.float32, count: int = 0) -> Tensor:
    """Make normally distributed frames, the same for the same seed.

    Args:
        channels: Number of channels.
        seed: Seed of the values.
        dtype: Type of the result.
        count: Number of frames; 0 for 12 + 5 * seed.

    Returns:
        Values of shape (2, count, channels).
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, count or 12 + 5 * seed, channels, generator=generator).to(dtype)


def missing_options(entry: Entry, options: Mapping[str, Any]) -> list[str]:
    """Names of the required parameters of a factory that have no value in the entry, the options or `CONTEXT`.

    Raises:
        PluginError: The factory cannot be imported.
    """
    available = {*entry.arguments, *entry.check_with, *options, *CONTEXT}
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        name
        for name, parameter in inspect.signature(entry.load()).parameters.items()
        if parameter.default is parameter.empty and parameter.kind not in variadic and name not in available
    ]


def excerpt_of(spec: MelSpec | FrameSpec, frames: Frames) -> Waveform:
    """Make noise of the length of the recording that frames were computed from."""
    count = frames.longest - (1 if isinstance(spec, MelSpec) and spec.centred else 0)
    generator = torch.Generator().manual_seed(0)
    samples = 0.1 * torch.randn(len(frames), count * spec.hop_length, generator=generator)
    return Waveform.of(samples, spec.sample_rate_hz)
