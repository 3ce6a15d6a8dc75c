"""What the light module registers: complete, true to the installed torchvision, and light."""

import pytest

from vczoo import Entry
from vczoo.testing import conformance_tests
from vczoo_torchvision import MODELS, generate, vczoo_entries, weights_of

test_conformance = conformance_tests("vczoo_torchvision", entries=["*/vgg11_bn", "*/resnet18"])


def test_thirteen_models_are_registered() -> None:
    entries = vczoo_entries()
    assert [entry.name for entry in entries] == [f"torchvision/{model}" for model in MODELS]
    assert len(entries) == 13
    for entry in entries:
        assert isinstance(entry, Entry)
        assert entry.kind == "backbone"
        assert entry.weights
        assert entry.paper in ("arXiv:1409.1556", "arXiv:1512.03385")
        assert callable(entry.load())


def test_weights_are_those_of_the_installed_torchvision() -> None:
    found = {
        model: [
            {"name": w.name, "source": w.source, "size_bytes": w.size_bytes, "sha256": w.sha256}
            for w in weights_of(model)
        ]
        for model in MODELS
    }
    assert found == generate.table(), "run: python -m vczoo_torchvision.generate"


def test_checksums_and_sizes_are_there() -> None:
    for model in MODELS:
        for weights in weights_of(model):
            assert len(weights.sha256) == 8
            assert int(weights.sha256, 16) > 0
            assert 40e6 < weights.size_bytes < 600e6


@pytest.mark.parametrize(
    ("model", "name", "licence"),
    [
        ("vgg16", "IMAGENET1K_V1", "BSD-3-Clause"),
        ("vgg16", "IMAGENET1K_FEATURES", "unknown"),
        ("resnet50", "IMAGENET1K_V2", "BSD-3-Clause"),
    ],
)
def test_licences(model: str, name: str, licence: str) -> None:
    assert {weights.name: weights.licence for weights in weights_of(model)}[name] == licence


def test_default_comes_first() -> None:
    assert weights_of("vgg16")[0].name == "IMAGENET1K_V1"
    assert weights_of("resnet50")[0].name == "IMAGENET1K_V2"
