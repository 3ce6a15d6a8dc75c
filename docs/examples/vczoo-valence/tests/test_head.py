"""What is this head's own: its figures, and the column that it reads."""

import pytest
import vczoo
from vczoo.testing import CONTEXT

from vczoo_valence.head import Valence


def test_worked_figures() -> None:
    head = Valence(frames=CONTEXT["frames"])
    figures = head.prediction_figures([vczoo.Prediction(0.0, 0.5), vczoo.Prediction(1.0, 1.5)])
    assert figures == {"mae": 0.5, "ccc": pytest.approx(2 * 0.25 / (0.25 + 0.25 + 0.25))}


def test_the_column_is_an_option() -> None:
    head = Valence(frames=CONTEXT["frames"], column="arousal")
    assert head.annotation_columns == {"arousal": "number"}
