from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from vczoo.errors import RecipeError, UnknownNameError, VczooError
from vczoo.io.plain_yaml import parse_plain
from vczoo.models import resolve as recipe_text
from vczoo.models.recipe import Recipe, read_recipe
from vczoo.models.resolve import nest, resolve
from vczoo.models.training_settings import Training, VocoderTraining
from vczoo.registry.hookspecs import hookimpl
from vczoo.registry.zoo import Zoo, the_zoo

BASE = """
summary: the base
backbone: {use: mel-conv, width: 8, blocks: 2}
freezing: {use: partial, trainable_stages: 1}
heads:
  speaker: {use: speaker-classifier, hidden: [16], weight: 0.5}
  voice: {use: mel-decoder, width: 16, blocks: 2}
vocoder: {use: griffin-lim}
training: {epochs: 3, batch_size: 4}
"""
Write = Callable[[str, str], Path]


class RecipesOnly:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @hookimpl
    def vczoo_recipes(self) -> Path:
        return self.folder


@pytest.fixture
def write(tmp_path, monkeypatch) -> Write:
    """Write a recipe into the folder of a plugin that is registered beside the core."""
    folder = tmp_path / "recipes"
    folder.mkdir()

    def put(name: str, text: str) -> Path:
        path = folder / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        zoo = Zoo([])
        zoo.register(RecipesOnly(folder), "example", "vczoo-example", "1")
        monkeypatch.setattr(recipe_text, "the_zoo", lambda: zoo)
        return path

    return put


def faults(name: str | Path, *overrides: str) -> str:
    with pytest.raises(RecipeError) as error:
        read_recipe(name, overrides)
    return str(error.value)


@pytest.mark.parametrize("name", [recipe.name for recipe in the_zoo().recipes()])
def test_every_recipe_of_the_zoo_is_read_and_written_again(name) -> None:
    recipe = read_recipe(name)
    assert recipe.name == name
    assert Recipe.parse(parse_plain(recipe.to_yaml(), name)) == recipe


def test_a_recipe_is_read_with_its_defaults(write) -> None:
    write("plain", BASE)
    recipe = read_recipe("plain")
    assert recipe.name == "plain"
    assert (recipe.licence, recipe.paper) == ("Apache-2.0", "")
    assert recipe.backbone.use == "mel-conv"
    assert recipe.backbone.options == {"width": 8, "blocks": 2}
    assert recipe.heads["speaker"].options == {"hidden": [16]}
    assert [head.weight for head in recipe.heads.values()] == [0.5, 1.0]
    assert recipe.training == Training(epochs=3, batch_size=4)
    assert Recipe.parse(parse_plain(recipe.to_yaml(), "again")) == recipe


def test_a_variant_states_only_its_difference(write) -> None:
    write("plain", BASE)
    write("deeper", "extends: plain\nsummary: deeper\nbackbone: {blocks: 4}\n")
    write("knn", "extends: deeper\nsummary: with kNN\nheads: {voice: {use: knn, k: 2}}\ntraining: {epochs: 9}\n")
    write("speaker", "extends: knn\nsummary: only recognises\nheads: {voice: }\nvocoder: null\n")
    assert read_recipe("deeper").backbone.options == {"width": 8, "blocks": 4}
    knn = read_recipe("knn")
    assert knn.heads["voice"].options == {"k": 2}
    assert knn.training == Training(epochs=9, batch_size=4)
    speaker = read_recipe("speaker")
    assert list(speaker.heads) == ["speaker"]
    assert speaker.vocoder is None
    assert speaker.backbone.options == {"width": 8, "blocks": 4}


def test_extends_in_a_circle(write) -> None:
    write("a", "extends: b\n")
    write("b", "extends: c\n")
    write("c", "extends: a\n")
    assert "extends makes a cycle: a -> b -> c -> a" in faults("a")
    write("self", "extends: self\n")
    assert "extends makes a cycle: self -> self" in faults("self")


def test_a_file_may_extend_the_recipe_of_its_own_name(write, tmp_path) -> None:
    write("plain", BASE)
    mine = tmp_path / "plain.yaml"
    mine.write_text("extends: plain\nsummary: mine\n", encoding="utf-8")
    recipe = read_recipe(mine)
    assert (recipe.name, recipe.summary, recipe.backbone.use) == ("plain", "mine", "mel-conv")
    mine.write_text(f"extends: {mine}\n", encoding="utf-8")
    assert "extends makes a cycle" in faults(mine)


def test_a_long_chain_of_extends_is_followed_and_an_endless_one_refused(write, tmp_path) -> None:
    write("plain", BASE)
    for number in range(1, 1500):
        (tmp_path / f"{number}.yaml").write_text(f"extends: {tmp_path / f'{number + 1}.yaml'}\nsummary: '{number}'\n")
    (tmp_path / "31.yaml").write_text("extends: plain\n")
    assert read_recipe(tmp_path / "1.yaml").summary == "1"
    assert "extends: more than 32 recipes in a chain (" in faults(tmp_path / "32.yaml")


@pytest.mark.parametrize("parent", ["[a, b]", "3", "x" * 5000])
def test_extends_takes_one_name(write, parent) -> None:
    write("odd", f"extends: {parent}\n")
    assert "extends: expected the name of one recipe or file, got " in faults("odd")


def test_only_a_regular_file_of_bounded_size_is_a_recipe(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "utf16.yaml").write_bytes("summary: x".encode("utf-16"))
    with (tmp_path / "huge.yaml").open("wb") as file:
        file.truncate(6 * 10**9)
    for name, text in {
        "pipe.yaml": "not a regular file",
        "zero.yaml": "not a regular file",
        "loop.yaml": "Too many levels of symbolic links",
        "folder.yaml": "not a regular file",
        "utf16.yaml": "cannot be read as UTF-8 text",
        "huge.yaml": "more than 1000000 bytes, so it is not a recipe",
        "nul\0.yaml": "cannot be read as UTF-8 text",
        f"{'n' * 300}.yaml": "File name too long",
        "absent.yaml": "no such recipe file; `vczoo copy NAME absent.yaml` creates one",
        "huge.yaml/x.yaml": "no such recipe file",
    }.items():
        with pytest.raises(VczooError, match=re.escape(text)):
            read_recipe(tmp_path / name)


def test_extends_of_what_is_not_there(write) -> None:
    write("plain", BASE)
    write("variant", "extends: plains\n")
    assert "extends: no recipe is called 'plains'; did you mean 'plain'" in faults("variant")


def test_unknown_recipes_and_files(write, tmp_path) -> None:
    write("plain", BASE)
    with pytest.raises(UnknownNameError, match="no recipe is called 'plin'; did you mean 'plain'"):
        read_recipe("plin")
    with pytest.raises(VczooError, match=r"no such recipe file; `vczoo copy NAME gone\.yaml`"):
        read_recipe(tmp_path / "gone.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"summary: caf\xe9\n")
    with pytest.raises(VczooError, match="cannot be read as UTF-8 text"):
        read_recipe(tmp_path / "latin.yaml")


def test_overrides_as_text_and_as_a_mapping(write) -> None:
    write("plain", BASE)
    as_text = read_recipe("plain", ["training.epochs=7", "backbone.width=16", "heads.speaker.hidden=[8, 4]"])
    as_mapping = read_recipe("plain", {"training.epochs": 7, "backbone": {"width": 16}, "heads.speaker.hidden": [8, 4]})
    assert as_text == as_mapping
    assert as_text.training.epochs == 7
    assert as_text.backbone.options == {"width": 16, "blocks": 2}
    assert as_text.heads["speaker"].options == {"hidden": [8, 4]}


def test_an_override_may_take_a_part_away_or_replace_it(write) -> None:
    write("plain", BASE)
    only = read_recipe("plain", ["vocoder=null", "heads.speaker.dropout=0.1", "heads.voice=null"])
    assert only.vocoder is None
    assert list(only.heads) == ["speaker"]
    assert only.heads["speaker"].options == {"hidden": [16], "dropout": 0.1}
    for overrides in (["heads.voice.use=knn", "heads.voice.k=2"], ["heads.voice.k=2", "heads.voice.use=knn"]):
        assert read_recipe("plain", overrides).heads["voice"].options == {"k": 2}


def test_overrides_nest_and_the_later_one_wins() -> None:
    assert nest(["a.b=1", "a.c=2", "a.b=3"]) == {"a": {"b": 3, "c": 2}}
    assert nest(["a=1", "a.b=2"]) == {"a": {"b": 2}}
    given = {"a": {"b": 1}, "a.c": 2}
    assert nest(given) == {"a": {"b": 1, "c": 2}}
    assert given == {"a": {"b": 1}, "a.c": 2}


@pytest.mark.parametrize("override", ["training.epochs", "=3", "training.epochs:3", ""])
def test_an_override_that_is_not_key_and_value(override, write) -> None:
    write("plain", BASE)
    with pytest.raises(VczooError, match=r"is not key=value; write, for example, training\.epochs=3"):
        read_recipe("plain", [override])


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("training.epoch=3", "training.epoch: no such setting; did you mean 'training.epochs'"),
        ("bakbone.use=x", "bakbone: no such setting; did you mean 'backbone'"),
        ("training.epochs=0", "training.epochs: Input should be greater than or equal to 1, got 0"),
        ("training.epochs=many", "training.epochs: Input should be a valid integer"),
        ("training.learning_rate=.inf", "training.learning_rate: Input should be a finite number, got inf"),
        ("training.learning_rate=.nan", "training.learning_rate:"),
        ("training.warmup=1", "training.warmup: Input should be less than 1"),
        ("training.optimizer=sgd", "training.optimizer: Input should be 'adamw' or 'adam', got 'sgd'"),
        ("training.seed=-1", "training.seed"),
        ("heads.speaker.weight=-1", "heads.speaker.weight: Input should be greater than or equal to 0"),
        ("heads.speaker.weight=.inf", "heads.speaker.weight: Input should be a finite number"),
        ("heads.a b.use=knn", "head 'a b': a name is letters, digits, _ and -"),
        ("training.epochs=100001", "training.epochs: Input should be less than or equal to 100000, got 100001"),
        (
            f"training.batch_size={10**21}",
            f"training.batch_size: Input should be less than or equal to 65536, got {10**21}",
        ),
        ("training.crop_seconds=1.0e+9", "training.crop_seconds: Input should be less than or equal to 600"),
        ("training.learning_rate=1.0e+30", "training.learning_rate: Input should be less than or equal to 1000"),
        ("training.backbone_rate=1.0e+30", "training.backbone_rate: Input should be less than or equal to 1000"),
        ("training.weight_decay=1.0e+30", "training.weight_decay: Input should be less than or equal to 1000"),
        ("training.clip_norm=1.0e+30", "training.clip_norm: Input should be less than or equal to"),
        ("training.patience=1000000", "training.patience: Input should be less than or equal to 100000"),
        ("training.consistency=1.0e+30", "training.consistency: Input should be less than or equal to 1000000"),
        (f"training.content_speeds={[1.0] * 65}", "training.content_speeds: Tuple should have at most 64 items"),
        (
            "training={batch_size: 60000, crop_seconds: 600}",
            "a batch of 60000 segments of 600 s has 10000 hours of speech",
        ),
        ("tuning.epochs=1000000000000", "tuning.epochs: Input should be less than or equal to 100000"),
        (
            "vocoder_training.steps=1000000000000",
            "vocoder_training.steps: Input should be less than or equal to 100000000",
        ),
        ("vocoder_training.discriminator_channels=9999", "discriminator_channels: Input should be less than or equal"),
        ("vocoder_training.mel_weight=1.0e+30", "vocoder_training.mel_weight: Input should be less than or equal"),
        (
            "vocoder_training.batch_size=65000",
            "a batch of 65000 segments of 0.64 s has 12 hours of speech; the limit is 10",
        ),
        ("heads.speaker.weight=1.0e+30", "heads.speaker.weight: Input should be less than or equal to 1000000"),
        ("backbone.use=3", "backbone.use: Input should be a valid string, got 3"),
        ("backbone=mel-conv", "backbone: Input should be a valid dictionary"),
        ("backbone=null", "backbone: required, but missing"),
        ("summary=''", "summary: String should have at least 1 character"),
        ("heads=null", "heads: required, but missing"),
        ("heads.extra.k=3", "heads.extra.use: required, but missing"),
    ],
)
def test_a_fault_says_its_place_and_what_was_got(override, fault, write) -> None:
    write("plain", BASE)
    assert fault in faults("plain", override)


def test_all_faults_are_in_one_report(write) -> None:
    write("plain", BASE)
    with pytest.raises(RecipeError) as error:
        read_recipe("plain", ["training.epochs=0", "training.optimiser=adam", "licence=3", "vocoder.use=1"])
    assert error.value.name == "plain"
    assert [fault.partition(":")[0] for fault in error.value.faults] == [
        "licence",
        "vocoder.use",
        "training.epochs",
        "training.optimiser",
    ]
    assert str(error.value).startswith("recipe 'plain' has 4 faults:\n  - licence")


def test_no_heads_at_all(write) -> None:
    write("plain", BASE)
    assert "heads: Dictionary should have at least 1 item" in faults("plain", "heads.speaker=null", "heads.voice=null")


def test_salvage_leaves_the_faulty_settings_out(write) -> None:
    write("plain", BASE)
    values = resolve("plain")
    values["training"] = {"epochs": 0, "batch_size": 4}
    values["heads"]["speaker"]["weight"] = "much"
    values["surplus"] = 1
    recipe, found = Recipe.salvage(values)
    assert recipe is not None
    assert recipe.training == Training(batch_size=4)
    assert recipe.heads["speaker"].weight == 1.0
    assert len(found) == 3
    assert values["surplus"] == 1
    assert Recipe.salvage({"name": "x", "summary": "no parts"})[0] is None
    whole, none = Recipe.salvage(resolve("plain"))
    assert (whole, none) == (read_recipe("plain"), [])


def test_settings_are_frozen(write) -> None:
    write("plain", BASE)
    with pytest.raises(ValueError, match="frozen"):
        read_recipe("plain").training.epochs = 5


def test_every_number_of_the_settings_has_a_bound() -> None:
    for settings in (Training, VocoderTraining):
        for name, field in settings.model_fields.items():
            if field.annotation in (int, float):
                bounds = {type(bound).__name__ for bound in field.metadata}
                assert bounds & {"Ge", "Gt"}, name
                assert bounds & {"Le", "Lt"}, name
