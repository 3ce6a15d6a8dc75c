"""A file of tensors made by somebody hostile: no byte of it is run, and what we take for one safetensors does, too."""

from __future__ import annotations

import io
import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from tests.support.hostile import HOSTILE, changed, check_agreement, examples, places, tensor_file
from vczoo.errors import RunError, WeightsError
from vczoo.io.tensor_file import DTYPES, read_layout
from vczoo.io.tensors import read_tensors
from vczoo.runs.run_folder import load_run

EXAMPLES = 400
ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def with_one(**fields: Any) -> bytes:
    """A file of one tensor, some of whose fields are others."""
    return tensor_file({"a": ONE | fields}, b"\0" * 4)


class Opens:
    """What a pickle may hold: a call that is made when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


def zipped(path: Path) -> bytes:
    file = io.BytesIO()
    torch.save({"a": Opens(path)}, file)
    return file.getvalue()


def legacy(path: Path) -> bytes:
    file = io.BytesIO()
    torch.save({"a": Opens(path)}, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def pickled(path: Path) -> bytes:
    return pickle.dumps(Opens(path))


@pytest.mark.parametrize(
    ("make", "message"), [(zipped, "zip archive as written by torch.save"), (legacy, "a pickle"), (pickled, "a pickle")]
)
def test_a_pickle_is_not_opened(run_folder: Path, tmp_path: Path, make: Callable[[Path], bytes], message: str) -> None:
    """As it would be: torch.load of such a file makes another."""
    for name in ("model.safetensors", "voices.safetensors"):
        (run_folder / name).write_bytes(make(tmp_path / "was-here"))
        with pytest.raises(RunError, match=message):
            load_run(run_folder, foreign=True)
    assert not (tmp_path / "was-here").exists()
    torch.load(io.BytesIO(zipped(tmp_path / "was-here")), weights_only=False)
    assert (tmp_path / "was-here").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it has only 0 bytes"),
        (b"\0" * 7, "it has only 7 bytes"),
        (b"\0" * 8, "invalid JSON in header"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a Git LFS pointer"),
        (b"<!doctype html><title>404</title>", "an HTML or XML page"),
        (struct.pack("<Q", 2**63) + b"{}", "its header should have 9223372036854775808 bytes"),
        (struct.pack("<Q", 2**64 - 1) + b"{}", "its header should have 18446744073709551615 bytes"),
        (struct.pack("<Q", 3) + b"{}", "its header should have 3 bytes, but the file has 10"),
        (struct.pack("<Q", 16_000_001) + b" " * 16_000_001, "but the limit is 16000000"),
        (tensor_file(b"\xff\xfe{}"), "invalid UTF-8 in header"),
        (tensor_file("{}".encode("utf-16")), "invalid UTF-8 in header"),
        (tensor_file(b"\xef\xbb\xbf{}"), "invalid JSON in header"),
        (tensor_file(b"[" * 1_000_000), "invalid JSON in header"),
        (tensor_file(b'{"a":' * 200_000), "invalid JSON in header"),
        (tensor_file([]), "invalid type: sequence"),
        (tensor_file({}, b"1234"), "file not fully covered"),
        (tensor_file({"a": ONE}, b"12345"), "file not fully covered"),
        (tensor_file({"a": ONE}, b"123"), "file not fully covered"),
        (tensor_file({"a": ONE, "b": ONE}, b"1234"), "invalid offset for tensor"),
        (tensor_file({"a": ONE | {"data_offsets": [4, 8]}}, b"12345678"), "invalid offset for tensor `a`"),
        (tensor_file(b'{"a": %(o)s, "a": %(o)s}' % {b"o": json.dumps(ONE).encode()}, b"1234"), "'a' appears twice"),
        (tensor_file(b'{"a": {"dtype": "F32", "dtype": "F32"}}'), "duplicate field `dtype`"),
        (tensor_file(b'{"\\ud800": %s}' % json.dumps(ONE).encode(), b"1234"), "invalid JSON in header"),
        (tensor_file({"__metadata__": {"a": 1}}), "expected a string"),
        (tensor_file(b'{"__metadata__": {"a": "\\ud800"}}'), "invalid JSON in header"),
        (tensor_file({"__metadata__": None}), "does not have exactly the fields"),
        (tensor_file({"a": list(ONE.values())}, b"1234"), "does not have exactly the fields"),
        (with_one(dtype="C64"), "invalid shape, data type, or offset"),
        (with_one(dtype=["F32"]), "invalid type: sequence"),
        (with_one(dtype="os.system"), "unknown variant `os.system`"),
        (with_one(shape=[10**12]), "invalid shape, data type, or offset"),
        (with_one(shape=[10**12], data_offsets=[0, 4 * 10**12]), "file not fully covered"),
        (with_one(shape=[2**62, 2**62, 0], data_offsets=[0, 0]), "overflow computing buffer size"),
        (with_one(shape=[1] * 17), "has an invalid shape"),
        (tensor_file({"a": {"dtype": "F32", "shape": [2**60, 0], "data_offsets": [0, 0]}}), "has an invalid shape"),
        (tensor_file({"a": {"dtype": "F8_E5M2", "shape": [1], "data_offsets": [0, 1]}}, b"1"), "has dtype F8_E5M2"),
        (with_one(shape=[-1]), "-1"),
        (with_one(shape=[1.0]), "invalid type: floating point"),
        (with_one(shape=[True]), "invalid type: boolean"),
        (with_one(shape=[10**30]), "invalid type: floating point"),
        (with_one(shape=[float("nan")]), "expected value"),
        (with_one(data_offsets=[0, 4, 8]), "invalid length 3"),
        (with_one(data_offsets=[4, 0]), "invalid offset for tensor `a`"),
        (with_one(more=1), "does not have exactly the fields"),
    ],
)
def test_what_is_no_file_of_tensors_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    for read in (read_layout, read_tensors):
        with pytest.raises(WeightsError, match="not a safetensors file") as error:
            read(path)
        assert message in str(error.value)
        assert len(str(error.value)) < 1000


def test_a_tensor_of_10_to_the_12_elements_is_refused_before_it_is_read(run_folder: Path) -> None:
    """In a file that holds them all, and takes no room on the disk."""
    path = run_folder / "model.safetensors"
    header = {"heads.speaker.output.bias": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}
    path.write_bytes(tensor_file(header))
    try:
        with path.open("rb+") as file:
            file.truncate(path.stat().st_size + 4 * 10**12)
    except OSError as error:
        pytest.skip(f"this disk holds no file of 4 TB, even of zeros ({error})")
    with pytest.raises(RunError, match=r"output.bias has shape \(1000000000000,\), expected \(3,\)"):
        load_run(run_folder, foreign=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_are_refused(run_folder: Path, value: float) -> None:
    for name in ("model.safetensors", "voices.safetensors"):
        tensors = read_tensors(run_folder / name)
        next(tensor for tensor in tensors.values() if tensor.is_floating_point()).view(-1)[0] = value
        whole = (run_folder / name).read_bytes()
        (run_folder / name).write_bytes(save({key: tensor.clone() for key, tensor in tensors.items()}))
        with pytest.raises(RunError, match="NaN or infinity"):
            load_run(run_folder, foreign=True)
        (run_folder / name).write_bytes(whole)


@st.composite
def headers(draw: st.DrawFn) -> tuple[bytes, int]:
    """A header as it may be, then changed in some places or not; and how many bytes its tensors have."""
    header: dict[str, Any] = {}
    reached = 0
    for name in draw(st.lists(st.text(max_size=3), max_size=4, unique=True)):
        dtype = draw(st.sampled_from([*DTYPES, "F8_E4M3", "U16", "C64"]))
        shape = draw(st.lists(st.integers(0, 3), max_size=4))
        size = torch.empty(shape, dtype=DTYPES.get(dtype, torch.int16), device="meta").nbytes
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [reached, reached + size]}
        reached += size
    if draw(st.booleans()):
        header["__metadata__"] = draw(st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2))
    for _ in range(draw(st.integers(0, 2))):
        if found := places(header):
            how = draw(st.sampled_from(["replace", "remove", "rename", "add"]))
            what = draw(st.sampled_from(HOSTILE) | st.integers(0, 12) | st.integers() | st.sampled_from(list(DTYPES)))
            header = changed(header, draw(st.sampled_from(found)), how, what)
    text = json.dumps(header, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    spliced = st.binary(max_size=2) | st.sampled_from([b"-", b" ", b"e0", b"\\ud800"])
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(spliced) + text[at + draw(st.integers(0, 2)) :]
    return text, max(0, reached + draw(st.sampled_from([0, 0, 0, 0, 1, -1, 4])))


@settings(max_examples=examples(EXAMPLES), derandomize=True, suppress_health_check=list(HealthCheck))
@given(headers(), st.integers(-2, 2), st.booleans())
@example((b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[-0,4]}}', 4), 0, True)
@example((b'{"a":{"dtype":"F32","shape":[0,4611686018427387904,9],"data_offsets":[0,0]}}', 0), 0, True)
def test_what_we_take_for_a_file_of_tensors_safetensors_does_too(
    tmp_path_factory: pytest.TempPathFactory, file: tuple[bytes, int], off: int, right: bool
) -> None:
    text, size = file
    length = len(text) if right else max(0, len(text) + off)
    path = tmp_path_factory.getbasetemp() / "fuzzed.safetensors"
    path.write_bytes(struct.pack("<Q", length) + text + b"\0" * size)
    check_agreement(path)
