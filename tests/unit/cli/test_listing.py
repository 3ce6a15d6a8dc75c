"""`vczoo list` and `vczoo show`: in 80 columns, in a pipe, and for parts."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.unit.cli.conftest import Command
from vczoo.cli.listing import GROUPS, part_rows, recipe_rows
from vczoo.cli.listing_lines import part_lines, recipe_lines, split_kind
from vczoo.cli.part_description import describe_part, find_part
from vczoo.errors import VczooError
from vczoo.models.build import checked_recipe
from vczoo.registry.zoo import list_models


def test_a_list_fits_80_columns_with_whole_names() -> None:
    lines = recipe_lines(recipe_rows(), 80)
    assert max(map(len, lines)) <= 80
    assert {line.split()[0] for line in lines if line.startswith("  ")} == set(list_models())
    lines = part_lines(part_rows("backbone", "*resnet*"), 80)
    assert [line for line in lines if "timm/resnet18 " in line]
    assert all(len(line) <= 80 or len(line.split()[0]) > 40 for line in lines)


def test_the_ready_recipes_can_be_told_apart_in_80_columns() -> None:
    lines = [line for line in recipe_lines(recipe_rows(), 80) if line.startswith("  base")]
    summaries = [line.split(maxsplit=2)[2] for line in lines]
    assert len(set(summaries)) == len(summaries) > 10


def test_ready_recipes_come_first_and_steps_of_base_last() -> None:
    names = [row["recipe"] for row in recipe_rows()]
    assert names[0] == "base"
    assert {"base-partialfreeze", "base-lora"} <= set(names[: names.index("demo")])
    assert set(names[-3:]) == {"base-joint", "base-pretrain", "content-distil"}
    lines = recipe_lines(recipe_rows(), 80)
    assert [lines.index(group) for group in GROUPS] == sorted(lines.index(group) for group in GROUPS)


def test_a_download_is_told() -> None:
    downloads = {row["recipe"]: row["download"] for row in recipe_rows()}
    assert downloads["base"] == downloads["demo"] == "offline"
    assert downloads["vgg16-partialfreeze"] == "553 MB"
    assert downloads["wavlm-knn"] == "1.3 GB"


def test_a_plugin_that_is_missing_is_told_in_the_line() -> None:
    row = {"recipe": "foo", "needs": "vczoo-foo (not installed)", "summary": "a; b", "group": "", "download": "?"}
    assert "needs vczoo-foo (not installed): a" in recipe_lines([row], 80)[1]


def test_a_terminal_gets_lines_and_a_pipe_gets_rows(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    _, piped, _ = command("list", "vgg16")
    assert [line.split()[0] for line in piped.splitlines()] == [
        "recipe",
        "vgg16-discriminative",
        "vgg16-fullfreeze",
        "vgg16-gradual",
        "vgg16-partialfreeze",
    ]
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("vczoo.cli.recipes.is_terminal", lambda: True)
    _, shown, _ = command("list", "vgg16")
    assert shown.splitlines()[0] == GROUPS[1]
    assert max(map(len, shown.splitlines())) <= 80


def test_parts_without_a_kind_lists_the_kinds(command: Command) -> None:
    code, out, _ = command("list", "--parts")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:5]] == ["backbone", "freezing", "head", "vocoder"]


def test_a_part_of_a_name_finds_parts(command: Command) -> None:
    _, out, _ = command("list", "--parts", "backbone", "vgg16")
    names = {line.split()[0] for line in out.splitlines()[1:]}
    assert {"torchvision/vgg16", "torchvision/vgg16_bn", "timm/vgg16"} <= names
    assert command("list", "--parts", "backbone", "vgg16*")[0] == 1  # a pattern is for the whole name


def test_the_kind_is_found_among_the_words() -> None:
    assert split_kind(["backbone", "vgg16"]) == split_kind(["vgg16", "backbone"]) == ("backbone", ["vgg16"])
    assert split_kind(["heads"]) == ("heads", [])  # whose nearest kind is then suggested
    with pytest.raises(VczooError, match="no kind of part among them; kinds are backbone"):
        split_kind(["foo", "bar"])


def test_a_part_shows_its_options_stages_and_weights(command: Command) -> None:
    shown = yaml.safe_load(command("show", "torchvision/resnet18")[1])
    assert shown["kind"] == "backbone"
    assert shown["options"]["time_stride"]["default"] == 2
    assert "Mel frames" in shown["options"]["time_stride"]["meaning"]
    assert list(shown["stages"]) == ["stem", "layer1", "layer2", "layer3", "layer4"]
    assert sum(shown["stages"].values()) == shown["parameters"] == 11_176_512
    assert shown["weights"][0]["download"] == "47 MB"
    assert shown["provided_by"].startswith("vczoo-torchvision ")
    shown = yaml.safe_load(command("show", "mel-decoder")[1])
    assert (shown["kind"], shown["options"]["bottleneck"]["default"]) == ("head", 48)
    assert command("show", "mel-decoder", "width=3")[0] == 1


@pytest.mark.parametrize(
    "name",
    [
        "mel-conv",
        "content-conv",
        "partial",
        "knn",
        "linear",
        "ctc",
        "classifier",
        "speaker-conv",
        "griffin-lim",
        "distil",
    ],
)
def test_every_part_of_the_core_can_be_described(name: str) -> None:
    found = find_part(name)
    assert found
    facts = describe_part(*found)
    assert not str(facts.get("parameters", "")).startswith("not known")
    assert all("meaning" in option for option in facts.get("options", {}).values())


def test_a_part_that_cannot_be_built_is_still_described(monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_part("mel-conv")
    assert found

    def broken(*_: object) -> None:
        raise RuntimeError("no network")

    monkeypatch.setattr("vczoo.cli.part_description.CheckedPart.make", broken)
    assert describe_part(*found)["parameters"] == "not known (RuntimeError: no network)"


def test_a_wrong_name_gets_the_nearest_part(command: Command) -> None:
    assert "did you mean 'torchvision/resnet18'" in command("show", "torchvision/resnet81")[2]
    assert (
        "no recipe and no part is called 'mel-decodr'; did you mean 'mel-decoder'" in command("show", "mel-decodr")[2]
    )
    assert "use `vczoo info me/alice`" in command("show", "me/alice")[2]
    assert find_part("alice") is None


def test_a_recipe_shows_the_defaults_of_its_parts_and_stays_a_recipe(command: Command, tmp_path: Path) -> None:
    _, out, _ = command("show", "demo", "heads.voice.blocks=2")
    shown = yaml.safe_load(out)
    assert shown["heads"]["voice"] == {
        "use": "mel-decoder",
        "weight": 1.0,
        "reads": "content",
        "reverse": 0.0,
        "bottleneck": 24,
        "width": 128,
        "blocks": 2,
        "fine_blocks": 1,
        "dropout": 0.1,
        "retrieval": 0.0,
    }
    assert shown["vocoder"]["iterations"] == 16
    file = tmp_path / "shown.yaml"
    file.write_text(out, encoding="utf-8")
    assert checked_recipe(file).heads["voice"].options["fine_blocks"] == 1


def test_a_tag_of_weights_is_kept(tmp_path: Path, command: Command) -> None:
    file = tmp_path / "tagged.yaml"
    file.write_text("extends: efficientnet-partialfreeze\nbackbone: {use: timm/resnet18.a1_in1k}\n", encoding="utf-8")
    assert yaml.safe_load(command("show", file)[1])["backbone"]["weights"] == "a1_in1k"
