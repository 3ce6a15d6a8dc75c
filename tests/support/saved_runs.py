"""The saved runs in `tests/data/saved_runs`: how they were made, and what they are compared by.

    python -m tests.support.saved_runs

writes them again, with the code of today. Do that only to add a run: the point of these files is that an earlier
version wrote them.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

import vczoo
from tests.conftest import SMALL, SPEAKERS, synthetic_utterance
from tests.support.annotated import annotated
from vczoo.audio.frames import Frames
from vczoo.io.tensor_file import write_tensors
from vczoo.io.tensors import fingerprint
from vczoo.runs.run_folder import load_run
from vczoo.runs.run_writer import save_run

__all__ = ["FOLDER", "NAMES", "outputs", "state"]

FOLDER = Path(__file__).resolve().parents[1] / "data" / "saved_runs"
INPUT = FOLDER / "input.wav"
VOICE = "bob"

RECIPES = {
    "mel-decoder": "summary: A mel decoder and a speaker head\nextends: demo\n",
    "knn": "summary: kNN\nextends: demo-knn\n",
    "linear": """
summary: A linear map
extends: demo
heads:
  speaker: null
  voice: {use: linear, width: 16, blocks: 2}
""",
    "tasks": """
summary: Text, label and speaker heads
backbone: {use: mel-conv, weights: random, width: 16, blocks: 1}
freezing: {use: none}
heads:
  text: {use: ctc, alphabet: " aeiou", width: 16, blocks: 1}
  height: {use: classifier}
  speaker: {use: speaker-classifier, hidden: [16], weight: 0.3}
training: {epochs: 3, batch_size: 8, crop_seconds: 2, learning_rate: 0.005, backbone_rate: 1}
""",
    "taught": """
summary: A distillation head, and a speaker head whose gradient is reversed
backbone: {use: content-conv, width: 16, blocks: 1, channels: 12}
freezing: {use: none}
teacher: {use: mel-conv, width: 24, blocks: 1, weights: random}
heads:
  distil: {use: distil, channels: 24}
  speaker: {use: speaker-classifier, hidden: [16], reverse: 0.5}
training: {epochs: 3, batch_size: 8, crop_seconds: 0.64, learning_rate: 0.005, backbone_rate: 1, consistency: 0.5}
""",
}
NAMES = tuple(RECIPES)
OVERRIDES = {
    "mel-decoder": SMALL,
    "knn": [override for override in SMALL if not override.startswith("heads.voice")],
    "linear": [override for override in SMALL if not override.startswith("heads.")],
}


@torch.inference_mode()
def outputs(name: str) -> dict[str, Tensor]:
    """What a saved run makes of the recording `input.wav`: content, voice, conversion, and each head's output.

    With another number of threads, sums are rounded differently, and Griffin-Lim amplifies that to 0.001 of a sample.
    """
    torch.set_num_threads(1)
    converter = vczoo.load(FOLDER / name, device="cpu")
    model = converter.model
    wave = vczoo.Waveform.read(INPUT, model.sample_rate_hz)
    content = model.content(wave)
    values = {"content": content.values}
    values |= {f"voice.{key}": value for key, value in model.enroll([wave]).items()}
    if converter.recipe.vocoder:
        voice = converter.run.voices[VOICE].tensors
        values["converted_frames"] = model.say(content, model.pitch(wave), [(voice, 1.0)], 0.0).values
        values["converted"] = converter.convert(INPUT, VOICE).samples
    for head_name, head in model.heads.items():
        if isinstance(head, vczoo.SpeakerHead):
            values[f"{head_name}.logits"] = head.logits(content)
            values[f"{head_name}.loss"] = head.loss(content, torch.tensor([1])).value
        if isinstance(head, vczoo.LabelHead):
            values[f"{head_name}.logits"] = head.logits(content)
            values[f"{head_name}.loss"] = head.loss(content, torch.tensor([1])).value
        if isinstance(head, vczoo.TextHead):
            values[f"{head_name}.log_probabilities"] = head.log_probabilities(content).values
            values[f"{head_name}.loss"] = head.loss(content, ["a e i"]).value
        if isinstance(head, vczoo.FrameHead):
            values[f"{head_name}.frames"] = head.frames(content).values
            target = torch.linspace(-1, 1, content.longest * head.channels).reshape(1, -1, head.channels)
            values[f"{head_name}.loss"] = head.loss(content, Frames.of(target.sin())).value
        if isinstance(head, vczoo.VoiceHead) and model.acoustic_mel:
            source = vczoo.Source(content, model.backbone.spec, model.pitch(wave))
            embedding = values.get("voice.speaker.embedding")
            loss = head.loss(source, None if embedding is None else embedding[None], model.acoustic(wave))
            values |= {f"{head_name}.loss": loss.value} if loss else {}
    return {key: value.clone().contiguous() for key, value in values.items()}


def state(name: str) -> str:
    """SHA-256 of all tensors of a saved run and its voices, as they are loaded."""
    run = load_run(FOLDER / name)
    voices = {f"{voice}/{key}": value for voice in run.voices for key, value in run.voices[voice].tensors.items()}
    return fingerprint(run.model.tensors() | voices)


def write() -> None:
    """Train the runs, and write them with their outputs."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    soundfile.write(INPUT, synthetic_utterance(1, 190.0, 1.1), 16000, subtype="PCM_16")
    states = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for speaker in ("alice", "bob"):
            for number in range(6):
                file = folder / "voices" / speaker / f"{number}.wav"
                file.parent.mkdir(parents=True, exist_ok=True)
                samples: np.ndarray = synthetic_utterance(number, *SPEAKERS[speaker])
                soundfile.write(file, samples, 16000, subtype="PCM_16")
        manifest = annotated(folder / "voices", folder / "manifest.jsonl")
        for name, text in RECIPES.items():
            recipe = folder / f"{name}.yaml"
            recipe.write_text(text)
            out = folder / name
            vczoo.finetune(recipe, manifest, out, OVERRIDES.get(name, ()), cache=False, device="cpu", progress=False)
            run = load_run(out)
            run = replace(run, voices={key: voice for key, voice in run.voices.items() if key == VOICE})
            save_run(run, FOLDER / name, half=True)
            write_tensors(FOLDER / f"{name}.safetensors", outputs(name))
            states[name] = state(name)
    (FOLDER / "states.json").write_text(json.dumps(states, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(write())
