from __future__ import annotations

import io
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vczoo.errors import WeightsError
from vczoo.io.tensor_file import read_layout
from vczoo.io.tensors import fingerprint, load_strictly, read_tensors
from vczoo.registry.entry import Weights
from vczoo.registry.weights import announce_download, choose_weights, is_weights_file, offline, unavailable

KNOWN = [
    Weights("IMAGENET1K_V1", "https://example.org/v1", size_bytes=528_000_000),
    Weights("IMAGENET1K_V2", "https://example.org/v2"),
]
HUB = [
    Weights("a1_in1k", "timm/resnet18.a1_in1k", "Apache-2.0"),
    Weights("mel-24khz", "charactr/vocos-mel-24khz", "MIT", sha256="97ec", revision="0" * 40),
    Weights("of-model", "what `model` names"),
]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_offline_obeys_the_environment(monkeypatch, value, expected) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert offline() is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.safetensors", True),
        ("./folder/a", True),
        ("me@home/a", True),
        ("pretrained", False),
        ("IMAGENET1K_V1", False),
        (f"pretrained@{COMMIT}", False),
    ],
)
def test_is_weights_file(name, expected) -> None:
    assert is_weights_file(name) is expected


def test_choose_weights_by_name_and_by_default() -> None:
    assert choose_weights("vgg16", "pretrained", KNOWN) is KNOWN[0]
    assert choose_weights("vgg16", "IMAGENET1K_V2", KNOWN) is KNOWN[1]


def test_choose_weights_lists_the_valid_names() -> None:
    with pytest.raises(WeightsError, match=r"vgg16: .*'IMAGENET1K_V3'.*random.*safetensors.*pretrained.*did you mean"):
        choose_weights("vgg16", "IMAGENET1K_V3", KNOWN)
    with pytest.raises(WeightsError) as caught:
        choose_weights("mine", "pretrained", [])
    assert "expected one of: random, a path to a .safetensors file" in str(caught.value)


@pytest.mark.parametrize(("name", "which"), [("pretrained", 0), ("a1_in1k", 0), ("mel-24khz", 1)])
def test_choose_weights_at_a_commit(name, which) -> None:
    chosen = choose_weights("timm/resnet18", f"{name}@{COMMIT}", HUB)
    assert chosen == replace(HUB[which], revision=COMMIT)  # a registered checksum holds at another commit, too
    assert choose_weights("timm/resnet18", name, HUB) is HUB[which]


@pytest.mark.parametrize("revision", ["", "main", COMMIT[:7], COMMIT + "0", COMMIT.upper(), COMMIT + "\n", "v1@x"])
def test_a_revision_that_is_no_whole_commit_is_refused(revision) -> None:
    with pytest.raises(
        WeightsError, match=r"expected a full commit of timm/resnet18\.a1_in1k after the @ \(40 lowercase hex"
    ):
        choose_weights("timm/resnet18", f"a1_in1k@{revision}", HUB)


@pytest.mark.parametrize(("name", "known"), [("pretrained", KNOWN), ("IMAGENET1K_V2", KNOWN), ("of-model", HUB)])
def test_only_repositories_of_the_hub_have_commits(name, known) -> None:
    with pytest.raises(WeightsError, match=f"is not a repository on the Hugging Face Hub.*write weights: {name}"):
        choose_weights("vgg16", f"{name}@{COMMIT}", known)


def test_an_unknown_name_with_a_commit_lists_the_valid_names() -> None:
    with pytest.raises(WeightsError, match=r"pretrained, a1_in1k, .*or NAME@COMMIT; did you mean 'a1_in1k'"):
        choose_weights("timm/resnet18", f"a2_in1k@{COMMIT}", HUB)
    with pytest.raises(WeightsError, match="'random@"):
        choose_weights("timm/resnet18", f"random@{COMMIT}", HUB)


def test_a_commit_is_told_where_weights_are_fetched_or_missed(capsys) -> None:
    weights = choose_weights("timm/resnet18", f"pretrained@{COMMIT}", HUB)
    announce_download("timm/resnet18", weights)
    place = f"timm/resnet18.a1_in1k@{COMMIT} on the Hugging Face Hub"
    assert place in capsys.readouterr().err
    assert place in str(unavailable("timm/resnet18", weights, "no route to host"))


def test_a_download_says_its_size_and_source(capsys) -> None:
    announce_download("vgg16", KNOWN[0])
    announce_download("vgg16", KNOWN[1])
    first, second = capsys.readouterr().err.splitlines()
    assert "IMAGENET1K_V1 (528 MB) from https://example.org/v1" in first
    assert "size unknown" in second


def test_unavailable_gives_three_ways_out() -> None:
    text = str(unavailable("vgg16", KNOWN[0], "no route to host"))
    for part in ("528 MB", "https://example.org/v1", "no route to host", "HF_HUB_OFFLINE", ".safetensors", "=random"):
        assert part in text


def test_read_tensors(tmp_path) -> None:
    save_file({"a": torch.arange(3.0), "n": torch.tensor([2])}, tmp_path / "a.safetensors")
    tensors = read_tensors(tmp_path / "a.safetensors")
    assert tensors["a"].tolist() == [0, 1, 2]
    assert tensors["n"].tolist() == [2]


def test_absent_and_foreign_files_are_refused(tmp_path) -> None:
    with pytest.raises(WeightsError, match="no such weights file"):
        read_tensors(tmp_path / "a.safetensors")
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"since a \.pth may run code"):
        read_tensors(tmp_path / "a.pth")


class Bomb:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.trace,)


def test_a_pickle_under_another_name_is_refused_and_does_not_run(tmp_path) -> None:
    trace, archive = tmp_path / "ran", io.BytesIO()
    torch.save({"a": Bomb(trace)}, archive)
    for number, content in enumerate([pickle.dumps(Bomb(trace)), archive.getvalue()]):
        path = tmp_path / f"{number}.safetensors"
        path.write_bytes(content)
        with pytest.raises(WeightsError, match="not a safetensors file"):
            read_tensors(path)
    assert not trace.exists()


def test_a_cut_file_is_refused(tmp_path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(WeightsError, match="not a safetensors file"):
        read_tensors(path)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_nan_and_infinity_are_refused(tmp_path, value) -> None:
    save_file({"good": torch.zeros(2), "bad": torch.tensor([0, float(value)])}, tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match="NaN or infinity in bad;"):
        read_tensors(tmp_path / "a.safetensors")


def test_load_strictly_loads_everything() -> None:
    source, target = network(), network()
    nn.init.constant_(source[1].running_mean, 3.0)
    load_strictly(target, source.state_dict(), where="test")
    for name, tensor in source.state_dict().items():
        torch.testing.assert_close(target.state_dict()[name], tensor)


def test_load_strictly_reports_all_faults_and_changes_nothing() -> None:
    target = network()
    before = state(target)
    tensors = state(network())
    del tensors["0.bias"]
    tensors["head.weight"] = torch.zeros(1)
    tensors["0.weight"] = torch.zeros(4, 5)
    tensors["1.num_batches_tracked"] = torch.tensor(1.5)
    with pytest.raises(WeightsError) as caught:
        load_strictly(target, tensors, where="vgg.safetensors")
    for part in (
        "vgg.safetensors does not fit",
        "missing 0.bias",
        "not expected head.weight",
        "0.weight has shape (4, 5), expected (4, 3)",
        "1.num_batches_tracked has dtype torch.float32, expected torch.int64",
    ):
        assert part in str(caught.value)
    for name, tensor in target.state_dict().items():
        torch.testing.assert_close(tensor, before[name])


def test_load_strictly_counts_what_it_does_not_list() -> None:
    with pytest.raises(WeightsError, match="not expected x0, x1, x2, x3, x4 and 4 more"):
        load_strictly(network(), {**state(network()), **{f"x{n}": torch.zeros(1) for n in range(9)}}, where="w")


def test_load_strictly_lets_a_known_part_go_unused_or_missing() -> None:
    tensors = state(network())
    del tensors["1.num_batches_tracked"]
    tensors["classifier.weight"] = torch.zeros(7)
    target = network()
    load_strictly(target, tensors, where="w", unused=("classifier.",), may_miss=("num_batches_tracked",))
    torch.testing.assert_close(target[0].weight.data, tensors["0.weight"])
    with pytest.raises(WeightsError, match=r"missing 1\.num_batches_tracked; not expected classifier\.weight"):
        load_strictly(target, tensors, where="w")


def test_fingerprint_is_blind_to_order_alone() -> None:
    first, second = torch.arange(4.0), torch.tensor([True, False])
    base = fingerprint({"a": first, "b": second})
    assert base == fingerprint({"b": second.clone(), "a": first.clone()})
    assert len(base) == 64
    others = [
        {"a": first + torch.tensor([0, 0, 0, 1e-6]), "b": second},
        {"a": first.view(2, 2), "b": second},
        {"c": first, "b": second},
        {"a": first.view(torch.int32), "b": second},
        {"a": first},
    ]
    assert len({base, *map(fingerprint, others)}) == 1 + len(others)


def test_fingerprint_reads_values_and_not_memory() -> None:
    matrix = torch.arange(6.0).view(2, 3)
    assert fingerprint({"a": matrix.t()}) == fingerprint({"a": matrix.t().contiguous()})
    assert fingerprint({"a": matrix.t()}) != fingerprint({"a": matrix.reshape(3, 2)})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool])
def test_fingerprint_takes_every_dtype_scalars_and_empty_tensors(dtype) -> None:
    scalar, empty = torch.tensor(1, dtype=dtype), torch.zeros(0, dtype=dtype)
    assert fingerprint({"a": scalar}) != fingerprint({"a": empty})


def test_a_file_that_changes_between_header_and_tensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.zeros(3)}, path)
    layout = read_layout(path)
    assert read_tensors(path, layout)["a"].tolist() == [0, 0, 0]
    for changed in ({"a": torch.zeros(4)}, {"b": torch.zeros(3)}, {"a": torch.zeros(3, dtype=torch.float64)}):
        save_file(changed, path)
        with pytest.raises(WeightsError, match="changed while it was being read"):
            read_tensors(path, layout)


def test_a_file_that_vanishes_while_it_is_read_is_no_runtime_error(tmp_path: Path, monkeypatch) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors")

    def vanish(path: Path) -> None:
        raise RuntimeError(f"unable to open file <{path}> in read-only mode: No such file or directory (2)")

    monkeypatch.setattr("vczoo.io.tensors.load_file", vanish)  # as torch does
    with pytest.raises(WeightsError, match="unable to open file"):
        read_tensors(tmp_path / "a.safetensors")
