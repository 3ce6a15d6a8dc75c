"""Voice converters side by side on VCTK speakers: one frozen trial list, one run, one table.

    pip install "vczoo[eval]" ./plugins/vczoo-transformers ./plugins/vczoo-torchvision ./plugins/vczoo-timm
    python benchmarks/conversion.py --data VCTK --pretrain LIBRISPEECH --keep FOLDER

Each target's first eight utterances are for fine-tuning or matching, the other speakers' last two are the sources: all
ordered pairs of benchmarks/trials/vctk-mini.csv. The floor is the unconverted source; ceilings are the source through
each vocoder and real held-out speech of the target. `whisper-tiny-decoder` is trained on --pretrain, whose speakers
are none of these, then heard zero-shot and after tuning to each target by itself. What is trained stays in --keep, and
the same command with the same --keep measures again without training again.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import vczoo
from vczoo.kinship import kin_notes
from vczoo.run_evaluation import draw, setup_of

HERE = Path(__file__).parent
TRIALS, MANIFEST = HERE / "trials" / "vctk-mini.csv", HERE / "trials" / "vctk-mini-manifest.csv"
SYSTEMS = ("knn", "zero_shot", "tuned", "vgg16", "efficientnet")
HELD_OUT = 16  # every 16th speaker of --pretrain is kept for validation, unheard
Convert = Callable[[vczoo.Trial, vczoo.Waveform], vczoo.Waveform]


@dataclass(frozen=True)
class System:
    """A row of the table, made when it is its turn."""

    name: str
    convert: Convert
    recipe: vczoo.Recipe
    finetune_seconds: float
    notes: tuple[str, ...] = ()


class Bench:
    """Where the data are and where what is trained stays."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments, self.keep = arguments, arguments.keep
        self.keep.mkdir(parents=True, exist_ok=True)
        self.manifest = vczoo.place_manifest(MANIFEST, arguments.data, self.keep / "targets.csv")
        self.references = vczoo.read_references(MANIFEST, arguments.data)
        self.voices = sorted(self.references.matching)
        self.whisper = f"backbone.weights={arguments.whisper}"

    def knn(self) -> System:
        """Nearest neighbours over Whisper-tiny's second layer, enrolled."""
        converter = vczoo.load("whisper-tiny-knn", [self.whisper])
        return System("whisper-tiny-knn", *self._enrolled(converter))

    def zero_shot(self) -> System:
        """The decoder trained on --pretrain, enrolled with the targets."""
        converter = self._pretrained()
        made = System("whisper-tiny-decoder, zero-shot", *self._enrolled(converter))
        minutes, epochs = converter.metrics["seconds"] / 60, converter.metrics["epochs"]
        told = f"trained for {epochs} epochs ({minutes:.0f} min) on {converter.metrics['speakers']} other speakers"
        return System(made.name, made.convert, made.recipe, made.finetune_seconds, (told,))

    def tuned(self) -> System:
        """The same, tuned to each target by itself."""
        self._pretrained()
        made: dict[str, vczoo.Converter] = {}
        for voice in self.voices:
            folder = self.keep / f"tuned-{voice}"
            made[voice] = self._trained(self.keep / "pretrained", self._of(voice), folder, self.arguments.tuning)
        seconds = sum(converter.metrics["seconds"] for converter in made.values()) / len(made)
        recipe = next(iter(made.values())).recipe
        return System(
            "whisper-tiny-decoder, tuned",
            lambda trial, source: made[trial.voice].convert(source, trial.voice),
            recipe,
            seconds,
            (f"tuned to each of {len(made)} targets apart; the seconds are those of one",),
        )

    def vgg16(self) -> System:
        """VGG16; its ImageNet weights where --vgg16 gives them, else random ones."""
        weights = self.arguments.vgg16 or "random"
        shallow = [] if self.arguments.vgg16 else ["backbone.out_stage=3"]  # five random stages learn nothing
        return self._image(
            "vgg16-partialfreeze", [f"backbone.weights={weights}", *shallow, *self.arguments.vgg16_training]
        )

    def efficientnet(self) -> System:
        """EfficientNet-Lite0 with ImageNet weights."""
        return self._image("efficientnet-partialfreeze", [f"backbone.weights={self.arguments.efficientnet}"])

    def _image(self, name: str, overrides: Sequence[str]) -> System:
        converter = self._trained(name, self.manifest, self.keep / name, overrides)
        return System(
            name,
            lambda trial, source: converter.convert(source, trial.voice),
            converter.recipe,
            converter.metrics["seconds"],
            (" ".join(overrides) + "; trained on all targets at once; the seconds are those of all",),
        )

    def _enrolled(self, converter: vczoo.Converter) -> tuple[Convert, vczoo.Recipe, float]:
        for voice in self.voices:
            converter.enroll(voice, list(self.references.matching[voice]))
        return (lambda trial, source: converter.convert(source, trial.voice)), converter.recipe, 0.0

    def _pretrained(self) -> vczoo.Converter:
        rows = ["path,speaker,split"]
        folders = sorted(path for path in self.arguments.pretrain.resolve().iterdir() if path.is_dir())
        for number, folder in enumerate(folders):
            split = "validation" if number % HELD_OUT == HELD_OUT // 2 else "train"
            rows += [f"{path},{folder.name},{split}" for path in sorted(folder.glob("*.flac"))]
        manifest = self.keep / "pretrain.csv"
        manifest.write_text("\n".join(rows) + "\n", encoding="utf-8")
        return self._trained(
            "whisper-tiny-decoder", manifest, self.keep / "pretrained", [self.whisper, *self.arguments.pretraining]
        )

    def _of(self, voice: str) -> Path:
        with self.manifest.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        place = self.keep / f"{voice}.csv"
        with place.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *(row for row in rows if row[header.index("speaker")] == voice)])
        return place

    @staticmethod
    def _trained(start: str | Path, data: Path, out: Path, overrides: Sequence[str]) -> vczoo.Converter:
        if (out / "vczoo.yaml").is_file():
            return vczoo.load(out)
        unfinished = (out / "checkpoint.safetensors").is_file()
        # No cache of an earlier run, since the seconds are reported.
        return vczoo.finetune(
            start, data, out, overrides, rehearse=isinstance(start, str), resume=unfinished, cache=False
        )


def vocoder_rows(evaluation: vczoo.Evaluation, vocoders: Sequence[str]) -> Iterator[vczoo.Scores]:
    """Sources through each vocoder's mel and back."""
    for name in vocoders:
        model = vczoo.load("demo", [f"vocoder.{option}" for option in name.split(",")]).run.model
        made = evaluation.convert(partial(resynthesise, model))
        yield evaluation.score(f"source through {name.partition('use=')[2].partition(',')[0]}", made, role="ceiling")


@torch.inference_mode()
def resynthesise(model: Any, _: vczoo.Trial, wave: vczoo.Waveform) -> vczoo.Waveform:
    made: vczoo.Waveform = model.vocoder(model.acoustic(wave.resample(model.sample_rate_hz)))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="VCTK speakers: p225/*.flac and so on")
    parser.add_argument("--pretrain", type=Path, required=True, help="many other speakers: SPEAKER/*.flac")
    parser.add_argument("--keep", type=Path, required=True, help="what is trained, the WAV files and the table")
    parser.add_argument("--whisper", default="pretrained", help="a folder with Whisper tiny.en")
    parser.add_argument("--efficientnet", default="pretrained", help="a file with EfficientNet-Lite0")
    parser.add_argument("--vgg16", default="", help="a file with VGG16, or pretrained; random without")
    parser.add_argument("--asr", action="append", default=[], help="recognisers, the main one first")
    parser.add_argument("--vocoder", action="append", default=[], help="use=NAME[,weights=…]; griffin-lim without")
    parser.add_argument("--system", action="append", default=[], choices=SYSTEMS, help="all without")
    parser.add_argument("--pretraining", action="append", default=[], help="overrides: training.epochs=30")
    parser.add_argument("--tuning", action="append", default=[], help="overrides: training.epochs=60")
    parser.add_argument("--vgg16-training", action="append", default=[], help="overrides: training.epochs=8")
    parser.add_argument("--train-only", action="store_true", help="train what is not there yet, and measure nothing")
    arguments = parser.parse_args()

    bench = Bench(arguments)
    makers = [getattr(bench, name) for name in arguments.system or SYSTEMS]
    if arguments.train_only:
        for make in makers:
            print(make().name)
        return
    measures = vczoo.load_measures(asr=arguments.asr or ["faster-whisper:tiny.en", "pocketsphinx"])
    trials = vczoo.read_trials(TRIALS, root=arguments.data, references=bench.references)
    evaluation = vczoo.Evaluation(trials, bench.references, measures, say=lambda line: print(line, flush=True))
    scores = [evaluation.floor(), *vocoder_rows(evaluation, arguments.vocoder or ["use=griffin-lim"])]
    scores += [real] if (real := evaluation.real_target()) else []
    for make in makers:
        began = time.perf_counter()
        system = make()
        made = evaluation.convert(system.convert)
        notes = (*system.notes, *kin_notes(system.recipe, measures))
        scores.append(evaluation.score(system.name, made, finetune_seconds=system.finetune_seconds, notes=notes))
        folder = bench.keep / "converted" / system.name.replace(", ", "-")
        for trial, wave in zip(evaluation.trials, made.waves, strict=True):
            wave.save(folder / f"{trial.name}.wav", overwrite=True)
        draw(evaluation, scores, made, folder)
        # What is known so far, so that an interruption loses no row.
        report = vczoo.Report(tuple(scores), setup_of(evaluation, TRIALS))
        report.write(bench.keep)
        print(f"{system.name}: measured in {time.perf_counter() - began:.0f} s", flush=True)
    table = Table(box=None, pad_edge=False)
    rows = report.rows("measure")
    for title in rows[0]:
        table.add_column(title, no_wrap=True)
    for row in rows:
        table.add_row(*row.values())
    Console(width=250).print(table, highlight=False)
    print("\n".join(report.footnotes()))


if __name__ == "__main__":
    main()
