"""What the light module registers: well-formed, true to the installed timm, and light."""

from functools import cache

import pytest
import timm

import vczoo_timm
from vczoo import Entry
from vczoo.testing import conformance_tests
from vczoo_timm import generate, models, vczoo_entries, weights_of
from vczoo_timm.network import STAGINGS

SAME_TIMM = timm.__version__ == vczoo_timm.generated_with()


# A few that stand for more than a thousand, one of each staging; `vczoo plugin check timm --all` checks all.
test_conformance = conformance_tests(
    "vczoo_timm",
    entries=["*/resnet10t", "*/tf_efficientnet_lite0", "*/mobilenetv3_small_050", "*/vit_tiny_patch16_224"],
)


def test_entries_are_well_formed() -> None:
    entries = vczoo_entries()
    assert len(entries) == len(models()) > 1000
    assert len({entry.name for entry in entries}) == len(entries)
    for entry in entries:
        assert isinstance(entry, Entry)
        assert entry.name == f"timm/{entry.arguments['model']}"
        assert entry.kind == "backbone"
        for weights in entry.weights:
            assert weights.source.count("/") == 1
            assert weights.licence
            assert weights.size_bytes > 100_000
            assert "." not in weights.name, "the core splits NAME.TAG at the last dot"


def test_lines_are_well_formed() -> None:
    for line in models().values():
        assert line["staging"] in STAGINGS
        assert line["stages"] >= 1
        assert line["staging"] != "trunk" or line["stages"] == 1


def test_well_known_models_are_there() -> None:
    for model in (
        "resnet18",
        "tf_efficientnet_lite0",
        "mobilenetv3_small_050",
        "convnext_atto",
        "vit_tiny_patch16_224",
        "vit_small_patch14_dinov2",
        "vit_small_patch16_dinov3",
        "swin_tiny_patch4_window7_224",
        "regnetx_002",
        "densenet121",
    ):
        assert model in models()


@pytest.mark.skipif(not SAME_TIMM, reason="models.json was written with another timm")
def test_names_and_weights_are_those_of_the_installed_timm() -> None:
    registered = set(timm.list_models())
    tagged = cache(generate.weights)
    for model, line in models().items():
        assert model in registered
        if line["weights"]:
            assert next(iter(line["weights"])) in {timm.get_pretrained_cfg(model).tag, *line["weights"]}
    for model in list(models())[::40]:
        assert models()[model]["weights"] == tagged(model)


@pytest.mark.skipif(not SAME_TIMM, reason="models.json was written with another timm")
@pytest.mark.parametrize("model", ["resnet10t", "mobilenetv3_small_050", "swin_s3_tiny_224", "hrnet_w18_small"])
def test_lines_are_what_the_generator_writes(model: str) -> None:
    assert generate.describe(model) == (model, models()[model])


@pytest.mark.skipif(not SAME_TIMM, reason="models.json was written with another timm")
def test_a_model_that_cannot_read_a_mel_is_left_out() -> None:
    model, reason = generate.describe("mixer_s32_224")
    assert model not in models()
    assert "Input height (80) doesn't match model (224)" in reason


def test_the_default_weights_come_first() -> None:
    assert weights_of("resnet18")[0].name == "a1_in1k"
    assert weights_of("resnet18")[0].source == "timm/resnet18.a1_in1k"
    assert weights_of("resnet18")[0].licence == "Apache-2.0"
    assert weights_of("resnet18")[0].size_bytes == 4 * 11_689_512
