"""Fixtures of `speed/hub.py`: a Hub on this machine, base weights of the published sizes, and runs as if fine-tuned.

A recipe's name gives the folder of a run, or the run's name on that Hub. Noise on the weights that the recipe's
freezing strategy trains stands in for a fine-tune, and random values for published weights: neither sizes nor times
depend on the values.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SPEAKERS, VOICES = 6, 2
NOISE = 1e-3
TERMS = {"license": "cc-by-4.0", "consent": "synthetic", "share_frames": True}
# The formats that torchvision publishes: VGG16 was saved before torch 1.6, so it is not a zip archive.
ARCHIVES = {"vgg16": False, "resnet18": True}
TINY_EN = {"decoder_layers": 4, "decoder_attention_heads": 6, "decoder_ffn_dim": 1536, "vocab_size": 51864}


@dataclass(frozen=True)
class Speakers:
    """Runs of speakers, each built once.

    Attributes:
        folder: The folder of runs, bases and caches.
    """

    folder: Path

    def run(self, recipe: str, *overrides: str) -> Path:
        """The folder of a run with six speakers and two voices of two seconds each."""
        import torch

        import vczoo
        from vczoo.conversion.converter import Converter
        from vczoo.models.build import build, checked_recipe
        from vczoo.runs.run import Run

        place = self.folder / "-".join([recipe, *overrides])
        if place.exists():
            return place
        torch.manual_seed(0)
        chosen, names = checked_recipe(recipe, overrides), tuple(f"speaker{number}" for number in range(SPEAKERS))
        converter = Converter(Run(chosen, build(chosen, len(names)), names, {}))
        move(converter.run)
        for voice in names[:VOICES]:
            converter.enroll(voice, vczoo.Waveform.of(0.1 * torch.randn(1, 32000), 16000))
        return converter.save(place)

    def published(self, recipe: str, *overrides: str) -> str:
        """Publish a run and return its name on the Hub."""
        import vczoo

        name = f"me/{'-'.join([recipe, *overrides]).replace('=', '-')}"
        vczoo.load(self.run(recipe, *overrides)).push_to_hub(name, **TERMS)
        return name

    def write_bases(self) -> None:
        """Write random weights where torchvision and transformers look for the published ones, of the same sizes."""
        import torch
        from huggingface_hub import HfApi
        from torchvision.models import get_model
        from transformers import WhisperConfig, WhisperModel

        from vczoo_torchvision import weights_of
        from vczoo_torchvision.weights import cached
        from vczoo_transformers import models

        torch.manual_seed(0)
        for model, archive in ARCHIVES.items():
            path = cached(weights_of(model)[0])
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(get_model(model, weights=None).state_dict(), path, _use_new_zipfile_serialization=archive)
        line = models()["whisper-tiny.en"]
        WhisperModel(WhisperConfig(**{**line["config"], **TINY_EN})).save_pretrained(self.folder / "whisper")
        owner = HfApi(token="hf_openai")
        owner.create_repo(line["source"])
        owner.upload_folder(repo_id=line["source"], folder_path=self.folder / "whisper")


def move(run: Any) -> None:
    """Add noise to all backbone tensors that the recipe's freezing strategy trains by the last epoch."""
    import torch

    from vczoo.models.build import build_freezing

    backbone = run.model.backbone
    build_freezing(run.recipe, run.model).apply(run.model, run.recipe.training.epochs - 1)
    with torch.no_grad():
        for module in backbone.modules():
            free = [parameter for parameter in module.parameters(recurse=False) if parameter.requires_grad]
            # A trained norm also changes its statistics and its counter.
            for tensor in (*free, *(module.buffers(recurse=False) if free else ())):
                tensor.add_(NOISE * torch.rand(tensor.shape) if tensor.is_floating_point() else 1)


@contextmanager
def speakers_on_a_hub() -> Iterator[Speakers]:
    """Speakers in a temporary folder, and the tests' Hub in a process of its own."""
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    from tests.support.hub.client import pointed_at

    with tempfile.TemporaryDirectory(prefix="vczoo-bench-") as place:
        command = [sys.executable, "-m", "benchmarks.speed.hub_fixtures"]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
        assert child.stdin
        assert child.stdout
        try:
            os.environ["TORCH_HOME"] = str(Path(place) / "torch")
            with pointed_at(child.stdout.readline().decode().strip(), Path(place) / "hf", "hf_me"):
                yield Speakers(Path(place))
        finally:
            child.stdin.close()
            child.wait()


def serve() -> None:
    """Serve as the Hub until standard input ends."""
    from tests.support.hub.server import HubServer

    with HubServer() as server:
        for name in ("me", "openai"):
            server.add_user(name, token=f"hf_{name}")
        print(server.endpoint, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    serve()
