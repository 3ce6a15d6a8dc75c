"""The training loop of vocoders.

Each step reconstructs segments of recordings from their mels and reduces the distance between the two. From a step that
the settings choose, discriminators train as well, and an adversarial loss is added.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vczoo.audio.frames import Frames
from vczoo.audio.mel import LogMel
from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import VczooError
from vczoo.io.progress import NullProgress, ProgressBar
from vczoo.io.tensors import finite
from vczoo.models.training_settings import VocoderTraining
from vczoo.modules.interfaces.vocoder import Vocoder
from vczoo.training.checkpoint import CHECKPOINT
from vczoo.training.trainer import LOG, interruptible, seed_of
from vczoo.training.training_folder import write_output
from vczoo.training.vocoder.checkpoint import VocoderState, load_vocoder_state, save_vocoder_state
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

__all__ = ["VocoderTrainer", "fit_vocoder"]

WEIGHT_DECAY = 0.01  # of AdamW, as in the training of Vocos and HiFi-GAN
BETAS = (0.8, 0.99)  # as in HiFi-GAN
LARGEST_NORM = 1000.0  # of the gradient, as in Descript's codec, so that no single step ruins the training


class VocoderTrainer:
    """A vocoder with its losses, discriminators and optimizers.

    Args:
        vocoder: A vocoder that reads mels and has parameters.
        spec: The spec of its mels.
        settings: The settings of its training.
        device: The device to train on.
    """

    def __init__(self, vocoder: Vocoder, spec: MelSpec, settings: VocoderTraining, device: torch.device) -> None:
        self.vocoder, self.settings = vocoder.to(device), settings
        self.log_mel, self.mel = LogMel(spec).to(device), MelDistance(spec).to(device)
        self.stft = StftDistance().to(device)
        self.joined_at = math.ceil(settings.adversarial_from * settings.steps)
        adversarial = self.joined_at < settings.steps and (settings.adversarial_weight or settings.feature_weight)
        self.discriminators = discriminators_of(settings).to(device) if adversarial else None
        self.networks: dict[str, nn.Module] = {"vocoder": self.vocoder}
        if self.discriminators:
            self.networks["discriminators"] = self.discriminators
        self.average = None
        if settings.average:
            moving_average = get_ema_multi_avg_fn(settings.average)  # type: ignore[no-untyped-call]
            self.average = AveragedModel(self.vocoder, multi_avg_fn=moving_average, use_buffers=True)
        self.optimizers = {
            name: torch.optim.AdamW(
                [parameter for parameter in network.parameters() if parameter.requires_grad],
                lr=settings.learning_rate,
                betas=BETAS,
                weight_decay=WEIGHT_DECAY,
            )
            for name, network in self.networks.items()
        }

    def rate(self, step: int) -> float:
        """The learning rate at a step, which falls to 0 along a cosine."""
        return self.settings.learning_rate * 0.5 * (1 + math.cos(math.pi * step / self.settings.steps))

    @property
    def result(self) -> Vocoder:
        """The vocoder with the averaged weights, if they are averaged."""
        if not self.average:
            return self.vocoder
        return cast(Vocoder, self.average.module)

    def step(self, real: Tensor, number: int, pitch: Frames | None = None) -> dict[str, float]:
        """Train one step and return its losses.

        Args:
            real: Segments of recordings, (B, S); S is a multiple of the hop length.
            number: The number of the step, from 0.
            pitch: The pitch of the segments, (B, T, 2), for a vocoder that reads it.

        Raises:
            VczooError: A loss is not finite.
        """
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
            objective = self.settings.objective
            self.discriminators.requires_grad_(True)
            loss = discriminator_loss(self.discriminators(real), self.discriminators(generated.detach()), objective)
            self._learn("discriminators", loss, number)
            discriminator_losses["discriminators"] = loss.detach()
            self.discriminators.requires_grad_(False)  # the vocoder's loss must not compute gradients for them
            with torch.no_grad():
                verdicts_of_real = self.discriminators(real)
            verdicts = self.discriminators(generated)
            losses |= {
                "adversarial": generator_loss(verdicts, objective),
                "features": feature_distance(verdicts_of_real, verdicts),
            }
            weights |= {"adversarial": self.settings.adversarial_weight, "features": self.settings.feature_weight}
        loss = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        self._learn("vocoder", loss, number)
        if self.average:
            self.average.update_parameters(self.vocoder)
        all_losses = {"loss": loss, **losses, **discriminator_losses}
        return {name: float(value.detach()) for name, value in all_losses.items()}

    def check_finite(self, step: int, figures: Mapping[str, float]) -> None:
        """Raise VczooError if a validation figure after `step`, or a weight, is not finite."""
        if shown := ", ".join(f"{name} {value:g}" for name, value in figures.items() if not math.isfinite(value)):
            raise self.diverged(f"the validation after step {step} is not finite ({shown})")
        for name, network in self.networks.items():
            if not all(finite(tensor) for tensor in network.state_dict().values()):
                raise self.diverged(f"NaN or infinity in the weights of the {name} after step {step}")

    def diverged(self, what: str) -> VczooError:
        """The error for a training that diverged, as `what` shows."""
        return VczooError(
            f"{what}: training diverged. Lower vocoder_training.learning_rate (it is {self.settings.learning_rate:g}), "
            "and start again in a new folder"
        )

    def _learn(self, name: str, loss: Tensor, number: int) -> None:
        value = float(loss.detach())
        if not math.isfinite(value):
            raise self.diverged(f"the loss of the {name} is {value} at step {number}")
        optimizer = self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], LARGEST_NORM)
        optimizer.step()


def discriminators_of(settings: VocoderTraining) -> Discriminators:
    """Build the discriminators that the settings name."""
    if settings.discriminators == "coarse":
        return Discriminators(settings.discriminator_channels, periods=(), resolutions=COARSE, coarse=True)
    return Discriminators(settings.discriminator_channels)


def fit_vocoder(
    trainer: VocoderTrainer,
    segments: VocoderSegments,
    held_out: Sequence[Waveform],
    *,
    folder: Path,
    identity: str,
    watcher: ProgressBar | NullProgress,
) -> VocoderState:
    """Train a vocoder, and validate it on held-out recordings.

    The vocoder keeps the weights of the last step. The distance of mels does not choose among steps, because it shows
    little of what discriminators improve. A checkpoint in `folder` is resumed and gives the same weights as an
    uninterrupted training. The first Ctrl-C finishes the current step, writes a checkpoint and raises
    KeyboardInterrupt. This function uses torch's global random state, so fork that state around the call.

    Args:
        trainer: The vocoder with its losses and optimizers.
        segments: The recordings to train on.
        held_out: The recordings to validate on, (1, S) each, at the vocoder's rate.
        folder: The folder for metrics.jsonl and the checkpoint.
        identity: A digest of everything that decides the result; a checkpoint with a different one is refused.
        watcher: The callback that reports progress.

    Returns:
        The state after the last step, with the history.

    Raises:
        VczooError: A loss is not finite.
        RunError: A checkpoint cannot be written or resumed.
        KeyboardInterrupt: Training was interrupted, after it wrote a checkpoint.
    """
    settings, spec = trainer.settings, trainer.log_mel.spec
    device = next(trainer.vocoder.parameters()).device
    held_out = [wave.to(device) for wave in held_out]
    networks = trainer.networks | ({"average": trainer.average} if trainer.average else {})
    file, parts = folder / CHECKPOINT, (networks, trainer.optimizers)
    state = VocoderState(identity)
    if file.is_file():
        state = load_vocoder_state(file, identity, *parts)
    else:  # save at once, so that any interruption can be resumed and a full disk is noticed before the work is done
        save_vocoder_state(file, state, *parts)
    watcher.begin(1, settings.steps, state.step)

    with interruptible() as interrupted:
        began = time.perf_counter()
        state.baseline = state.baseline or distances(griffin_lim_like(spec).to(device), held_out, spec)
        while state.step < settings.steps:
            # Seed every step, so that checkpoints need no random state.
            torch.manual_seed(seed_of(settings.seed, state.step, 1))
            seed = seed_of(settings.seed, state.step, 2)
            real, pitch = segments.draw(settings.batch_size, seed, settings.gain_db)
            losses = trainer.step(real.to(device), state.step, pitch.to(device) if pitch else None)
            state.count(losses)
            watcher.step(losses["loss"])
            must_stop = interrupted.is_set()
            must_validate = state.step % settings.validate_every == 0 or state.step == settings.steps
            if must_validate:
                figures = {
                    "validation": distances(trainer.result.eval(), held_out, spec, segments.tracker),
                    "griffin_lim": state.baseline,
                }
            if must_validate or must_stop:
                trainer.check_finite(state.step, figures["validation"] if must_validate else {})
                state.seconds += time.perf_counter() - began
                began = time.perf_counter()
                if must_validate:
                    record = state.record(trainer.rate(state.step - 1), figures)
                    write_output(folder / LOG, "".join(json.dumps(line) + "\n" for line in state.history))
                    watcher.say(_line(record))
                save_vocoder_state(file, state, *parts)
            if must_stop:
                raise KeyboardInterrupt
    trainer.result.eval()
    return state


def _line(record: dict[str, Any]) -> str:
    figures = " ".join(f"{name} {value:.3f}" for name, value in record["train"].items())
    held_out = ", ".join(
        f"{name} {value:.3f} (griffin-lim {record['griffin_lim'][name]:.3f})"
        for name, value in record["validation"].items()
    )
    return f"step {record['step']}: {figures}; validation {held_out} ({record['seconds']:.0f} s)"
