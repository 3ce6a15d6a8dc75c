"""Frames of recordings and their labels in; classifiers that are trained on them, and how often these are right, out.

Two of them, since what one cannot read another may: a linear one on the mean and deviation of the whole and of each
third, and a small network over the frames that learns what to look at (attentive statistics, arXiv:1803.10963). Both
are seeded, and their strength and their length of training are chosen by the validation set.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import vczoo

THIRDS = 3
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)  # of the linear one's weight decay
WIDTH, KERNEL, DROPOUT = 128, 5, 0.2
EPOCHS, PATIENCE, BATCH, RATE, DECAY = 40, 6, 32, 2e-3, 0.01
LEAST_DEVIATION = 1e-3  # that is divided by: what a normalisation leaves of its own rounding is no news
Logits = Callable[[Sequence[Tensor]], Tensor]


@dataclass(frozen=True)
class Labelled:
    """Recordings, each (T, C), and the index of each one's label, (N,)."""

    frames: Sequence[Tensor]
    labels: Tensor


def linear(train: Labelled, validation: Labelled, classes: int, seed: int = 0) -> Logits:
    """Logistic regression on pooled frames, by L-BFGS; it has one optimum, so the seed is not needed."""
    known = torch.stack([pooled(one) for one in train.frames])
    mean, deviation = known.mean(dim=0), known.std(dim=0).clamp(min=LEAST_DEVIATION)

    def inputs(frames: Sequence[Tensor]) -> Tensor:
        return (torch.stack([pooled(one) for one in frames]) - mean) / deviation

    read, held_out = inputs(train.frames), inputs(validation.frames)
    found = []
    for strength in STRENGTHS:
        layer = nn.Linear(read.shape[1], classes)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        descent = torch.optim.LBFGS(layer.parameters(), max_iter=100, line_search_fn="strong_wolfe")

        def step(layer: nn.Linear = layer, descent: torch.optim.Optimizer = descent, strength: float = strength):
            descent.zero_grad()
            loss = F.cross_entropy(layer(read), train.labels) + strength * layer.weight.square().sum()
            loss.backward()
            return loss

        descent.step(step)
        with torch.no_grad():
            found.append((F.cross_entropy(layer(held_out), validation.labels).item(), len(found), layer))
    best = min(found)[-1]
    return lambda frames: best(inputs(frames)).detach()


def pooled(frames: Tensor) -> Tensor:
    """(T, C) -> (8 C,): mean and deviation of the whole and of each third."""
    length = frames.shape[0]
    edges = [round(third * length / THIRDS) for third in range(THIRDS + 1)]
    parts = [frames, *(frames[a : max(b, a + 1)] if a < length else frames[-1:] for a, b in pairwise(edges))]
    return torch.cat([torch.cat([part.mean(dim=0), part.std(dim=0, unbiased=False)]) for part in parts])


class FrameNet(nn.Module):
    """Two convolutions, mean and deviation weighted by attention and unweighted, a linear layer."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(channels, WIDTH, KERNEL, padding=KERNEL // 2)
        self.second = nn.Conv1d(WIDTH, WIDTH, KERNEL, padding=KERNEL // 2)
        self.attention = nn.Linear(WIDTH, WIDTH)
        self.dropout = nn.Dropout(DROPOUT)
        self.last = nn.Linear(4 * WIDTH, classes)

    def forward(self, frames: vczoo.Frames) -> Tensor:
        """(B, T, C) -> (B, classes)."""
        mask = frames.mask()
        hidden = F.gelu(self.first(frames.values.transpose(1, 2))).transpose(1, 2) * mask
        hidden = F.gelu(self.second(self.dropout(hidden).transpose(1, 2))).transpose(1, 2)
        shares = self.attention(hidden).masked_fill(~mask, -math.inf).softmax(dim=1)
        mean = (shares * hidden).sum(dim=1)
        spread = (shares * (hidden - mean[:, None]).square()).sum(dim=1)
        seen = torch.cat([mean, (spread + 1e-5).sqrt(), frames.with_values(hidden).pool()], dim=1)
        return self.last(self.dropout(seen))


def network(train: Labelled, validation: Labelled, classes: int, seed: int = 0) -> Logits:
    """A small network over the frames, trained until the validation loss has not fallen for a while."""
    every = torch.cat(list(train.frames))
    mean, deviation = every.mean(dim=0), every.std(dim=0).clamp(min=LEAST_DEVIATION)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = FrameNet(every.shape[1], classes)

        def logits(frames: Sequence[Tensor]) -> Tensor:
            return net(vczoo.Frames.batch([vczoo.Frames.of((one - mean) / deviation) for one in frames]))

        @torch.no_grad()
        def judged(frames: Sequence[Tensor]) -> Tensor:
            net.eval()
            return torch.cat([logits(frames[at : at + 4 * BATCH]) for at in range(0, len(frames), 4 * BATCH)])

        descent = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
        best, kept, waited = math.inf, copy.deepcopy(net.state_dict()), 0
        for _ in range(EPOCHS):
            net.train()
            for chosen in torch.randperm(len(train.frames)).split(BATCH):
                loss = F.cross_entropy(logits([train.frames[index] for index in chosen]), train.labels[chosen])
                descent.zero_grad()
                loss.backward()
                descent.step()
            now = F.cross_entropy(judged(validation.frames), validation.labels).item()
            waited = 0 if now < best else waited + 1
            if now < best:
                best, kept = now, copy.deepcopy(net.state_dict())
            if waited == PATIENCE:
                break
    net.load_state_dict(kept)
    return judged


PROBES: Mapping[str, Callable[..., Logits]] = {"linear": linear, "network": network}


def accuracy(logits: Logits, test: Labelled) -> float:
    """How often the likeliest label is right."""
    return float((logits(test.frames).argmax(dim=1) == test.labels).float().mean())


def chance(labels: Tensor) -> float:
    """What naming the commonest label always gets."""
    return float(labels.bincount().max()) / len(labels)
