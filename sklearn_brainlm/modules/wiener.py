"""The closed form of forecasting that learns how much of what it sees is the person."""

import torch
from torch import nn

TABLE_SCALE = 30.0  # tables wander further than weights: stored at this fraction, as in the prior
LAGS = (1, 2, 4, 8, 16, 32, 64)  # where the memory of a person is compared with that of the group
N_KNOTS = 4  # of what is smooth over steps ahead
N_HIDDEN = 16
START = -3.0  # logit of how far the memory follows the person before anything is learned


class AdaptiveWiener(nn.Module):
    """Forecast spatial eigenmodes by Wiener filters whose memory follows the person.

    Modes are in bins of one autocorrelation each, that of the group mixed with that of the context.
    How far it follows the context, the noise, and how far ahead to trust a forecast are read off
    the context by a small network that all bins share.

    Parameters
    ----------
    modes : array of shape (P, P)
        Spatial eigenmodes in columns.
    bins : array of shape (P,)
        Bin of each mode.
    autocovariance : array of shape (n_bins, n_lags)
        Of the group, summed over modes. With fewer lags than a context and the horizon have, the
        rest counts as zero.
    horizon : int
        Timepoints H to forecast.
    coupling : array of shape (order, K, H, K), optional
        What one of the K leading modes at one of the last timepoints adds to the forecast of
        another at a step.
    ridge : float, default=0.01
        Variance of noise on the context, in parts of the variance of a bin.

    Examples
    --------
    >>> wiener = AdaptiveWiener(torch.eye(2), torch.tensor([0, 1]), torch.ones(2, 12), horizon=3)
    >>> wiener(torch.ones(1, 2, 8)).shape
    torch.Size([1, 2, 3])
    """

    def __init__(self, modes, bins, autocovariance, horizon, coupling=None, ridge=0.01):
        super().__init__()
        self.horizon = int(horizon)  # not of NumPy, which has no bit_length
        self.ridge = ridge
        # Copies: what is given may be read-only memory, and weights are loaded in place.
        self.register_buffer("modes", torch.as_tensor(modes).float().clone())
        self.register_buffer("bins", torch.as_tensor(bins).long().clone())
        self.register_buffer("autocovariance", torch.as_tensor(autocovariance).float().clone())
        coupling = torch.zeros(1, 0, horizon, 0) if coupling is None else coupling
        self.register_buffer("coupling", torch.as_tensor(coupling).float().clone())
        self.coupled_trust = nn.Parameter(torch.zeros(N_KNOTS))
        n_bins = len(self.autocovariance)
        membership = nn.functional.one_hot(self.bins, n_bins).float()  # (P, n_bins)
        self.register_buffer("membership", membership, persistent=False)
        self.people = None  # see `cross_fitted`
        self.follow = nn.Parameter(torch.zeros(n_bins))
        self.trust = nn.Parameter(torch.zeros(n_bins, N_KNOTS))
        self.context_network = nn.Sequential(
            nn.Linear(len(LAGS) + 2, N_HIDDEN), nn.GELU(), nn.Linear(N_HIDDEN, 2 + N_KNOTS)
        )
        for weight in self.context_network[-1].parameters():
            nn.init.zeros_(weight)

    def leave_out(self, people):
        """Forecast the recordings of training people without what they added to the group.

        Parameters
        ----------
        people : array of shape (n_people, n_bins, n_lags) or None
            What each person added to the autocovariance; None uses the group for everybody.
        """
        # A plain attribute, so that it is neither saved nor loaded: it serves training only.
        self.people = None if people is None else torch.as_tensor(people).float()

    def forward(self, context, person=None):
        """Forecast what follows contexts.

        Parameters
        ----------
        context : tensor of shape (B, P, T)
            Scaled contexts.
        person : int64 tensor of shape (B,), optional
            Who of the people left out each context is of; nobody where negative.

        Returns
        -------
        forecasts : tensor of shape (B, P, H)
            The next timepoints.
        """
        # Solves of large systems want all digits, also where the network runs in bfloat16.
        with torch.autocast(context.device.type, enabled=False):
            components = self.modes.T @ context.float()  # (B, P, T)
            n_timepoints = components.shape[2]
            group = self._group(len(context), n_timepoints + self.horizon, person)
            own, variance = self._own(components, n_timepoints + self.horizon)
            expected = group[..., :1]
            group = group / expected.clamp_min(1e-12)
            read = self._read(own - group, variance / expected[..., 0].clamp_min(1e-12))
            part = torch.sigmoid(START + TABLE_SCALE * self.follow + read[..., 0])[..., None]
            memory = (1 - part) * group + part * own  # (B, n_bins, T + H), of variance 1
            filters = self._solve(memory, self.ridge * torch.exp(read[..., 1]))
            # How far to trust: smooth over the logarithm of steps ahead, the first one included.
            trust = torch.exp((TABLE_SCALE * self.trust + read[..., 2:]) @ self._knots())
            filters = filters * trust[:, :, None]  # (B, n_bins, T, H)
            forecasts = torch.einsum("bpt,bpth->bph", components, filters[:, self.bins])
            return self.modes @ (forecasts + self._coupled(components))

    def _coupled(self, components):
        """Return what modes add to each other's forecasts, (B, P, H)."""
        order, n_modes = self.coupling.shape[:2]
        last = components[:, :n_modes, -order:]
        coupling = self.coupling[order - last.shape[2] :]
        added = torch.einsum("bkt,tkhj->bjh", last, coupling)
        added = added * torch.exp(TABLE_SCALE * self.coupled_trust @ self._knots())
        return nn.functional.pad(added, (0, 0, 0, components.shape[1] - n_modes))

    def _group(self, n_windows, n_lags, person):
        """Return the autocovariance of the group for each window, (B, n_bins, n_lags)."""
        group = self.autocovariance.expand(n_windows, -1, -1)
        if self.people is not None and person is not None:
            own = self.people.to(group.device)[person.clamp_min(0)]
            group = group - own * (person >= 0)[:, None, None]
        n_missing = n_lags - group.shape[2]
        return nn.functional.pad(group, (0, n_missing)) if n_missing > 0 else group[..., :n_lags]

    def _own(self, components, n_lags):
        """Return autocorrelation (B, n_bins, n_lags) and variance (B, n_bins) of contexts."""
        n_timepoints = components.shape[2]
        n_fft = 1 << (n_timepoints + n_lags).bit_length()
        power = torch.fft.rfft(components, n_fft).abs() ** 2  # (B, P, F)
        power = torch.einsum("bpf,pk->bkf", power, self.membership)
        own = torch.fft.irfft(power, n_fft)[..., :n_lags] / n_timepoints
        variance = own[..., 0]
        return own / variance[..., None].clamp_min(1e-12), variance

    def _read(self, difference, ratio):
        """Read off contexts what to do, (B, n_bins, 2 + N_KNOTS)."""
        lags = torch.tensor([lag for lag in LAGS if lag < difference.shape[2]])
        at_lags = difference[..., lags.to(difference.device)]
        at_lags = nn.functional.pad(at_lags, (0, len(LAGS) - len(lags)))
        place = torch.linspace(-1, 1, len(self.autocovariance), device=ratio.device)
        loud = torch.log(ratio.clamp(1e-3, 1e3))
        features = [at_lags, loud[..., None], place.expand_as(loud)[..., None]]
        return self.context_network(torch.cat(features, dim=-1))

    def _solve(self, memory, ridge):
        """Solve for filters (B, n_bins, T, H) of autocorrelations (B, n_bins, T + H)."""
        n_timepoints = memory.shape[2] - self.horizon
        place = torch.arange(n_timepoints, device=memory.device)
        among = memory[..., (place[:, None] - place).abs()]
        among = among + torch.diag_embed((ridge + 1e-4)[..., None].expand(*ridge.shape, len(place)))
        steps = torch.arange(self.horizon, device=memory.device)
        ahead = memory[..., (n_timepoints - place)[:, None] + steps]
        # Numbers out of range make a loss that is not finite, which training knows how to report.
        factor, failed = torch.linalg.cholesky_ex(among)
        factor = factor.masked_fill(failed[..., None, None] > 0, torch.nan)
        return torch.cholesky_solve(ahead, factor)

    def _knots(self):
        """Interpolate between knots that lie evenly over the logarithm of steps, (n_knots, H)."""
        place = torch.log1p(torch.arange(self.horizon, device=self.modes.device).float())
        place = place * ((N_KNOTS - 1) / place[-1].clamp_min(1e-6))
        knots = torch.arange(N_KNOTS, device=place.device)
        return (1 - (place - knots[:, None]).abs()).clamp_min(0)
