"""Compare every intermediate tensor of two models, or of one model on two back ends."""

from swinir_deploy.verification.layers.compare import compare_layers
from swinir_deploy.verification.layers.reports import LAYER_LIMITS, LayerRow, LayersReport

__all__ = ["LAYER_LIMITS", "LayerRow", "LayersReport", "compare_layers"]
