"""Conformance checks of backbones. Each check takes a `Specimen` and raises `ContractError` if it fails."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from vczoo.audio.specs import FrameSpec
from vczoo.audio.waveform import Waveform
from vczoo.modules.freezing.apply import apply_freezing
from vczoo.modules.freezing.stages import Full, Partial
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

# Lengths of recordings in hops: close to whole numbers, and shorter than a window.
HOPS = (0.01, 0.5, 1.0, 1.01, 1.99, 3.0, 7.9, 11.25, 15.99, 16.0, 16.01, 24.3)
BATCH_HOPS = (0.01, 1.0, 1.01, 15.99, 16.0, 24.3)  # lengths in hops of the recordings of one batch
RATE_SLACK = 2.0  # largest difference, in frames, between `num_frames` and the recording's length in hops
RATE = 0.1  # learning rate of the step that must not change frozen stages


def shapes(specimen: Specimen) -> None:
    """A recording gives frames of shape (1, num_frames, channels), finite and in float32."""
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
        requirement = f"the frames of {samples} samples must have the shape (1, num_frames({samples}), spec.channels)"
        expect_shape(frames.values, shape, requirement)
        expect(
            frames.lengths.tolist() == [count], f"the length must be num_frames, {count}, got {frames.lengths.tolist()}"
        )
        expect(frames.values.dtype == torch.float32, f"frames must be float32, got {frames.values.dtype}")
        expect(bool(frames.values.isfinite().all()), f"the frames of {samples} samples must be finite")


def num_frames(specimen: Specimen) -> None:
    """`num_frames` is the number of frames that the backbone returns, and is about the recording's length in hops."""
    backbone = specimen.copy()
    spec, before = backbone.spec, 0
    for seed, hops in enumerate(HOPS):
        wave = noise(spec, hops, seed)
        samples = wave.samples.shape[1]
        count = backbone.num_frames(samples)
        expect(
            count >= max(1, before),
            f"num_frames must be at least 1 and must not decrease with length, got {before}, then {count}",
        )
        difference = abs(count - samples / spec.hop_length)
        expect(
            difference <= RATE_SLACK,
            f"num_frames({samples}) must be about {samples}/{spec.hop_length}, the length in hops, got {count}",
        )
        with torch.inference_mode():  # not through `forward`, which raises an error of its own
            frames = backbone.collect(backbone.run(backbone.prepare(wave)), torch.tensor([count])).values.shape[1]
        expect(frames >= count, f"num_frames({samples}) is {count}, but the backbone returned {frames} frames")
        before = count


def batch(specimen: Specimen) -> None:
    """A recording gives the same frames in a batch as by itself."""
    backbone = specimen.copy()
    waves = [noise(backbone.spec, hops, seed) for seed, hops in enumerate(BATCH_HOPS)]
    with torch.inference_mode():
        together = backbone(Waveform.batch(waves))
        for index, wave in enumerate(waves):
            count = backbone.num_frames(wave.samples.shape[1])
            # Not through `forward`, which would pad missing frames with zeros.
            single = backbone.collect(backbone.run(backbone.prepare(wave)), torch.tensor([count])).cut(count)
            requirement = f"a recording must give the same frames in a batch as by itself (item {index})"
            expect_same(together[index].values, single.values, requirement)


def padding(specimen: Specimen) -> None:
    """Valid frames do not depend on how much silence follows them."""
    backbone = specimen.copy()
    wave = noise(backbone.spec, 9.3, 0)
    longer = torch.nn.functional.pad(wave.samples, (0, round(20 * backbone.spec.hop_length)))
    with torch.inference_mode():
        unpadded, padded = backbone(wave), backbone(Waveform(longer, wave.sample_rate_hz, wave.lengths))
    expect(padded.lengths.tolist() == unpadded.lengths.tolist(), "padding a waveform must not add valid frames")
    expect_same(padded[0].values, unpadded[0].values, "padding a waveform must not change its valid frames")


def stages(specimen: Specimen) -> None:
    """Every parameter and persistent buffer is in exactly one stage."""
    backbone = specimen.part
    names = [stage.name for stage in backbone.stages()]
    expect(0 < len(names) == len(set(names)), f"there must be a stage, and names of stages must differ, got {names}")
    owners: dict[int, str] = {}
    for stage in backbone.stages():
        for name, tensor in stage.module.state_dict(keep_vars=True).items():
            owner = owners.setdefault(id(tensor), stage.name)
            expect(owner == stage.name, f"each tensor must be in one stage only; {name} is in {owner} and {stage.name}")
    missing = [name for name, tensor in backbone.state_dict(keep_vars=True).items() if id(tensor) not in owners]
    expect(not missing, f"every parameter and persistent buffer must be in a stage; in none: {', '.join(missing[:5])}")


def prefix(specimen: Specimen) -> None:
    """Running the first stages and then the rest gives the same result as running all together."""
    backbone = specimen.copy()
    with torch.inference_mode():
        prepared = backbone.prepare(noise(backbone.spec, 24.3, 5))
        whole, activation = backbone.run(prepared), prepared
        outputs = []
        for index in range(len(backbone.stages())):
            activation = backbone.run(activation, index, index + 1)
            outputs.append(tuple(activation.shape))
        expect(
            len(set(outputs[-backbone.layer_stages :])) == 1,
            f"outputs of the last {backbone.layer_stages} stages (`layer_stages`) must have one shape, got {outputs}",
        )
        expect_same(
            activation, whole, "running the stages one by one must give the same result as running all together"
        )
        half = len(backbone.stages()) // 2
        requirement = f"running {half} stages, then the rest, must give the same result as running all together"
        expect_same(backbone.run(backbone.run(prepared, stop=half), half), whole, requirement)


def frozen(specimen: Specimen) -> None:
    """A training step leaves the parameters and buffers of frozen stages unchanged, and these stay in eval mode."""
    backbone = specimen.copy()
    apply_freezing(backbone, Partial(1), 0)
    backbone.train().eval().train()
    *frozen_stages, free = backbone.stages()
    for name, stage in frozen_stages:
        awake = any(module.training for module in stage.modules())
        expect(not awake, f"a frozen stage must stay in eval mode through train(); {name} does not")
        needs_gradient = any(parameter.requires_grad for parameter in stage.parameters())
        expect(not needs_gradient, f"the parameters of a frozen stage must not require gradients; those of {name} do")
    training = all(module.training for module in free.module.modules())
    expect(training, f"a stage that is not frozen must be in training mode; {free.name} is not")
    before = {name: _state(stage) for name, stage in frozen_stages}
    if any(parameter.requires_grad for parameter in backbone.parameters()):
        _step(backbone)
    for name, stage in frozen_stages:
        expect_bits(_state(stage), before[name], f"a training step must not change the frozen stage {name}")
    apply_freezing(backbone, Full(), 0)
    all_before = _state(backbone.train())
    backbone(noise(backbone.spec, 25, 3))
    expect_bits(_state(backbone), all_before, "training must not change a completely frozen backbone")


def gradients(specimen: Specimen) -> None:
    """A finite gradient reaches every parameter."""
    backbone = specimen.copy()
    backbone.hold(())
    backbone.train().requires_grad_(True)
    waves = [noise(backbone.spec, hops, seed) for seed, hops in enumerate(BATCH_HOPS[-2:])]
    expect_gradients(backbone, backbone(Waveform.batch(waves)).values.square().mean())


def _step(backbone: Backbone) -> None:
    free = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(free, lr=RATE)
    loss = backbone(noise(backbone.spec, 25, 3)).values.square().mean()
    if loss.requires_grad and math.isfinite(loss.item()):
        loss.backward()
        optimizer.step()


def _state(module: torch.nn.Module) -> Mapping[str, Tensor]:
    """All tensors of a module, including buffers that are not saved."""
    return {name: tensor.clone() for name, tensor in (*module.named_parameters(), *module.named_buffers())}


BACKBONE_CHECKS = (shapes, num_frames, batch, padding, stages, prefix, frozen, gradients)
