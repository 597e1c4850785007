"""A network that is a factor model: loadings, noise and filters learned, the factors solved for."""

import numpy as np
import torch
from torch import nn

from sklearn_brainlm import BrainLMTransformer
from sklearn_brainlm.modules import patching
from sklearn_brainlm.modules.masking import take_tokens

N_FACTORS = 60
REACH = 10  # timepoints that a filter looks back and ahead
N_UPDATES = 2  # of the loadings, from the window itself


class FactorNetwork(nn.Module):
    """Explain what is visible by a few factors, and the rest by these.

    Parameters
    ----------
    loadings : array of shape (P, K)
        Loadings that factor analysis found, from which training starts.
    noise : array of shape (P,)
        Variance that it left.
    patch_length : int
        Timepoints of a patch.
    """

    def __init__(self, loadings, noise, patch_length):
        super().__init__()
        self.n_parcels, n_factors = loadings.shape
        self.patch_length = patch_length
        self.loadings = nn.Parameter(torch.as_tensor(loadings, dtype=torch.float32))
        self.log_noise = nn.Parameter(torch.as_tensor(np.log(noise), dtype=torch.float32))
        filters = torch.zeros(n_factors, 1, 2 * REACH + 1)
        filters[:, :, REACH] = 1.0  # to begin with, factors are taken as they are
        self.filters = nn.Parameter(filters)
        self.step = nn.Parameter(torch.full((N_UPDATES, n_factors), 0.02))

    @property
    def n_parameters(self):
        """Number of parameters, all of them trained."""
        return sum(parameter.numel() for parameter in self.parameters())

    def patchify(self, signals):
        """Cut windows (B, P, T) into patches (B, N, L)."""
        return patching.patchify(signals, self.patch_length)

    def unpatchify(self, patches, n_parcels, n_timepoints):
        """Join patches into windows."""
        return patching.unpatchify(patches, n_parcels, n_timepoints, self.patch_length)

    def forward(self, signals, ids_keep, ids_mask, observed=None):
        """Predict the masked patches (B, M, L) of windows."""
        n_columns = signals.shape[2] // self.patch_length
        seen = signals.new_zeros(len(signals), self.n_parcels * n_columns)
        seen = seen.scatter(1, ids_keep, 1.0).view(len(signals), self.n_parcels, n_columns)
        seen_values = seen.repeat_interleave(self.patch_length, dim=2)  # (B, P, T)
        if observed is not None:
            seen_values = seen_values * observed[:, None].to(seen_values.dtype)
        visible = signals * seen_values
        loadings = self.loadings.expand(len(signals), -1, -1)  # (B, P, K)
        factors = self._factors(visible, seen, loadings)
        for step in self.step:
            left = visible - seen_values * (loadings @ factors)
            n_seen = seen_values.sum(dim=2, keepdim=True).clamp(min=1.0)  # (B, P, 1)
            loadings = loadings + step * (left @ factors.transpose(1, 2)) / n_seen
            factors = self._factors(visible, seen, loadings)
        return take_tokens(self.patchify(loadings @ factors), ids_mask)

    def forward_loss(self, signals, predicted, ids_mask, observed=None):
        """Average the squared error over the masked values."""
        error = (predicted - take_tokens(self.patchify(signals), ids_mask)) ** 2
        if observed is None:
            return error.mean()
        counted = observed.to(signals.dtype)[:, None].expand(-1, self.n_parcels, -1)
        counted = take_tokens(self.patchify(counted), ids_mask)
        return (error * counted).sum() / counted.sum()

    def _factors(self, visible, seen, loadings):
        """Solve for the factors (B, K, T) of each patch column, and filter them over time."""
        weights = seen / self.log_noise.exp()[:, None]  # (B, P, C)
        systems = torch.einsum("bpc,bpk,bpl->bckl", weights, loadings, loadings)
        systems = systems + torch.eye(loadings.shape[2])
        columns = visible.unflatten(2, (-1, self.patch_length))  # (B, P, C, L)
        sides = torch.einsum("bpc,bpk,bpcl->bckl", weights, loadings, columns)
        factors = torch.linalg.solve(systems, sides)  # (B, C, K, L)
        factors = factors.permute(0, 2, 1, 3).flatten(2)  # (B, K, T)
        return nn.functional.conv1d(factors, self.filters, padding=REACH, groups=len(self.filters))


class FactorReconstructor(BrainLMTransformer):
    """BrainLMTransformer with this network in the place of its own."""

    def _fit_prior(self, recordings, valid, groups, donor, going_on):
        """Start from principal components; there is nothing to cross-fit."""
        scaled = np.concatenate(self.scaler_.transform(recordings))
        values, vectors = np.linalg.eigh(np.cov(scaled, rowvar=False))
        n_factors = min(N_FACTORS, len(values) - 1)
        rest = values[:-n_factors].mean()
        values, vectors = values[-n_factors:], vectors[:, -n_factors:]
        self.start_ = vectors * np.sqrt(np.maximum(values - rest, 0.0))
        self.noise_ = np.maximum(scaled.var(axis=0) - (self.start_**2).sum(axis=1), 0.05)
        return [], None

    def _build_module(self):
        """Choose the network and its parameters."""
        return FactorNetwork, {
            "loadings": self.start_,
            "noise": self.noise_,
            "patch_length": self._setting("patch_length"),
        }
