"""What every part that is a torch module promises: a `Specimen` in; nothing out, or a `ContractError`.

What is made of it is what a run does with it: tensors go to a safetensors file and back, into an outline too.
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
from vczoo.modules.interfaces.heads import FrameHead, LabelHead, SpeakerHead, TextHead
from vczoo.testing.checks.expectations import expect, expect_bits, expect_same, truncated_list
from vczoo.testing.checks.specimen import Specimen, UnsupportedError

__all__ = ["MODULE_CHECKS"]

THREADS = 3
OUTLINE_SHARE, OUTLINE_BYTES = 0.05, 2**20  # of weights that an outline may hold: scales that are filled with ones
BFLOAT16_CLOSE = 0.2  # 8 bits of mantissa, through a whole network
FLOAT64_CLOSE = 1e-2
GPU_CLOSE = 5e-2  # TF32
SPENT_SEED = 7


def same_seed(specimen: Specimen) -> None:
    """One seed makes the same tensors twice; the same input gives the same bits; so does a training step."""
    part = specimen.another(0)
    expect_bits(_state(part), _state(specimen.part), "the same seed makes the same part")
    promise = "the same input gives the same bits in eval mode"
    expect(torch.equal(specimen.infer(specimen.copy()), specimen.plain()), promise)
    losses = []
    for _ in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SPENT_SEED)
            losses.append(specimen.loss(specimen.copy().train()))
    if losses[0] is not None and losses[1] is not None:
        expect(torch.equal(losses[0], losses[1]), "the same seed gives the same loss in training")


def save_load(specimen: Specimen) -> None:
    """Tensors that go to a safetensors file and, strictly, into another part are the same bytes and do the same."""
    tensors = dict(specimen.part.state_dict())
    other = specimen.another()
    _through_a_file(tensors, other)
    expect_bits(other.state_dict(), tensors, "tensors that are saved and loaded are the same bytes")
    promise = "a part with another's tensors does the same, bit by bit: all that it knows is in them"
    expect(torch.equal(specimen.infer(other), specimen.plain()), promise)


def outline(specimen: Specimen) -> None:
    """An outline names the same tensors, takes no memory for weights, and works once a run's tensors are put in."""
    with init_on_meta():
        other = specimen.another()
    real, found = _slots(specimen.part), _slots(other)
    apart = [name for name in real.keys() | found.keys() if real.get(name) != found.get(name)]
    expect(
        not apart,
        f"an outline names the tensors of the whole part, shapes and types too; {truncated_list(apart)} differ",
    )
    weights = sum(parameter.nbytes for parameter in specimen.part.parameters())
    held = sum(parameter.nbytes for parameter in other.parameters() if not parameter.is_meta)
    allowed = max(OUTLINE_BYTES, OUTLINE_SHARE * weights)
    expect(held <= allowed, f"an outline takes no memory for weights; {held} of {weights} bytes are there")
    _through_a_file(dict(specimen.part.state_dict()), other)
    expect(
        not meta_tensors(other),
        f"what is not saved is made in an outline; {truncated_list(meta_tensors(other))} have no values",
    )
    promise = "an outline that is filled does what the part does, bit by bit"
    expect(torch.equal(specimen.infer(other), specimen.plain()), promise)


def bfloat16(specimen: Specimen) -> None:
    """Under bfloat16 autocast, as training uses it, it gives what is finite, and a network's frames are close."""
    with torch.autocast("cpu", torch.bfloat16):
        rounded = specimen.infer(specimen.copy()).float()
    expect(bool(rounded.isfinite().all()), "under bfloat16 autocast everything is finite")
    if isinstance(
        specimen.part, Backbone | SpeakerHead | TextHead | LabelHead | FrameHead
    ):  # elsewhere a phase makes much of a little
        plain = specimen.plain()
        apart = float((rounded - plain).norm() / plain.norm().clamp(min=1e-6))
        expect(apart <= BFLOAT16_CLOSE, f"under bfloat16 autocast it gives nearly the same; it is {apart:.2g} apart")


def float64(specimen: Specimen) -> None:
    """In float64 it gives nearly the same, where it runs in float64."""
    try:
        double = specimen.infer(specimen.copy().double(), dtype=torch.float64)
    except RuntimeError as error:
        raise UnsupportedError(f"it does not run in float64 ({error})") from error
    expect_same(double.float(), specimen.plain(), "in float64 it gives nearly the same", close=FLOAT64_CLOSE)


def devices(specimen: Specimen) -> None:
    """`to` takes every tensor along: none hides in a plain attribute. On a GPU it does the same."""
    moved = specimen.copy().to("meta")
    hidden = [name for name, tensor in _all_tensors(moved) if not tensor.is_meta]
    expect(not hidden, f"`to` takes every tensor along; {truncated_list(hidden)} stay behind: register them as buffers")
    if torch.cuda.is_available():
        there = specimen.infer(specimen.copy().cuda(), device="cuda").cpu()
        expect_same(there, specimen.plain(), "on a GPU it gives nearly the same", close=GPU_CLOSE)


def threads(specimen: Specimen) -> None:
    """Several threads that use one part get what one thread gets."""
    part = specimen.copy()
    wanted = [specimen.plain(seed) for seed in range(THREADS)]
    start = threading.Barrier(THREADS)
    faults: list[str] = []

    def work(seed: int) -> None:
        try:
            start.wait()
            expect_same(specimen.infer(part, seed), wanted[seed], "threads do not hear one another")
        except Exception as error:  # of another thread's making: it is told below
            faults.append(str(error))

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    expect(not faults, f"several threads may use one part at a time: {'; '.join(faults[:1])}")


def _through_a_file(tensors: Mapping[str, Tensor], other: nn.Module) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "part.safetensors"
        write_tensors(file, tensors)
        load_strictly(other, read_tensors(file), where="what was saved of the same part")


def _slots(module: nn.Module) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in module.state_dict().items()}


def _state(part: object) -> Mapping[str, Tensor]:
    assert isinstance(part, nn.Module)
    return dict((*part.named_parameters(), *part.named_buffers()))


def _all_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters, buffers, and tensors in plain attributes of modules."""
    yield from module.named_parameters()
    yield from module.named_buffers()
    for place, child in module.named_modules():
        for name, value in vars(child).items():
            held = value if isinstance(value, list | tuple) else value.values() if isinstance(value, dict) else [value]
            if not name.startswith("_"):
                yield from ((f"{place}.{name}".strip("."), one) for one in held if isinstance(one, Tensor))


MODULE_CHECKS = (same_seed, save_load, outline, bfloat16, float64, devices, threads)
