"""Conversion quality of the zoo's systems on VCTK speakers: one fixed trial list, one run, one table.

    pip install "vczoo[eval-all]" ./plugins/vczoo-transformers ./plugins/vczoo-torchvision ./plugins/vczoo-timm
    python -m benchmarks.quality.conversion --data VCTK --pretrain LIBRISPEECH --keep FOLDER

Each target's first eight utterances are for fine-tuning or matching, and the other speakers' last two are the sources,
in all ordered pairs of benchmarks/trials/vctk-mini.csv. The floor is the unconverted source; the ceilings are the
source through each vocoder and real held-out speech of the target. `whisper-tiny-decoder` is trained on --pretrain,
whose speakers are none of these, and measured zero-shot and after tuning to each target separately. Trained models stay
in --keep, and the same command with the same --keep measures them again without training again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import vczoo
from benchmarks.quality.systems import RECOGNISERS, Bench, System, by_own, mean_seconds, print_report, resynthesize

SYSTEMS = ("knn", "zero_shot", "tuned", "vgg16", "efficientnet")
HELD_OUT = 16  # every 16th speaker of --pretrain is for validation only


class Zoo(Bench):
    """Systems of the zoo, by name."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments.data, arguments.keep)
        self.arguments = arguments
        self.whisper = f"backbone.weights={arguments.whisper}"

    def knn(self) -> System:
        """Nearest neighbours over Whisper-tiny's second layer, enrolled."""
        converter = vczoo.load("whisper-tiny-knn", [self.whisper])
        return System("whisper-tiny-knn", self.enrolled(converter), converter.recipe, 0.0)

    def zero_shot(self) -> System:
        """The decoder trained on --pretrain, enrolled with the targets."""
        converter = self._pretrained()
        minutes, epochs = converter.metrics["seconds"] / 60, converter.metrics["epochs"]
        note = f"trained for {epochs} epochs ({minutes:.0f} min) on {converter.metrics['speakers']} other speakers"
        convert = self.enrolled(converter)
        return System("whisper-tiny-decoder, zero-shot", convert, converter.recipe, 0.0, (note,))

    def tuned(self) -> System:
        """The same decoder, tuned to each target separately."""
        self._pretrained()
        converters = self.tuned_to_each(self.keep / "pretrained", "tuned", self.arguments.tuning)
        note = f"tuned to each of {len(converters)} targets separately; the seconds are for one target"
        recipe = next(iter(converters.values())).recipe
        seconds = mean_seconds(converters)
        return System("whisper-tiny-decoder, tuned", by_own(converters), recipe, seconds, (note,))

    def vgg16(self) -> System:
        """VGG16 with the weights of --vgg16, or else with random ones."""
        weights = self.arguments.vgg16 or "random"
        shallow = [] if self.arguments.vgg16 else ["backbone.out_stage=3"]  # five random stages learn nothing
        return self._image(
            "vgg16-partialfreeze", [f"backbone.weights={weights}", *shallow, *self.arguments.vgg16_training]
        )

    def efficientnet(self) -> System:
        """EfficientNet-Lite0 with ImageNet weights."""
        return self._image("efficientnet-partialfreeze", [f"backbone.weights={self.arguments.efficientnet}"])

    def _image(self, name: str, overrides: Sequence[str]) -> System:
        converter = self.trained(name, self.manifest, self.keep / name, overrides)
        return System(
            name,
            lambda trial, source: converter.convert(source, trial.voice),
            converter.recipe,
            converter.metrics["seconds"],
            (" ".join(overrides) + "; trained on all targets at once; the seconds are for all of them",),
        )

    def _pretrained(self) -> vczoo.Converter:
        rows = ["path,speaker,split"]
        folders = sorted(path for path in self.arguments.pretrain.resolve().iterdir() if path.is_dir())
        for number, folder in enumerate(folders):
            split = "validation" if number % HELD_OUT == HELD_OUT // 2 else "train"
            rows += [f"{path},{folder.name},{split}" for path in sorted(folder.glob("*.flac"))]
        manifest = self.keep / "pretrain.csv"
        manifest.write_text("\n".join(rows) + "\n", encoding="utf-8")
        return self.trained(
            "whisper-tiny-decoder", manifest, self.keep / "pretrained", [self.whisper, *self.arguments.pretraining]
        )


def vocoder_rows(evaluation: vczoo.Evaluation, vocoders: Sequence[str]) -> Iterator[vczoo.Scores]:
    """Scores of the sources resynthesized by each vocoder from its mel."""
    for name in vocoders:
        model = vczoo.load("demo", [f"vocoder.{option}" for option in name.split(",")]).model
        copies = evaluation.convert(partial(resynthesize, model))
        yield evaluation.score(f"source through {name.partition('use=')[2].partition(',')[0]}", copies, role="ceiling")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="VCTK speakers: p225/*.flac and so on")
    parser.add_argument("--pretrain", type=Path, required=True, help="many other speakers: SPEAKER/*.flac")
    parser.add_argument("--keep", type=Path, required=True, help="a folder for trained models, WAV files and the table")
    parser.add_argument("--whisper", default="pretrained", help="a folder with Whisper tiny.en")
    parser.add_argument("--efficientnet", default="pretrained", help="a file with EfficientNet-Lite0")
    parser.add_argument("--vgg16", default="", help="a file with VGG16, or pretrained; by default random")
    parser.add_argument("--asr", action="append", default=[], help="speech recognizers, the main one first")
    parser.add_argument("--vocoder", action="append", default=[], help="use=NAME[,weights=…]; by default griffin-lim")
    parser.add_argument("--system", action="append", default=[], choices=SYSTEMS, help="by default all")
    parser.add_argument("--pretraining", action="append", default=[], help="overrides, like training.epochs=30")
    parser.add_argument("--tuning", action="append", default=[], help="overrides, like training.epochs=60")
    parser.add_argument("--vgg16-training", action="append", default=[], help="overrides, like training.epochs=8")
    parser.add_argument("--train-only", action="store_true", help="train the missing models and measure nothing")
    arguments = parser.parse_args()

    bench = Zoo(arguments)
    makers = [getattr(bench, name) for name in arguments.system or SYSTEMS]
    if arguments.train_only:
        for make in makers:
            print(make().name)
        return
    measures = vczoo.load_measures("resemblyzer", arguments.asr or RECOGNISERS)
    evaluation = vczoo.Evaluation(bench.trials, bench.references, measures, say=lambda line: print(line, flush=True))
    scores = [evaluation.floor(), *vocoder_rows(evaluation, arguments.vocoder or ["use=griffin-lim"])]
    scores += [real] if (real := evaluation.real_target()) else []
    print_report(bench.measure(evaluation, scores, makers))


if __name__ == "__main__":
    main()
