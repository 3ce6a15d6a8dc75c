"""The summary that `vczoo train` prints."""

from __future__ import annotations

import pytest

from vczoo.cli.train import _weights_in_words


@pytest.mark.parametrize(
    ("best", "kept", "words"),
    [
        (3, 3, "weights of epoch 3, the best on validation"),
        (4, 23, "weights of epoch 23, the last; epoch 4 was the best on validation"),
        (-1, -1, "nothing to train"),
    ],
)
def test_the_summary_says_which_epoch_was_kept(best: int, kept: int, words: str) -> None:
    assert _weights_in_words({"best_epoch": best, "kept_epoch": kept}) == words
