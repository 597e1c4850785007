"""Networks that forecast windows: in torch and nothing else, tensors in, tensors out.

Shapes are written with these letters: ``B`` windows, ``P`` parcels, ``T`` timepoints of a context,
``K`` components that a forecast is made in, ``D`` hidden units.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from sklearn_brainlm.baselines.networks import build_lstm, zeroed

__all__ = [
    "ForecastNetwork",
    "LSTMForecastNetwork",
    "LatentODENetwork",
    "NeuralODENetwork",
    "load_odeint",
]


class ForecastNetwork(nn.Module):
    """Forecast windows; a subclass says how, in components if there are any.

    Parameters
    ----------
    n_parcels, horizon : int
        Parcels, and timepoints to forecast.
    components, patterns : arrays of shape (P, K), optional
        The way to components and back: ``contexts @ components`` and ``values @ patterns.T``.

    Examples
    --------
    >>> sizes = dict(n_parcels=3, horizon=5, hidden_dim=8, depth=1, dropout=0.0)
    >>> network = LSTMForecastNetwork(**sizes)
    >>> isinstance(network, ForecastNetwork)
    True
    """

    def __init__(self, n_parcels, horizon, components=None, patterns=None):
        super().__init__()
        self.horizon = horizon
        for name, given in (("components", components), ("patterns", patterns)):
            tensor = None if given is None else torch.as_tensor(given)
            # Not among the weights: the estimator holds it.
            self.register_buffer(name, tensor, persistent=False)
        self.n_signals = n_parcels if components is None else self.components.shape[1]

    def _to_components(self, contexts):
        """Turn values of parcels (B, T, P) into those of components (B, T, K)."""
        return contexts if self.components is None else contexts @ self.components

    def _to_parcels(self, values):
        """Turn values of components (B, T, K) into those of parcels (B, T, P)."""
        return values if self.patterns is None else values @ self.patterns.T

    def forward_loss(self, made, contexts, futures):
        """Average the squared error of forecasts over steps and parcels.

        Parameters
        ----------
        made : tensor of shape (B, horizon, P)
            What ``forward`` returned.
        contexts : tensor of shape (B, T, P)
            What it was given.
        futures : tensor of shape (B, horizon, P)
            What followed.

        Returns
        -------
        mean : tensor of shape ()
            Mean squared error.
        """
        return F.mse_loss(made.float(), futures)


class LSTMForecastNetwork(ForecastNetwork):
    """Forecast a window from the last state of an LSTM, all steps at once.

    Parameters
    ----------
    hidden_dim, depth : int
        Hidden units of a layer, and layers.
    dropout : float
        Dropout between layers and before the output.
    **signals
        Parameters of :class:`ForecastNetwork`.

    Examples
    --------
    >>> sizes = dict(n_parcels=3, horizon=5, hidden_dim=8, depth=2, dropout=0.1)
    >>> network = LSTMForecastNetwork(**sizes)
    >>> network(torch.randn(4, 20, 3)).shape
    torch.Size([4, 5, 3])
    """

    def __init__(self, *, hidden_dim, depth, dropout, **signals):
        super().__init__(**signals)
        self.lstm = build_lstm(self.n_signals, hidden_dim, depth, dropout)
        self.dropout = nn.Dropout(dropout)
        self.head = zeroed(nn.Linear(hidden_dim, self.horizon * self.n_signals))

    def forward(self, contexts):
        """Forecast contexts.

        Parameters
        ----------
        contexts : tensor of shape (B, T, P)
            Contexts.

        Returns
        -------
        forecasts : tensor of shape (B, horizon, P)
            What follows.
        """
        states, _ = self.lstm(self._to_components(contexts))  # (B, T, D)
        made = self.head(self.dropout(states[:, -1]))
        return self._to_parcels(made.unflatten(1, (self.horizon, self.n_signals)))


class NeuralODENetwork(ForecastNetwork):
    """Forecast a window by solving a learned differential equation from its end.

    Parameters
    ----------
    order : int
        Timepoints that the initial state is a linear map of.
    latent_dim, hidden_dim, depth : int
        Dimensions of the state, and hidden units and hidden layers of its rate of change.
    solver : str
        Method of ``torchdiffeq.odeint``.
    **signals
        Parameters of :class:`ForecastNetwork`.

    Examples
    --------
    >>> sizes = dict(order=8, latent_dim=4, hidden_dim=8, depth=1, solver="rk4")
    >>> network = NeuralODENetwork(n_parcels=3, horizon=5, **sizes)
    >>> network(torch.randn(4, 20, 3)).shape
    torch.Size([4, 5, 3])
    """

    def __init__(self, *, order, latent_dim, hidden_dim, depth, solver, **signals):
        super().__init__(**signals)
        self.order = order
        self.start = nn.Linear(order * self.n_signals, latent_dim)
        self.dynamics = _Dynamics(latent_dim, hidden_dim, depth, solver)
        self.decoder = zeroed(nn.Linear(latent_dim, self.n_signals))

    def forward(self, contexts):
        """Forecast contexts.

        Parameters
        ----------
        contexts : tensor of shape (B, T, P)
            Contexts.

        Returns
        -------
        forecasts : tensor of shape (B, horizon, P)
            What follows.
        """
        past = self._to_components(contexts[:, -self.order :])
        past = F.pad(past, (0, 0, self.order - past.shape[1], 0))  # (B, order, K)
        states = self.dynamics(self.start(past.flatten(1)), self.horizon)
        return self._to_parcels(self.decoder(states[:, 1:]))


class LatentODENetwork(ForecastNetwork):
    """Forecast a window by a differential equation that started within it, at a random state.

    Parameters
    ----------
    order : int
        Timepoints that are read, from the last to the first, where the state begins.
    latent_dim, hidden_dim, depth : int
        Dimensions of the state, and hidden units and hidden layers of its rate of change.
    solver : str
        Method of ``torchdiffeq.odeint``.
    kl_weight : float
        What the divergence of the state from the standard normal distribution counts for.
    **signals
        Parameters of :class:`ForecastNetwork`.

    Examples
    --------
    >>> sizes = dict(order=8, latent_dim=4, hidden_dim=8, depth=1, solver="rk4", kl_weight=1.0)
    >>> network = LatentODENetwork(n_parcels=3, horizon=5, **sizes).eval()
    >>> network(torch.randn(4, 20, 3)).shape
    torch.Size([4, 5, 3])
    """

    def __init__(self, *, order, latent_dim, hidden_dim, depth, solver, kl_weight, **signals):
        super().__init__(**signals)
        self.order = order
        self.kl_weight = kl_weight
        self.encoder = nn.GRU(self.n_signals, hidden_dim, batch_first=True)
        self.posterior = nn.Linear(hidden_dim, 2 * latent_dim)
        self.dynamics = _Dynamics(latent_dim, hidden_dim, depth, solver)
        self.decoder = zeroed(nn.Linear(latent_dim, self.n_signals))

    def forward(self, contexts):
        """Forecast contexts; in training, decode them too, from a random state.

        Parameters
        ----------
        contexts : tensor of shape (B, T, P)
            Contexts.

        Returns
        -------
        forecasts : tensor of shape (B, horizon, P)
            What follows. In training: what is decoded of contexts and futures
            (B, order + horizon, P), and the mean and logarithm of the variance (B, latent_dim) of
            the state.
        """
        past = self._to_components(contexts[:, -self.order :]).flip(1)
        _, last = self.encoder(past)  # (1, B, D)
        mean, log_variance = self.posterior(last[0]).float().chunk(2, dim=1)
        state = mean
        if self.training:
            state = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        states = self.dynamics(state, past.shape[1] + self.horizon - 1)
        made = self._to_parcels(self.decoder(states))
        return (made, mean, log_variance) if self.training else made[:, -self.horizon :]

    def forward_loss(self, made, contexts, futures):
        """Compute the negative evidence lower bound per value, in training, or the squared error.

        Parameters
        ----------
        made : tensors
            What ``forward`` returned.
        contexts : tensor of shape (B, T, P)
            What it was given.
        futures : tensor of shape (B, horizon, P)
            What followed.

        Returns
        -------
        loss : tensor of shape ()
            Noise of unit variance makes the squared error plus twice the divergence per value.
        """
        if not self.training:
            return super().forward_loss(made, contexts, futures)
        decoded, mean, log_variance = made
        true = torch.cat([contexts[:, -self.order :], futures], dim=1)
        # Twice the divergence of the normal distribution from the standard one.
        divergence = (mean**2 + log_variance.exp() - log_variance - 1).sum(1).mean()
        per_value = divergence / true[0].numel()
        return F.mse_loss(decoded.float(), true) + self.kl_weight * per_value


class _Dynamics(nn.Module):
    """A state and its rate of change, which does not depend on time."""

    def __init__(self, latent_dim, hidden_dim, depth, solver):
        super().__init__()
        self.odeint = load_odeint()
        self.solver = solver
        widths = [latent_dim] + [hidden_dim] * depth
        layers = []
        for pair in pairwise(widths):
            layers += [nn.Linear(*pair), nn.Tanh()]
        self.rate = nn.Sequential(*layers, nn.Linear(widths[-1], latent_dim))

    def forward(self, state, n_steps):
        """Follow states (B, D) over timepoints: (B, 1 + n_steps, D), the first as given."""
        times = torch.arange(n_steps + 1, dtype=torch.float32, device=state.device)

        def rate(time, state):
            return self.rate(state).float()

        return self.odeint(rate, state.float(), times, method=self.solver).transpose(0, 1)


def load_odeint():
    """Import the solver of differential equations.

    Returns
    -------
    odeint : callable
        ``torchdiffeq.odeint``.

    Raises
    ------
    ImportError
        If torchdiffeq is not installed; the message says how to install it.
    """
    try:
        from torchdiffeq import odeint
    except ImportError as error:
        raise ImportError(
            "Differential equations are solved by torchdiffeq, which is not installed: "
            "pip install sklearn-brainlm[baselines]"
        ) from error
    return odeint
