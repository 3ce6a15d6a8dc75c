"""The conformance check: a part or an entry in; nothing out, or a `ContractError` that says which promise is broken.

    from vczoo.testing import check_entry
    check_entry(entry, weights="random")       # in a plugin's tests, for each of its entries

Everything runs on copies, on the CPU, on noise from fixed seeds; nothing is downloaded.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from vczoo.entry import Entry
from vczoo.errors import ContractError
from vczoo.frames import Frames
from vczoo.freezing import Partial, apply_freezing
from vczoo.interfaces import Backbone, Freezing, Loss, Source, SpeakerHead, Vocoder, VoiceHead, Watermark
from vczoo.promises import expect, expect_gradients, expect_kind, expect_same, expect_shape, noise, padded_with_nan
from vczoo.specs import FrameSpec, MelSpec
from vczoo.waveform import Waveform

__all__ = ["check_backbone", "check_entry", "check_freezing", "check_head", "check_vocoder", "check_watermark"]

# What a recipe would say to a factory that asks for it.
CONTEXT: dict[str, Any] = {
    "frames": FrameSpec(16000, 320, 24),
    "acoustic": MelSpec(num_mels=20),
    "num_speakers": 3,
    "embedding_width": 16,
}
LEAST_SNR_DB = 20.0  # of a watermark that is not heard, against the recording
RECORDINGS = (0.01, 1.0, 1.01, 15.99, 16.0, 24.3)  # their lengths, in frames of the part


def check_entry(entry: Entry, **options: Any) -> None:
    """Build an entry's part with these options, or its defaults and random weights, and check it as its kind.

    Raises:
        PluginError: its factory cannot be imported.
        ContractError: the part breaks a promise of its interface; the message names entry and promise.
    """
    factory = entry.load()
    wanted = inspect.signature(factory).parameters
    context = {name: value for name, value in CONTEXT.items() if name in wanted}
    if "weights" in wanted:
        options.setdefault("weights", "random")
    with _named(f"{entry.kind} {entry.name!r}"), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        part = factory(**entry.arguments, **options, **context)
        if entry.kind == "backbone":
            check_backbone(part)
        elif entry.kind == "freezing":
            check_freezing(part)
        elif entry.kind == "head":
            check_head(part, **{name: CONTEXT[name] for name in ("frames", "acoustic", "embedding_width")})
        elif entry.kind == "vocoder":
            check_vocoder(part)
        else:
            check_watermark(part, trained=options.get("weights") != "random")


def check_backbone(backbone: Backbone) -> None:
    """Check shapes, `num_frames`, batch against single, ownership of tensors, prefixes, freezing and gradients.

    Raises:
        ContractError: which promise is broken.
    """
    expect_kind(backbone, Backbone, "the part")
    backbone = copy.deepcopy(backbone).eval()
    expect_kind(getattr(backbone, "spec", None), FrameSpec, "`spec`")
    _check_stages(backbone)
    waves = [noise(backbone.spec, hops, seed) for seed, hops in enumerate(RECORDINGS)]
    with torch.inference_mode():
        batch = backbone(Waveform.batch(waves))
        for index, wave in enumerate(waves):
            samples = wave.samples.shape[1]
            count = backbone.num_frames(samples)
            # Not through `forward`, which would fill up with zeros what is missing.
            single = backbone.collect(backbone.run(backbone.prepare(wave)), torch.tensor([count])).cut(count)
            shape = (1, count, backbone.spec.channels)
            expect_shape(single.values, shape, f"{samples} samples give (1, num_frames({samples}), spec.channels)")
            expect(single.lengths.tolist() == [count], f"the length is num_frames, {count}, got {single.lengths}")
            expect_same(
                batch[index].values, single.values, f"a batch gives what each recording gives alone (item {index})"
            )
        _check_prefixes(backbone, waves[-1])
    _check_frozen(backbone)
    backbone.hold(())
    backbone.train().requires_grad_(True)
    expect_gradients(backbone, backbone(Waveform.batch(waves[-2:])).values.square().mean())


def check_freezing(freezing: Freezing) -> None:
    """Check that multipliers are one a stage, finite, 0 or more, and the same for the same epoch.

    Raises:
        ContractError: which promise is broken.
    """
    expect_kind(freezing, Freezing, "the part")
    for num_stages in (1, 2, 5, 12):
        for epoch in (0, 1, 7, 100):
            found = freezing.multipliers(num_stages, epoch)
            where = f"for {num_stages} stages in epoch {epoch}, got {found}"
            expect(len(found) == num_stages, f"`multipliers` gives one a stage {where}")
            expect(all(0 <= value < math.inf for value in found), f"multipliers are finite and 0 or more {where}")
            expect(freezing.multipliers(num_stages, epoch) == found, f"multipliers depend on nothing else {where}")
    for module in (nn.Linear(2, 2), nn.BatchNorm1d(2)):
        expect_kind(freezing.trains(module), bool, f"`trains({type(module).__name__})`")


def check_head(
    head: SpeakerHead | VoiceHead,
    *,
    frames: FrameSpec,
    acoustic: MelSpec | FrameSpec | None = None,
    embedding_width: int = 16,
) -> None:
    """Check a head that was built for these specs: shapes, padding, the loss and its gradients, growth.

    Raises:
        ContractError: which promise is broken.
    """
    expect_kind(head, SpeakerHead | VoiceHead, "the part")
    head = copy.deepcopy(head).eval()
    torch.manual_seed(0)
    content = padded_with_nan(torch.randn(3, 30, frames.channels), (30, 7, 1))
    if isinstance(head, SpeakerHead):
        _check_speaker_head(head, content)
    elif acoustic is None:
        raise ContractError("a voice head is checked with the acoustic spec that it was built for")
    else:
        _check_voice_head(head, content, frames, acoustic, embedding_width)


def check_vocoder(vocoder: Vocoder) -> None:
    """Check rate, length, batch against single, that the same frames give the same waveform, and `follow`.

    Raises:
        ContractError: which promise is broken.
    """
    expect_kind(vocoder, Vocoder, "the part")
    vocoder = copy.deepcopy(vocoder).eval()
    expect_kind(getattr(vocoder, "accepts", None), MelSpec | FrameSpec, "`accepts`")
    torch.manual_seed(0)
    counts = (40, 5, 1)
    frames = padded_with_nan(torch.randn(3, 40, vocoder.accepts.channels) - 5, counts)
    hop, rate = vocoder.accepts.hop_length, vocoder.accepts.sample_rate_hz
    with torch.inference_mode():
        wave = vocoder(frames)
        expect(wave.sample_rate_hz == rate, f"the waveform has the rate of `accepts`, {rate} Hz")
        for index, count in enumerate(counts):
            made, least, most = int(wave.lengths[index]), (count - 1) * hop, count * hop
            expect(least <= made <= most, f"{count} frames give {least} to {most} samples, got {made}")
            alone = vocoder(frames[index]).samples
            expect_same(wave.samples[[index], :made], alone, f"a batch gives what its items give alone (item {index})")
        expect(torch.equal(vocoder(frames).samples, wave.samples), "the same frames give the same waveform")
        for count in (0, hop + 1, int(wave.lengths[0])):  # nothing, less than a window, all
            after = vocoder.follow(frames[0], Waveform.of(wave.samples[0, :count], rate))
            expect(after.sample_rate_hz == rate, f"`follow` gives the rate of `accepts`, {rate} Hz")
            expect_shape(
                after.samples, (1, int(wave.lengths[0])), f"`follow` after {count} samples is as `forward` long"
            )
            expect(bool(after.samples.isfinite().all()), f"`follow` after {count} samples is finite")


def check_watermark(watermark: Watermark, *, trained: bool = True) -> None:
    """Check that a recording keeps shape and rate, that what is embedded is quiet, and that it is detected.

    Args:
        trained: whether its weights are; random ones keep their shape, and neither hide nor find anything.

    Raises:
        ContractError: which promise is broken.
    """
    expect_kind(watermark, Watermark, "the part")
    watermark = copy.deepcopy(watermark).eval()
    for seed, (samples, rate) in enumerate(((1, 16000), (400, 24000), (48000, 16000), (72000, 24000), (96000, 48000))):
        clean = noise(FrameSpec(rate, 100, 1), samples / 100, seed)
        before = clean.samples.clone()
        with torch.inference_mode():
            made = watermark.embed(clean)
            again = watermark.embed(clean).samples
            found = [watermark.detect(wave) for wave in (clean, made)]
        where = f"of {samples} samples at {rate} Hz"
        expect_shape(made.samples, (1, samples), f"a recording {where} keeps its shape")
        expect(made.sample_rate_hz == rate, f"a recording {where} keeps its rate, got {made.sample_rate_hz} Hz")
        expect(bool(made.samples.isfinite().all()), f"a recording {where} with a watermark is finite")
        expect(torch.equal(clean.samples, before), "`embed` leaves what it is given as it is")
        expect(torch.equal(made.samples, again), "the same recording gives the same")
        expect(all(0 <= value <= 1 for value in found), f"`detect` gives a probability, got {found} {where}")
        if trained:
            noise_db = 10 * math.log10(float((made.samples - before).square().mean() / before.square().mean()) + 1e-12)
            quiet = f"a watermark is {LEAST_SNR_DB:g} dB below the recording, got {-noise_db:.1f} dB {where}"
            expect(-noise_db >= LEAST_SNR_DB, quiet)
        if trained and samples >= rate:
            apart = f"`detect` tells a recording {where} with the watermark (0.5 or more) from one without"
            expect(found[0] < 0.5 <= found[1], f"{apart}, got {found[1]:.3f} and {found[0]:.3f}")


def _check_stages(backbone: Backbone) -> None:
    """Every parameter and persistent buffer in exactly one stage."""
    names = [stage.name for stage in backbone.stages()]
    expect(0 < len(names) == len(set(names)), f"there is a stage, and names of stages differ, got {names}")
    owners: dict[int, str] = {}
    for stage in backbone.stages():
        for name, tensor in stage.module.state_dict(keep_vars=True).items():
            owner = owners.setdefault(id(tensor), stage.name)
            expect(owner == stage.name, f"each tensor is in one stage; {name} is in {owner} and {stage.name}")
    lost = [name for name, tensor in backbone.state_dict(keep_vars=True).items() if id(tensor) not in owners]
    expect(not lost, f"every parameter and persistent buffer is in a stage; {', '.join(lost[:5])} are in none")


def _check_prefixes(backbone: Backbone, wave: Waveform) -> None:
    activation = ready = backbone.prepare(wave)
    for index in range(len(backbone.stages())):
        activation = backbone.run(activation, index, index + 1)
    expect_same(activation, backbone.run(ready), "the stages run one by one give what they give together")


def _check_frozen(backbone: Backbone) -> None:
    """With the last stage alone free: what is frozen stays in eval mode and needs no gradient."""
    apply_freezing(backbone, Partial(1), 0)
    backbone.train().eval().train()
    *frozen, free = backbone.stages()
    for name, stage in frozen:
        awake = any(module.training for module in stage.modules())
        expect(not awake, f"a frozen stage stays in eval mode through train(); {name} does not")
        needs = any(parameter.requires_grad for parameter in stage.parameters())
        expect(not needs, f"a frozen stage needs no gradient; {name} does")
    expect(all(module.training for module in free.module.modules()), f"a free stage trains; {free.name} does not")


def _check_speaker_head(head: SpeakerHead, content: Frames) -> None:
    count, known = len(content), head.num_speakers
    with torch.inference_mode():
        embedding, logits = head.embed(content), head.logits(content)
        expect_shape(embedding, (count, head.embedding_width), "`embed` gives (B, embedding_width)")
        expect_shape(logits, (count, known), "`logits` gives (B, num_speakers)")
        expect_same(embedding.norm(dim=1), torch.ones(count), "embeddings have length 1")
        for index in range(count):
            expect_same(embedding[index], head.embed(content[index])[0], f"`embed` reads no padding (item {index})")
            expect_same(logits[index], head.logits(content[index])[0], f"`logits` reads no padding (item {index})")
    _check_loss(head, head.train().loss(content, torch.arange(count) % known))
    head.eval().grow(known + 2)
    with torch.inference_mode():
        expect_shape(head.logits(content), (count, known + 2), "`grow` makes room for more speakers")
        expect_same(head.logits(content)[:, :known], logits, "`grow` keeps what the head knows of the old speakers")
    head.restart(known + 1)
    with torch.inference_mode():
        expect_shape(head.logits(content), (count, known + 1), "`restart` makes room for so many speakers")
        expect_same(head.embed(content), embedding, "`restart` leaves the embedding as it is")


def _check_voice_head(
    head: VoiceHead, content: Frames, frames: FrameSpec, acoustic: MelSpec | FrameSpec, embedding_width: int
) -> None:
    lengths = [max(1, round(int(count) * frames.hop_length / acoustic.hop_length)) for count in content.lengths]
    target = padded_with_nan(torch.randn(3, max(lengths), acoustic.channels), tuple(lengths))
    pitch = padded_with_nan(torch.randn(3, max(lengths), 2), tuple(lengths))
    source = Source(content, frames, pitch)
    embedding = nn.functional.normalize(torch.randn(3, embedding_width), dim=1)
    with torch.inference_mode():
        kept = head.enroll(content, target)
        expect(all(bool(value.isfinite().all()) for value in kept.values()), "`enroll` reads no padding")
        voice = {**kept, "embedding": embedding[0]}
        made = head.convert(source, voice)
        expect(made.lengths.tolist() == lengths, f"`convert` gives the pitch's lengths {lengths}, got {made.lengths}")
        expect(made.channels == acoustic.channels, f"`convert` gives {acoustic.channels} channels, not {made.channels}")
        for index in range(3):
            alone = head.convert(Source(content[index], frames, pitch[index]), voice)
            expect_same(made[index].values, alone.values, f"`convert` reads no padding (item {index})")
    loss = head.train().loss(source, embedding, target)
    expect(loss is not None or not any(True for _ in head.parameters()), "a head with parameters gives a loss")
    if loss is not None:
        _check_loss(head, loss)


def _check_loss(head: nn.Module, loss: Loss) -> None:
    expect_shape(loss.value, (), "a loss is one number")
    expect(bool(loss.value.isfinite()), f"a loss is finite and reads no padding, got {loss.value.item()}")
    expect(not any(value.requires_grad for value in loss.metrics.values()), "figures beside a loss are detached")
    expect_gradients(head, loss.value)


@contextmanager
def _named(part: str) -> Iterator[None]:
    """Put the part's name before what is wrong with it."""
    try:
        yield
    except ContractError as error:
        raise ContractError(f"{part}: {error}") from error
