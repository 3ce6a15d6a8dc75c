"""Training settings of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vczoo.models.selection_metric import Criterion

__all__ = ["Training", "VocoderTraining"]


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Training(Settings):
    """How a recipe is fine-tuned.

    Attributes:
        epochs: passes over the training data, at most.
        batch_size: crops a step.
        crop_seconds: length of the excerpts that it trains on; an utterance gives one for each crop_seconds.
        optimizer: adamw or adam.
        learning_rate: of the heads, before the schedule.
        backbone_rate: learning rate of the backbone over that of the heads, before the freezing strategy's.
        weight_decay: decoupled for adamw, none for adam.
        schedule: cosine or linear to 0, or constant, after the warm-up.
        warmup: share of all steps in which the rate rises from 0.
        clip_norm: largest norm of the gradient.
        criterion: what makes an epoch better than another, of validation: its loss, the accuracy of the speaker
            heads, or the similarity or the character error of a few held-out conversions (extra `eval`). Between
            equals the loss decides.
        patience: epochs without a better one after which training stops.
        keep: whose weights are kept, those of the best epoch or the last ones. A held-out sentence of a single voice
            says too little to choose by.
        seed: of everything random.
        content_speeds: a wholly frozen backbone hears each excerpt at one of these speeds, formants and pitch moved
            with it, while the target stays: content then tells less of the speaker (NANSY, arXiv:2110.14513).
            Multiples of .05 are resampled fast.
        variants: of every recording that excerpts are cut from: itself, and others with noise and another colour.
        consistency: weight of the mean absolute difference between content and what the same excerpts give when they
            are heard again. Of a backbone that trains, and that perturbs what it hears or drops out: its content then
            tells nothing of what was drawn, which else hides the speaker in training alone. A step costs about half
            as much again.
        spec_augment: the largest share of an excerpt's time, and of its bands or channels, that is hidden in what the
            first trained stage reads (SpecAugment, arXiv:1904.08779).
        cache_dtype: that what frozen stages give is rounded to; float16 takes half the disk.
        precision: of the forward pass; auto is bfloat16 on a GPU that has it, else float32.
    """

    epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=16, ge=1)
    crop_seconds: float = Field(default=1.92, ge=0.1)
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0)
    backbone_rate: float = Field(default=0.1, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = Field(default=0.05, ge=0, lt=1)
    clip_norm: float = Field(default=1.0, gt=0)
    criterion: Criterion = "loss"
    patience: int = Field(default=5, ge=1)
    keep: Literal["best", "last"] = "best"
    seed: int = Field(default=0, ge=0, lt=2**63)
    content_speeds: tuple[Annotated[float, Field(ge=0.5, le=2.0)], ...] = Field(default=(1.0,), min_length=1)
    variants: int = Field(default=1, ge=1, le=64)
    consistency: float = Field(default=0.0, ge=0)
    spec_augment: float = Field(default=0.0, ge=0, lt=1)
    cache_dtype: Literal["float32", "float16"] = "float32"
    precision: Literal["auto", "float32", "bf16", "fp16"] = "auto"


class VocoderTraining(Settings):
    """How a recipe's vocoder is trained by itself, on recordings.

    Attributes:
        steps: of the optimizer.
        batch_size: excerpts a step.
        crop_seconds: length of an excerpt.
        learning_rate: at first, of the vocoder and of the discriminators; it falls to 0 along a cosine.
        mel_weight: of the mean distance between log-mels, in nepers.
        stft_weight: of the multi-resolution STFT distance.
        adversarial_weight: of what the discriminators find.
        feature_weight: of the distance between what the discriminators' layers see.
        adversarial_from: share of the steps after which the discriminators join; 1 for never.
        objective: of the discriminators.
        discriminators: published, those of periods and spectra that look at every frame and band; or coarse, of
            spectra alone, whose strides make a step about as dear as without them.
        discriminator_channels: of their first layer; 32 is as published.
        gain_db: by how much excerpts are made louder or quieter at most.
        validate_every: steps between validations, each of which writes a checkpoint, too.
        seed: of everything random.
    """

    steps: int = Field(default=20000, ge=1)
    batch_size: int = Field(default=16, ge=1)
    crop_seconds: float = Field(default=0.64, ge=0.1)
    learning_rate: float = Field(default=5e-4, gt=0)
    mel_weight: float = Field(default=45.0, ge=0)
    stft_weight: float = Field(default=2.5, ge=0)
    adversarial_weight: float = Field(default=1.0, ge=0)
    feature_weight: float = Field(default=2.0, ge=0)
    adversarial_from: float = Field(default=0.5, ge=0, le=1)
    objective: Literal["least-squares", "hinge"] = "least-squares"
    discriminators: Literal["published", "coarse"] = "published"
    discriminator_channels: int = Field(default=32, ge=1)
    gain_db: float = Field(default=0.0, ge=0, le=60)
    validate_every: int = Field(default=500, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _learns_from_the_first_step(self) -> VocoderTraining:
        if not self.mel_weight and not self.stft_weight and self.adversarial_from > 0:
            raise ValueError("mel_weight and stft_weight are both 0: nothing trains before the discriminators join")
        if not (self.mel_weight or self.stft_weight or self.adversarial_weight or self.feature_weight):
            raise ValueError("every weight is 0: there is nothing to learn from")
        return self
