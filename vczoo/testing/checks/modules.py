"""Conformance checks of every part that is a torch module. A check raises `ContractError` if it fails.

The checks use the part as a run does. They save its tensors to a safetensors file, and load that into another part or
into one that was built on the meta device.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from vczoo.io.tensor_file import write_tensors
from vczoo.io.tensors import load_strictly, read_tensors
from vczoo.models.meta_init import init_on_meta, meta_tensors
from vczoo.modules.interfaces.backbone import Backbone
from vczoo.modules.interfaces.heads import Head, VoiceHead
from vczoo.testing.checks.expectations import expect, expect_bits, expect_same, truncated_list
from vczoo.testing.checks.specimen import Specimen, UnsupportedError

__all__ = ["MODULE_CHECKS"]

THREADS = 3
OUTLINE_SHARE, OUTLINE_BYTES = 0.05, 2**20  # weights that may be allocated on the meta device, such as scales of ones
BFLOAT16_CLOSE = 0.2  # for 8 bits of mantissa through a whole network
FLOAT64_CLOSE = 1e-2
GPU_CLOSE = 5e-2  # for TF32
TRAINING_SEED = 7


def same_seed(specimen: Specimen) -> None:
    """The same seed gives the same tensors and the same training loss; the same input gives the same output."""
    part = specimen.another(0)
    expect_bits(_state(part), _state(specimen.part), "the same seed must make the same part")
    same = torch.equal(specimen.infer(specimen.copy()), specimen.plain())
    expect(same, "the same input must give the same output in eval mode, bit by bit")
    losses = []
    for _ in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(TRAINING_SEED)
            losses.append(specimen.loss(specimen.copy().train()))
    if losses[0] is not None and losses[1] is not None:
        expect(torch.equal(losses[0], losses[1]), "the same seed must give the same loss in training")


def save_load(specimen: Specimen) -> None:
    """A part that loads the saved tensors of another has the same bytes, and gives the same output."""
    tensors = dict(specimen.part.state_dict())
    other = specimen.another()
    _through_a_file(tensors, other)
    expect_bits(other.state_dict(), tensors, "saved and loaded tensors must be the same, byte by byte")
    same = torch.equal(specimen.infer(other), specimen.plain())
    expect(same, "a part with the same tensors must give the same output: they must hold all of its state")


def outline(specimen: Specimen) -> None:
    """A part built on the meta device has the same tensors without their memory, and works once they are loaded."""
    with init_on_meta():
        other = specimen.another()
    expected, actual = _slots(specimen.part), _slots(other)
    differing = [name for name in expected.keys() | actual.keys() if expected.get(name) != actual.get(name)]
    expect(
        not differing,
        "a part built on the meta device must have tensors of the same names, shapes and types; different: "
        f"{truncated_list(differing)}",
    )
    weights = sum(parameter.nbytes for parameter in specimen.part.parameters())
    allocated = sum(parameter.nbytes for parameter in other.parameters() if not parameter.is_meta)
    allowed = max(OUTLINE_BYTES, OUTLINE_SHARE * weights)
    expect(
        allocated <= allowed,
        f"a part built on the meta device must not allocate its weights; {allocated} of {weights} bytes are allocated",
    )
    _through_a_file(dict(specimen.part.state_dict()), other)
    missing = meta_tensors(other)
    expect(
        not missing,
        "a part built on the meta device must have values for tensors that are not saved; without values: "
        f"{truncated_list(missing)}",
    )
    same = torch.equal(specimen.infer(other), specimen.plain())
    expect(same, "a part built on the meta device must give the same output once its tensors are loaded")


def bfloat16(specimen: Specimen) -> None:
    """Under bfloat16 autocast, which training may use, the output is finite.

    Except for voice heads and vocoders, it is also close to the output without autocast.
    """
    with torch.autocast("cpu", torch.bfloat16):
        rounded = specimen.infer(specimen.copy()).float()
    expect(bool(rounded.isfinite().all()), "the output must be finite under bfloat16 autocast")
    # Other parts may magnify a small difference, as a phase does.
    if isinstance(specimen.part, Backbone | Head) and not isinstance(specimen.part, VoiceHead):
        plain = specimen.plain()
        difference = float((rounded - plain).norm() / plain.norm().clamp(min=1e-6))
        expect(
            difference <= BFLOAT16_CLOSE,
            f"the output under bfloat16 autocast must be nearly the same; the relative difference is {difference:.2g}, "
            f"and at most {BFLOAT16_CLOSE} is allowed",
        )


def float64(specimen: Specimen) -> None:
    """The output in float64 is nearly the same. Skipped if the part does not run in float64."""
    try:
        double = specimen.infer(specimen.copy().double(), dtype=torch.float64)
    except RuntimeError as error:
        raise UnsupportedError(f"does not run in float64 ({error})") from error
    expect_same(double.float(), specimen.plain(), "the output in float64 must be nearly the same", close=FLOAT64_CLOSE)


def devices(specimen: Specimen) -> None:
    """`to` moves every tensor, so that none is hidden in a plain attribute. The output on a GPU is nearly the same."""
    moved = specimen.copy().to("meta")
    left = [name for name, tensor in _all_tensors(moved) if not tensor.is_meta]
    expect(not left, f"`to` must move every tensor; register these as buffers: {truncated_list(left)}")
    if torch.cuda.is_available():
        output = specimen.infer(specimen.copy().cuda(), device="cuda").cpu()
        expect_same(output, specimen.plain(), "the output on a GPU must be nearly the same", close=GPU_CLOSE)


def threads(specimen: Specimen) -> None:
    """Several threads that share a part get the same output as one thread."""
    part = specimen.copy()
    expected = [specimen.plain(seed) for seed in range(THREADS)]
    start = threading.Barrier(THREADS)
    faults: list[str] = []

    def work(seed: int) -> None:
        try:
            start.wait()
            expect_same(specimen.infer(part, seed), expected[seed], "threads must not affect one another")
        except Exception as error:  # reported by the main thread below
            faults.append(str(error))

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    expect(not faults, f"several threads must be able to share a part: {'; '.join(faults[:1])}")


def _through_a_file(tensors: Mapping[str, Tensor], other: nn.Module) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "part.safetensors"
        write_tensors(file, tensors)
        load_strictly(other, read_tensors(file), where="the saved file of the same part")


def _slots(module: nn.Module) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in module.state_dict().items()}


def _state(part: object) -> Mapping[str, Tensor]:
    assert isinstance(part, nn.Module)
    return dict((*part.named_parameters(), *part.named_buffers()))


def _all_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters, buffers, and tensors in plain attributes of modules."""
    yield from module.named_parameters()
    yield from module.named_buffers()
    for prefix, child in module.named_modules():
        for name, value in vars(child).items():
            values = (
                value if isinstance(value, list | tuple) else value.values() if isinstance(value, dict) else [value]
            )
            if not name.startswith("_"):
                yield from ((f"{prefix}.{name}".strip("."), item) for item in values if isinstance(item, Tensor))


MODULE_CHECKS = (same_seed, save_load, outline, bfloat16, float64, devices, threads)
