"""The map of voices: principal components, and points that name their speaker."""

from __future__ import annotations

import numpy as np
import pytest

from vczoo.reporting.speaker_map import map_figure, principal_plane


def test_the_plane_keeps_the_largest_differences() -> None:
    random = np.random.default_rng(0)
    flat = random.standard_normal((20, 2)) * [5.0, 1.0]
    turned = np.linalg.qr(random.standard_normal((8, 8)))[0][:2]
    points, share = principal_plane(flat @ turned + 3.0)
    assert share == pytest.approx(1.0)
    distances = [np.linalg.norm(p[:, None] - p[None], axis=2) for p in (points, flat)]
    assert np.allclose(*distances)
    assert points[:, 0].std() > points[:, 1].std()


def test_equal_embeddings_have_a_plane_too() -> None:
    points, share = principal_plane(np.ones((3, 4)))
    assert np.allclose(points, 0.0)
    assert share == 1.0


def test_a_plane_of_one_dimension_is_padded() -> None:
    assert principal_plane(np.array([[0.0], [1.0], [3.0]]))[0].shape == (3, 2)


def test_many_speakers_share_a_grey_point() -> None:
    names = [f"v{n}" for n in range(40)]
    axes = map_figure(names, ["v0"], np.zeros((41, 2)), 0.5).axes[0]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == [*names[:12], "28 more"]
    assert not axes.texts
