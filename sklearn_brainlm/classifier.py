"""BrainLMClassifier: classes from recordings."""

from sklearn.utils._param_validation import StrOptions

from sklearn_brainlm.finetuning.predictor import FinetuningPredictor
from sklearn_brainlm.prediction import ClassifyingMixin

__all__ = ["BrainLMClassifier"]


class BrainLMClassifier(ClassifyingMixin, FinetuningPredictor):
    """Predict classes such as a diagnosis from recordings, by a BrainLM encoder with a head.

    Section 4.2 of the article fine-tunes an encoder with a head of three layers and 10% dropout in
    both: ``pooling="cls", head="mlp"``. Traits of people sit in second-order statistics of
    recordings; the CLS token of a small training hardly holds them, which is why the default is
    another one.

    Parameters
    ----------
    weights : str, Path or FrozenEstimator, optional
        What the encoder starts from, as in :class:`BrainLMTransformer`. None draws it.
    pretrained : bool, default=True
        False keeps the architecture and the input contract of `weights` and draws all parameters
        anew: the control that shows what pretraining is worth.
    n_parcels, parcel_coords, t_r, scaler, clip, short : optional
        As in :class:`BrainLMTransformer`.
    window_length : int, optional
        Timepoints the network sees at a time; those of the weights when None, or 200.
    patch_length : int, default=20
        Timepoints of a patch; weights settle it.
    window_stride : int, optional
        Timepoints between the windows whose predictions are averaged; `window_length` when None.
    embed_dim, depth, n_heads, mlp_dim, attention, norm : optional
        Architecture of the encoder; weights settle it.
    pooling : {"cls", "mean", "attentive", "covariance"}, default="covariance"
        What the head sees: the CLS token, as in the article; the mean of the tokens, or their mean
        by learned attention; or correlations of the parcels' tokens over time, with the logarithms
        of their standard deviations.
    head : {"linear", "mlp"}, default="linear"
        A linear head starts from the solution of a penalised linear model. "mlp" is that of the
        article, with `hidden_dims` hidden units.
    hidden_dims : sequence of int, default=(32, 32)
        Hidden units of the "mlp" head: two hidden layers make three layers.
    trainable : {"all", "head"} or int, default="all"
        What is trained beside the head: the encoder, nothing (a probe), or its last blocks.
    layer_decay : float, default=0.75
        The learning rate of a layer is this times that of the layer above.
    dropout : float, default=0.1
        Dropout of embedded tokens and in the "mlp" head.
    max_epochs : int, default=10
        Most epochs; 0 keeps the closed form that a linear head starts from.
    windows_per_recording, batch_size, micro_batch_size : default=1, 16, "auto"
        As in :class:`BrainLMTransformer`.
    lr, weight_decay, warmup, grad_clip : float
        As in :class:`BrainLMTransformer`; `lr` is that of the head.
    validation_fraction : float, default=0.1
        Part of the recordings held out for early stopping.
    patience : int, default=3
        Epochs without a better validation loss before training stops with the best weights. None
        trains to the end.
    class_weight : dict, "balanced" or None, default=None
        What each class counts for.
    device, precision, checkpoint_dir, resume : optional
        As in :class:`BrainLMTransformer`. Each ``fit`` needs a folder of its own: cross-validation,
        which fits several times, takes none.
    net_params, random_state, verbose : optional
        As in :class:`BrainLMTransformer`.

    Attributes
    ----------
    encoder_ : BrainLMTransformer
        The encoder, fine-tuned as far as `trainable` says.
    net_ : PredictionNet
        The trained skorch net: encoder and head.
    history_ : list of dict
        One an epoch: ``epoch``, ``train_loss``, ``valid_loss`` (or None), ``lr``, ``seconds``.
    validation_indices_ : ndarray of int
        Recordings of X that were held out.
    scaler_ : RecordingScaler
        Scaling of the parcels, learned or that of the weights.
    n_parcels_, n_features_in_, n_parameters_, feature_names_in_
        Number of parcels, twice, of parameters of the network, and names of parcels, if X has any.
    device_ : str
        The device that is used.
    classes_ : ndarray of shape (n_classes,)
        The classes in ascending order.

    See Also
    --------
    BrainLMRegressor : The same for numbers.
    BrainLMTransformer : The encoder.
    compare : Puts it beside simple methods.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm import BrainLMClassifier
    >>> rng = np.random.default_rng(0)
    >>> loud = np.arange(30) % 2
    >>> recordings = [(1 + a) * rng.standard_normal((60, 4)) for a in loud]
    >>> group = np.where(loud, "patient", "control")
    >>> model = BrainLMClassifier(window_length=40, patch_length=5, max_epochs=2, random_state=0)
    >>> model.fit(recordings[:24], group[:24]).score(recordings[24:], group[24:]) > 0.8
    True
    """

    _parameter_constraints = {
        **FinetuningPredictor._parameter_constraints,
        "class_weight": [StrOptions({"balanced"}), dict, None],
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
        window_length=None,
        patch_length=20,
        window_stride=None,
        embed_dim=64,
        depth=1,
        n_heads=4,
        mlp_dim=128,
        attention="factorised",
        norm="pre",
        pooling="covariance",
        head="linear",
        hidden_dims=(32, 32),
        trainable="all",
        layer_decay=0.75,
        dropout=0.1,
        max_epochs=10,
        windows_per_recording=1,
        batch_size=16,
        micro_batch_size="auto",
        lr=1e-4,
        weight_decay=0.05,
        warmup=0.05,
        grad_clip=1.0,
        validation_fraction=0.1,
        patience=3,
        class_weight=None,
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
        self.window_length = window_length
        self.patch_length = patch_length
        self.window_stride = window_stride
        self.embed_dim = embed_dim
        self.depth = depth
        self.n_heads = n_heads
        self.mlp_dim = mlp_dim
        self.attention = attention
        self.norm = norm
        self.pooling = pooling
        self.head = head
        self.hidden_dims = hidden_dims
        self.trainable = trainable
        self.layer_decay = layer_decay
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
        self.checkpoint_dir = checkpoint_dir
        self.resume = resume
        self.net_params = net_params
        self.random_state = random_state
        self.verbose = verbose
