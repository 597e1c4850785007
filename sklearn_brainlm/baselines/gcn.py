"""GCNRegressor and GCNClassifier: labels from recordings on a graph of parcels."""

from sklearn.utils._param_validation import StrOptions

from sklearn_brainlm.baselines.graph import GraphPredictor
from sklearn_brainlm.prediction import ClassifyingMixin, RegressingMixin

__all__ = ["GCNClassifier", "GCNRegressor"]


class GCNRegressor(RegressingMixin, GraphPredictor):
    """Predict numbers such as age by convolutions over a graph of parcels.

    The GCN of Table 1 of the article (section 4.2), which does not say its size, its graph or what
    is read out. Features are the values of a window; correlations only say which parcels are
    joined.

    Parameters
    ----------
    n_parcels : int, optional
        Number of parcels of recordings. When given, ``fit`` notices transposed ones.
    scaler, clip : optional
        `method` and `clip` of :class:`RecordingScaler`: "robust", "standard" or None, and None.
    short : {"pad", "raise"}, default="pad"
        What to do with recordings shorter than a window: fill them up with zeros, or refuse them.
    window_length : int, default=200
        Timepoints the network sees at a time.
    window_stride : int, optional
        Timepoints between the windows whose predictions are averaged; `window_length` when None.
    n_neighbors : int, default=10
        Parcels that each parcel is joined to: those whose correlation with it is largest in size.
    hidden_dim, depth : int, default=64, 2
        Features of a parcel after a layer, and layers.
    dropout : float, default=0.1
        Dropout after each layer.
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
    adjacency_ : float32 array of shape (n_parcels, n_parcels)
        Normalised adjacency of the parcels, themselves included.
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
    GCNClassifier : The same for classes.

    Notes
    -----
    The graph convolution of Kipf and Welling (2016): ``relu(A @ features @ weights)``, where A is
    the symmetric normalised adjacency with self loops. Two parcels are joined when one is among the
    neighbours of the other, by the correlation averaged over the recordings of ``fit``.

    What goes in is the window of each parcel, there are two layers, as in Kipf and Welling, and
    what is predicted is linear in the features of all parcels, which keeps them apart: a mean over
    parcels would not tell which one a feature is of. The prediction of a recording is the mean of
    those of its windows.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.baselines import GCNRegressor
    >>> rng = np.random.default_rng(0)
    >>> age = rng.uniform(20, 80, 30)
    >>> recordings = [a / 50 * rng.standard_normal((60, 4)) for a in age]
    >>> model = GCNRegressor(window_length=30, hidden_dim=8, max_epochs=2, random_state=0)
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
        n_neighbors=10,
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
        self.n_neighbors = n_neighbors
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


class GCNClassifier(ClassifyingMixin, GraphPredictor):
    """Predict classes such as sex by convolutions over a graph of parcels.

    The GCN of section 4.2 of the article with an output for each class; the article predicts
    numbers only. See the notes of :class:`GCNRegressor`.

    Parameters
    ----------
    n_parcels : int, optional
        Number of parcels of recordings. When given, ``fit`` notices transposed ones.
    scaler, clip : optional
        `method` and `clip` of :class:`RecordingScaler`: "robust", "standard" or None, and None.
    short : {"pad", "raise"}, default="pad"
        What to do with recordings shorter than a window: fill them up with zeros, or refuse them.
    window_length : int, default=200
        Timepoints the network sees at a time.
    window_stride : int, optional
        Timepoints between the windows whose predictions are averaged; `window_length` when None.
    n_neighbors : int, default=10
        Parcels that each parcel is joined to: those whose correlation with it is largest in size.
    hidden_dim, depth : int, default=64, 2
        Features of a parcel after a layer, and layers.
    dropout : float, default=0.1
        Dropout after each layer.
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
    adjacency_ : float32 array of shape (n_parcels, n_parcels)
        Normalised adjacency of the parcels, themselves included.
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
    GCNRegressor : The same for numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.baselines import GCNClassifier
    >>> rng = np.random.default_rng(0)
    >>> group = np.repeat(["old", "young"], 10)
    >>> recordings = [(1 + (g == "old")) * rng.standard_normal((60, 4)) for g in group]
    >>> model = GCNClassifier(window_length=30, hidden_dim=8, max_epochs=2, random_state=0)
    >>> model.fit(recordings, group).predict_proba(recordings[:3]).shape
    (3, 2)
    """

    _parameter_constraints = {
        **GraphPredictor._parameter_constraints,
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
        n_neighbors=10,
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
        self.n_neighbors = n_neighbors
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
