"""NeuralODEForecaster: the future of a recording by a learned differential equation."""

from sklearn.utils._param_validation import StrOptions

from sklearn_brainlm._parameters import COUNT
from sklearn_brainlm.baselines.forecast_networks import NeuralODENetwork
from sklearn_brainlm.baselines.learned import NetworkForecaster

__all__ = ["NeuralODEForecaster", "ODEForecaster"]

_SOLVERS = {"euler", "midpoint", "rk4", "dopri5"}


class ODEForecaster(NetworkForecaster):
    """Forecaster that solves a learned differential equation.

    Examples
    --------
    >>> from sklearn_brainlm.baselines import LatentODEForecaster, NeuralODEForecaster
    >>> issubclass(NeuralODEForecaster, ODEForecaster)
    True
    >>> issubclass(LatentODEForecaster, ODEForecaster)
    True
    """

    _parameter_constraints = {
        **NetworkForecaster._parameter_constraints,
        **dict.fromkeys(["order", "latent_dim"], [COUNT]),
        "solver": [StrOptions(_SOLVERS)],
    }

    def _sizes(self):
        """Return the parameters of the network."""
        self._check_order()
        return {
            "order": self.order,
            "latent_dim": self.latent_dim,
            "hidden_dim": self.hidden_dim,
            "depth": self.depth,
            "solver": self.solver,
        }


class NeuralODEForecaster(ODEForecaster):
    """Forecast recordings by a differential equation that starts at their end.

    The Neural ODE of Table 2 of the article (section 4.3; Chen et al., 2018), which does not say
    its size. It needs torchdiffeq, which the extra ``baselines`` brings along.

    Parameters
    ----------
    n_parcels : int, optional
        Number of parcels of recordings. When given, ``fit`` notices transposed ones.
    scaler, clip : optional
        `method` and `clip` of :class:`RecordingScaler`: "robust", "standard" or None, and None.
    short : {"pad", "raise"}, default="pad"
        What to do with recordings shorter than a context: use what there is, or refuse them.
    context_length : int, default=180
        Timepoints that are forecast from, at most.
    horizon : int, default=20
        Timepoints that are forecast.
    n_components : int or None, default=32
        Principal components that are forecast; the others are at their centre. None takes the
        parcels as they are.
    order : int, default=20
        Timepoints that are used: the last of the context. At most `context_length`.
    latent_dim : int, default=64
        Dimensions of the state.
    hidden_dim, depth : int, default=128, 1
        Hidden units of a layer, and hidden layers, of its rate of change.
    solver : {"rk4", "midpoint", "euler", "dopri5"}, default="rk4"
        Method of ``torchdiffeq.odeint``. The first three take one step a timepoint.
    max_epochs : int, default=30
        Most epochs.
    windows_per_recording, batch_size : int, default=8, 32
        Windows drawn from each recording in an epoch, and windows of an optimizer step.
    micro_batch_size : int or "auto", default="auto"
        Windows on the device at a time: it changes memory, not what is learned.
    lr, weight_decay : float, default=1e-2, 0.01
        Largest learning rate of AdamW, and its weight decay.
    warmup : float, default=0.05
        Part of the steps over which the rate rises, before it falls along a cosine.
    grad_clip : float or None, default=1.0
        Largest norm of the gradient.
    validation_fraction : float, default=0.1
        Part of the recordings held out for early stopping.
    patience : int or None, default=10
        Epochs without a better validation loss before training stops with the best weights. None
        trains to the end.
    device : str, default="auto"
        Device of torch; "auto" takes CUDA when it is there.
    precision : {"auto", "fp32", "bf16"}, default="auto"
        What training computes in; "auto" is bf16 on CUDA.
    net_params : dict, optional
        Parameters of the skorch net that win, such as ``{"optimizer__betas": (0.9, 0.95)}``.
    random_state : int, RandomState or None, default=None
        Seed of weights, windows and held-out recordings.
    verbose : int, default=0
        1 prints a line an epoch, and shows a progress bar where there is a terminal.

    Attributes
    ----------
    net_ : ForecastNet
        The trained skorch net.
    components_ : float32 array of shape (n_parcels, n_components) or None
        Principal components of the scaled training recordings about their centre, of unit variance.
    patterns_ : float32 array of shape (n_parcels, n_components) or None
        The way back to parcels.
    history_ : list of dict
        One an epoch: ``epoch``, ``train_loss``, ``valid_loss`` (or None), ``lr``, ``seconds``.
    best_epoch_ : int
        Epoch whose weights are kept; 0 for those before training.
    validation_indices_ : ndarray of int
        Recordings of X that were held out.
    scaler_ : RecordingScaler
        Scaling learned in ``fit``.
    n_parcels_, n_features_in_, n_parameters_, feature_names_in_
        Number of parcels, twice, of parameters of the network, and names of parcels, if X has any.
    device_ : str
        The device that is used.

    See Also
    --------
    LatentODEForecaster : The same with a random state that begins earlier.

    Notes
    -----
    The state at the end of the context is a linear map of its last `order` timepoints, its rate of
    change a network of one hidden layer, and the forecast a linear map of the state at each step,
    which begins at the centre of each parcel. What is minimised is the squared error over all steps
    and parcels.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.baselines import NeuralODEForecaster
    >>> phases = np.random.default_rng(0).uniform(0, 6, (8, 1, 5))
    >>> waves = np.sin(np.arange(100)[:, None] / 4 + phases)
    >>> model = NeuralODEForecaster(
    ...     context_length=20, horizon=5, order=10, max_epochs=2, random_state=0
    ... )
    >>> model.fit(waves[:7]).predict(waves[7:]).shape
    (1, 5, 5)
    """

    def __init__(
        self,
        *,
        n_parcels=None,
        scaler="robust",
        clip=None,
        short="pad",
        context_length=180,
        horizon=20,
        n_components=32,
        order=20,
        latent_dim=64,
        hidden_dim=128,
        depth=1,
        solver="rk4",
        max_epochs=30,
        windows_per_recording=8,
        batch_size=32,
        micro_batch_size="auto",
        lr=1e-2,
        weight_decay=0.01,
        warmup=0.05,
        grad_clip=1.0,
        validation_fraction=0.1,
        patience=10,
        device="auto",
        precision="auto",
        net_params=None,
        random_state=None,
        verbose=0,
    ):
        self.n_parcels = n_parcels
        self.scaler = scaler
        self.clip = clip
        self.short = short
        self.context_length = context_length
        self.horizon = horizon
        self.n_components = n_components
        self.order = order
        self.latent_dim = latent_dim
        self.hidden_dim = hidden_dim
        self.depth = depth
        self.solver = solver
        self.max_epochs = max_epochs
        self.windows_per_recording = windows_per_recording
        self.batch_size = batch_size
        self.micro_batch_size = micro_batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.warmup = warmup
        self.grad_clip = grad_clip
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.device = device
        self.precision = precision
        self.net_params = net_params
        self.random_state = random_state
        self.verbose = verbose

    def _build_module(self):
        """Return the class of the network and its parameters."""
        return NeuralODENetwork, self._sizes()
