"""A run of the next base model, from Whisper's layers, the trained content and heads, and the trained vocoder.

    python -m benchmarks.data.base_model_start --whisper WHISPER/model.safetensors --out runs/start

It can be measured (`benchmarks.quality.base_model --model ./runs/start`), and trained further: `start: ./runs/start` in
a recipe. WHISPER is openai/whisper-tiny.en.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vczoo.io.tensors import load_strictly, read_tensors
from vczoo.models.build import build, checked_recipe
from vczoo.runs.run import Run
from vczoo.runs.run_writer import save_run

FOLDER = Path(__file__).parent / "next_base"


def main(arguments: list[str] | None = None) -> None:
    """Build the model and save it as a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whisper", type=Path, required=True, help="the checkpoint of Whisper tiny.en")
    parser.add_argument("--tensors", type=Path, default=FOLDER / "content-and-heads.safetensors")
    parser.add_argument("--vocoder", type=Path, default=FOLDER / "vocoder.safetensors")
    parser.add_argument("--recipe", type=Path, default=FOLDER / "pretrain.yaml")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the run")
    options = parser.parse_args(arguments)
    print(start(options.recipe, options.whisper, options.tensors, options.vocoder, options.out))


def start(recipe_file: Path, whisper: Path, tensors_file: Path, vocoder: Path, out: Path) -> Path:
    """Save the run, and return its folder. Its heads know as many speakers as the tensors have centers."""
    recipe = checked_recipe(recipe_file, [f"backbone.weights={whisper}"])
    tensors = read_tensors(tensors_file)
    speakers = next(len(tensor) for name, tensor in tensors.items() if name.endswith("centres"))
    model = build(recipe, speakers)
    places = model.tensors()
    for name, tensor in tensors.items():
        places[name].data.copy_(tensor)
    assert model.vocoder is not None
    load_strictly(model.vocoder, read_tensors(vocoder), where=str(vocoder))
    # The names of the speakers are not kept; only the number of centers counts.
    names = tuple(f"speaker-{number}" for number in range(speakers))
    run = Run(recipe, model.eval(), names, {}, licence="cc-by-sa-4.0")
    save_run(run, out)
    return out


if __name__ == "__main__":
    main()
