from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ToneMaker
from vczoo.errors import AudioError, VczooError
from vczoo.ui.bounds import check_address, is_local, read_clip


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]"])
def test_addresses_of_this_machine_need_no_token(host: str) -> None:
    assert is_local(host)
    check_address(host, "")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "", "127.0.0.1.example.org"])
def test_other_addresses_need_a_token(host: str) -> None:
    assert not is_local(host)
    with pytest.raises(VczooError, match="--token"):
        check_address(host, "")
    check_address(host, "correct horse battery")


def test_a_short_token_is_refused_everywhere() -> None:
    with pytest.raises(VczooError, match="at least 12 characters, got 5"):
        check_address("127.0.0.1", "guess")


def test_a_clip_is_read_if_it_is_short_enough(tone: ToneMaker, tmp_path: Path) -> None:
    path = tone(tmp_path / "clip.wav", seconds=1.5)
    assert read_clip(path, 1.5).seconds == 1.5
    with pytest.raises(AudioError, match=r"clip\.wav is 2 s long, and this page takes at most 1 s"):
        read_clip(path, 1.0)


def test_an_unreadable_clip_is_named_without_its_folder(tmp_path: Path) -> None:
    (tmp_path / "letter.wav").write_text("Dear page")
    with pytest.raises(AudioError, match=r"letter\.wav") as error:
        read_clip(tmp_path / "letter.wav", 10.0)
    assert str(tmp_path) not in str(error.value)
