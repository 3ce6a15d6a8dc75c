"""What a backbone promises: a `Specimen` of one in; nothing out, or a `ContractError` that says what is broken."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from vczoo.audio.specs import FrameSpec
from vczoo.audio.waveform import Waveform
from vczoo.modules.freezing import Full, Partial, apply_freezing
from vczoo.modules.interfaces.backbone import Backbone
from vczoo.testing.checks.expectations import (
    expect,
    expect_bits,
    expect_gradients,
    expect_kind,
    expect_same,
    expect_shape,
    noise,
)
from vczoo.testing.checks.specimen import Specimen

__all__ = ["BACKBONE_CHECKS"]

# Lengths of recordings in hops: about whole ones, and so short that less than a window is there.
HOPS = (0.01, 0.5, 1.0, 1.01, 1.99, 3.0, 7.9, 11.25, 15.99, 16.0, 16.01, 24.3)
TOGETHER = (0.01, 1.0, 1.01, 15.99, 16.0, 24.3)  # of those that run as one batch
RATE_SLACK = 2.0  # frames that a count may be from the recording's length over the hop
RATE = 0.1  # of the step in which what is frozen must not move


def shapes(specimen: Specimen) -> None:
    """A recording gives (1, num_frames, channels), finite, in float32."""
    backbone = specimen.copy()
    expect_kind(getattr(backbone, "spec", None), FrameSpec, "`spec`")
    spec = backbone.spec
    for seed, hops in enumerate((0.01, 24.3)):
        wave = noise(spec, hops, seed)
        samples = wave.samples.shape[1]
        count = backbone.num_frames(samples)
        with torch.inference_mode():
            frames = backbone(wave)
        shape = (1, count, spec.channels)
        expect_shape(frames.values, shape, f"{samples} samples give (1, num_frames({samples}), spec.channels)")
        expect(frames.lengths.tolist() == [count], f"the length is num_frames, {count}, got {frames.lengths.tolist()}")
        expect(frames.values.dtype == torch.float32, f"frames are float32, got {frames.values.dtype}")
        expect(bool(frames.values.isfinite().all()), f"frames of {samples} samples are finite")


def num_frames(specimen: Specimen) -> None:
    """`num_frames` is what comes, for many lengths, and as many as the hop makes of the recording."""
    backbone = specimen.copy()
    spec, before = backbone.spec, 0
    for seed, hops in enumerate(HOPS):
        wave = noise(spec, hops, seed)
        samples = wave.samples.shape[1]
        count = backbone.num_frames(samples)
        expect(count >= max(1, before), f"num_frames is 1 or more and never falls, got {before} and then {count}")
        apart = abs(count - samples / spec.hop_length)
        expect(
            apart <= RATE_SLACK,
            f"num_frames({samples}) is about {samples}/{spec.hop_length}, the recording in hops of `spec`, got {count}",
        )
        with torch.inference_mode():  # not through `forward`, which says the same with another error
            made = backbone.collect(backbone.run(backbone.prepare(wave)), torch.tensor([count])).values.shape[1]
        expect(made >= count, f"num_frames({samples}) promises {count} frames and {made} come")
        before = count


def batch(specimen: Specimen) -> None:
    """A batch gives what each recording gives alone."""
    backbone = specimen.copy()
    waves = [noise(backbone.spec, hops, seed) for seed, hops in enumerate(TOGETHER)]
    with torch.inference_mode():
        together = backbone(Waveform.batch(waves))
        for index, wave in enumerate(waves):
            count = backbone.num_frames(wave.samples.shape[1])
            # Not through `forward`, which would fill up with zeros what is missing.
            single = backbone.collect(backbone.run(backbone.prepare(wave)), torch.tensor([count])).cut(count)
            promise = f"a batch gives what each recording gives alone (item {index})"
            expect_same(together[index].values, single.values, promise)


def padding(specimen: Specimen) -> None:
    """What is valid does not depend on how much silence stands after it."""
    backbone = specimen.copy()
    wave = noise(backbone.spec, 9.3, 0)
    longer = torch.nn.functional.pad(wave.samples, (0, round(20 * backbone.spec.hop_length)))
    with torch.inference_mode():
        alone, padded = backbone(wave), backbone(Waveform(longer, wave.sample_rate_hz, wave.lengths))
    expect(padded.lengths.tolist() == alone.lengths.tolist(), "padding of a waveform adds no valid frames")
    expect_same(padded[0].values, alone[0].values, "padding of a waveform does not change its valid frames")


def stages(specimen: Specimen) -> None:
    """Every parameter and persistent buffer is in exactly one stage."""
    backbone = specimen.part
    names = [stage.name for stage in backbone.stages()]
    expect(0 < len(names) == len(set(names)), f"there is a stage, and names of stages differ, got {names}")
    owners: dict[int, str] = {}
    for stage in backbone.stages():
        for name, tensor in stage.module.state_dict(keep_vars=True).items():
            owner = owners.setdefault(id(tensor), stage.name)
            expect(owner == stage.name, f"each tensor is in one stage; {name} is in {owner} and {stage.name}")
    lost = [name for name, tensor in backbone.state_dict(keep_vars=True).items() if id(tensor) not in owners]
    expect(not lost, f"every parameter and persistent buffer is in a stage; {', '.join(lost[:5])} are in none")


def prefix(specimen: Specimen) -> None:
    """Running the first stages and then the rest gives what all give together."""
    backbone = specimen.copy()
    with torch.inference_mode():
        ready = backbone.prepare(noise(backbone.spec, 24.3, 5))
        whole, activation = backbone.run(ready), ready
        for index in range(len(backbone.stages())):
            activation = backbone.run(activation, index, index + 1)
        expect_same(activation, whole, "the stages run one by one give what they give together")
        half = len(backbone.stages()) // 2
        expect_same(backbone.run(backbone.run(ready, stop=half), half), whole, f"stages 0 to {half} and the rest do")


def frozen(specimen: Specimen) -> None:
    """What is frozen keeps its bits through a training step, buffers too, and stays in eval mode."""
    backbone = specimen.copy()
    apply_freezing(backbone, Partial(1), 0)
    backbone.train().eval().train()
    *held, free = backbone.stages()
    for name, stage in held:
        awake = any(module.training for module in stage.modules())
        expect(not awake, f"a frozen stage stays in eval mode through train(); {name} does not")
        needs = any(parameter.requires_grad for parameter in stage.parameters())
        expect(not needs, f"a frozen stage needs no gradient; {name} does")
    expect(all(module.training for module in free.module.modules()), f"a free stage trains; {free.name} does not")
    before = {name: _state(stage) for name, stage in held}
    if any(parameter.requires_grad for parameter in backbone.parameters()):
        _step(backbone)
    for name, stage in held:
        expect_bits(_state(stage), before[name], f"a training step leaves a frozen stage as it is, bit by bit: {name}")
    apply_freezing(backbone, Full(), 0)
    all_before = _state(backbone.train())
    backbone(noise(backbone.spec, 25, 3))
    expect_bits(_state(backbone), all_before, "a backbone that is wholly frozen keeps its bits in training")


def gradients(specimen: Specimen) -> None:
    """A finite gradient reaches every parameter."""
    backbone = specimen.copy()
    backbone.hold(())
    backbone.train().requires_grad_(True)
    waves = [noise(backbone.spec, hops, seed) for seed, hops in enumerate(TOGETHER[-2:])]
    expect_gradients(backbone, backbone(Waveform.batch(waves)).values.square().mean())


def _step(backbone: Backbone) -> None:
    free = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(free, lr=RATE)
    loss = backbone(noise(backbone.spec, 25, 3)).values.square().mean()
    if loss.requires_grad and math.isfinite(loss.item()):
        loss.backward()
        optimizer.step()


def _state(module: torch.nn.Module) -> Mapping[str, Tensor]:
    """All tensors of a module, those that are not saved too."""
    return {name: tensor.clone() for name, tensor in (*module.named_parameters(), *module.named_buffers())}


BACKBONE_CHECKS = (shapes, num_frames, batch, padding, stages, prefix, frozen, gradients)
