"""Where two models, or one on two back ends, part: every tensor of one beside that of the other."""

from swinir_deploy.verification.layers.compare import compare_layers
from swinir_deploy.verification.layers.reports import LAYER_LIMITS, LayerRow, LayersReport

__all__ = ["LAYER_LIMITS", "LayerRow", "LayersReport", "compare_layers"]
