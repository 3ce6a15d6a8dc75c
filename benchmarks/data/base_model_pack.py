"""The packaged base model, written from a trained run and a vocoder to `vczoo/assets/base`.

    python -m benchmarks.data.base_model_pack --run runs/base --vocoder runs/vocoder/vocoder.safetensors \\
        --voices LIBRISPEECH --out vczoo/assets/base

The training speakers and their classes are left out, and tensors are stored in half precision. A few voices are
enrolled from --voices, `<speaker>/*.flac`, so that users can convert a recording before they enroll a voice: of the
training speakers in that folder, the two women and the two men with the highest DNSMOS. LIBRISPEECH/SPEAKERS.TXT has
each speaker's sex.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import vczoo
from vczoo.evaluation.metrics.naturalness import Dnsmos
from vczoo.io.files import write_text
from vczoo.io.tensors import load_strictly, read_tensors
from vczoo.runs.run import Run

EACH = 2  # voices per sex
RATED_SECONDS = 9.1  # one window of DNSMOS, which is 9.01 s long
LICENSE = "cc-by-sa-4.0"  # the license of the prompts in its training data; see docs/base.md
ATTRIBUTION = (  # vczoo.yaml and every run tuned from the model carry these lines
    "LibriSpeech by Vassil Panayotov, Guoguo Chen, Daniel Povey and Sanjeev Khudanpur: one utterance each of 245 "
    "readers of train-clean-100 (https://www.openslr.org/12), and 1,198 utterances of 22 of them from train-clean-5 "
    "(https://www.openslr.org/31), CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/)",
    "Asterisk's core sounds in English and Spanish by Allison Smith, in French by June Wallack, CC BY-SA 3.0 "
    "(https://creativecommons.org/licenses/by-sa/3.0/)",
    "Asterisk's core sounds in Italian by Carlo Flora, in Russian by Maxim Topal, CC BY 3.0 "
    "(https://creativecommons.org/licenses/by/3.0/)",
    "Whisper tiny.en by OpenAI (https://github.com/openai/whisper), MIT License, Copyright (c) 2022 OpenAI: the "
    "convolutions and the first two layers of its encoder are in the model, trained further; its whole encoder judged "
    "conversions in training",
)
WHISPER_LICENSE = """MIT License

Copyright (c) 2022 OpenAI

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""
CARD = """---
license: {license}
library_name: vczoo
pipeline_tag: audio-to-audio
tags: [voice-conversion]
---

# base, the voice converter inside vczoo

It converts speech into another voice, at 16 kHz. A few seconds of a recording are enough for a voice:
`vczoo convert base hello.wav --voice me.wav`. docs/base.md in vczoo's repository describes how it was made, what was
measured, and what it cannot do.

Use it only for voices that you have the right to use. Its output is synthetic speech; say so where you publish it.

## License and attribution

The weights are under {license}; the text is in the file LICENSE. The layers of Whisper in them are also under the MIT
License, in LICENSE-whisper.txt. They were trained on, or started from:

{attribution}
"""


def main() -> None:
    """Pack the model and print its size and voices."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="the folder of the trained run")
    parser.add_argument("--vocoder", type=Path, required=True, help="the vocoder's vocoder.safetensors")
    parser.add_argument("--voices", type=Path, required=True, help="LibriSpeech: SPEAKER/*.flac and SPEAKERS.TXT")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the packaged model")
    arguments = parser.parse_args()
    trained = vczoo.load(arguments.run).run
    assert trained.model.vocoder is not None
    load_strictly(trained.model.vocoder, read_tensors(arguments.vocoder), where=str(arguments.vocoder))
    for head in trained.model.speaker_heads.values():
        head.restart(1)
    figures = {name: trained.metrics[name] for name in ("epochs", "seconds", "validation")}
    packed = vczoo.Converter(
        Run(
            trained.recipe,
            trained.model,
            (),
            {},
            figures,
            {"fingerprint": trained.data["fingerprint"]},
            LICENSE,
            attribution=ATTRIBUTION,
        )
    )
    for name, recordings in chosen(arguments.voices, set(trained.speakers)).items():
        packed.enroll(name, recordings)
    packed.save(arguments.out, overwrite=True, whole=True, half=True)
    lines = "\n".join(f"- {line}" for line in ATTRIBUTION)
    write_text(arguments.out / "README.md", CARD.format(license=LICENSE, attribution=lines))
    write_text(arguments.out / "LICENSE-whisper.txt", WHISPER_LICENSE)
    size = sum(file.stat().st_size for file in arguments.out.glob("*.safetensors")) / 1e6
    print(f"{arguments.out}: {size:.2f} MB, voices {', '.join(packed.voices)}")


def chosen(folder: Path, training_speakers: set[str]) -> dict[str, list[Path]]:
    """The recordings of each voice to enroll, by its name."""
    sexes = {}
    for line in (folder / "SPEAKERS.TXT").read_text(encoding="utf-8").splitlines():
        if not line.startswith(";") and "|" in line:
            speaker, sex = (part.strip() for part in line.split("|")[:2])
            sexes[speaker] = sex
    rater, rated = Dnsmos(), {}
    for speaker in sorted(training_speakers & set(sexes)):
        recordings = sorted((folder / speaker).glob("*.flac"))
        if recordings:
            wave = vczoo.Waveform.read(recordings[0])
            excerpt = vczoo.Waveform.of(
                wave.samples[:1, : round(RATED_SECONDS * wave.sample_rate_hz)], wave.sample_rate_hz
            )
            rated[speaker] = (rater.rate(excerpt).overall, recordings)
    best = sorted(rated, key=lambda speaker: -rated[speaker][0])
    names = {"F": "woman", "M": "man"}
    return {
        f"{names[sex]}-{number + 1}": rated[speaker][1]
        for sex in names
        for number, speaker in enumerate([speaker for speaker in best if sexes[speaker] == sex][:EACH])
    }


if __name__ == "__main__":
    main()
