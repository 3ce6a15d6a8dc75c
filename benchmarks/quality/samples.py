"""Audio samples for the docs: two sentences converted by several recipes, with the figures of each.

    pip install "vczoo[eval-all]" ./plugins/vczoo-transformers ./plugins/vczoo-timm
    python -m benchmarks.quality.samples --data VCTK --keep FOLDER --out docs/samples

It writes `*.ogg` and `figures.json` into the folder of --out, and the page next to that folder, `docs/samples.md`.
Models that it trains stay in --keep, and the same command does not train them again. `--only base` makes one recipe
again and leaves the others as they are. `--weights whisper-tiny-knn=FOLDER` names pretrained weights of a recipe.
Recipes whose weights are unavailable are left out. `--run whisper-tiny-decoder=RUN` enrolls the targets in a run that
you have.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import vczoo
from benchmarks.quality.systems import RECOGNISERS, Bench, Convert, by_own

SENTENCES = ("p225_023", "p226_023")  # a woman's, converted to a man's voice, and a man's, to a woman's
TARGETS = {"p225": "p226", "p226": "p225"}
ENROLLED = ("base", "whisper-tiny-knn", "demo-knn")
TUNED = ("base-partialfreeze", "base-l2sp", "base-lora", "base-film", "base-adapters")  # to each target separately
JOINT = ("efficientnet-partialfreeze", "demo")  # trained on all speakers of the list at once
RECIPES = (*ENROLLED, *TUNED, *JOINT)
REAL, SOURCE = "target", "source"
FIGURES = ("similarity_to_target", "wer", "dnsmos_overall")
PAGE = """\
# Samples

A sentence of [VCTK](https://doi.org/10.7488/ds/2645), read by two people and converted by recipes of the zoo. No
recipe was trained on these two recordings. The targets were enrolled from, or tuned on, about a minute of their speech.

The figures are the means of these two recordings only, so they are rough; [base.md](base.md#what-it-can-do) and
[which recipe](which-recipe.md#what-to-expect) have those of 24 trials. [Evaluation](evaluation.md) explains them:
similarity to the target by `{speaker}`, word error rate (WER) of `{asr}` against its own transcript of the source, and
DNSMOS, a prediction of how listeners would rate the sound quality, from 1 to 5.

| recipe | woman to man | man to woman | similarity | WER | DNSMOS |
|---|---|---|---|---|---|
{rows}

{notes}

Made by `python -m benchmarks.quality.samples --data VCTK --keep FOLDER --out docs/samples` with version {version} of
vczoo. Every converted file carries its [provenance mark](conversion.md), which says that it is synthetic.

**Source and license of the recordings.** C. Veaux, J. Yamagishi, K. MacDonald (2017), *CSTR VCTK Corpus*, University of
Edinburgh, Centre for Speech Technology Research, [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/): sentence 23
of speakers p225 and p226, resampled to 16 kHz and compressed. The conversions are changes of these recordings, made as
the table says. Those by `base` and its variants are licensed under [CC BY-SA
4.0](https://creativecommons.org/licenses/by-sa/4.0/), as [the model](base.md#what-it-learned-from-and-its-license) is;
the others are licensed under CC BY 4.0.
"""
HOW = {
    **dict.fromkeys(ENROLLED, "enrolled, not trained"),
    **dict.fromkeys(TUNED, "tuned to the target"),
    **dict.fromkeys(JOINT, "trained on four speakers"),
}
NOTE = {
    "demo-knn": "`demo` and `demo-knn` are for tests and tutorials: small networks without pretrained weights. Their "
    "speech is not intelligible.",
    "efficientnet-partialfreeze": "`efficientnet-partialfreeze` is a network of images. It is here because studies of "
    "freezing use such networks, not because it converts well.",
}


class Samples(Bench):
    """The recordings, the trained models and the folder of the samples."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(arguments.data, arguments.keep)
        self.voices = sorted(TARGETS)
        self.weights = dict(pair.split("=", 1) for pair in arguments.weights)
        self.runs = dict(pair.split("=", 1) for pair in arguments.run)
        self.tuning = arguments.tuning

    @property
    def trials(self) -> tuple[vczoo.Trial, ...]:
        """One trial for each sentence."""
        return tuple(
            trial
            for trial in super().trials
            if trial.source.stem in SENTENCES and TARGETS[trial.source_speaker] == trial.voice
        )

    def system(self, recipe: str) -> Convert:
        """The conversion of a trial by a recipe, which is trained now if it has to be."""
        options = [f"backbone.weights={self.weights[recipe]}"] if recipe in self.weights else []
        if recipe in self.runs:
            return self.enrolled(vczoo.load(self.runs[recipe]))
        if recipe in ENROLLED:
            return self.enrolled(vczoo.load(recipe, options))
        if recipe in TUNED:
            return by_own(self.tuned_to_each(recipe, recipe, [*options, *self.tuning]))
        model = self.trained(recipe, self.manifest, self.keep / recipe, [*options, *self.tuning])
        return lambda trial, source: model.convert(source, trial.voice)


def figures_of(scores: vczoo.Scores) -> dict[str, float]:
    """The figures that the page shows, rounded; absent if they do not apply."""
    return {name: round(scores.figures[name].value, 3) for name in FIGURES if name in scores.figures}


def page_of(content: Mapping[str, Any], folder: str) -> str:
    """The text of the page, from figures.json."""
    systems: Mapping[str, Any] = content["systems"]
    rows = [row_of("unconverted source", SOURCE, systems[SOURCE], folder)]
    names = [name for name in (*RECIPES, *systems) if name in systems and name not in (REAL, SOURCE)]
    for name in dict.fromkeys(names):
        rows.append(row_of(f"`{name}`, {HOW.get(name, 'enrolled')}", name, systems[name], folder))
    rows.append(row_of("real recording of the target, same sentence", REAL, systems[REAL], folder))
    return PAGE.format(
        speaker=content["speaker"],
        asr=content["asr"],
        rows="\n".join(rows),
        notes="\n".join(text for name, text in NOTE.items() if name in systems),
        version=content["version"],
    )


def row_of(title: str, name: str, figures: Mapping[str, float], folder: str) -> str:
    """A row of the table: two players, which are links where the page is shown without them, and the figures."""
    players = [
        f'<audio controls preload="none" src="{folder}/{file}">[play]({folder}/{file})</audio>'
        for file in files_of(name)
    ]
    cells = [f"{figures[figure]:.2f}" if figure in figures else "" for figure in FIGURES]
    return f"| {' | '.join([title, *players, *cells])} |"


def files_of(name: str) -> list[str]:
    """The names of a system's two files. Each target's own reading is the other trial's source."""
    if name == REAL:
        return files_of(SOURCE)[::-1]
    return [f"{name}-{sentence}.ogg" for sentence in SENTENCES]


def arguments_of(command_line: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="VCTK speakers: p225/*.flac and so on")
    parser.add_argument("--keep", type=Path, required=True, help="a folder for trained models")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the samples; the page is next to it")
    parser.add_argument("--only", action="append", default=[], help="a recipe to make; by default all")
    parser.add_argument("--weights", action="append", default=[], help="RECIPE=FILE, or FOLDER, of pretrained weights")
    parser.add_argument("--run", action="append", default=[], help="RECIPE=FOLDER of a run to enroll the targets in")
    parser.add_argument("--tuning", action="append", default=[], help="overrides, like training.epochs=2")
    parser.add_argument("--asr", action="append", default=[], help="speech recognizers, the first is shown")
    parser.add_argument("--speaker", default="resemblyzer", help="the speaker model")
    parser.add_argument("--threads", type=int, help="threads for torch; by default its own choice")
    parser.add_argument("--train-only", action="store_true", help="train the missing models and write nothing")
    return parser.parse_args(command_line)


def main(command_line: Sequence[str] | None = None) -> None:
    arguments = arguments_of(command_line)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    samples, out = Samples(arguments), arguments.out
    wanted = arguments.only or [*RECIPES, *(name for name in samples.runs if name not in RECIPES)]
    if arguments.train_only:
        for recipe in wanted:
            samples.system(recipe)
        return
    measures = vczoo.load_measures(arguments.speaker, arguments.asr or RECOGNISERS[:1])
    evaluation = vczoo.Evaluation(samples.trials, samples.references, measures)
    out.mkdir(parents=True, exist_ok=True)
    record = out / "figures.json"
    systems: dict[str, Any] = json.loads(record.read_text("utf-8"))["systems"] if record.exists() else {}
    systems[SOURCE] = figures_of(evaluation.floor())
    parallel = vczoo.Conversion(tuple(vczoo.Waveform.read(str(trial.parallel)) for trial in evaluation.trials))
    systems[REAL] = figures_of(evaluation.score(REAL, parallel, role="ceiling"))
    write(out, SOURCE, evaluation.sources)
    for recipe in wanted:
        try:
            convert = samples.system(recipe)
        except vczoo.VczooError as error:
            print(f"{recipe} is left out: {error}", flush=True)
            continue
        conversion = evaluation.convert(convert)
        write(out, recipe, conversion.waves)
        systems[recipe] = figures_of(evaluation.score(recipe, conversion))
        print(recipe, systems[recipe], flush=True)
        content = {
            "version": vczoo.__version__,
            "speaker": measures.speaker.name,
            "asr": measures.recognisers[0].name,
            "systems": systems,
        }
        # Written after each recipe, so that an interruption loses none.
        record.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        out.with_suffix(".md").write_text(page_of(content, out.name), encoding="utf-8")


def write(out: Path, name: str, waves: Sequence[vczoo.Waveform]) -> None:
    """Write a system's two files."""
    for file, wave in zip(files_of(name), waves, strict=True):
        wave.save(out / file, overwrite=True)


if __name__ == "__main__":
    main()
