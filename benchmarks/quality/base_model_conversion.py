"""A model in; the table of its conversions out: enrolled and tuned, by its own vocoder and by Griffin-Lim."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import vczoo
from benchmarks.quality.systems import Bench, System, by_own, mean_seconds, resynthesise
from vczoo.audio.specs import MelSpec, mismatches
from vczoo.conversion.load import read_name
from vczoo.models.model import Model
from vczoo.modules.vocoders.griffin_lim import GriffinLim

PLAIN = "griffin-lim"


def report(
    bench: Bench,
    converter: vczoo.Converter,
    tuned: str | Path,
    tuning: Sequence[str],
    measures: vczoo.Measures,
) -> vczoo.Report:
    """Measure floor, ceilings, and the model enrolled with each target and tuned to it.

    Args:
        bench: with the targets; what is tuned stays in its folder.
        converter: the model under test.
        tuned: the recipe, or the run, that is tuned to each target; empty to leave these rows out.
        tuning: overrides of it.
        measures: the models that measure.
    """
    name = converter.recipe.name
    evaluation = vczoo.Evaluation(bench.trials, bench.references, measures, say=lambda line: print(line, flush=True))
    scores = [evaluation.floor()]
    for vocoder, model in by_vocoder(converter):
        made = evaluation.convert(partial(resynthesise, model.model))
        scores.append(evaluation.score(f"source through {vocoder}", made, role="ceiling"))
    scores += [real] if (real := evaluation.real_target()) else []
    makers: list[Callable[[], System]] = []

    def enrolled(vocoder: str, model: vczoo.Converter) -> System:
        return System(f"{name}, zero-shot, {vocoder}", bench.enrolled(model), model.recipe, 0.0)

    makers += [partial(enrolled, vocoder, model) for vocoder, model in by_vocoder(converter)]
    if tuned:
        shown = Path(tuned).stem
        made_of = {}  # by vocoder and target; trained when the first row of them is made

        def of_each(vocoder: str) -> System:
            if not made_of:
                for voice, model in bench.tuned_to_each(tuned, f"tuned-{shown}", tuning).items():
                    for known, one in by_vocoder(model):
                        made_of.setdefault(known, {})[voice] = one
            own = made_of[vocoder]
            told = f"tuned to each of {len(own)} targets apart; the seconds are those of one"
            recipe = next(iter(own.values())).recipe
            return System(f"{shown}, {vocoder}", by_own(own), recipe, mean_seconds(own), (told,))

        makers += [partial(of_each, vocoder) for vocoder, _ in by_vocoder(converter)]
    return bench.measure(evaluation, scores, makers)


def by_vocoder(converter: vczoo.Converter) -> Iterator[tuple[str, vczoo.Converter]]:
    """The converter with its own vocoder, and with Griffin-Lim where it reads the same mel; voices are apart."""
    own = converter.recipe.vocoder
    if own is None:
        raise SystemExit(f"{converter.recipe.name} has no vocoder: it converts nothing")
    yield own.use, with_vocoder(converter, converter.model.vocoder)
    wanted = converter.model.vocoder.accepts
    if own.use == PLAIN or not isinstance(wanted, MelSpec):
        return
    plain = GriffinLim(
        num_mels=wanted.num_mels,
        fft_length=wanted.fft_length,
        hop_length=wanted.hop_length,
        sample_rate_hz=wanted.sample_rate_hz,
    )
    if faults := mismatches(plain.accepts, wanted):
        print(f"no rows of {PLAIN}: {'; '.join(faults)}")
        return
    yield PLAIN, with_vocoder(converter, plain)


def with_vocoder(converter: vczoo.Converter, vocoder: Any) -> vczoo.Converter:
    """A converter of the same backbone and heads, with a vocoder and a list of voices of its own."""
    run = converter.run
    heads = dict(run.model.heads.items())
    model = Model(run.model.backbone, heads, run.model.loss_weights, vocoder, run.model.acoustic_heads)
    return vczoo.Converter(replace(run, model=model, voices=dict(run.voices)), converter.device)


def sizes(name: str | Path, converter: vczoo.Converter) -> dict[str, Any]:
    """What the model holds: MB of safetensors as it ships and as written whole in float32, parameters of each part."""
    model = converter.model
    parts = {"backbone": model.backbone, **{f"heads.{key}": head for key, head in model.heads.items()}}
    if model.vocoder:
        parts["vocoder"] = model.vocoder
    counts = {part: sum(one.numel() for one in module.parameters()) for part, module in parts.items()}
    with TemporaryDirectory(prefix="vczoo-size-") as place:
        copy = vczoo.Converter(replace(converter.run), converter.device)  # a run remembers where it was saved
        whole = megabytes(copy.save(Path(place) / "run", whole=True))
    folder = folder_of(name)
    return {
        "shipped_megabytes": megabytes(folder) if folder else None,
        "whole_megabytes": whole,
        "parameters": {**counts, "all": sum(counts.values())},
    }


def folder_of(name: str | Path) -> Path | None:
    """Where the tensors lie: of a run, its folder; of a recipe that starts from one inside the package, that one's."""
    kind, place = read_name(name)
    if kind == "run":
        return Path(place)
    if kind != "recipe":
        return None
    from vczoo.models.recipe import read_recipe

    start = getattr(read_recipe(place), "start", "")
    inside = Path(vczoo.__file__).parent / "assets" / start
    found = inside if inside.is_dir() else Path(start).expanduser()
    return found if start and found.is_dir() else None


def megabytes(folder: Path) -> float:
    """Of its safetensors."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 1e6
