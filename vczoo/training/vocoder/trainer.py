"""The training loop of vocoders: a vocoder, settings, excerpts and held-out recordings in; a trained vocoder out.

A step makes excerpts again from their mels and lowers how far the copies are from them; from some step on,
discriminators learn beside it, and the vocoder learns to deceive them, too.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vczoo.audio.mel import LogMel
from vczoo.audio.specs import MelSpec
from vczoo.audio.waveform import Waveform
from vczoo.errors import VczooError
from vczoo.io.files import write_text
from vczoo.io.progress import NullProgress, ProgressBar
from vczoo.models.training_settings import VocoderTraining
from vczoo.modules.interfaces.vocoder import Vocoder
from vczoo.training.checkpoint import CHECKPOINT
from vczoo.training.trainer import LOG, interruptible, seed_of
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

WEIGHT_DECAY = 0.01  # AdamW's; Vocos and HiFi-GAN were trained with it
BETAS = (0.8, 0.99)  # HiFi-GAN's
LARGEST_NORM = 1000.0  # of a gradient: as Descript's codec, for the step that would ruin those before it


class VocoderTrainer:
    """A vocoder with what trains it: losses, discriminators and optimizers.

    Args:
        vocoder: of mels, with parameters.
        spec: of its mels.
        settings: of its training.
        device: where it computes.
    """

    def __init__(self, vocoder: Vocoder, spec: MelSpec, settings: VocoderTraining, device: torch.device) -> None:
        self.vocoder, self.settings = vocoder.to(device), settings
        self.log_mel, self.mel = LogMel(spec).to(device), MelDistance(spec).to(device)
        self.stft = StftDistance().to(device)
        self.joined_at = math.ceil(settings.adversarial_from * settings.steps)
        wanted = self.joined_at < settings.steps and (settings.adversarial_weight or settings.feature_weight)
        self.discriminators = discriminators_of(settings).to(device) if wanted else None
        self.networks: dict[str, nn.Module] = {"vocoder": self.vocoder}
        if self.discriminators:
            self.networks["discriminators"] = self.discriminators
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
        """The learning rate at a step: down to 0 along a cosine."""
        return self.settings.learning_rate * 0.5 * (1 + math.cos(math.pi * step / self.settings.steps))

    def step(self, real: Tensor, number: int) -> dict[str, float]:
        """One step on excerpts (B, S), a whole number of hops; the losses that it had.

        Raises:
            VczooError: a loss is not finite.
        """
        self.vocoder.train()
        for optimizer in self.optimizers.values():
            optimizer.param_groups[0]["lr"] = self.rate(number)
        wave = Waveform.of(real, self.log_mel.spec.sample_rate_hz)
        made = self.vocoder.rebuild(self.log_mel(wave), wave).samples
        length = min(made.shape[1], real.shape[1])
        made, real = made[:, :length], real[:, :length]
        losses = {"mel": self.mel(made, real), "stft": self.stft(made, real)}
        weights = {"mel": self.settings.mel_weight, "stft": self.settings.stft_weight}
        found: dict[str, Tensor] = {}
        if self.discriminators and number >= self.joined_at:
            objective = self.settings.objective
            self.discriminators.requires_grad_(True)
            telling = discriminator_loss(self.discriminators(real), self.discriminators(made.detach()), objective)
            self._learn("discriminators", telling, number)
            found["discriminators"] = telling.detach()
            self.discriminators.requires_grad_(False)  # their gradients of the vocoder's loss would be read by nobody
            with torch.no_grad():
                of_real = self.discriminators(real)
            of_made = self.discriminators(made)
            losses |= {
                "adversarial": generator_loss(of_made, objective),
                "features": feature_distance(of_real, of_made),
            }
            weights |= {"adversarial": self.settings.adversarial_weight, "features": self.settings.feature_weight}
        loss = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        self._learn("vocoder", loss, number)
        found = {"loss": loss, **losses, **found}
        return {name: float(value.detach()) for name, value in found.items()}

    def _learn(self, name: str, loss: Tensor, number: int) -> None:
        value = float(loss.detach())
        if not math.isfinite(value):
            raise VczooError(
                f"the loss of the {name} is {value} at step {number}: training diverged. Lower "
                f"vocoder_training.learning_rate (it is {self.settings.learning_rate:g}) and start again"
            )
        optimizer = self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], LARGEST_NORM)
        optimizer.step()


def discriminators_of(settings: VocoderTraining) -> Discriminators:
    """Those that the settings name."""
    if settings.discriminators == "coarse":
        return Discriminators(settings.discriminator_channels, periods=(), resolutions=COARSE, coarse=True)
    return Discriminators(settings.discriminator_channels)


def fit_vocoder(
    trainer: VocoderTrainer,
    excerpts: VocoderSegments,
    held_out: Sequence[Waveform],
    *,
    folder: Path,
    identity: str,
    watcher: ProgressBar | NullProgress,
) -> VocoderState:
    """Train, and validate on held-out recordings (1, S) at the vocoder's rate.

    The weights of the last step stay: a distance of mels says little of what discriminators improve, so it does
    not choose among them. A checkpoint in `folder` is resumed, and it gives the weights that an uninterrupted
    training would have given. The first Ctrl-C ends the running step, writes a checkpoint and raises
    KeyboardInterrupt. Torch's global random state is used: fork it around the call.

    Raises:
        VczooError: a loss is not finite.
        RunError: a checkpoint cannot be written or resumed.
        KeyboardInterrupt: after the checkpoint is written.
    """
    settings, spec = trainer.settings, trainer.log_mel.spec
    device = next(trainer.vocoder.parameters()).device
    held_out = [wave.to(device) for wave in held_out]
    file, kept = folder / CHECKPOINT, (trainer.networks, trainer.optimizers)
    state = VocoderState(identity)
    if file.is_file():
        state = load_vocoder_state(file, identity, *kept)
    else:  # at once, so that whatever happens can be resumed and a full disk is noticed before the work is done
        save_vocoder_state(file, state, *kept)
    watcher.begin(1, settings.steps, state.step)

    with interruptible() as interrupted:
        began = time.perf_counter()
        state.baseline = state.baseline or distances(griffin_lim_like(spec).to(device), held_out, spec)
        while state.step < settings.steps:
            # A seed for each step, so that nothing random has to be kept in a checkpoint.
            torch.manual_seed(seed_of(settings.seed, state.step, 1))
            real = excerpts.draw(settings.batch_size, seed_of(settings.seed, state.step, 2), settings.gain_db).to(
                device
            )
            losses = trainer.step(real, state.step)
            state.count(losses)
            watcher.step(losses["loss"])
            stops = interrupted.is_set()
            validates = state.step % settings.validate_every == 0 or state.step == settings.steps
            if validates:
                trainer.vocoder.eval()
                figures = {"validation": distances(trainer.vocoder, held_out, spec), "griffin_lim": state.baseline}
            if validates or stops:
                state.seconds += time.perf_counter() - began
                began = time.perf_counter()
                if validates:
                    record = state.record(trainer.rate(state.step - 1), figures)
                    write_text(folder / LOG, "".join(json.dumps(line) + "\n" for line in state.history))
                    watcher.say(_line(record))
                save_vocoder_state(file, state, *kept)
            if stops:
                raise KeyboardInterrupt
    trainer.vocoder.eval()
    return state


def _line(record: dict[str, Any]) -> str:
    figures = " ".join(f"{name} {value:.3f}" for name, value in record["train"].items())
    held_out = ", ".join(
        f"{name} {value:.3f} (griffin-lim {record['griffin_lim'][name]:.3f})"
        for name, value in record["validation"].items()
    )
    return f"step {record['step']}: {figures}; validation {held_out} ({record['seconds']:.0f} s)"
