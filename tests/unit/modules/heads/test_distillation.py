"""Learning from a teacher: the head's loss, recipes that have a teacher and those that do not, runs, and the cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import vczoo
from tests.support.recipes import TAUGHT
from vczoo.audio.frames import Frames
from vczoo.audio.specs import FrameSpec
from vczoo.cli.listing import recipe_rows
from vczoo.errors import ContractError, HubError, LicenceError, RecipeError
from vczoo.evaluation.leakage import shares_asr
from vczoo.hub.consent import parse_consent
from vczoo.hub.push import _ingredients
from vczoo.models.build import checked_recipe
from vczoo.models.portability import foreign_faults
from vczoo.models.recipe import Part, read_recipe
from vczoo.modules.backbones.mel_conv import MelConv
from vczoo.modules.heads.distillation import Distil
from vczoo.registry.requirements import needed
from vczoo.runs.versions import distributions

SPEC = FrameSpec(16000, 320, 5)
SPEAKER = 'heads.speaker={"use": "speaker-classifier", "hidden": [8]}'


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "pupil.yaml").write_text(TAUGHT)
    return tmp_path / "pupil.yaml"


@pytest.fixture(scope="module")
def taught_folder(tmp_path_factory: pytest.TempPathFactory, voices_folder: Path) -> Path:
    """A run that has learnt from the teacher, and `cache` beside it. Read only."""
    folder = tmp_path_factory.mktemp("teacher_frames")
    (folder / "pupil.yaml").write_text(TAUGHT)
    vczoo.finetune(folder / "pupil.yaml", voices_folder, folder / "run", cache=folder / "cache", progress=False)
    return folder / "run"


def lesson(head: Distil, items: int = 2, frames: int = 30) -> tuple[Frames, Frames]:
    """Content, and a teacher that hears what the head says of it, louder and shifted in each channel."""
    content = Frames.of(torch.randn(items, frames, 5)).normalise()
    said = head.frames(content).normalise().values.detach()
    return content, Frames.of(3 * said - 7)


def as_predicted(head: Distil) -> Distil:
    """Each channel of the teacher is one of the content."""
    with torch.no_grad():
        head.predict.weight.copy_(torch.eye(5))
        head.predict.bias.zero_()
    return head


def test_nothing_is_to_be_learnt_of_a_teacher_who_differs_by_gain_and_offset() -> None:
    head = as_predicted(Distil(frames=SPEC, channels=5))
    content, teacher_frames = lesson(head)
    loss = head.loss(content, teacher_frames)
    assert float(loss.value.detach()) == pytest.approx(0, abs=1e-3)
    assert float(loss.metrics["cosine"]) == pytest.approx(1, abs=1e-4)
    assert float(head.loss(content, Frames.of(torch.randn(2, 30, 5))).value.detach()) > 1


def test_a_worked_loss() -> None:
    """The head says (1, 0) and (-1, 0) where the teacher, normalised, is (1, 1) and (-1, -1): an error of 1/2 each, and
    cosines of 1 / sqrt 2."""
    spec = FrameSpec(16000, 320, 2)
    content = Frames.of(torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]]))
    teacher_frames = Frames.of(torch.tensor([[[5.0, 40.0], [1.0, 20.0]]]))
    for weight in (1.0, 0.0, 3.0):
        head = Distil(frames=spec, channels=2, cosine_weight=weight)
        with torch.no_grad():
            head.predict.weight.copy_(torch.eye(2))
            head.predict.bias.zero_()
        expected = 0.5 + weight * (1 - 0.5**0.5)
        assert float(head.loss(content, teacher_frames).value.detach()) == pytest.approx(expected, abs=1e-4)


def test_padding_is_not_read() -> None:
    """Of content, of the teacher, and whatever length the longer item has."""
    head = Distil(frames=SPEC, channels=4)
    content, teacher_frames = torch.randn(2, 12, 5), torch.randn(2, 12, 4)
    lengths = torch.tensor([12, 7])
    padded = [values.clone() for values in (content, teacher_frames)]
    for values in padded:
        values[1, 7:] = torch.nan
    loss = head.loss(Frames(padded[0], lengths), Frames(padded[1], lengths))
    loss.value.backward()
    assert head.predict.weight.grad is not None
    assert bool(head.predict.weight.grad.isfinite().all())
    each = [
        head.loss(Frames.of(content[index, :count]), Frames.of(teacher_frames[index, :count])).value.detach() * count
        for index, count in enumerate((12, 7))
    ]
    assert float(loss.value.detach()) == pytest.approx(float(sum(each)) / 19, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"channels": 0}, "channels must be 1 or more and cosine_weight 0 or more, got 0 and 1.0"),
        ({"cosine_weight": -1.0}, "got 384 and -1.0"),
    ],
)
def test_options_out_of_range(options, part) -> None:
    with pytest.raises(ContractError) as error:
        Distil(frames=SPEC, **options)
    assert part in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["heads.distil.channels=7"], "teacher: heads.distil has 7 channels, but the teacher has 6; set heads.distil."),
        (["teacher.use=mel-cnov"], "teacher.use: no backbone is called 'mel-cnov'; did you mean 'mel-conv'"),
        (["teacher.wdth=3"], "teacher.wdth: mel-conv has no such option; did you mean 'width'?"),
        (["teacher.width=0"], "teacher: width, blocks and num_mels must be 1 or more, got 0, 1 and 80"),
        (["teacher.weights=gone/w.safetensors"], "teacher.weights: no such file or folder of weights: gone/w.safet"),
        (["teacher.use=griffin-lim"], "teacher.use: no backbone is called 'griffin-lim'"),
        (["teacher=null"], "heads.distil: it learns from a teacher, but this recipe has none; name a backbone as"),
        (["heads.distil=null", SPEAKER], "teacher: no head of this recipe learns from it; add one (distil), or remove"),
        (
            ["training.criterion=accuracy"],
            "training.criterion: accuracy needs a speaker head or a label head, but this recipe has none",
        ),
        (
            ["training.criterion=similarity"],
            "training.criterion: similarity is measured on conversions, but this recipe has no voice head; choose loss",
        ),
    ],
)
def test_a_recipe_and_its_teacher_are_checked(recipe: Path, overrides: list[str], expected: str) -> None:
    with pytest.raises(RecipeError) as error:
        checked_recipe(recipe, overrides)
    (fault,) = error.value.faults
    assert fault.startswith(expected)


def test_a_sound_recipe_has_no_fault(recipe: Path) -> None:
    assert checked_recipe(recipe).teacher is not None


def test_the_teacher_is_looked_at_before_anything_is_trained(tmp_path: Path, recipe: Path, voices_folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"heads.distil has 7 channels, but the teacher has 6"):
        vczoo.finetune(recipe, voices_folder, tmp_path / "run", ["heads.distil.channels=7"], progress=False)
    assert not (tmp_path / "run").exists()


def test_it_learns(taught_folder: Path) -> None:
    history = [json.loads(line) for line in (taught_folder / "metrics.jsonl").read_text().splitlines()]
    for split in ("train", "validation"):
        assert history[-1][split]["distil.loss"] < 0.9 * history[0][split]["distil.loss"]
        assert history[-1][split]["distil.cosine"] > history[0][split]["distil.cosine"]
    test = json.loads((taught_folder / "metrics.json").read_text())["test"]
    assert set(test) == {"loss", "distil.loss", "distil.cosine"}


def test_a_run_is_loaded_without_its_teacher(taught_folder: Path, voices_folder: Path, monkeypatch: Any) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the teacher is built")

    expected = vczoo.load(taught_folder).model.content(vczoo.Waveform.read(voices_folder / "bob" / "0.wav"))
    monkeypatch.setattr(MelConv, "__init__", refuse)
    loaded = vczoo.load(taught_folder)
    assert loaded.voices == ()
    assert loaded.recipe.teacher is not None
    found = loaded.model.content(vczoo.Waveform.read(voices_folder / "bob" / "0.wav"))
    assert torch.equal(found.values, expected.values)
    assert not any("teacher" in name for name in loaded.model.tensors())


def test_the_teacher_is_brought_to_the_times_of_the_pupil(recipe: Path, voices_folder: Path) -> None:
    """A teacher of twice as many frames a second is read at every second of them."""
    from vczoo.data.corpus_reader import read_corpus
    from vczoo.models.build import build
    from vczoo.models.teacher import build_teacher
    from vczoo.training.setup import features_of

    values = checked_recipe(recipe)
    model = build(values, 2).eval()
    teacher = build_teacher(values, model)
    assert teacher is not None
    assert not teacher.training
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    features = features_of(values, model, False, teacher)
    (utterance, *_) = read_corpus(voices_folder).split("train")
    (teacher_frames,) = features.teacher_frames([utterance])
    wave = vczoo.Waveform.read(utterance.path)
    assert teacher_frames is not None
    torch.testing.assert_close(teacher_frames.values, teacher(wave).values, atol=1e-5, rtol=1e-4)
    assert int(teacher_frames.lengths[0]) == int(model.content(wave).lengths[0])
    teacher.spec = FrameSpec(16000, 160, 6)  # what was made is now said to be of twice the rate
    (fast,) = features.teacher_frames([utterance])
    assert fast is not None
    count = teacher_frames.values.shape[1]
    half = teacher_frames.values[:, :count:2]
    assert torch.equal(fast.values[:, : half.shape[1]], half)


def test_an_excerpt_is_taught_what_is_heard_in_it(recipe: Path, voices_folder: Path) -> None:
    from vczoo.data.corpus_reader import read_corpus
    from vczoo.models.build import build
    from vczoo.models.teacher import build_teacher
    from vczoo.training.setup import features_of, segments_by_split

    values = checked_recipe(recipe)
    model = build(values, 2).eval()
    teacher = build_teacher(values, model)
    features = features_of(values, model, False, teacher)
    features.at(0)
    clips = segments_by_split(features, read_corpus(voices_folder), ["alice", "bob", "carol"], values.training)["train"]
    assert features.teacher is not None
    whole = {u: features.teacher_frames([u])[0] for u in (clip.utterance for clip in clips.clips)}
    batch = next(clips.epoch(4, seed=0))
    assert batch.teacher_frames is not None
    assert batch.activations is not None
    assert batch.teacher_frames.lengths.tolist() == [item.length for item in batch.activations]
    for index in range(4):
        excerpt = batch.teacher_frames[index].values[0]
        assert any(
            bool((frames.values[0].unfold(0, len(excerpt), 1).mT - excerpt).abs().amax(dim=(1, 2)).min() < 1e-4)
            for frames in whole.values()
            if frames is not None and frames.values.shape[1] >= len(excerpt)
        )


def test_it_is_not_pushed_alone(taught_folder: Path) -> None:
    with pytest.raises(HubError, match="has only heads that learn from a teacher, so it is of no use by itself"):
        vczoo.load(taught_folder).push_to_hub("me/x", license="mit", consent="synthetic", dry_run=True)


def test_what_is_shared_names_its_teacher(run_folder: Path) -> None:
    """Its licence counts; a file of this machine is not told, and its licence is not known."""
    pytest.importorskip("vczoo_transformers")
    vc = vczoo.load(run_folder)
    plain = vc.run.recipe
    for part, source in (({}, "openai/whisper-tiny.en"), ({"weights": "/tmp/w.safetensors"}, "an unknown source")):
        teacher = Part(use="transformers/whisper-tiny.en", **part)
        vc.run.recipe = plain.model_copy(update={"teacher": teacher})
        (told,) = [one for one in _ingredients(vc.run, parse_consent("synthetic"), "") if one.what.startswith("teach")]
        assert told.what.startswith(f"teacher, weights of {source}")
        assert told.licence == ("unknown" if part else "Apache-2.0")
        made = vc.push_to_hub("me/x", license="cc-by-4.0", consent="synthetic", dry_run=True)
        assert "README.md" in made.files
    vc.run.recipe = plain.model_copy(update={"teacher": Part(use="transformers/whisper-tiny.en")})
    with pytest.raises(LicenceError, match=r"teacher, weights of openai/whisper-tiny.en \(Apache-2.0\)"):
        vc.push_to_hub("me/x", license="cc0-1.0", consent="synthetic", dry_run=True)


def test_a_recipe_from_elsewhere_names_no_file_as_teacher() -> None:
    recipe = read_recipe("content-distil", ["teacher.weights=/etc/w.safetensors"])
    assert any(
        fault.startswith("teacher.weights: '/etc/w.safetensors' may be a path") for fault in foreign_faults(recipe)
    )
    assert foreign_faults(read_recipe("content-distil")) == []


def test_the_recipe_is_listed_with_its_teacher_and_needs_the_teachers_plugin_in_training_alone() -> None:
    pytest.importorskip("vczoo_transformers")
    (row,) = recipe_rows("content-distil")
    assert row["made of"].endswith(", taught by transformers/whisper-tiny.en")
    values = read_recipe("content-distil").to_plain()
    assert set(needed(values)) == {"vczoo-transformers"}
    assert distributions(read_recipe("content-distil")) == {}
    assert shares_asr(read_recipe("content-distil"), "whisper")
    assert not shares_asr(read_recipe("content-distil", ["teacher.use=mel-conv"]), "whisper")
