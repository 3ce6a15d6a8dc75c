"""`Valence`, a head that predicts one number per utterance."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import vczoo
from torch import Tensor, nn

__all__ = ["Valence"]


class Valence(vczoo.Head):
    """Linear regression on the mean and standard deviation of the frames in time.

    The loss is the mean squared error. The figures are the mean absolute error and the concordance correlation
    coefficient (Lin, 1989), by which dimensional emotion recognition is usually compared.

    Args:
        frames: Format of the backbone's frames.
        column: Manifest column with the valence of each recording.
    """

    task = "valence"
    reads = frozenset({"content", "annotations"})

    def __init__(self, *, frames: vczoo.FrameSpec, column: str = "valence") -> None:
        super().__init__()
        self.column = column
        self.annotation_columns = {column: "number"}
        self.norm = nn.LayerNorm(2 * frames.channels)
        self.linear = nn.Linear(2 * frames.channels, 1)

    def valence(self, frames: vczoo.Frames) -> Tensor:
        """Predict the valence: (B, T, C) -> (B,)."""
        values: Tensor = self.linear(self.norm(frames.pool()))[:, 0]
        return values

    def training_loss(self, batch: vczoo.HeadBatch) -> vczoo.Loss:
        """Return the mean squared error, and the mean absolute error as a metric."""
        errors = self.valence(batch.content) - self._targets(batch)
        return vczoo.Loss(errors.square().mean(), {"error": errors.detach().abs().mean()})

    def conformance_output(self, batch: vczoo.HeadBatch) -> Tensor:
        """Return the predictions, (B,)."""
        return self.valence(batch.content)

    def predictions(self, batch: vczoo.HeadBatch) -> list[vczoo.Prediction]:
        """Predict the valence of each item."""
        pairs = zip(self._targets(batch).tolist(), self.valence(batch.content).tolist(), strict=True)
        return [vczoo.Prediction(reference, predicted) for reference, predicted in pairs]

    def prediction_figures(self, predictions: Sequence[vczoo.Prediction]) -> dict[str, float]:
        """Return the mean absolute error `mae` and the concordance correlation coefficient `ccc`."""
        references, values = torch.tensor(predictions, dtype=torch.float64).T
        covariance = ((references - references.mean()) * (values - values.mean())).mean()
        spread = references.var(correction=0) + values.var(correction=0) + (references.mean() - values.mean()) ** 2
        return {
            "mae": float((references - values).abs().mean()),
            "ccc": float(2 * covariance / spread) if spread > 0 else 1.0,
        }

    def _targets(self, batch: vczoo.HeadBatch) -> Tensor:
        targets = batch.annotations[self.column]
        assert isinstance(targets, Tensor)
        return targets
