"""Vocoder training as a `Trainable`: reconstruction losses, discriminators and their optimizers.

Each step reconstructs segments of recordings from their mels and reduces the distance between the two. From a step that
the settings choose, discriminators train as well, and an adversarial loss is added.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from vczoo.audio.frames import Frames
from vczoo.audio.mel import LogMel
from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import VczooError
from vczoo.io.progress import Callback, NullProgress, ProgressBar
from vczoo.models.training_settings import VocoderTraining
from vczoo.modules.interfaces.vocoder import Vocoder
from vczoo.training.checkpoints.checkpoint import TrainingState
from vczoo.training.trainable import Trainable, seed_of
from vczoo.training.vocoder.discriminators import (
    COARSE,
    Discriminators,
    discriminator_loss,
    feature_distance,
    generator_loss,
)
from vczoo.training.vocoder.resynthesis import distances, griffin_lim_like
from vczoo.training.vocoder.segments import VocoderSegments
from vczoo.training.vocoder.spectral_losses import MelDistance, StftDistance

__all__ = ["TrainableVocoder", "VocoderProgress"]

WEIGHT_DECAY = 0.01  # of AdamW, as in the training of Vocos and HiFi-GAN
BETAS = (0.8, 0.99)  # as in HiFi-GAN
LARGEST_NORM = 1000.0  # of the gradient, as in Descript's codec, so that no single step ruins the training

Segments = tuple[Tensor, Frames | None]


class TrainableVocoder(Trainable):
    """A vocoder with its losses, discriminators and optimizers.

    The vocoder keeps the weights of the last step, or their average. The distance of mels does not choose among steps,
    because it shows little of what discriminators improve.

    Args:
        vocoder: A vocoder that reads mels and has parameters.
        spec: The spec of its mels.
        settings: The settings of its training.
        device: The device to train on.
        segments: The recordings to train on.
        held_out: The recordings to validate on, (1, S) each, at the vocoder's rate.
    """

    def __init__(
        self,
        vocoder: Vocoder,
        spec: MelSpec,
        settings: VocoderTraining,
        device: torch.device,
        segments: VocoderSegments,
        held_out: Sequence[Waveform],
    ) -> None:
        self.vocoder, self.settings, self.segments = vocoder.to(device), settings, segments
        self.held_out = [wave.to(device) for wave in held_out]
        self.seed, self.steps_per_epoch, self.total_steps = settings.seed, settings.validate_every, settings.steps
        self.log_mel, self.mel = LogMel(spec).to(device), MelDistance(spec).to(device)
        self.stft = StftDistance().to(device)
        self.joined_at = math.ceil(settings.adversarial_from * settings.steps)
        adversarial = self.joined_at < settings.steps and (settings.adversarial_weight or settings.feature_weight)
        self.discriminators = discriminators_of(settings).to(device) if adversarial else None
        networks: dict[str, nn.Module] = {"vocoder": self.vocoder}
        if self.discriminators:
            networks["discriminators"] = self.discriminators
        self.modules = nn.ModuleDict(networks)
        self.optimizers = {
            name: torch.optim.AdamW(
                [parameter for parameter in network.parameters() if parameter.requires_grad],
                lr=settings.learning_rate,
                betas=BETAS,
                weight_decay=WEIGHT_DECAY,
            )
            for name, network in networks.items()
        }

    @property
    def weights(self) -> nn.Module:
        """The vocoder, without the discriminators."""
        return self.vocoder

    def rate(self, step: int) -> float:
        """The learning rate at a step, which falls to 0 along a cosine."""
        return self.settings.learning_rate * 0.5 * (1 + math.cos(math.pi * step / self.settings.steps))

    def batches(self, epoch: int, first: int) -> Iterator[Segments]:
        """Random segments of the recordings, which depend only on the seed and the number of the step."""
        for number in range(first, self.steps_in(epoch)):
            seed = seed_of(self.settings.seed, epoch * self.steps_per_epoch + number, 2)
            yield self.segments.draw(self.settings.batch_size, seed, self.settings.gain_db)

    def step(self, batch: Segments, number: int) -> Mapping[str, Tensor]:
        """Train one step and return its losses.

        Args:
            batch: Segments of recordings, (B, S), where S is a multiple of the hop length; and their pitch, (B, T, 2),
                for a vocoder that reads it.
            number: The number of the step, from 0.

        Raises:
            VczooError: A loss is not finite.
        """
        real, pitch = batch[0].to(self.device), batch[1].to(self.device) if batch[1] else None
        self.vocoder.train()
        for optimizer in self.optimizers.values():
            optimizer.param_groups[0]["lr"] = self.rate(number)
        wave = Waveform.of(real, self.log_mel.spec.sample_rate_hz)
        options = {"pitch": pitch} if pitch else {}
        generated = self.vocoder.rebuild(self.log_mel(wave), wave, **options).samples
        length = min(generated.shape[1], real.shape[1])
        generated, real = generated[:, :length], real[:, :length]
        losses = {"mel": self.mel(generated, real), "stft": self.stft(generated, real)}
        weights = {"mel": self.settings.mel_weight, "stft": self.settings.stft_weight}
        discriminator_losses: dict[str, Tensor] = {}
        if self.discriminators and number >= self.joined_at:
            discriminator_losses["discriminators"] = self._train_discriminators(
                self.discriminators, generated, real, number
            )
            losses |= self._adversarial_losses(self.discriminators, generated, real)
            weights |= {"adversarial": self.settings.adversarial_weight, "features": self.settings.feature_weight}
        loss = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        self._learn("vocoder", loss, number)
        return {"loss": loss, **losses, **discriminator_losses}

    @cached_property
    def baseline(self) -> dict[str, float]:
        """Griffin-Lim's distances on the held-out recordings."""
        spec = self.log_mel.spec
        return distances(griffin_lim_like(spec).to(self.device), self.held_out, spec)

    def validate(self) -> dict[str, float]:
        """The distances between the held-out recordings and their reconstructions."""
        return distances(self.vocoder.eval(), self.held_out, self.log_mel.spec, self.segments.tracker)

    def record(
        self, state: TrainingState, train: Mapping[str, float], validation: Mapping[str, float], seconds: float
    ) -> dict[str, Any]:
        """The line of metrics.jsonl for a validation.

        Raises:
            VczooError: A figure is not finite.
        """
        step = state.epoch * self.steps_per_epoch + self.steps_in(state.epoch)
        if shown := ", ".join(f"{name} {value:g}" for name, value in validation.items() if not math.isfinite(value)):
            raise self.diverged(f"the validation after step {step} is not finite ({shown})")
        return {
            "step": step,
            "learning_rate": self.rate(step - 1),
            "train": train,
            "validation": validation,
            "griffin_lim": self.baseline,
            "seconds": round(state.seconds, 3),
        }

    def diverged(self, what: str) -> VczooError:
        """The error for a training that diverged, with the setting to change."""
        return VczooError(
            f"{what}: training diverged. Lower vocoder_training.learning_rate (it is {self.settings.learning_rate:g}), "
            "and start again in a new folder"
        )

    def _train_discriminators(
        self, discriminators: Discriminators, generated: Tensor, real: Tensor, number: int
    ) -> Tensor:
        discriminators.requires_grad_(True)
        loss = discriminator_loss(discriminators(real), discriminators(generated.detach()), self.settings.objective)
        self._learn("discriminators", loss, number)
        discriminators.requires_grad_(False)  # the vocoder's loss must not compute gradients for them
        return loss

    def _adversarial_losses(self, discriminators: Discriminators, generated: Tensor, real: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            verdicts_of_real = discriminators(real)
        verdicts = discriminators(generated)
        return {
            "adversarial": generator_loss(verdicts, self.settings.objective),
            "features": feature_distance(verdicts_of_real, verdicts),
        }

    def _learn(self, name: str, loss: Tensor, number: int) -> None:
        value = float(loss.detach())
        if not math.isfinite(value):
            raise self.diverged(f"the loss of the {name} is {value} at step {number}")
        optimizer = self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], LARGEST_NORM)
        optimizer.step()


class VocoderProgress(Callback):
    """A callback that shows the progress in steps, and prints one line per validation.

    Args:
        steps: The number of steps of the training.
        watcher: The progress bar.
    """

    def __init__(self, steps: int, watcher: ProgressBar | NullProgress) -> None:
        self.steps, self.watcher = steps, watcher

    def begin(self, epochs: int, steps: int, done: int) -> None:
        """Set the total number of steps and the number of steps that are done."""
        self.watcher.begin(1, self.steps, done)

    def step(self, loss: float) -> None:
        """Advance by one step and show its loss."""
        self.watcher.step(loss)

    def epoch(self, record: dict[str, Any]) -> None:
        """Print the validation's line."""
        figures = " ".join(f"{name} {value:.3f}" for name, value in record["train"].items())
        held_out = ", ".join(
            f"{name} {value:.3f} (griffin-lim {record['griffin_lim'][name]:.3f})"
            for name, value in record["validation"].items()
        )
        self.watcher.say(f"step {record['step']}: {figures}; validation {held_out} ({record['seconds']:.0f} s)")


def discriminators_of(settings: VocoderTraining) -> Discriminators:
    """Build the discriminators that the settings name."""
    if settings.discriminators == "coarse":
        return Discriminators(settings.discriminator_channels, periods=(), resolutions=COARSE, coarse=True)
    return Discriminators(settings.discriminator_channels)
