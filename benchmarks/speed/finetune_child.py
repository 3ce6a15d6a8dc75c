"""Child processes of `speed/finetune.py`: one job each, from a mapping of plain values to its figures.

A job has: kind (frozen or partial), manifest, folder, weights (a file), mels, columns, speakers, epochs, batch, seed,
overrides (of vczoo's recipe), cache (a folder, or None), baseline (plain, head, trainer or fastai).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.data.fsdd import HOP_SECONDS

RECIPES = Path(__file__).resolve().parent / "recipes"
Job = Mapping[str, Any]


def recipe_of(job: Job) -> Path:
    return RECIPES / f"vgg16-{job['kind']}.yaml"


def overrides_of(job: Job) -> list[str]:
    return [
        f"backbone.weights={job['weights']}",
        f"backbone.num_mels={job['mels']}",
        f"training.epochs={job['epochs']}",
        f"training.patience={job['epochs']}",
        f"training.batch_size={job['batch']}",
        f"training.crop_seconds={job['columns'] * HOP_SECONDS:g}",
        f"training.seed={job['seed']}",
        *job["overrides"],
    ]


def ours(job: Job) -> dict[str, Any]:
    """A fine-tune with vczoo, on the CPU like the others."""
    import vczoo

    out = Path(tempfile.mkdtemp(dir=job["folder"])) / "run"
    cache = Path(job["cache"]) if job["cache"] else False
    recipe, overrides = recipe_of(job), overrides_of(job)
    converter = vczoo.finetune(recipe, job["manifest"], out, overrides, cache=cache, device="cpu", progress=False)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return {
        "test": converter.metrics["test"]["speaker.accuracy"],
        "validation": converter.metrics["validation"]["speaker.accuracy"],
        "history": [line["validation"]["speaker.accuracy"] for line in lines],
        "training_seconds": converter.metrics["seconds"],
        "vczoo": vczoo.__version__,
    }


def baseline(job: Job) -> dict[str, Any]:
    """A fine-tune in one of the usual ways."""
    from benchmarks.speed import baselines

    outcome: dict[str, Any] = baselines.WAYS[job["baseline"]](job)
    return outcome


def profile(job: Job) -> dict[str, Any]:
    """Where the seconds of a fine-tune with vczoo go, including imports."""
    import cProfile

    from benchmarks.speed.roofline import own_times

    recorder = cProfile.Profile()
    recorder.runcall(ours, job)
    return {"own_seconds": own_times(recorder), "epochs": job["epochs"]}


def limits(job: Job) -> dict[str, Any]:
    """FLOPs per image, and FLOP/s of this machine."""
    from benchmarks.speed.roofline import flops_an_image, matrix_rate

    overrides = [*overrides_of(job), "backbone.weights=random"]
    flops = flops_an_image(recipe_of(job), overrides, job["mels"], job["columns"], job["speakers"])
    return {"flops_an_image": flops, "flops_a_second": matrix_rate()}


def weights(job: Job) -> dict[str, Any]:
    """Write the random trunk weights that all rows start from."""
    from safetensors.torch import save_file

    from benchmarks.speed.baselines import random_trunk

    save_file(random_trunk(job["seed"]), job["weights"])
    return {}


def imports(job: Job) -> dict[str, Any]:
    """Import what the rows import, so that none of them is the first to read it from disk."""
    import torchvision

    import vczoo.training.finetune

    if job["baseline"] == "trainer":
        from transformers import Trainer  # noqa: F401
    if job["baseline"] == "fastai":
        import fastai.callback.schedule  # noqa: F401
    return {"torchvision": torchvision.__version__, "vczoo": vczoo.__version__}


WORK: dict[str, Callable[[Job], dict[str, Any]]] = {
    work.__name__: work for work in (ours, baseline, profile, limits, weights, imports)
}
