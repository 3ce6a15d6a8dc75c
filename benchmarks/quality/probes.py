"""Probe classifiers of frames: trained on recordings' frames and labels, and scored by accuracy.

There are two, because one may read what the other cannot: a linear classifier of the mean and deviation of the whole
recording and of each third, and a small network over the frames that learns where to attend (attentive statistics,
arXiv:1803.10963). Both are seeded; the validation set chooses the linear one's weight decay and the network's epoch.
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
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)  # candidate weight decays of the linear classifier
WIDTH, KERNEL, DROPOUT = 128, 5, 0.2
EPOCHS, PATIENCE, BATCH, RATE, DECAY = 40, 6, 32, 2e-3, 0.01
LEAST_DEVIATION = 1e-3  # the smallest divisor: after a normalization, less than this is rounding error
Logits = Callable[[Sequence[Tensor]], Tensor]


@dataclass(frozen=True)
class Labelled:
    """Frames of N recordings, each (T, C), and the indices of their labels, (N,)."""

    frames: Sequence[Tensor]
    labels: Tensor


def linear(train: Labelled, validation: Labelled, classes: int, seed: int = 0) -> Logits:
    """Logistic regression on pooled frames, by L-BFGS; it has a single optimum, so it ignores the seed."""
    pooled_train = torch.stack([pooled(frames) for frames in train.frames])
    mean, deviation = pooled_train.mean(dim=0), pooled_train.std(dim=0).clamp(min=LEAST_DEVIATION)

    def inputs(frames: Sequence[Tensor]) -> Tensor:
        return (torch.stack([pooled(values) for values in frames]) - mean) / deviation

    train_inputs, validation_inputs = inputs(train.frames), inputs(validation.frames)
    candidates = []
    for strength in STRENGTHS:
        layer = nn.Linear(train_inputs.shape[1], classes)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        descent = torch.optim.LBFGS(layer.parameters(), max_iter=100, line_search_fn="strong_wolfe")

        def step(layer: nn.Linear = layer, descent: torch.optim.Optimizer = descent, strength: float = strength):
            descent.zero_grad()
            loss = F.cross_entropy(layer(train_inputs), train.labels) + strength * layer.weight.square().sum()
            loss.backward()
            return loss

        descent.step(step)
        with torch.no_grad():
            loss = F.cross_entropy(layer(validation_inputs), validation.labels).item()
            candidates.append((loss, len(candidates), layer))
    best = min(candidates)[-1]
    return lambda frames: best(inputs(frames)).detach()


def pooled(frames: Tensor) -> Tensor:
    """Mean and deviation of the whole recording and of each third: (T, C) -> (8 C,)."""
    length = frames.shape[0]
    edges = [round(third * length / THIRDS) for third in range(THIRDS + 1)]
    parts = [frames, *(frames[a : max(b, a + 1)] if a < length else frames[-1:] for a, b in pairwise(edges))]
    return torch.cat([torch.cat([part.mean(dim=0), part.std(dim=0, unbiased=False)]) for part in parts])


class FrameNet(nn.Module):
    """Two convolutions, attentive and plain statistics pooling, and a linear layer."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(channels, WIDTH, KERNEL, padding=KERNEL // 2)
        self.second = nn.Conv1d(WIDTH, WIDTH, KERNEL, padding=KERNEL // 2)
        self.attention = nn.Linear(WIDTH, WIDTH)
        self.dropout = nn.Dropout(DROPOUT)
        self.last = nn.Linear(4 * WIDTH, classes)

    def forward(self, frames: vczoo.Frames) -> Tensor:
        """Logits of a batch of recordings: (B, T, C) -> (B, classes)."""
        mask = frames.mask()
        hidden = F.gelu(self.first(frames.values.transpose(1, 2))).transpose(1, 2) * mask
        hidden = F.gelu(self.second(self.dropout(hidden).transpose(1, 2))).transpose(1, 2)
        weights = self.attention(hidden).masked_fill(~mask, -math.inf).softmax(dim=1)
        mean = (weights * hidden).sum(dim=1)
        spread = (weights * (hidden - mean[:, None]).square()).sum(dim=1)
        statistics = torch.cat([mean, (spread + 1e-5).sqrt(), frames.with_values(hidden).pool()], dim=1)
        return self.last(self.dropout(statistics))


def network(train: Labelled, validation: Labelled, classes: int, seed: int = 0) -> Logits:
    """A small network over the frames, trained until the validation loss has not fallen for `PATIENCE` epochs."""
    all_frames = torch.cat(list(train.frames))
    mean, deviation = all_frames.mean(dim=0), all_frames.std(dim=0).clamp(min=LEAST_DEVIATION)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = FrameNet(all_frames.shape[1], classes)

        def logits(frames: Sequence[Tensor]) -> Tensor:
            return net(vczoo.Frames.batch([vczoo.Frames.of((values - mean) / deviation) for values in frames]))

        @torch.no_grad()
        def evaluate(frames: Sequence[Tensor]) -> Tensor:
            net.eval()
            return torch.cat([logits(frames[at : at + 4 * BATCH]) for at in range(0, len(frames), 4 * BATCH)])

        descent = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
        best_loss, best_weights, epochs_without_gain = math.inf, copy.deepcopy(net.state_dict()), 0
        for _ in range(EPOCHS):
            net.train()
            for indices in torch.randperm(len(train.frames)).split(BATCH):
                loss = F.cross_entropy(logits([train.frames[index] for index in indices]), train.labels[indices])
                descent.zero_grad()
                loss.backward()
                descent.step()
            validation_loss = F.cross_entropy(evaluate(validation.frames), validation.labels).item()
            epochs_without_gain = 0 if validation_loss < best_loss else epochs_without_gain + 1
            if validation_loss < best_loss:
                best_loss, best_weights = validation_loss, copy.deepcopy(net.state_dict())
            if epochs_without_gain == PATIENCE:
                break
    net.load_state_dict(best_weights)
    return evaluate


PROBES: Mapping[str, Callable[..., Logits]] = {"linear": linear, "network": network}


def accuracy(logits: Logits, test: Labelled) -> float:
    """Share of recordings whose most likely label is right."""
    return float((logits(test.frames).argmax(dim=1) == test.labels).float().mean())


def chance(labels: Tensor) -> float:
    """Accuracy of always answering with the most common label."""
    return float(labels.bincount().max()) / len(labels)
