"""The cache: what is kept comes back; another key, a damaged shard and a full folder are dealt with."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from vczoo.errors import VczooError
from vczoo.io.temporary import temporary_name
from vczoo.training.features import cache as cache_module
from vczoo.training.features.cache import Cache, open_cache

KEY = {"depth": 3, "stages": ["a", "b"]}


def keep(cache: Cache, key: dict[str, object], **tensors: torch.Tensor) -> None:
    section = cache.section(key)
    section.add(tensors)
    section.flush()


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.safetensors"))


def test_what_is_kept_comes_back_in_another_process_of_the_same_key(tmp_path: Path) -> None:
    values = torch.randn(2, 3, 5)
    keep(Cache(tmp_path), KEY, one=values, two=values.half())
    section = Cache(tmp_path).section(dict(reversed(KEY.items())))
    assert torch.equal(section["one"], values)
    assert section["two"].dtype == torch.float16
    assert "three" not in section
    with pytest.raises(KeyError):
        section["three"]


def test_it_is_there_before_it_is_written_and_one_shard_holds_what_came_together(tmp_path: Path) -> None:
    section = Cache(tmp_path).section(KEY)
    rows = torch.arange(6.0).view(3, 2)
    section.add({"a": rows[:1]})
    section.add({"b": rows[1:]})
    rows.zero_()
    assert torch.equal(section["b"], torch.tensor([[2.0, 3.0], [4.0, 5.0]]))
    assert shards(tmp_path) == []
    section.flush()
    section.flush()
    assert len(shards(tmp_path)) == 1
    assert torch.equal(section["a"], torch.tensor([[0.0, 1.0]]))


@given(other=st.dictionaries(st.sampled_from(["depth", "stages", "dtype"]), st.integers() | st.text() | st.none()))
def test_another_key_is_another_section(tmp_path_factory: pytest.TempPathFactory, other: dict[str, object]) -> None:
    folder = tmp_path_factory.mktemp("cache")
    keep(Cache(folder), KEY, one=torch.ones(1))
    assert ("one" in Cache(folder).section(other)) == (other == KEY)


def test_a_shard_in_the_wrong_place_is_refused(tmp_path: Path) -> None:
    """Its key stands in it, so that a folder that was copied or renamed gives nothing wrong."""
    keep(Cache(tmp_path), KEY, one=torch.ones(1))
    other = Cache(tmp_path).section({**KEY, "depth": 4})
    (shard,) = shards(tmp_path)
    other.folder.mkdir()
    shard.rename(other.folder / shard.name)
    other.refresh()
    assert "one" not in other
    assert shards(tmp_path) != []


@pytest.mark.parametrize("damage", [b"", b"\x10\x00\x00\x00\x00\x00\x00\x00not json at all", None])
def test_a_damaged_shard_is_removed_and_the_rest_is_read(tmp_path: Path, damage: bytes | None) -> None:
    keep(Cache(tmp_path), KEY, one=torch.ones(1000))
    (damaged,) = shards(tmp_path)
    keep(Cache(tmp_path), KEY, two=torch.ones(1000))
    damaged.write_bytes(damaged.read_bytes()[:-10] if damage is None else damage)
    section = Cache(tmp_path).section(KEY)
    assert "one" not in section
    assert torch.equal(section["two"], torch.ones(1000))
    assert not damaged.exists()


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    size = 4 * 1000
    for age, depth in ((300, 1), (200, 2), (100, 3)):
        keep(Cache(tmp_path), {"depth": depth}, one=torch.ones(1000))
        for path in Cache(tmp_path).section({"depth": depth}).folder.iterdir():
            os.utime(path, (time.time() - age,) * 2)
    assert "one" in Cache(tmp_path).section({"depth": 1})  # and so it has been used just now
    keep(Cache(tmp_path, 3 * size + 2000), {"depth": 4}, one=torch.ones(1000))
    left = [depth for depth in (1, 2, 3, 4) if "one" in Cache(tmp_path).section({"depth": depth})]
    assert left == [1, 3, 4]


def test_what_does_not_fit_is_not_kept_and_what_is_in_use_stays(tmp_path: Path) -> None:
    section = Cache(tmp_path, 6000).section(KEY)
    section.add({"one": torch.ones(1000)})
    section.flush()
    assert not section.full
    section.add({"two": torch.ones(1000)})
    section.flush()
    assert section.full
    assert "one" in section
    assert "two" not in section
    assert sum(path.stat().st_size for path in shards(tmp_path)) <= 6000


def test_a_shard_that_another_process_removes_can_still_be_read(tmp_path: Path) -> None:
    keep(Cache(tmp_path), KEY, one=torch.arange(1000))
    section = Cache(tmp_path).section(KEY)
    shards(tmp_path)[0].unlink()
    assert torch.equal(section["one"], torch.arange(1000))
    assert "one" not in Cache(tmp_path).section(KEY)


def test_what_a_killed_process_left_half_written_goes_in_time(tmp_path: Path) -> None:
    keep(Cache(tmp_path), KEY, one=torch.ones(1))
    folder = shards(tmp_path)[0].parent
    old, fresh = folder / ".a.partial", folder / ".b.partial"
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    keep(Cache(tmp_path), KEY, two=torch.ones(1))
    assert not old.exists()
    assert fresh.exists()


def test_what_a_killed_process_left_is_removed_at_once(tmp_path: Path) -> None:
    keep(Cache(tmp_path), KEY, one=torch.ones(1))
    (folder,) = (shard.parent for shard in shards(tmp_path))
    machine, process, start, number = temporary_name(".a").split("-")[1:]
    dead, running = (folder / f".a-{machine}-{process}-{when}-{number}.partial" for when in (int(start) + 1, start))
    dead.write_bytes(b"half")
    running.write_bytes(b"half")
    keep(Cache(tmp_path), KEY, two=torch.ones(1))
    assert not dead.exists()
    assert running.exists()


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_a_tensor_that_the_disk_has_changed_is_dropped_with_its_shard(tmp_path: Path) -> None:
    keep(Cache(tmp_path), KEY, one=torch.ones(1000), two=torch.zeros(10))
    keep(Cache(tmp_path), KEY, three=torch.ones(1))
    changed = max(shards(tmp_path), key=lambda path: path.stat().st_size)
    flip(changed, -100)
    section = Cache(tmp_path).section(KEY)
    with pytest.warns(UserWarning, match=r"\.safetensors: this file of the cache is damaged.*check the disk"):
        assert not ("one" in section and "two" in section)
    assert "one" not in section
    assert "two" not in section
    assert torch.equal(section["three"], torch.ones(1))
    assert not changed.exists()
    section.add({"one": torch.ones(1000)})
    section.flush()
    assert torch.equal(Cache(tmp_path).section(KEY)["one"], torch.ones(1000))


def test_a_shard_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    section = Cache(tmp_path).section(KEY)
    section.folder.mkdir()
    save_file({"one": torch.ones(3)}, section.folder / "a.safetensors", metadata={"key": section.key})
    section.refresh()
    assert torch.equal(section["one"], torch.ones(3))


@pytest.mark.parametrize("error", [RuntimeError("unable to open file"), PermissionError(13, "Permission denied")])
def test_a_shard_that_cannot_be_opened_is_passed_over_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Safetensors opens a file twice, and torch raises a RuntimeError if it is removed in between."""
    keep(Cache(tmp_path), KEY, one=torch.ones(1))

    def refuse(path: Path, framework: str) -> None:
        raise error

    monkeypatch.setattr(cache_module, "safe_open", refuse)
    assert "one" not in Cache(tmp_path).section(KEY)
    monkeypatch.undo()
    assert "one" in Cache(tmp_path).section(KEY)


def test_only_its_owner_can_read_a_shard(tmp_path: Path) -> None:
    keep(Cache(tmp_path), KEY, one=torch.ones(1))
    assert [path.stat().st_mode & 0o777 for path in shards(tmp_path)] == [0o600]


def test_a_section_that_is_closed_makes_room(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 6000)
    keep(cache, {"depth": 2}, one=torch.ones(1000))
    keep(cache, {"depth": 1}, one=torch.ones(1000))
    first, second = (cache.section({"depth": depth}) for depth in (2, 1))
    assert "one" in first  # it is being read
    assert "one" not in second
    first.close()
    assert "one" not in first
    keep(cache, {"depth": 1}, one=torch.ones(1000))
    assert "one" in cache.section({"depth": 1})
    assert "one" not in cache.section({"depth": 2})


def test_closing_writes_what_was_added(tmp_path: Path) -> None:
    section = Cache(tmp_path).section(KEY)
    section.add({"one": torch.ones(1)})
    section.close()
    assert "one" in Cache(tmp_path).section(KEY)


def test_a_disk_that_refuses_is_told_with_the_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, content: bytes, *, mode: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_module, "write_bytes", refuse)
    section = Cache(tmp_path).section(KEY)
    section.add({"one": torch.ones(1)})
    with pytest.raises(VczooError, match=r"cannot be written .*No space.*VCZOO_CACHE .*--no-cache"):
        section.flush()


def test_the_environment_says_where_it_is_and_how_large(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VCZOO_CACHE", str(tmp_path))
    monkeypatch.setenv("VCZOO_CACHE_GB", "0.5")
    assert (open_cache().folder, open_cache().limit_bytes) == (tmp_path, 500_000_000)
    assert (open_cache(tmp_path / "mine").folder, open_cache(tmp_path / "mine").limit_bytes) == (
        tmp_path / "mine",
        500_000_000,
    )
    monkeypatch.delenv("VCZOO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert open_cache().folder == tmp_path / "vczoo"
    for wrong in ("many", "-1", "inf", "nan"):
        monkeypatch.setenv("VCZOO_CACHE_GB", wrong)
        with pytest.raises(VczooError, match="VCZOO_CACHE_GB is the size of the cache"):
            open_cache()
