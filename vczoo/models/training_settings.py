"""Training settings of a recipe: fine-tuning (`Training`) and vocoder training (`VocoderTraining`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vczoo.models.selection_metric import Criterion

__all__ = ["Training", "VocoderTraining"]

MOST_EPOCHS = 100_000
MOST_STEPS = 100_000_000
LARGEST_BATCH = 65_536
LONGEST_CROP_SECONDS = 600.0
LONGEST_BATCH_SECONDS = 36_000.0  # ten hours of samples take 2.3 GB at 16 kHz
HIGHEST_RATE = 1000.0  # training diverges far below
LARGEST_WEIGHT = 1e6  # of a loss


class Settings(BaseModel):
    """Base class of settings: frozen, with no unknown keys and no infinite or NaN values."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Training(Settings):
    """Settings of the fine-tuning of a recipe.

    Attributes:
        epochs: Maximum number of passes over the training data.
        batch_size: Number of training segments per step.
        crop_seconds: Length of a training segment in seconds; each utterance yields one segment per `crop_seconds`.
        optimizer: `adamw` or `adam`.
        learning_rate: Peak learning rate of the heads, before the schedule.
        backbone_rate: Ratio of the backbone's learning rate to the heads', before the freezing strategy's multipliers.
        weight_decay: Decoupled weight decay of adamw; adam uses none.
        schedule: Shape of the learning rate after the warm-up: `cosine` or `linear` to 0, or `constant`.
        warmup: Fraction of all steps during which the learning rate rises from 0.
        clip_norm: Largest gradient norm; larger gradients are scaled down to it.
        criterion: Validation metric that selects the best epoch: `loss`; `accuracy` of speaker and label heads;
            `recall` of label heads; `word-error` of text heads; or `similarity` or `character-error` of a few held-out
            conversions (needs the extra `eval`). The loss breaks ties.
        patience: Number of epochs without improvement after which training stops.
        keep: Weights to keep: those of the `best` epoch or of the `last`. Prefer `last` for a single voice: one
            held-out sentence is too little to select an epoch by.
        average: Decay of an exponential moving average of the weights, which is validated and kept instead of the
            weights themselves; 0 for none. 0.999 averages over about 1,000 steps.
        seed: Seed of every random generator.
        content_speeds: Playback speeds for the backbone's input, which shift pitch and formants, too; each segment gets
            one of them. The target is unchanged, so the content carries less of the speaker (NANSY, arXiv:2110.14513).
            Only for a fully frozen backbone. Multiples of 0.05 resample fast.
        variants: Number of versions of each recording to cut segments from: the original, and copies with added noise
            and a different frequency response.
        consistency: Weight of the mean absolute difference between the content of two passes over the same segments.
            Only for a backbone that trains, and useful if it perturbs its input or uses dropout: it makes the content
            independent of the random draw, which would otherwise hide the speaker in training only. A step takes about
            half as long again.
        converted_content_weight: Weight of the mean absolute difference between the content of a recording and that of
            its conversion to another speaker of the batch, which keeps words in conversions. Needs the heads
            `mel-decoder` and a speaker head with `reads: acoustic`, and a backbone that reads mels, such as
            `content-whisper`. A step takes about half as long again.
        converted_speaker_weight: Weight of 1 minus the cosine between the speaker embedding of such a conversion and
            that of the other speaker.
        recognizer: Path of a Whisper checkpoint (model.safetensors in the layout of transformers), whose encoder must
            hear in conversions and reconstructions what it hears in the recordings; "" for none. It has the same needs
            as `converted_content_weight`.
        recognizer_weight: Weight of the mean absolute difference between the outputs of that encoder.
        adversarial_weight: Weight of an adversarial loss of a voice head that decodes mels, such as `mel-decoder`: the
            mean absolute error alone blurs. 0 for none.
        feature_weight: Weight of its feature matching loss.
        adversarial_from: Fraction of the steps after which the discriminators join.
        spec_augment: Largest fraction of a segment's time, and of its bands or channels, to mask at the input of the
            first trained stage (SpecAugment, arXiv:1904.08779).
        cache_dtype: Data type of the cached outputs of frozen stages; `float16` takes half the disk space.
        precision: Precision of the forward pass; `auto` is bfloat16 on a GPU that supports it, and float32 elsewhere.
    """

    epochs: int = Field(default=20, ge=1, le=MOST_EPOCHS)
    batch_size: int = Field(default=16, ge=1, le=LARGEST_BATCH)
    crop_seconds: float = Field(default=1.92, ge=0.1, le=LONGEST_CROP_SECONDS)
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0, le=HIGHEST_RATE)
    backbone_rate: float = Field(default=0.1, gt=0, le=HIGHEST_RATE)
    weight_decay: float = Field(default=0.01, ge=0, le=HIGHEST_RATE)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = Field(default=0.05, ge=0, lt=1)
    clip_norm: float = Field(default=1.0, gt=0, le=1e12)  # so much clips nothing
    criterion: Criterion = "loss"
    patience: int = Field(default=5, ge=1, le=MOST_EPOCHS)
    keep: Literal["best", "last"] = "best"
    average: float = Field(default=0.0, ge=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=2**63)
    content_speeds: tuple[Annotated[float, Field(ge=0.5, le=2.0)], ...] = Field(
        default=(1.0,), min_length=1, max_length=64
    )
    variants: int = Field(default=1, ge=1, le=64)
    consistency: float = Field(default=0.0, ge=0, le=LARGEST_WEIGHT)
    converted_content_weight: float = Field(default=0.0, ge=0, le=LARGEST_WEIGHT)
    converted_speaker_weight: float = Field(default=0.0, ge=0, le=LARGEST_WEIGHT)
    recognizer: str = Field(default="", max_length=4096)
    recognizer_weight: float = Field(default=1.0, ge=0, le=LARGEST_WEIGHT)
    adversarial_weight: float = Field(default=0.0, ge=0, le=LARGEST_WEIGHT)
    feature_weight: float = Field(default=0.5, ge=0, le=LARGEST_WEIGHT)
    adversarial_from: float = Field(default=0.5, ge=0, le=1)
    spec_augment: float = Field(default=0.0, ge=0, lt=1)
    cache_dtype: Literal["float32", "float16"] = "float32"
    precision: Literal["auto", "float32", "bf16", "fp16"] = "auto"

    @model_validator(mode="after")
    def _batches_fit_into_memory(self) -> Training:
        _check_batch_seconds(self.batch_size, self.crop_seconds)
        return self


class VocoderTraining(Settings):
    """Settings of `train_vocoder`, which trains the vocoder of a recipe alone, on recordings.

    Attributes:
        steps: Number of optimizer steps.
        batch_size: Number of segments per step.
        crop_seconds: Length of a segment in seconds.
        learning_rate: Initial learning rate of the vocoder and the discriminators; it falls to 0 along a cosine.
        mel_weight: Weight of the mel loss, the mean distance between log-mels in nepers.
        stft_weight: Weight of the multi-resolution STFT loss.
        adversarial_weight: Weight of the adversarial loss.
        feature_weight: Weight of the feature matching loss, the distance between the discriminators' activations.
        adversarial_from: Fraction of the steps after which the discriminators join; 1 means never.
        objective: Adversarial objective: `least-squares` or `hinge`.
        discriminators: `published`, the multi-period and spectral discriminators, which see every frame and band; or
            `coarse`, spectral discriminators only, strided so that a step costs about as much as without any.
        discriminator_channels: Channels of the discriminators' first layer; 32 is the published value.
        gain_db: Largest random gain or attenuation of a segment in dB.
        average: Decay of an exponential moving average of the weights, which validation and the result use; 0 uses the
            weights themselves.
        validate_every: Number of steps between validations; each validation also writes a checkpoint.
        seed: Seed of every random generator.
    """

    steps: int = Field(default=20000, ge=1, le=MOST_STEPS)
    batch_size: int = Field(default=16, ge=1, le=LARGEST_BATCH)
    crop_seconds: float = Field(default=0.64, ge=0.1, le=LONGEST_CROP_SECONDS)
    learning_rate: float = Field(default=5e-4, gt=0, le=HIGHEST_RATE)
    mel_weight: float = Field(default=45.0, ge=0, le=LARGEST_WEIGHT)
    stft_weight: float = Field(default=2.5, ge=0, le=LARGEST_WEIGHT)
    adversarial_weight: float = Field(default=1.0, ge=0, le=LARGEST_WEIGHT)
    feature_weight: float = Field(default=2.0, ge=0, le=LARGEST_WEIGHT)
    adversarial_from: float = Field(default=0.5, ge=0, le=1)
    objective: Literal["least-squares", "hinge"] = "least-squares"
    discriminators: Literal["published", "coarse"] = "published"
    discriminator_channels: int = Field(default=32, ge=1, le=1024)
    gain_db: float = Field(default=0.0, ge=0, le=60)
    average: float = Field(default=0.0, ge=0, lt=1)
    validate_every: int = Field(default=500, ge=1, le=MOST_STEPS)
    seed: int = Field(default=0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _batches_fit_into_memory(self) -> VocoderTraining:
        _check_batch_seconds(self.batch_size, self.crop_seconds)
        return self

    @model_validator(mode="after")
    def _learns_from_the_first_step(self) -> VocoderTraining:
        if not self.mel_weight and not self.stft_weight and self.adversarial_from > 0:
            raise ValueError(
                "mel_weight and stft_weight are both 0: nothing trains before the discriminators join. "
                "Set one of them above 0, or adversarial_from to 0"
            )
        if not (self.mel_weight or self.stft_weight or self.adversarial_weight or self.feature_weight):
            raise ValueError("every loss weight is 0: there is nothing to learn from. Set at least one weight above 0")
        return self


def _check_batch_seconds(batch_size: int, crop_seconds: float) -> None:
    """Raise ValueError if a batch holds too much speech for any memory."""
    hours, most = batch_size * crop_seconds / 3600, LONGEST_BATCH_SECONDS / 3600
    if hours > most:
        raise ValueError(
            f"a batch of {batch_size} segments of {crop_seconds:g} s has {hours:.0f} hours of speech; the limit is "
            f"{most:.0f}. Lower batch_size or crop_seconds"
        )
