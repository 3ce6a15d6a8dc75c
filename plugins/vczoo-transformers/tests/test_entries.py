"""What the light module registers: well-formed, light, and true to the published sizes."""

import pytest
import torch

from vczoo import Entry
from vczoo.testing import conformance_tests
from vczoo_transformers import VOCODERS, models, vczoo_entries
from vczoo_transformers.families import family_of
from vczoo_transformers.pretrained_folder import make_config

TRAINED_ALONE = {"whisper"}  # what is published of it has a decoder, which is most of its size


test_conformance = conformance_tests(
    "vczoo_transformers",
    {"transformers/lora": {"rank": 4}},
    entries=["*/whisper-tiny", "*/w2v-bert-2.0", "*/speecht5-hifigan", "*/univnet", "*/lora"],
)


def test_entries_are_well_formed() -> None:
    entries = vczoo_entries()
    assert len({(entry.kind, entry.name) for entry in entries}) == len(entries)
    kinds = [entry.kind for entry in entries]
    assert (kinds.count("backbone"), kinds.count("vocoder"), kinds.count("freezing")) == (len(models()) + 1, 2, 1)
    for entry in entries:
        assert isinstance(entry, Entry)
        assert entry.name.startswith("transformers/")
        assert "." not in entry.name.rpartition(".")[2]
        assert callable(entry.load())


@pytest.mark.parametrize("model", sorted(models()))
def test_configurations_make_models_of_the_published_size(model: str) -> None:
    line = models()[model]
    config = make_config(model, line["config"])
    family = family_of(model, config)
    with torch.device("meta"):
        encoder = family.make(config, getattr(config, family.layers_field))
    size = 4 * sum(parameter.numel() for parameter in encoder.parameters())
    if config.model_type == "whisper":
        assert 0.2 * line["size_bytes"] < size < line["size_bytes"] * (2 if "v3" in model else 0.6)
    else:
        assert size == pytest.approx(line["size_bytes"], rel=0.02)


@pytest.mark.parametrize("model", sorted(VOCODERS))
def test_vocoders_are_what_transformers_makes_by_default(model: str) -> None:
    values = VOCODERS[model]["config"]
    config, default = make_config(model, values), make_config(model, {"model_type": values["model_type"]})
    for field in values:
        stated, usual = getattr(config, field), getattr(default, field)
        assert str(stated).replace("[", "(").replace("]", ")") == str(usual).replace("[", "(").replace("]", ")")
