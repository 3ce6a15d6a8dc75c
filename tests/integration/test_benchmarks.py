"""The calculations of benchmarks and the baselines they use; not the speed of anything."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from benchmarks.data import base_model_corpus, fsdd
from benchmarks.lib import child_process
from benchmarks.quality import (
    base_model,
    base_model_content,
    base_model_conversion,
    probes,
    speaker_intervals,
    systems,
    tasks,
)
from benchmarks.robustness import base_model as robustness
from benchmarks.robustness import degradations
from benchmarks.speed import (
    baselines,
    finetune,
    finetune_child,
    hub,
    hub_fixtures,
    memory_format,
    roofline,
    scaling,
    startup,
)
from tests.conftest import synthetic_utterance
from tests.support.paths import ROOT

RECIPES = ROOT / "benchmarks" / "speed" / "recipes"
TRIALS = ROOT / "benchmarks" / "trials"
COLUMNS = 32


@pytest.fixture
def digits_folder(tmp_path: Path) -> Path:
    """<folder>/<speaker>/<digit>_<speaker>_<take>.wav of two speakers, a low and a high voice, 0.3 s and 0.1 s."""
    random = np.random.default_rng(0)
    for speaker, pitch_hz in (("high", 1400), ("low", 180)):
        (tmp_path / "digits" / speaker).mkdir(parents=True)
        for digit, take in ((digit, take) for digit in (0, 6, 7) for take in (0, 1, 18)):
            seconds_at = np.arange(2400 if take else 800) / 8000
            samples = 0.3 * np.sin(2 * np.pi * pitch_hz * (1 + 0.02 * digit) * seconds_at)
            samples += 0.002 * random.standard_normal(len(samples))
            soundfile.write(tmp_path / "digits" / speaker / f"{digit}_{speaker}_{take}.wav", samples, 8000)
    return tmp_path / "digits"


def job_for(folder: Path, weights: Path) -> dict[str, Any]:
    return {
        "kind": "partial",
        "manifest": str(folder / "manifest.csv"),
        "folder": str(folder),
        "weights": str(weights),
        "mels": 32,
        "columns": COLUMNS,
        "speakers": 2,
        "epochs": 2,
        "batch": 4,
        "seed": 0,
        "overrides": [],
        "cache": None,
        "baseline": "plain",
    }


def test_the_exponent_is_the_slope_of_a_line_through_the_logarithms() -> None:
    assert scaling.exponent([1, 2, 4, 8], [5, 20, 80, 320]) == pytest.approx(2)
    assert scaling.exponent([10, 100], [3, 3]) == pytest.approx(0)
    # The middle value is off the line by log 2; least squares leave the slope of the ends as it is.
    assert scaling.exponent([1, 2, 4], [1, 4, 4]) == pytest.approx(1)
    assert [scaling.exponent(*row) for row in (([], []), ([1], [2]), ([1, 2], [0, 1]))] == [None] * 3


def test_frozen_layers_must_run_once_and_training_in_every_epoch() -> None:
    flops, utterances = {"frozen": 1000, "forward": 1, "step": 3}, {"train": 10, "validation": 2, "test": 5}
    assert roofline.must_run(flops, utterances, 4, warm=True) == 4 * (10 * 3 + 2 * 1) + 5
    assert roofline.must_run(flops, utterances, 4, warm=False) == 17 * 1000 + 4 * (10 * 3 + 2 * 1) + 5


def test_the_flops_match_the_published_layers() -> None:
    pytest.importorskip("vczoo_torchvision")
    overrides = ["backbone.weights=random", "heads.speaker.hidden=[8]", "backbone.num_mels=32"]
    frozen = roofline.flops_an_image(RECIPES / "vgg16-frozen.yaml", overrides, 32, 32, 2)
    # VGG16's convolutions are 15.35 G multiply-adds at 224 x 224 (arXiv:1409.1556), a 49th of it at 32 x 32.
    assert frozen["frozen"] == pytest.approx(2 * 15.35e9 / 49, rel=1e-3)
    # Pooled mean and deviation of 512 channels -> norm -> 8 -> 2, and two gradients of each product.
    assert frozen["forward"] == 2 * (1024 * 8 + 8 * 2)
    assert frozen["step"] == 3 * frozen["forward"]
    # 512 channels of 7 x 7 -> 1024 -> 512 -> 2; the trunk's map has no gradient.
    assert frozen["plain_forward"] == 2 * (512 * 49 * 1024 + 1024 * 512 + 512 * 2)
    assert frozen["plain_step"] == 3 * frozen["plain_forward"] - 2 * 512 * 49 * 1024
    partial = roofline.flops_an_image(RECIPES / "vgg16-partial.yaml", overrides, 32, 32, 2)
    last = 3 * 2 * 512 * 512 * 9 * 2 * 2  # three convolutions over 2 x 2
    assert partial["frozen"] == frozen["frozen"] - last
    assert partial["forward"] == frozen["forward"] + last
    # Both gradients of each convolution, but none for the input of the first, which is frozen.
    assert partial["step"] == frozen["step"] + 3 * last - last // 3
    assert partial["plain_step"] == 3 * partial["plain_forward"] - last // 3


def test_the_plain_loop_reads_our_images_and_has_our_trunk(digits_folder, tmp_path) -> None:
    pytest.importorskip("vczoo_torchvision")
    import torch
    from safetensors.torch import save_file

    import vczoo
    from vczoo.models.build import build, checked_recipe

    tensors = baselines.random_trunk(3)
    save_file(tensors, tmp_path / "trunk.safetensors")
    overrides = [f"backbone.weights={tmp_path / 'trunk.safetensors'}", "backbone.num_mels=64"]
    backbone = build(checked_recipe(RECIPES / "vgg16-frozen.yaml", overrides), 2).backbone.eval()
    path = digits_folder / "high" / "0_high_1.wav"
    image = baselines.make_image(path, 64)
    ours = backbone.prepare(vczoo.Waveform.read(path, 16000))
    assert torch.equal(image, ours[0])
    plain = baselines.PlainVGG(2, tensors, train_last_stage=False).eval()
    with torch.no_grad():
        seen = plain.features(ours)
        assert seen.abs().max() > 0
        torch.testing.assert_close(backbone.run(ours), seen)
        assert plain(ours).shape == (1, 2)


def test_the_plain_loop_trains_the_last_stage_or_nothing() -> None:
    pytest.importorskip("torchvision")
    tensors = baselines.random_trunk(0)

    def trained(partial: bool) -> set[str]:
        model = baselines.PlainVGG(6, tensors, train_last_stage=partial)
        return {name for name, parameter in model.features.named_parameters() if parameter.requires_grad}

    assert trained(partial=False) == set()
    assert trained(partial=True) == {f"{layer}.{kind}" for layer in (24, 26, 28) for kind in ("weight", "bias")}


def test_the_plain_loop_can_have_our_head(tmp_path) -> None:
    pytest.importorskip("vczoo_torchvision")
    import torch
    from safetensors.torch import save_file

    from vczoo.models.build import build, checked_recipe

    save_file(baselines.random_trunk(0), tmp_path / "trunk.safetensors")
    for kind, rate in baselines.OUR_RATES.items():
        job = {**job_for(tmp_path, tmp_path / "trunk.safetensors"), "kind": kind, "mels": 64}
        recipe = checked_recipe(finetune_child.recipe_of(job), finetune_child.overrides_of(job))
        assert recipe.training.learning_rate == rate
    model = build(recipe, 3).eval()
    ours = model.heads["speaker"]
    plain = baselines.our_head(3, 64).eval()
    linears = [(2, ours.body[1]), (5, ours.output)]
    assert [plain[index].weight.shape for index, _ in linears] == [linear.weight.shape for _, linear in linears]
    assert plain[4].p == ours.dropout.p
    for index, linear in linears:
        plain[index].load_state_dict(linear.state_dict())
    maps = torch.rand(4, 512, 2, 3)
    with torch.no_grad():
        frames = model.backbone.collect(maps, torch.full((4,), 3))
        torch.testing.assert_close(plain(maps), ours.logits(frames))


def test_recordings_get_one_length_and_keep_their_splits(digits_folder, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    assert fsdd.write_data(digits_folder, tmp_path / "out", COLUMNS) == {"train": 8, "validation": 4, "test": 6}
    lengths = {len(soundfile.read(path)[0]) for path in (tmp_path / "out" / "recordings").rglob("*.wav")}
    assert lengths == {(COLUMNS - 1) * 80}  # a hop is 80 samples at 8 kHz, and 32 columns span 31 of them
    short, _ = soundfile.read(tmp_path / "out" / "recordings" / "low" / "0_low_0.wav")
    assert np.abs(short[:800]).max() > 0.2
    assert not short[800:].any()
    chosen = fsdd.choose(digits_folder, 5)  # of nine: four to train, two for validation, three for the test
    assert sorted(fsdd.split_of(path) for path in chosen if path.parent.name == "low") == [
        "test",
        "test",
        "train",
        "train",
        "validation",
    ]


def test_rows_of_both_sides_reach_an_accuracy(digits_folder, tmp_path) -> None:
    pytest.importorskip("vczoo_torchvision")
    from safetensors.torch import load_file

    (tmp_path / "out").mkdir()
    fsdd.write_data(digits_folder, tmp_path / "out", COLUMNS)
    weights = tmp_path / "trunk.safetensors"
    job = job_for(tmp_path / "out", weights)
    finetune_child.WORK["weights"](job)
    assert len(load_file(weights)) == 26
    ours, plain = finetune_child.WORK["ours"](job), finetune_child.WORK["baseline"](job)
    for outcome in (ours, plain):
        assert len(outcome["history"]) == 2
    # So few steps teach little; only that both are tested on the same six recordings can be checked.
    assert {ours["test"], plain["test"]} <= {count / 6 for count in range(7)}


def test_fastai_tunes_its_classifier_first_and_leaves_the_frozen_trunk(digits_folder, tmp_path, monkeypatch) -> None:
    pytest.importorskip("fastai")
    pytest.importorskip("vczoo_torchvision")
    from safetensors.torch import load_file

    (tmp_path / "out").mkdir()
    fsdd.write_data(digits_folder, tmp_path / "out", COLUMNS)
    job = job_for(tmp_path / "out", tmp_path / "trunk.safetensors") | {"baseline": "fastai"}
    finetune_child.WORK["weights"](job)
    prepared = []
    prepare = baselines.prepare
    monkeypatch.setattr(baselines, "prepare", lambda job: prepared.append(prepare(job)) or prepared[-1])
    outcome = finetune_child.WORK["baseline"](job)
    assert len(outcome["history"]) == 2
    before, after = load_file(tmp_path / "trunk.safetensors"), prepared[0][0].state_dict()
    changed = {int(name.split(".")[1]) for name, tensor in before.items() if not after[name].equal(tensor)}
    assert changed == {24, 26, 28}


def test_a_warm_row_is_warm_whichever_other_rows_run(monkeypatch, tmp_path) -> None:
    ran = []

    def run(job, **changes):
        if changes["work"] == "ours":
            ran.append(changes["cache"])
        return {"wall_seconds": 1.0, "cpu_seconds": 1.0, "peak_megabytes": 1.0, "test": 1.0, "validation": 1.0}

    monkeypatch.setattr(finetune, "run", run)
    job, cache = {"kind": "frozen", "folder": str(tmp_path)}, str(tmp_path / "cache-frozen")
    assert [row["row"] for row in finetune.measure(job, [], ["none", "warm"])] == [
        "vczoo, warm cache",
        "vczoo, no cache",
    ]
    assert ran == [cache, cache, None]
    ran.clear()
    assert [row["row"] for row in finetune.measure(job, [], ["warm", "cold"])] == [
        "vczoo, cold cache",
        "vczoo, warm cache",
    ]
    assert ran == [cache, cache]


def test_a_child_process_returns_its_figures_or_raises_its_failure() -> None:
    script = (
        "import json, os; from benchmarks.lib.child_process import peak_megabytes\n"
        "before = peak_megabytes(); block = b'1' * 200_000_000\n"
        "more = peak_megabytes() - before; print('noise')\n"
        "print(json.dumps({'threads': os.environ['OMP_NUM_THREADS'], 'more': more}))"
    )
    figures = child_process.measured([sys.executable, "-c", script], threads=3)
    assert figures["threads"] == "3"
    assert figures["more"] == pytest.approx(200, abs=30)
    assert figures["wall_seconds"] > 0
    assert figures["cpu_seconds"] > 0
    with pytest.raises(RuntimeError, match="no such thing"):
        child_process.measured([sys.executable, "-c", "raise SystemExit('no such thing')"])


def test_the_table_has_verdicts_and_bounds() -> None:
    assert [finetune.verdict(points) for points in (0.9, -0.9, 1.4, -1.4)] == ["equal", "equal", "better", "worse"]
    flops = {"frozen": 100, "forward": 1, "step": 3, "plain_forward": 20, "plain_step": 50}
    limits = {"flops_an_image": flops, "flops_a_second": 10.0}
    rows = [
        {"kind": "frozen", "row": row, "wall_seconds": 20.0}
        for row in ("plain loop", "vczoo, cold cache", "vczoo, warm cache", "vczoo, no cache")
    ]
    cold, warm = finetune.bounds(rows, limits, {"train": 2, "validation": 0, "test": 0}, epochs=5)
    assert (cold["bound_seconds"], warm["bound_seconds"]) == (23.0, 3.0)
    assert warm["ratio"] == pytest.approx(20 / 3)
    assert (cold["ratio_of_flops"], warm["ratio_of_flops"]) == (5 * 2 * 150 / 230, 5 * 2 * 150 / 30)
    assert roofline.plain_loop(flops, {"train": 2, "validation": 3, "test": 4}, epochs=5) == 5 * (300 + 360) + 480


def test_startup_reports_which_targets_hold() -> None:
    medians = {"python -c pass": 0.02, "import vczoo": 0.09, "vczoo list": 0.3, "import timm": 4.0}
    outcome = startup.checks(medians)
    assert [check["holds"] for check in outcome.values()] == [False, True]
    assert len(startup.checks({name: medians[name] for name in ("python -c pass", "import vczoo", "vczoo list")})) == 1
    medians |= {"import torch": 1.3, "vczoo convert base, 6 s": 2.5, 'vczoo.load("base")': 1.9}
    medians["the imports of vczoo.load"] = 1.5
    assert [check["holds"] for check in startup.checks(medians).values()] == [False, True, False, True]


def test_memory_formats_are_compared_at_every_batch_size() -> None:
    variants = list(memory_format.variants(["vgg16"], [16, 1], [1, 2], compiled=True))
    # Two tasks, two layouts; two thread counts, compiled, and the other batch size.
    assert len(variants) == len(set(variants)) == 2 * 2 * (2 + 1 + 1)
    assert {variant.batch for variant in variants if variant.compiled or variant.threads == 2} == {16}


def test_the_pushed_share_is_of_the_model_and_of_the_base_with_its_heads() -> None:
    row = {"recipe": "r", "pushed": 12.0, "heads": 10.0, "whole": 48.0, "base": 90.0}
    assert hub.shares(row) == {"of_whole": 0.25, "of_base": 0.12}
    assert hub.shares({**row, "base": None})["of_base"] is None
    head, line = hub.lines("sizes", [row | hub.shares(row)])
    assert head.split() == ["MB", "pushed", "heads", "whole", "share", "base", "share"]
    assert line.split() == ["r", "12.00", "10.00", "48.00", "0.250", "90.0", "0.120"]


def test_loads_are_timed_in_turn_without_the_first_round() -> None:
    called = []
    times = iter([0, 9, 0, 9, 0, 1, 0, 5, 0, 3, 0, 4, 0, 2, 0, 6])  # start and end of a, then of b
    calls = {name: lambda name=name: called.append(name) for name in "ab"}
    seconds = hub.in_turn(calls, 3, clock=lambda: next(times))
    assert seconds == {"a": 2, "b": 5}
    assert "".join(called) == "abababab"
    rows = [{"megabytes": 20, "seconds": {"push": 3.0, "upload_folder": 2.0, "pull": 1.0, "snapshot_download": 4.0}}]
    assert [line.split()[-1] for line in hub.lines("transfer", rows)] == ["ratio", "1.50", "0.25"]


def test_noise_changes_only_the_tensors_that_the_recipe_trains(tmp_path) -> None:
    pytest.importorskip("vczoo_torchvision")
    from vczoo.models.build import build, checked_recipe
    from vczoo.runs.run import Run

    small = ["backbone.weights=random", "backbone.num_mels=32", "backbone.out_stage=2"]
    for recipe, free in (("resnet18-partialfreeze", "backbone.layer1."), ("resnet18-norms", "bn"), ("demo", "")):
        chosen = checked_recipe(recipe, small if recipe != "demo" else ["backbone.width=8"])
        model = build(chosen, 2)
        before = {name: tensor.clone() for name, tensor in model.tensors().items()}
        hub_fixtures.move(Run(chosen, model, (), {}))
        moved = {name for name, tensor in model.tensors().items() if not tensor.equal(before[name])}
        backbone = {name for name in before if name.startswith("backbone.")}
        norms = {name for name in backbone if "bn" in name or name.startswith("backbone.stem.1.")}
        assert moved == (norms if free == "bn" else {name for name in backbone if name.startswith(free)})


def test_vczoo_and_torch_load_the_same_tensors(tmp_path) -> None:
    import torch

    import vczoo

    speakers = hub_fixtures.Speakers(tmp_path)
    run = vczoo.load(speakers.run("demo", "backbone.width=8")).run
    assert (len(run.speakers), len(run.voices)) == (6, 2)
    torch.save(run.model.state_dict(), tmp_path / "whole.pt")
    plain = hub.by_torch(run, tmp_path / "whole.pt")().state_dict()
    assert all(torch.equal(tensor, plain[name]) for name, tensor in run.model.state_dict().items())


def test_strings_are_joined_from_takes_of_one_speaker_and_split(digits_folder, tmp_path) -> None:
    takes = tasks.singles(digits_folder)
    assert {(row["split"], row["text"], row["label"]) for row in takes} >= {
        ("train", "six", "six"),
        ("test", "zero", "zero"),
    }
    strings = list(tasks.strings(takes, tmp_path / "strings"))
    assert strings == list(tasks.strings(takes, tmp_path / "strings"))
    assert len(strings) == len(takes)
    for row in strings:
        words = row["text"].split()
        assert 2 <= len(words) <= 4
        assert f"{row['speaker']}/{row['split']}-" in row["path"]
        seconds = soundfile.info(row["path"]).duration
        assert 0.1 * len(words) < seconds < 0.31 * len(words) + 0.2 * (len(words) - 1)
    stranger = [{**takes[0], "split": "stranger"}, takes[1]]
    file = tasks.write_manifest(stranger, tmp_path / "m.csv", ("path", "speaker", "split", "text"))
    assert len(file.read_text().splitlines()) == 2  # the header, and the take that is not the unseen speaker's
    answers = [tasks.Prediction("one", output) for output in ("one", "two")]
    assert tasks.figures("label", answers) == {"recall": 0.5, "accuracy": 0.5, "error": 0.5, "utterances": 2}


def test_both_classifiers_learn_readable_labels_and_guess_others() -> None:
    import torch

    random = torch.Generator().manual_seed(0)

    def labelled(count: int, *, readable: bool) -> Any:
        labels = torch.arange(count) % 3
        frames = []
        for label in labels:
            values = torch.randn(12, 6, generator=random)
            # The label is the channel that moves first; mean and deviation of the whole are the same for all.
            values[:6, label] += 4 * readable
            values[6:, label] -= 4 * readable
            frames.append(values)
        return probes.Labelled(frames, labels)

    for readable, low, high in ((True, 0.95, 1.0), (False, 0.0, 0.6)):
        train, validation, test = (labelled(count, readable=readable) for count in (120, 30, 60))
        for name, probe in probes.PROBES.items():
            assert low <= probes.accuracy(probe(train, validation, 3, 0), test) <= high, name
    one, again = (probes.network(train, validation, 3, 5)(test.frames) for _ in range(2))
    torch.testing.assert_close(one, again, rtol=0, atol=0)
    assert probes.chance(torch.tensor([0, 1, 1, 2])) == 0.5
    assert probes.pooled(torch.ones(1, 6)).shape == probes.pooled(torch.ones(7, 6)).shape == (48,)


def test_a_network_over_frames_does_not_read_their_padding() -> None:
    import torch

    import vczoo

    net = probes.FrameNet(4, 3).eval()
    short, long = (vczoo.Frames.of(torch.randn(length, 4)) for length in (5, 9))
    with torch.no_grad():
        torch.testing.assert_close(net(vczoo.Frames.batch([short, long]))[:1], net(short))


# A model like `base`, small enough to convert in no time.
TINY = (
    "backbone.width=64",
    "backbone.layers=1",
    "backbone.block_width=8",
    "backbone.blocks=1",
    "backbone.channels=4",
    "heads.voice.width=8",
    "heads.voice.blocks=1",
    "heads.voice.bottleneck=4",
    "vocoder.width=8",
    "vocoder.blocks=1",
)


@pytest.fixture
def sentences_folder(tmp_path: Path) -> Path:
    """Short synthetic recordings under the names of the VCTK recordings in the trial list."""
    names = (TRIALS / "vctk-mini-manifest.csv").read_text(encoding="utf-8").splitlines()[1:]
    for number, row in enumerate(names):
        path = tmp_path / "vctk" / row.split(",")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        f0_hz = {"p225": 210.0, "p226": 110.0, "p227": 130.0, "p228": 180.0}[path.parent.name]
        soundfile.write(path, synthetic_utterance(number, f0_hz, f0_hz / 160), 16000)
    return tmp_path / "vctk"


def test_content_is_measured_on_takes_and_a_speaker_that_were_not_trained_on(sentences_folder, tmp_path) -> None:
    for speaker, f0_hz in (("george", 110.0), ("lucas", 230.0), ("theo", 160.0)):
        (tmp_path / "digits" / speaker).mkdir(parents=True)
        for digit, take in ((digit, take) for digit in (0, 1) for take in (0, 1, 13, 15)):
            samples = synthetic_utterance(digit, f0_hz, f0_hz / 160, 8000)
            soundfile.write(tmp_path / "digits" / speaker / f"{digit}_{speaker}_{take}.wav", samples[:3000], 8000)
    options = [item for option in TINY for item in ("--option", option)]
    places = ["--data", str(sentences_folder), "--digits", str(tmp_path / "digits"), "--keep", str(tmp_path / "keep")]
    settings = ["--model", "base-pretrain", "--part", "content", "--seeds", "1", "--out", str(tmp_path / "base.json")]
    base_model.main([*places, *settings, *options])
    results = json.loads((tmp_path / "base.json").read_text(encoding="utf-8"))
    rows = {(row["task"], row["frames"], row["classifier"]): row for row in results["content"]}
    kinds, probes = ("log-mels", "log-mels, normalised", "content"), ("linear", "network")
    counts = {"speakers of digits": 6, "speakers of sentences": 8, "digits": 4, "digits, unseen speaker": 8}
    assert set(rows) == {(task, kind, probe) for task in counts for kind in kinds for probe in probes}
    assert {row["recordings"] == counts[task] for (task, _, _), row in rows.items()} == {True}
    assert rows["speakers of digits", "log-mels", "linear"]["accuracy"] == 1
    assert rows["digits", "log-mels", "linear"]["chance"] == 0.5
    parts = results["sizes"]["parameters"]
    assert set(parts) == {"backbone", "heads.speaker", "heads.voice", "vocoder", "all"}
    assert parts["all"] == sum(parts.values()) / 2
    assert results["sizes"]["whole_megabytes"] * 1e6 > 4 * parts["all"]


def test_the_content_of_base_does_not_reveal_the_speaker(shared, tmp_path) -> None:
    import vczoo

    bench = systems.Bench(shared / "data" / "vctk-mini", tmp_path)
    task = base_model_content.Task("speakers of sentences", base_model_content.sentences(bench), excerpts=True)
    features = base_model_content.features_of(vczoo.load("base").model)
    accuracy = {}
    for name in ("log-mels, normalised", "content"):
        data = base_model_content.sets(task, features[name])
        network = probes.PROBES["network"](data["train"], data["validation"], 4, 0)
        accuracy[name] = probes.accuracy(network, data["test"])
    assert accuracy["log-mels, normalised"] > 0.6  # so the network can learn the task
    assert accuracy["content"] < 0.4  # chance is 0.26


def test_prompts_that_are_linked_twice_count_as_one_voice(tmp_path) -> None:
    (tmp_path / "en_US_f_Allison" / "digits").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match="no folder of"):
        base_model_corpus.voices_of(tmp_path)
    (tmp_path / "en_US_f_Allison" / "digits" / "1.g722").write_bytes(b"")
    (tmp_path / "en").symlink_to(tmp_path / "en_US_f_Allison")
    assert base_model_corpus.voices_of(tmp_path) == [tmp_path / "en_US_f_Allison"]


def test_griffin_lim_replaces_a_vocoder_with_the_same_mel(voices_folder) -> None:
    import vczoo

    converter = vczoo.load("base-pretrain", TINY)
    (_, own), (name, plain) = base_model_conversion.by_vocoder(converter)
    assert name == "griffin-lim"
    assert own.model.vocoder is converter.model.vocoder
    assert type(plain.model.vocoder).__name__ == "GriffinLim"
    plain.enroll("alice", voices_folder / "alice" / "0.wav")
    assert (plain.voices, own.voices) == (("alice",), ())
    assert len(plain.convert(voices_folder / "bob" / "0.wav", "alice")) == 1
    assert [name for name, _ in base_model_conversion.by_vocoder(vczoo.load("demo"))] == ["griffin-lim"]


def test_degradations_match_their_names(tmp_path) -> None:
    source = tmp_path / "source.wav"
    clean = synthetic_utterance(2, 160.0, 1.0)
    soundfile.write(source, clean, 16000)
    degraded, rates = {}, {}
    for number, (name, damage) in enumerate(degradations.DAMAGES.items()):
        degraded[name], rates[name] = soundfile.read(damage.write(source, tmp_path / f"{number}.wav"))
    assert all(np.isfinite(samples).all() for samples in degraded.values())
    for name, samples in degraded.items():
        expected = 0.05 if name == "0.05 s" else clean.size / 16000
        assert len(samples) / rates[name] == pytest.approx(expected, abs=0.001), name
    assert (rates["telephone, 8 kHz"], rates["48 kHz stereo"]) == (8000, 48000)
    left, right = degraded["48 kHz stereo"].T
    assert np.abs(left).max() / np.abs(right).max() == pytest.approx(1 / 0.3, rel=0.01)
    noisy = degraded["white noise, 5 dB"]
    gain = noisy @ clean / (clean @ clean)
    noise = noisy - gain * clean
    assert 10 * np.log10(gain**2 * (clean @ clean) / (noise @ noise)) == pytest.approx(5, abs=0.3)
    assert (np.abs(degraded["clipped, 20 dB over"]) > 0.99).mean() > 0.3
    assert not degraded["silence, a file"].any()
    assert (degraded["silence with a click"] != 0).sum() == 1
    assert abs(np.corrcoef(degraded["music"], clean)[0, 1]) < 0.1

    import torch

    from vczoo.audio.waveform import Waveform
    from vczoo.evaluation.metrics.f0_contour import f0_contour

    contours = {
        name: f0_contour(Waveform.of(torch.from_numpy(degraded[name]), 16000))
        for name in ("as recorded", "a child's voice", "whispered")
    }
    before, after = (np.median(contours[name][contours[name] > 0]) for name in ("as recorded", "a child's voice"))
    assert after / before == pytest.approx(1.35, rel=0.03)
    assert (contours["as recorded"] > 0).mean() > 0.6 > 0.3 > (contours["whispered"] > 0).mean()


def test_blends_are_of_both_people_or_of_the_length_they_say(tmp_path: Path) -> None:
    paths = []
    for pitch_hz in (120.0, 210.0):
        paths.append(tmp_path / f"{pitch_hz:.0f}.wav")
        soundfile.write(paths[-1], np.resize(synthetic_utterance(2, pitch_hz, 1.0), 48000), 16000)
    own, other = (soundfile.read(path)[0] for path in paths)
    seconds = {}
    for number, (name, blend) in enumerate(degradations.BLENDS.items()):
        samples, rate_hz = soundfile.read(blend.write(paths[:1], paths[1:], tmp_path / "blends" / f"{number}.wav"))
        seconds[name] = len(samples) / rate_hz
        if name == "two people at once":
            assert [np.corrcoef(samples, voice)[0, 1] > 0.5 for voice in (own, other)] == [True, True]
        if name == "two people in turn":
            assert np.corrcoef(samples[: len(own)], own)[0, 1] > 0.99
            assert np.corrcoef(samples[len(own) :], other)[0, 1] > 0.99
    assert seconds == {
        "two people at once": 3.0, "two people in turn": 6.0, "2 s to enroll": 2.0, "ten minutes to enroll": 600.0
    }  # fmt: skip


def test_intervals_over_speakers_are_wider_when_speakers_differ() -> None:
    speakers = "abcd"
    pairs = [(one, other) for one in speakers for other in speakers if one != other]
    trials = [{"source_speaker": source, "voice": voice} for source, voice in pairs]
    ones = [1.0] * len(trials)
    assert speaker_intervals.interval(trials, [0.5] * len(trials), ones) == (0.5, 0.5)
    by_target = [float("abcd".index(voice)) for _, voice in pairs]
    low, high = speaker_intervals.interval(trials, by_target, ones)
    assert low < 0.8 < 2.2 < high  # half of the speakers may be missing from a draw
    words = [2.0 if source == "a" else 1.0 for source, _ in pairs]
    assert speaker_intervals.interval(trials, words, words) == (1.0, 1.0)


def test_the_table_over_speakers_has_every_system_that_converts() -> None:
    trial = {
        "source_speaker": "a", "voice": "b", "similarity_to_target": 0.8, "dnsmos_overall": 3.0, "compute_seconds": 1.0,
        "asr": {"one": {"word_errors": 1, "words": 4}},
    }  # fmt: skip
    other = {**trial, "source_speaker": "b", "voice": "a", "asr": {"one": {"word_errors": 0, "words": 4}}}
    floor = {name: value for name, value in trial.items() if name != "compute_seconds"}
    report = {"systems": [{"system": "floor", "trials": [floor]}, {"system": "base", "trials": [trial, other]}]}
    (row,) = speaker_intervals.rows(report)
    assert row["system"] == "base"
    assert row["to target"] == "0.800 (0.800 to 0.800)"
    assert row["WER, one"] == "0.125 (0.125 to 0.125)"


class FakeModels:
    """A speaker model that embeds the spectrum, and a speech recognizer that always returns one word."""

    name = family = "fake"

    def embed(self, waves: Any) -> np.ndarray:
        bands = [
            np.abs(np.fft.rfft(wave.samples[0].numpy(), 2048))[:400].reshape(40, 10).mean(axis=1) for wave in waves
        ]
        return np.stack([band / np.linalg.norm(band) for band in bands])

    def transcribe(self, wave: Any) -> str:
        return "word"


def test_the_teacher_is_compared_with_the_content(digits_folder) -> None:
    pytest.importorskip("vczoo_transformers")
    import vczoo

    teacher = base_model_content.teacher_of("transformers/whisper-tiny.en", "random", 3)
    frames = base_model_content.features_of(vczoo.load("base-pretrain", TINY).model, teacher)["teacher"](
        digits_folder / "low" / "0_low_1.wav"
    )
    assert frames.values.shape[2] == 384


def test_bad_inputs_are_converted_and_enrolled_and_refusals_are_not_crashes(
    sentences_folder, digits_folder, tmp_path
) -> None:
    pytest.importorskip("jiwer")
    import vczoo

    bench = systems.Bench(sentences_folder, tmp_path / "keep")
    assert [(trial.source_speaker, trial.voice) for trial in robustness.ring(bench)] == [
        ("p225", "p226"),
        ("p226", "p227"),
        ("p227", "p228"),
        ("p228", "p225"),
    ]
    converter, measures = vczoo.load("base-pretrain", TINY), vczoo.Measures(FakeModels(), (FakeModels(),))
    chosen = ("as recorded", "48 kHz stereo", "whispered", "silence, a file", "silence, in memory")
    every = [kind for kind in robustness.kinds(bench, tmp_path / "inputs", None, None) if kind.name in chosen]
    every.append(
        robustness.of_others(
            "telephone, recorded",
            degradations.strings(digits_folder, tmp_path / "strings", 2, 2, words=3),
            bench.trials[:2],
        )
    )
    rows = {row["input"]: row for row in robustness.measure(converter, bench, measures, iter(every))}
    for name, row in rows.items():
        part = (row["convert"], row["enroll"])
        assert [own["of"] for own in part] == [2, 2] if name == "telephone, recorded" else [4, 4]
        if name == "silence, a file":
            assert [own["converted"] for own in part] == [0, 0]
            assert all("silent throughout" in fault for own in part for fault in own["faults"])
            assert all(fault.startswith("refused") for own in part for fault in own["faults"])
            continue
        if name == "silence, in memory":  # part of a signal may be converted, but it is no voice
            assert part[0]["faults"] == []
            assert all("silent throughout" in fault for fault in part[1]["faults"])
            continue
        assert [own["faults"] for own in part] == [[], []], name
        assert (part[0]["wer"], part[0]["dnsmos"]) == (0, None)
    assert rows["as recorded"]["given"]["wer"] == 0
    assert 0 < rows["whispered"]["enroll"]["similarity"] <= 1

    wave = vczoo.Waveform.read(bench.trials[0].source)
    tally = robustness.Tally()
    for broken in (
        lambda: 1 / 0,
        lambda: vczoo.Waveform.of(wave.samples * float("nan"), wave.sample_rate_hz),
        lambda: vczoo.Waveform.of(wave.samples[:, 5:], wave.sample_rate_hz),
    ):
        assert robustness.attempt(tally, bench.trials[0].source, broken) is None
    assert [outcome.split(":")[0] for outcome in tally.outcomes] == ["CRASH", "NOT FINITE", "WRONG LENGTH"]
