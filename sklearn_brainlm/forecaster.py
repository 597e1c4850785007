"""BrainLMForecaster: what follows the end of recordings."""

from numbers import Integral

from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_brainlm._parameters import COUNT, LOOP
from sklearn_brainlm.finetuning.encoder import ENCODER
from sklearn_brainlm.finetuning.forecaster import FutureMaskingForecaster
from sklearn_brainlm.intervals import ConformalMixin

__all__ = ["BrainLMForecaster"]


class BrainLMForecaster(ConformalMixin, FutureMaskingForecaster):
    """Forecast recordings by a masked autoencoder whose masked patches are those of the future.

    Section 4.3 of the article: 20 timepoints from the 180 before them. Windows are drawn within
    recordings; people are split, never windows.

    Parameters
    ----------
    weights : str, Path or FrozenEstimator, optional
        What the network starts from, as in :class:`BrainLMTransformer`. None draws it.
    pretrained : bool, default=True
        False keeps the architecture and the input contract of `weights` and draws all parameters
        anew: the control that shows what pretraining is worth.
    n_parcels, parcel_coords, t_r, scaler, clip, short : optional
        As in :class:`BrainLMTransformer`; a recording shorter than a context is `short`.
    context_length : int, default=180
        Timepoints that are forecast from.
    horizon : int, default=20
        Timepoints that are forecast at a time.
    patch_length : int, default=20
        Timepoints of a patch; weights settle it.
    embed_dim, depth, n_heads, mlp_dim, attention, norm : optional
        Architecture of the encoder; weights settle it.
    prior : {"wiener"} or None, default="wiener"
        What training starts from: the closed form of
        :class:`~sklearn_brainlm.baselines.WienerForecaster`, which learns to follow the person,
        plus a gated residual; or nothing, as in the article.
    n_bins : int, default=8
        Bins of eigenmodes of the closed form.
    n_coupled : int, default=60
        Leading eigenmodes of the closed form that forecast each other, too.
    max_epochs, windows_per_recording, batch_size, micro_batch_size : default=15, 8, 8, "auto"
        As in :class:`BrainLMTransformer`. 0 epochs forecast by the closed form.
    lr, weight_decay, warmup, grad_clip : float
        As in :class:`BrainLMTransformer`.
    validation_fraction : float, default=0.1
        Part of the recordings held out to compute the validation loss.
    patience : int, optional
        Epochs without a better validation loss before training stops with the best weights.
    calibration_fraction : float, default=0.0
        Part of the recordings that nothing is learned from, to calibrate `predict_interval`.
    device, precision, checkpoint_dir, resume : optional
        As in :class:`BrainLMTransformer`. Each ``fit`` needs a folder of its own: cross-validation,
        which fits several times, takes none.
    net_params, random_state, verbose : optional
        As in :class:`BrainLMTransformer`.

    Attributes
    ----------
    encoder_ : BrainLMTransformer
        The autoencoder, fine-tuned.
    net_ : ReconstructionNet
        The trained skorch net.
    closed_form_ : dict of arrays
        Modes, bins, autocovariance and coupling of the closed form, when there is a prior.
    history_ : list of dict
        One an epoch: ``epoch``, ``train_loss``, ``valid_loss`` (or None), ``lr``, ``seconds``.
    best_epoch_ : int
        The epoch whose weights are used; 0 when no training was better than what it started from.
    validation_indices_, calibration_indices_ : ndarray of int
        Recordings of X that were held out.
    residuals_ : float32 array of shape (n_windows, horizon, n_parcels)
        Sizes of errors on the recordings of the calibration, see `predict_interval`.
    scaler_ : RecordingScaler
        Scaling of the parcels, learned or that of the weights.
    n_parcels_, n_features_in_, n_parameters_, feature_names_in_
        Number of parcels, twice, of parameters of the network, and names of parcels, if X has any.
    device_ : str
        The device that is used.

    See Also
    --------
    sklearn_brainlm.baselines.WienerForecaster : The closed form alone.
    BrainLMTransformer : The autoencoder.
    compare_forecasters : Puts it beside simple methods.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm import BrainLMForecaster
    >>> rng = np.random.default_rng(0)
    >>> waves = np.sin(np.arange(200)[:, None] / 4 + rng.uniform(0, 6, (4, 1, 1)))
    >>> recordings = waves * rng.standard_normal(5) + 0.1 * rng.standard_normal((4, 200, 5))
    >>> model = BrainLMForecaster(
    ...     context_length=40, horizon=10, patch_length=10, max_epochs=2, random_state=0
    ... )
    >>> model.fit(recordings[:3]).predict(recordings[3:]).shape
    (1, 10, 5)
    >>> model.score(recordings[3:]) > 0.8
    True
    """

    _parameter_constraints = {
        **ENCODER,
        **LOOP,
        "calibration_fraction": LOOP["validation_fraction"],
        **dict.fromkeys(["context_length", "horizon", "n_bins"], [COUNT]),
        "prior": [StrOptions({"wiener"}), None],
        "n_coupled": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        weights=None,
        pretrained=True,
        n_parcels=None,
        parcel_coords=None,
        t_r=None,
        scaler="auto",
        clip=None,
        short="pad",
        context_length=180,
        horizon=20,
        patch_length=20,
        embed_dim=64,
        depth=1,
        n_heads=4,
        mlp_dim=128,
        attention="factorised",
        norm="pre",
        prior="wiener",
        n_bins=8,
        n_coupled=60,
        max_epochs=15,
        windows_per_recording=8,
        batch_size=8,
        micro_batch_size="auto",
        lr=2e-3,
        weight_decay=0.05,
        warmup=0.05,
        grad_clip=1.0,
        validation_fraction=0.1,
        patience=None,
        calibration_fraction=0.0,
        device="auto",
        precision="auto",
        checkpoint_dir=None,
        resume=False,
        net_params=None,
        random_state=None,
        verbose=0,
    ):
        self.weights = weights
        self.pretrained = pretrained
        self.n_parcels = n_parcels
        self.parcel_coords = parcel_coords
        self.t_r = t_r
        self.scaler = scaler
        self.clip = clip
        self.short = short
        self.context_length = context_length
        self.horizon = horizon
        self.patch_length = patch_length
        self.embed_dim = embed_dim
        self.depth = depth
        self.n_heads = n_heads
        self.mlp_dim = mlp_dim
        self.attention = attention
        self.norm = norm
        self.prior = prior
        self.n_bins = n_bins
        self.n_coupled = n_coupled
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
        self.calibration_fraction = calibration_fraction
        self.device = device
        self.precision = precision
        self.checkpoint_dir = checkpoint_dir
        self.resume = resume
        self.net_params = net_params
        self.random_state = random_state
        self.verbose = verbose
