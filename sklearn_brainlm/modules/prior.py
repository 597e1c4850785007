"""The closed form that learns how much of what it sees is the person."""

import contextlib
import math

import torch
from torch import nn

from sklearn_brainlm.modules.stationary import Statistics, complete_window, second_moment
from sklearn_brainlm.modules.visible import group_timepoints

N_KNOTS = 7  # of what is smooth over components, on a logarithmic scale
N_FREQUENCY_KNOTS = 6
CORRELATION_KNOTS = (-1.0, -0.3, -0.1, 0.0, 0.1, 0.2, 0.4, 0.6, 1.0)
N_HIDDEN = 32
# Tables of logarithms wander further than the weights of a network. Stored at this fraction, they
# are learned with the same learning rate.
TABLE_SCALE = 30.0
# Of what coherences of the group are multiplied by: below one, no system loses its definiteness.
LARGEST_COHERENCE = 0.95


class GaussianPrior(nn.Module):
    """Reconstruct a window by its conditional mean, adapted to the person in context.

    It starts as the person-adaptive space-time Gaussian: the covariance of the group moves a fixed
    part of the way to the second moments of the completed window. What is learned is how far it
    moves, for each pair of components, for parcels by how they correlate in the group, and for how
    much is visible; whether moments come from the window completed in time; and how spectra follow
    those of the person.

    Parameters
    ----------
    statistics : dict of arrays
        Statistics of the training recordings, see :class:`Statistics`.
    ridge : float, default=0.15
        Variance added to visible values.
    prior_weight : float, default=800
        Timepoints that the group counts for.
    cross_gain : float, default=0.7
        Part of the cross-spectra that is used.
    n_iterations : int, default=25
        Steps of conjugate gradients.

    Examples
    --------
    >>> identity = torch.eye(2)
    >>> group = dict(
    ...     covariance=identity, whitening=identity, colouring=identity,
    ...     autocorrelation=torch.ones(1, 2), cross_correlation=torch.zeros(1, 2, 2),
    ... )
    >>> prior = GaussianPrior(group)
    >>> visible = torch.tensor([[[True, False], [True, True]]])
    >>> prior(torch.ones(1, 2, 10), visible).shape
    torch.Size([1, 2, 10])
    """

    def __init__(
        self,
        statistics,
        *,
        ridge=0.15,
        prior_weight=800.0,
        cross_gain=0.7,
        n_iterations=25,
    ):
        super().__init__()
        self.statistics = _with_likeness(Statistics(**statistics))
        self.folds = []
        self.ridge, self.prior_weight, self.cross_gain = ridge, prior_weight, cross_gain
        self.n_iterations = n_iterations
        n_parcels = len(self.statistics.covariance)
        self.register_buffer("component_knots", _hats(n_parcels, N_KNOTS), persistent=False)
        # Step 1, step 2, moments in time; quadratic in the logarithm of the visible part.
        self.shrinkage = nn.Parameter(torch.zeros(3, 3, N_KNOTS, N_KNOTS))
        self.own_shrinkage = nn.Parameter(torch.zeros(3, 3, N_KNOTS))
        # The same for pairs of parcels by their correlation in the group, and for each parcel.
        self.parcel_shrinkage = nn.Parameter(torch.zeros(3, 3, len(CORRELATION_KNOTS) + 1))
        self.ridges = nn.Parameter(torch.zeros(3, 3))
        self.refinement = nn.Parameter(torch.zeros(()))  # part of the moments in time
        self.spectral = nn.Parameter(torch.zeros(N_KNOTS, N_FREQUENCY_KNOTS))
        self.crossing = nn.Parameter(torch.zeros(N_KNOTS, N_FREQUENCY_KNOTS))
        n_features = N_KNOTS * N_FREQUENCY_KNOTS
        self.spectral_adaptation = nn.Sequential(
            nn.Linear(n_features + 3, N_HIDDEN), nn.GELU(), nn.Linear(N_HIDDEN, n_features + 2)
        )
        self.reset()

    @torch.no_grad()
    def reset(self):
        """Go back to the closed form, which learning starts from."""
        for table in (
            self.shrinkage,
            self.own_shrinkage,
            self.parcel_shrinkage,
            self.ridges,
            self.refinement,
            self.spectral,
            self.crossing,
            *self.spectral_adaptation[-1].parameters(),
        ):
            table.zero_()

    @contextlib.contextmanager
    def cross_fitted(self, fold_statistics):
        """Reconstruct recordings without having seen them, inside the context.

        Parameters
        ----------
        fold_statistics : list of dict of arrays
            Statistics without one fold of the training recordings each.

        Yields
        ------
        None
            Nothing.
        """
        # A plain list, so that folds are neither saved nor loaded: they serve training only.
        self.folds = [_with_likeness(Statistics(**fold)) for fold in fold_statistics]
        try:
            yield
        finally:
            self.folds = []

    def forward(self, signals, visible, recorded=None, fold=None):
        """Fill hidden patches, or values.

        Parameters
        ----------
        signals : tensor of shape (B, P, T)
            Windows of whole patch columns; hidden values are not looked at.
        visible : bool tensor of shape (B, P, C) or (B, P, T)
            Patches, or values, that may be used.
        recorded : bool tensor of shape (B, T), optional
            False for timepoints that only fill a short window up.
        fold : int64 tensor of shape (B,), optional
            Statistics to use; all of them where negative or None.

        Returns
        -------
        filled : tensor of shape (B, P, T)
            Windows with the conditional mean in the place of hidden values.
        """
        if recorded is None:
            recorded = signals.new_ones(len(signals), signals.shape[2])
        folds = [-1] * len(signals) if fold is None else fold.tolist()
        # Solves of large systems want all digits, also where the network runs in bfloat16.
        with torch.autocast(signals.device.type, enabled=False):
            groups = {which: self._group(which, signals) for which in set(folds)}
            filled = [
                self._fill(*groups[which], window, group_timepoints(seen.T, times))
                for which, window, seen, times in zip(
                    folds, signals.float().mT, visible.bool(), recorded.bool(), strict=True
                )
            ]
        return torch.stack(filled).mT

    def _group(self, fold, signals):
        """Return the statistics of a fold, or of all recordings, and what all windows share."""
        group = self.statistics if fold < 0 else self.folds[fold].to(signals.device)
        covariance = group.colouring @ group.colouring.T
        return group, covariance, *self._spectra(group, signals.shape[2])

    def _fill(self, group, covariance, base, tilt, root, frequency_knots, window, patterns):
        """Fill one window (T, P)."""
        seen = torch.where(patterns.shown > 0, window, 0)
        n_recorded = patterns.n_recorded
        powers = self._powers(patterns.shown.mean())
        ridge = self.ridge * torch.exp(TABLE_SCALE * powers @ self.ridges)  # (3,)
        weight = n_recorded / (self.prior_weight + n_recorded)

        for step in range(2):
            inverses = patterns.invert(covariance, ridge[step])
            completed = patterns.complete(covariance, inverses, seen)
            moment = second_moment(*completed, n_recorded)
            mixing = self._adapt(group, step, moment, weight, powers)
            covariance = mixing @ mixing.T

        at_the_end = (window, patterns, self.n_iterations)
        spectra = _tilted(*base, tilt, root)
        if self._is_closed_form():
            inverses = patterns.invert(covariance, ridge[2])
            return complete_window(mixing, *spectra, ridge[2], inverses, *at_the_end)

        with torch.no_grad():  # a first completion, only to look at
            inverses = patterns.invert(covariance, ridge[2])
            first = complete_window(mixing, *spectra, ridge[2], inverses, *at_the_end)
            first = first * patterns.recorded[:, None]
            _, spread = patterns.complete(covariance, inverses, seen)
            in_time = second_moment(first, spread, n_recorded)
            features = self._spectral_features(group, first, spectra[0], frequency_knots)
        part = TABLE_SCALE * self.refinement
        in_time = self._adapt(group, 2, in_time, weight, powers)
        mixing = (1 - part) * mixing + part * in_time

        follow = 0.3 * self.spectral_adaptation(torch.cat([features.flatten(), powers]))
        own = self.component_knots @ follow[:-2].view(features.shape) @ frequency_knots.T
        spectra = _tilted(*base, tilt + own, root * torch.exp(follow[-2] / 2))
        last_ridge = ridge[2] * torch.exp(follow[-1])
        with torch.no_grad():
            inverses = patterns.invert(mixing @ mixing.T, last_ridge)
        return complete_window(mixing, *spectra, last_ridge, inverses, *at_the_end)

    def _spectra(self, group, n_timepoints):
        """Return spectra and cross-spectra of a group, what is learned of both, frequency knots."""
        base = group.spectra(group.n_fft(n_timepoints))
        frequency_knots = _hats(base[0].shape[1], N_FREQUENCY_KNOTS).to(base[0])
        tilt = TABLE_SCALE * self.component_knots @ self.spectral @ frequency_knots.T  # (P, F)
        cross_knots = self.component_knots[: base[1].shape[1]]
        root = TABLE_SCALE / 2 * cross_knots @ self.crossing @ frequency_knots.T
        root = self.cross_gain**0.5 * torch.exp(root.T)  # (F, K)
        return base, tilt, root, frequency_knots

    def _is_closed_form(self):
        """Say whether nothing learned would change a reconstruction; only asked when at rest."""
        if torch.is_grad_enabled() and self.training:
            return False
        last = self.spectral_adaptation[-1]
        return not (self.refinement.any() or last.weight.any() or last.bias.any())

    def _powers(self, visible_part):
        """Return powers 0, 1, 2 of the logarithm of the visible part."""
        log = torch.log(visible_part.clamp_min(1e-3)) + 1.2
        return torch.stack([torch.ones_like(log), log, log * log])

    def _shrink(self, which, weight, powers):
        """Return how far each pair of components follows what is seen, (P, P)."""
        table = torch.einsum("k,kij->ij", powers, self.shrinkage[which])
        own = torch.einsum("k,ki->i", powers, self.own_shrinkage[which])
        pairs = self.component_knots @ ((table + table.T) / 2) @ self.component_knots.T
        pairs = pairs + torch.diag(self.component_knots @ own)
        return weight * torch.exp(TABLE_SCALE * pairs)

    def _adapt(self, group, which, moment, weight, powers):
        """Return the mixing of the group, moved toward second moments of the person, (P, P).

        The change in whitened components is ``W.T @ moved @ W`` for what parcels do, and as
        ``colouring @ W.T`` is the identity, ``moved @ W`` is what it does to the mixing.
        """
        identity = torch.eye(len(moment), device=moment.device)
        whitened = group.whitening.T @ moment @ group.whitening
        change = self._shrink(which, weight, powers) * (whitened - identity)
        pairs = TABLE_SCALE * powers @ self.parcel_shrinkage[which]
        moved = (group.alike @ pairs[:-1] + pairs[-1] * identity) * (moment - group.covariance)
        mixing = torch.addmm(group.colouring, group.colouring, change, alpha=0.5)
        return torch.addmm(mixing, moved, group.whitening, alpha=0.5)

    def _spectral_features(self, group, first, spectrum, frequency_knots):
        """Compare the spectra of a completed window with those of the group, by knots."""
        components = (first @ group.whitening).T  # (P, T)
        n_fft = 2 * (spectrum.shape[1] - 1)
        power = torch.fft.rfft(components, n_fft, dim=1).abs() ** 2 / components.shape[1]
        rows = self.component_knots / self.component_knots.sum(0).clamp_min(1e-6)
        columns = frequency_knots / frequency_knots.sum(0)
        return torch.log(rows.T @ (power / spectrum) @ columns + 1e-2)


def _tilted(spectrum, cross_spectrum, tilt, root):
    """Multiply spectra (P, F) by the exponential of a tilt, cross-spectra (F, K, K) by roots.

    `root` (F, K) multiplies twice, for both components of a pair. Relative to the spectra it is
    what coherences are multiplied by, and may not come to one: cross-spectra that outgrow the
    spectra leave a system that is not positive definite, whose solution is anything at all.
    """
    largest = LARGEST_COHERENCE**0.5 * torch.exp(tilt[: root.shape[1]].T / 2)
    root = torch.minimum(root, largest)
    return spectrum * torch.exp(tilt), root[:, :, None] * cross_spectrum * root[:, None]


def _with_likeness(group):
    """Note for each pair of parcels where its correlation lies between the knots, (P, P, knots)."""
    sd = group.covariance.diagonal().clamp_min(1e-12).sqrt()
    correlation = (group.covariance / sd / sd[:, None]).clamp(-1, 1)
    knots = torch.tensor(CORRELATION_KNOTS, device=sd.device)
    above = torch.bucketize(correlation, knots[1:-1], right=True)
    part = (correlation - knots[above]) / (knots[above + 1] - knots[above])
    alike = torch.zeros(*correlation.shape, len(knots), device=sd.device)
    alike.scatter_(2, above[..., None], (1 - part)[..., None])
    alike.scatter_(2, above[..., None] + 1, part[..., None])
    group.register_buffer("alike", alike, persistent=False)
    return group


def _hats(n_points, n_knots):
    """Interpolate linearly between knots that lie evenly over log(1 + index)."""
    place = torch.log1p(torch.arange(n_points, dtype=torch.float32))
    place = place * ((n_knots - 1) / max(math.log(n_points), 1e-6))
    return (1 - (place[:, None] - torch.arange(n_knots)).abs()).clamp_min(0)
