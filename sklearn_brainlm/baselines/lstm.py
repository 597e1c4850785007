"""LSTMRegressor and LSTMClassifier: labels from recordings read timepoint by timepoint."""

from sklearn.utils._param_validation import StrOptions

from sklearn_brainlm.baselines.learned import WindowPredictor
from sklearn_brainlm.baselines.networks import LSTMNetwork
from sklearn_brainlm.prediction import ClassifyingMixin, RegressingMixin

__all__ = ["LSTMClassifier", "LSTMRegressor"]


class _LSTMPredictor(WindowPredictor):
    """Choose the network."""

    def _build_module(self, n_outputs):
        """Return the class of the network and its parameters."""
        return LSTMNetwork, {
            "n_parcels": self.n_parcels_,
            "n_outputs": n_outputs,
            "hidden_dim": self.hidden_dim,
            "depth": self.depth,
            "dropout": self.dropout,
        }


class LSTMRegressor(RegressingMixin, _LSTMPredictor):
    """Predict numbers such as age by an LSTM that reads recordings.

    The LSTM of Table 1 of the article (section 4.2), which does not say its size, nor what is read
    out. It goes through a window timepoint by timepoint, all parcels at once.

    Parameters
    ----------
    n_parcels : int, optional
        Number of parcels of recordings. When given, ``fit`` notices transposed ones.
    scaler, clip : optional
        `method` and `clip` of :class:`RecordingScaler`: "robust", "standard" or None, and None.
    short : {"pad", "raise"}, default="pad"
        What to do with recordings shorter than a window: take them as they are, or refuse them.
    window_length : int, default=200
        Timepoints the network sees at a time.
    window_stride : int, optional
        Timepoints between the windows whose predictions are averaged; `window_length` when None.
    hidden_dim, depth : int, default=64, 2
        Hidden units of a layer, and layers.
    dropout : float, default=0.1
        Dropout between layers and before the output.
    max_epochs : int, default=30
        Most epochs.
    windows_per_recording, batch_size : int, default=1, 16
        Windows drawn from each recording in an epoch, and windows of an optimizer step.
    micro_batch_size : int or "auto", default="auto"
        Windows on the device at a time: it changes memory, not what is learned.
    lr, weight_decay : float, default=1e-3, 0.01
        Largest learning rate of AdamW, and its weight decay.
    warmup : float, default=0.05
        Part of the steps over which the rate rises, before it falls along a cosine.
    grad_clip : float or None, default=1.0
        Largest norm of the gradient.
    validation_fraction : float, default=0.1
        Part of the recordings held out for early stopping.
    patience : int or None, default=5
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
    net_ : PredictionNet
        The trained skorch net.
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
    y_center_, y_scale_ : ndarray of float64 of shape (n_targets,)
        Mean and standard deviation of the training targets, in which the network works.

    See Also
    --------
    LSTMClassifier : The same for classes.

    Notes
    -----
    It has two layers of 64 units, and what is predicted is linear in the mean of its states over
    the window: the last state alone hardly remembers 200 timepoints. The prediction of a recording
    is the mean of those of its windows.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.baselines import LSTMRegressor
    >>> rng = np.random.default_rng(0)
    >>> age = rng.uniform(20, 80, 30)
    >>> recordings = [a / 50 * rng.standard_normal((60, 4)) for a in age]
    >>> model = LSTMRegressor(window_length=30, hidden_dim=8, max_epochs=2, random_state=0)
    >>> model.fit(recordings[:24], age[:24]).predict(recordings[24:]).shape
    (6,)
    """

    def __init__(
        self,
        *,
        n_parcels=None,
        scaler="robust",
        clip=None,
        short="pad",
        window_length=200,
        window_stride=None,
        hidden_dim=64,
        depth=2,
        dropout=0.1,
        max_epochs=30,
        windows_per_recording=1,
        batch_size=16,
        micro_batch_size="auto",
        lr=1e-3,
        weight_decay=0.01,
        warmup=0.05,
        grad_clip=1.0,
        validation_fraction=0.1,
        patience=5,
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
        self.window_length = window_length
        self.window_stride = window_stride
        self.hidden_dim = hidden_dim
        self.depth = depth
        self.dropout = dropout
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


class LSTMClassifier(ClassifyingMixin, _LSTMPredictor):
    """Predict classes such as sex by an LSTM that reads recordings.

    The LSTM of section 4.2 of the article with an output for each class; the article predicts
    numbers only. See the notes of :class:`LSTMRegressor`.

    Parameters
    ----------
    n_parcels : int, optional
        Number of parcels of recordings. When given, ``fit`` notices transposed ones.
    scaler, clip : optional
        `method` and `clip` of :class:`RecordingScaler`: "robust", "standard" or None, and None.
    short : {"pad", "raise"}, default="pad"
        What to do with recordings shorter than a window: take them as they are, or refuse them.
    window_length : int, default=200
        Timepoints the network sees at a time.
    window_stride : int, optional
        Timepoints between the windows whose predictions are averaged; `window_length` when None.
    hidden_dim, depth : int, default=64, 2
        Hidden units of a layer, and layers.
    dropout : float, default=0.1
        Dropout between layers and before the output.
    max_epochs : int, default=30
        Most epochs.
    windows_per_recording, batch_size : int, default=1, 16
        Windows drawn from each recording in an epoch, and windows of an optimizer step.
    micro_batch_size : int or "auto", default="auto"
        Windows on the device at a time: it changes memory, not what is learned.
    lr, weight_decay : float, default=1e-3, 0.01
        Largest learning rate of AdamW, and its weight decay.
    warmup : float, default=0.05
        Part of the steps over which the rate rises, before it falls along a cosine.
    grad_clip : float or None, default=1.0
        Largest norm of the gradient.
    validation_fraction : float, default=0.1
        Part of the recordings held out for early stopping.
    patience : int or None, default=5
        Epochs without a better validation loss before training stops with the best weights. None
        trains to the end.
    class_weight : dict, "balanced" or None, default=None
        What each class counts for, as in scikit-learn.
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
    net_ : PredictionNet
        The trained skorch net.
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
    classes_ : ndarray of shape (n_classes,)
        The classes in ascending order.

    See Also
    --------
    LSTMRegressor : The same for numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.baselines import LSTMClassifier
    >>> rng = np.random.default_rng(0)
    >>> group = np.repeat(["old", "young"], 10)
    >>> recordings = [(1 + (g == "old")) * rng.standard_normal((60, 4)) for g in group]
    >>> model = LSTMClassifier(window_length=30, hidden_dim=8, max_epochs=2, random_state=0)
    >>> model.fit(recordings, group).predict_proba(recordings[:3]).shape
    (3, 2)
    """

    _parameter_constraints = {
        **WindowPredictor._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        *,
        n_parcels=None,
        scaler="robust",
        clip=None,
        short="pad",
        window_length=200,
        window_stride=None,
        hidden_dim=64,
        depth=2,
        dropout=0.1,
        max_epochs=30,
        windows_per_recording=1,
        batch_size=16,
        micro_batch_size="auto",
        lr=1e-3,
        weight_decay=0.01,
        warmup=0.05,
        grad_clip=1.0,
        validation_fraction=0.1,
        patience=5,
        class_weight=None,
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
        self.window_length = window_length
        self.window_stride = window_stride
        self.hidden_dim = hidden_dim
        self.depth = depth
        self.dropout = dropout
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
        self.class_weight = class_weight
        self.device = device
        self.precision = precision
        self.net_params = net_params
        self.random_state = random_state
        self.verbose = verbose
