"""A run whose decoder and speaker head are those of `base`, over the content that the run was trained to.

    python -m benchmarks.data.base_model_adopt --run runs/next --data corpus/corpus.csv --out runs/adopted

Training from there (`start: ./runs/adopted`) is shorter than training a decoder. Only the decoder's first layer, from
content to its bottleneck, is made anew: by ridge regression, so that the bottleneck is that of `base` for the same
recordings, up to what the decoder's normalization over time removes. Both must have a `mel-decoder` of the same sizes.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import torch
from torch import Tensor

import vczoo
from vczoo.data.excerpts import UtteranceReader
from vczoo.io.tensors import load_strictly
from vczoo.models.model import Model

RECORDINGS, HELD_OUT = 300, 50
LONGEST_SECONDS = 12.0
RIDGE = 1e-3  # times the number of frames
VOICE, SPEAKER = "voice", "speaker"


def main() -> None:
    """Fit the first layer, print how much of the bottleneck it explains, and save the run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="the run whose content is kept")
    parser.add_argument("--data", required=True, help="recordings to fit the layer on, as for vczoo train")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the new run")
    arguments = parser.parse_args()
    converter, base = vczoo.load(arguments.run), vczoo.load("base").model.eval()
    model = converter.model.eval()
    decoder = model.heads[VOICE]
    load_strictly(decoder, base.heads[VOICE].state_dict(), where="the decoder of base")
    speaker = model.heads[SPEAKER].state_dict()
    own = {name: tensor for name, tensor in base.heads[SPEAKER].state_dict().items() if not name.endswith("centres")}
    load_strictly(model.heads[SPEAKER], speaker | own, where="the speaker head of base")
    utterances = list(vczoo.read_corpus(arguments.data).utterances)
    utterances = random.Random(0).sample(utterances, min(RECORDINGS, len(utterances)))
    reader = UtteranceReader(base.sample_rate_hz)
    pairs = [bottlenecks(model, base, reader.read(utterance)) for utterance in utterances]
    inputs, outputs = joined(pairs[:-HELD_OUT])
    penalty = RIDGE * len(inputs) * torch.eye(inputs.shape[1], dtype=inputs.dtype)
    weight = torch.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ outputs)
    inputs, outputs = joined(pairs[-HELD_OUT:])
    explained = 1 - float((inputs @ weight - outputs).square().mean() / outputs.var())
    print(f"explained on {HELD_OUT} other recordings: {explained:.2f}")
    layer = decoder.squeeze[1]
    layer.weight.data.copy_(weight.T)
    layer.bias.data.zero_()
    print(converter.save(arguments.out))


@torch.inference_mode()
def bottlenecks(model: Model, base: Model, wave: vczoo.Waveform) -> tuple[Tensor, Tensor]:
    """The normalized content of a recording, (T, C), and the bottleneck of `base`, (T, channels)."""
    wave = vczoo.Waveform.of(wave.samples[:1, : int(LONGEST_SECONDS * wave.sample_rate_hz)], wave.sample_rate_hz)
    content = base.heads[VOICE].squeeze[0](model.content(wave).values[0])
    bottleneck = base.heads[VOICE].squeeze(base.content(wave).values[0])
    count = min(len(content), len(bottleneck))
    return content[:count], bottleneck[:count]


def joined(pairs: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """All frames, without each recording's mean, and with a deviation of 1 for the bottleneck, in float64."""
    contents = [content - content.mean(dim=0) for content, _ in pairs]
    outputs = [(values - values.mean(dim=0)) / values.std(dim=0).clamp(min=1e-3) for _, values in pairs]
    return torch.cat(contents).double(), torch.cat(outputs).double()


if __name__ == "__main__":
    main()
