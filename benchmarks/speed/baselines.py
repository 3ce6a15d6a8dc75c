"""Baseline fine-tunes of VGG16: a plain loop, Hugging Face's `Trainer` and fastai, from images to accuracy.

torchvision's VGG16 with `requires_grad=False` on the whole trunk, or on all but its last stage of convolutions, and a
new classifier 25088-1024-512-speakers with ReLU and dropout; Adam at 1e-3, cross-entropy. The trunk runs in every
epoch. One row has the head and the rate of vczoo's recipe instead, so that the cache is the only difference. The images
are those that vczoo's VGG16 reads (`backbone.prepare`), and the trunk's weights are the same too.
"""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

LAST_STAGE = 24  # where the last stage of convolutions begins in torchvision's `vgg16().features`
LEARNING_RATE = 1e-3
OUR_RATES = {"frozen": 3e-3, "partial": 1e-3}  # as in `recipes/`
POOLED = (7, 7)
FEATURES = 512 * POOLED[0] * POOLED[1]


class PlainVGG(nn.Module):
    """VGG16 with a classifier for speakers: (B, 3, H, W) -> (B, num_speakers)."""

    def __init__(self, num_speakers: int, tensors: dict[str, Tensor], train_last_stage: bool) -> None:
        super().__init__()
        from torchvision.models import vgg16

        with torch.device("meta"):  # or its own classifier of 124 million parameters would be initialized for nothing
            self.features = vgg16(weights=None).features
        self.features.to_empty(device="cpu").load_state_dict(
            {name.removeprefix("features."): value for name, value in tensors.items() if name.startswith("features.")}
        )
        self.features.requires_grad_(False)
        if train_last_stage:
            self.features[LAST_STAGE:].requires_grad_(True)
        self.classifier = usual_classifier(num_speakers)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))


def usual_classifier(num_speakers: int) -> nn.Sequential:
    """A new classifier for the trunk's map, flattened as VGG16's own."""
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(POOLED),
        nn.Flatten(),
        nn.Linear(FEATURES, 1024),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(1024, 512),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(512, num_speakers),
    )


class Moments(nn.Module):
    """Mean and deviation over time: (B, C, H, W) -> (B, 2 * C * H)."""

    def forward(self, maps: Tensor) -> Tensor:
        columns = maps.flatten(1, 2)
        deviation = (columns.var(2, correction=0) + 1e-5).sqrt()  # the gradient stays finite where all values are equal
        return torch.cat([columns.mean(2), deviation], dim=1)


def our_head(num_speakers: int, num_mels: int) -> nn.Sequential:
    """The speaker head of `recipes/`, for the trunk's map."""
    width = 2 * 512 * (num_mels // 32)
    return nn.Sequential(
        Moments(),
        nn.LayerNorm(width),
        nn.Linear(width, 128),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(128, num_speakers),
    )


def random_trunk(seed: int) -> dict[str, Tensor]:
    """The tensors of a VGG16's convolutions with torchvision's initial weights, in torchvision's naming."""
    torch.manual_seed(seed)
    with torch.device("meta"):
        from torchvision.models import vgg16

        features = vgg16(weights=None).features
    features.to_empty(device="cpu")
    for module in features:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(module.bias)
    return {f"features.{name}": value for name, value in features.state_dict().items()}


def make_image(path: Path, num_mels: int) -> Tensor:
    """A recording as the image that vczoo's vision backbones read: (3, num_mels, columns)."""
    from vczoo import LogMel, MelSpec, Waveform, mel_image

    spec = MelSpec(num_mels=num_mels)
    mel = LogMel(spec)(Waveform.read(path, spec.sample_rate_hz))
    return mel_image(mel, spec, width_multiple=32)[0]


def read_images(manifest: Path, num_mels: int) -> dict[str, TensorDataset]:
    """Images and speaker indices of each split, computed once."""
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    speakers = sorted({row["speaker"] for row in rows})
    datasets = {}
    for split in ("train", "validation", "test"):
        own = [row for row in rows if row["split"] == split]
        images = torch.stack([make_image(Path(row["path"]), num_mels) for row in own])
        datasets[split] = TensorDataset(images, torch.tensor([speakers.index(row["speaker"]) for row in own]))
    return datasets


def prepare(job: dict[str, Any]) -> tuple[PlainVGG, dict[str, TensorDataset]]:
    from safetensors.torch import load_file

    random.seed(job["seed"])
    np.random.seed(job["seed"])
    torch.manual_seed(job["seed"])
    data = read_images(Path(job["manifest"]), job["mels"])
    speakers = int(data["train"].tensors[1].max()) + 1
    model = PlainVGG(speakers, load_file(job["weights"]), job["kind"] == "partial")
    if job["baseline"] == "head":
        model.classifier = our_head(speakers, job["mels"])
    return model, data


@torch.no_grad()
def accuracy(model: nn.Module, data: TensorDataset, batch_size: int) -> float:
    model.eval()
    right = sum(int((model(images).argmax(1) == speakers).sum()) for images, speakers in DataLoader(data, batch_size))
    return right / len(data)


def plain(job: dict[str, Any]) -> dict[str, Any]:
    """A plain training loop, with validation after each epoch, as the others have."""
    model, data = prepare(job)
    rate = OUR_RATES[job["kind"]] if job["baseline"] == "head" else LEARNING_RATE
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=rate)
    loader = DataLoader(data["train"], job["batch"], shuffle=True)
    history = []
    for _ in range(job["epochs"]):
        model.train()
        for images, speakers in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images), speakers)
            loss.backward()
            optimizer.step()
        history.append(accuracy(model, data["validation"], job["batch"]))
    return {"validation": history[-1], "history": history, "test": accuracy(model, data["test"], job["batch"])}


def trainer(job: dict[str, Any]) -> dict[str, Any]:
    """Hugging Face's `Trainer` with its defaults, except for the rate and no weight decay."""
    from transformers import Trainer, TrainingArguments

    class ForTrainer(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
            logits = self.model(images)
            return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}

    def collate(items: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        images, labels = zip(*items, strict=True)
        return {"images": torch.stack(images), "labels": torch.stack(labels)}

    model, data = prepare(job)
    settings = TrainingArguments(
        output_dir=str(Path(job["folder"], "trainer")),
        num_train_epochs=job["epochs"],
        per_device_train_batch_size=job["batch"],
        per_device_eval_batch_size=job["batch"],
        learning_rate=LEARNING_RATE,
        weight_decay=0.0,
        eval_strategy="epoch",
        save_strategy="no",
        logging_strategy="epoch",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        use_cpu=True,
        seed=job["seed"],
    )
    run = Trainer(
        model=ForTrainer(model),
        args=settings,
        train_dataset=data["train"],
        eval_dataset=data["validation"],
        data_collator=collate,
        compute_metrics=lambda output: {"accuracy": float((output.predictions.argmax(1) == output.label_ids).mean())},
    )
    run.train()
    history = [line["eval_accuracy"] for line in run.state.log_history if "eval_accuracy" in line]
    return {"validation": history[-1], "history": history, "test": accuracy(model, data["test"], job["batch"])}


def fastai(job: dict[str, Any]) -> dict[str, Any]:
    """fastai's `Learner.fine_tune` with its own Adam and schedule: one epoch for the classifier, the rest for all.

    "All" means the stages that train: the frozen part of the trunk is in none of the groups that it unfreezes.
    """
    from functools import partial

    import fastai.callback.schedule  # noqa: F401  (which adds `fine_tune`)
    from fastai.callback.core import Callback
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader as FastDataLoader
    from fastai.learner import Learner
    from fastai.metrics import accuracy as fast_accuracy
    from fastai.optimizer import Adam

    history: list[float] = []

    class Validated(Callback):  # type: ignore[misc]
        """Collect each epoch's accuracy, because the recorder drops the first phase in the second."""

        order = 60  # after the recorder

        def after_epoch(self) -> None:
            history.append(float(self.learn.final_record[-1]))

    def trained(model: PlainVGG) -> list[list[nn.Parameter]]:
        groups = [list(model.features[LAST_STAGE:].parameters())] if job["kind"] == "partial" else []
        return [*groups, list(model.classifier.parameters())]

    model, data = prepare(job)
    train = FastDataLoader(data["train"], bs=job["batch"], shuffle=True, device="cpu")
    validation = FastDataLoader(data["validation"], bs=job["batch"], device="cpu")
    learner = Learner(
        DataLoaders(train, validation, device="cpu"),
        model,
        loss_func=nn.CrossEntropyLoss(),
        opt_func=partial(Adam, wd=0.0),
        metrics=fast_accuracy,
        splitter=trained,
        path=job["folder"],
    )
    with learner.no_logging():
        learner.fine_tune(job["epochs"] - 1, base_lr=LEARNING_RATE, freeze_epochs=1, wd=0.0, cbs=Validated())
    return {"validation": history[-1], "history": history, "test": accuracy(model, data["test"], job["batch"])}


WAYS = {"plain": plain, "head": plain, "trainer": trainer, "fastai": fastai}
