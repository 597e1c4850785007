"""Figures: arrays and tables in, axes out. Nothing here fits or fetches.

Each function draws on the axes it is given, or makes a figure, and leaves what it was given as it
was. Colours are told apart by every common kind of colour vision; what they say is also said by
lightness, marker or line style, so that a grey print can be read. Every axis has its unit.
"""

from sklearn_brainlm.plotting.brains import plot_parcels_on_glass_brain, plot_parcels_on_slices
from sklearn_brainlm.plotting.comparisons import plot_comparison
from sklearn_brainlm.plotting.embeddings import plot_embedding
from sklearn_brainlm.plotting.forecast_errors import plot_forecast_error
from sklearn_brainlm.plotting.forecasts import plot_forecast
from sklearn_brainlm.plotting.losses import plot_loss_curve
from sklearn_brainlm.plotting.masks import plot_mask
from sklearn_brainlm.plotting.networks import plot_network_confusion
from sklearn_brainlm.plotting.reconstructions import plot_masked_r2_bars, plot_reconstruction
from sklearn_brainlm.plotting.scaling_curves import plot_scaling_curve
from sklearn_brainlm.plotting.surfaces import plot_parcels_on_surface

__all__ = [
    "plot_comparison",
    "plot_embedding",
    "plot_forecast",
    "plot_forecast_error",
    "plot_loss_curve",
    "plot_mask",
    "plot_masked_r2_bars",
    "plot_network_confusion",
    "plot_parcels_on_glass_brain",
    "plot_parcels_on_slices",
    "plot_parcels_on_surface",
    "plot_reconstruction",
    "plot_scaling_curve",
]
