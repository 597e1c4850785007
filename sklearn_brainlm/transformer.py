"""BrainLMTransformer: what it is told, and how it embeds recordings."""

from numbers import Real

from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_brainlm._parameters import ARCHITECTURE, CHECKPOINTS, INPUT, RUNNING, TRAINING
from sklearn_brainlm.persistence import PersistenceMixin, read_once
from sklearn_brainlm.presets import PRESETS
from sklearn_brainlm.pretraining.autoencoder import MaskedAutoencoderEstimator
from sklearn_brainlm.pretraining.embedding import EmbeddingMixin
from sklearn_brainlm.reconstruction import ReconstructionMixin

__all__ = ["PRESETS", "BrainLMTransformer"]


class BrainLMTransformer(
    PersistenceMixin,
    ReconstructionMixin,
    EmbeddingMixin,
    MaskedAutoencoderEstimator,
):
    """Embed recordings with a masked autoencoder pretrained on recordings.

    A recording is an array (n_timepoints, n_parcels), as nilearn's maskers return it. ``fit``
    hides patches of recordings and learns to reconstruct them; ``transform`` hides nothing and
    returns one row of features a recording. The defaults are a small model that trains from
    scratch on a CPU in minutes; the article's are ``BrainLMTransformer(**PRESETS["13M"])``.

    Parameters
    ----------
    weights : str, Path or FrozenEstimator, optional
        What to start from: a name of :func:`list_weights`, a folder, ``"owner/repository"`` on the
        Hugging Face hub, or a fitted transformer in scikit-learn's ``FrozenEstimator``. Weights
        settle the architecture and bring their input contract. None starts from nothing.
    n_parcels : int, optional
        Number of parcels of recordings. When given, the first fit notices transposed ones.
    parcel_coords : array of shape (n_parcels, 3), optional
        MNI coordinates of the parcels in mm. Without them, a table of parcels is learned. Weights
        that know parcels by their coordinates only take those of another atlas.
    t_r : float, optional
        Repetition time of recordings in seconds; they are resampled to that of the weights.
    scaler, clip : optional
        `method` and `clip` of :class:`RecordingScaler`; "auto", the default, is what the weights
        expect, and "robust" without weights.
    short : {"pad", "raise"}, default="pad"
        What to do with recordings shorter than a window.
    window_length, patch_length : int, default=200, 20
        Timepoints the network sees at a time, and those of a patch, which becomes one token.
    parcels_per_patch : int, default=1
        Parcels of a patch. Several are grouped by ascending MNI Y.
    window_stride : int, optional
        Timepoints between the windows that ``transform`` averages over; `window_length` when None.
    embed_dim, depth, n_heads, mlp_dim : int
        Size of the encoder.
    attention : {"full", "factorised"}, default="factorised"
        Whether a visible token sees all others, or those of its patch column and then those of
        its parcel.
    decoder : {"full", "cross"}, default="cross"
        Whether the decoder runs all tokens, or its masked tokens attend to the visible ones only.
    decoder_embed_dim, decoder_depth, decoder_n_heads, decoder_mlp_dim : int
        Size of the decoder.
    decoded_fraction : float, default=1.0
        Part of the masked tokens that is predicted in a training step.
    norm : {"pre", "post"}, default="pre"
        Where blocks normalise.
    token_conv : int, optional
        Length of the depthwise filter over tokens in self-attention, 65 in the 13M model.
    position : {"parcel", "image"}, default="parcel"
        Positions from parcels and time, or from row and column as in an image.
    parcel_embedding : {"xyz", "learned", "both"}, default="both"
        How parcels are embedded when they have coordinates.
    xyz_scale : float, default=0.01
        Coordinates are multiplied by this; 0.01 takes millimetres to unit size.
    head : {"mlp", "linear"}, default="mlp"
        What turns decoded tokens into patches.
    dropout : float, default=0.0
        Dropout of embedded tokens.
    gradient_checkpointing : bool, default=False
        Recompute activations in the backward pass: less memory, more time.
    prior : {"gaussian", "coordinates"} or None, default="gaussian"
        What training starts from: the closed form of :class:`GaussianReconstructor`, which learns
        to adapt to the person, plus a gated residual; the same in a form that can be carried to
        the parcels of another atlas by their coordinates; or nothing.
    mask_ratio : float or sequence of float, default=(0.2, 0.75, 0.9)
        Part of the tokens to mask. Of several, one is drawn for each batch.
    masking : {"random", "future", "block", "parcel", "burst"}, default="random"
        What is masked: tokens, the last columns, consecutive columns, whole rows; or bursts of 1 to
        10 timepoints, as scrubbing leaves them out, of which `mask_ratio` is the part. These
        want a `prior`: only it can go by what is left of a patch.
    max_epochs, windows_per_recording, batch_size : int, default=15, 1, 4
        Epochs of ``fit`` and of each ``partial_fit`` (0 uses `weights` as they are), windows drawn
        from each recording in an epoch, and windows of an optimizer step.
    micro_batch_size : int or "auto", default="auto"
        Windows on the device at a time, in training and in use. It changes memory, not what is
        learned, and is halved, with a warning, when memory runs out.
    lr, weight_decay : float, default=1.5e-3, 0.05
        Largest learning rate of AdamW, and its weight decay.
    warmup : float, default=0.05
        Part of the steps over which the rate rises, before it falls along a cosine.
    grad_clip : float or None, default=1.0
        Largest norm of the gradient.
    validation_fraction : float, default=0.1
        Part of the recordings held out to compute the validation loss; none of fewer than two.
    patience : int, optional
        Epochs without a better validation loss before training stops with the best weights.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the last fit: weights, scaling and history.
    pooling : {"cls", "mean", "parcel", "covariance"}, default="cls"
        How ``transform`` makes features of tokens, see Notes.
    embed_mask_ratio : float, default=0.0
        Part of the tokens that ``transform`` hides at random. 0.75 with "cls" is how the released
        code embeds: from another quarter of the tokens, in another order, at every call.
    device : str, default="auto"
        Device of torch; "auto" takes CUDA when it is there.
    precision : {"auto", "fp32", "bf16"}, default="auto"
        What training computes in; "auto" is bf16 on CUDA. Embeddings are always computed in fp32.
    checkpoint_dir : str or Path, optional
        Folder where ``fit`` saves its whole state every ten minutes, for this training alone;
        ``net_params={"callbacks__checkpoint__every_steps": 100}`` saves more often. A training that
        is told to stop (SIGTERM, SIGUSR1, Ctrl-C) saves too.
    resume : bool, default=False
        Go on from the last checkpoint in `checkpoint_dir`, if there is any: a ``fit`` with the same
        parameters and recordings ends, on a CPU, in the same bits as one that never stopped.
    net_params : dict, optional
        Parameters of the skorch net that win, such as ``{"optimizer__betas": (0.9, 0.95)}``;
        ``{"compile": True}`` compiles the network, which takes minutes and pays on a GPU.
    random_state : int, RandomState or None, default=None
        Seed of weights, windows, masks and held-out recordings.
    verbose : int, default=0
        1 prints a line an epoch, and shows a progress bar where there is a terminal.

    Attributes
    ----------
    net_ : ReconstructionNet
        The trained skorch net.
    scaler_ : RecordingScaler
        Scaling learned in ``fit``.
    prior_ : dict of arrays
        The statistics of the closed form, when there is a prior.
    history_ : list of dict
        One an epoch: ``epoch``, ``train_loss``, ``valid_loss`` (or None), ``lr``, ``seconds``.
    validation_indices_ : ndarray of int
        Recordings of X that were held out in the last training.
    n_parcels_, n_features_in_, n_parameters_, feature_names_in_
        Number of parcels, twice, of parameters of the network, and names of parcels, if X has any.
    parcel_coords_, t_r_, device_
        Checked coordinates (float64 or None) and repetition time; the device that is used.
    trained_on_ : dict
        ``n_recordings`` and ``n_timepoints`` that the weights were trained on, and ``subjects``,
        the `groups` of ``fit`` as text, by which :func:`compare` notices people it tests on.

    See Also
    --------
    BrainLMRegressor, BrainLMClassifier : Predict labels of recordings by a fine-tuned encoder.
    BrainLMForecaster : Forecasts recordings.
    GaussianReconstructor : The closed form that `prior` starts from.

    Notes
    -----
    Section 3.2 of the article. Pooling "cls" and "mean" give `embed_dim` features, "parcel" one
    embedding a row of tokens, "covariance" the upper triangle of the row-by-row covariance of the
    tokens over time. Averages over time hardly tell people apart; second-order statistics do.

    ``transform`` is deterministic: nothing is masked, and windows lie at fixed strides.

    Examples
    --------
    >>> import numpy as np
    >>> recordings = np.random.default_rng(0).standard_normal((3, 60, 5))
    >>> model = BrainLMTransformer(
    ...     window_length=40, patch_length=10, embed_dim=16, max_epochs=2, random_state=0
    ... )
    >>> model.fit_transform(recordings).shape
    (3, 16)
    """

    _parameter_constraints = {
        **INPUT,
        **ARCHITECTURE,
        **TRAINING,
        **RUNNING,
        **CHECKPOINTS,
        "pooling": [StrOptions({"cls", "mean", "parcel", "covariance"})],
        "embed_mask_ratio": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self,
        *,
        weights=None,
        n_parcels=None,
        parcel_coords=None,
        t_r=None,
        scaler="auto",
        clip=None,
        short="pad",
        window_length=200,
        patch_length=20,
        parcels_per_patch=1,
        window_stride=None,
        embed_dim=64,
        depth=1,
        n_heads=4,
        mlp_dim=128,
        attention="factorised",
        decoder="cross",
        decoder_embed_dim=64,
        decoder_depth=1,
        decoder_n_heads=4,
        decoder_mlp_dim=128,
        decoded_fraction=1.0,
        norm="pre",
        token_conv=None,
        position="parcel",
        parcel_embedding="both",
        xyz_scale=0.01,
        head="mlp",
        dropout=0.0,
        gradient_checkpointing=False,
        prior="gaussian",
        mask_ratio=(0.2, 0.75, 0.9),
        masking="random",
        max_epochs=15,
        windows_per_recording=1,
        batch_size=4,
        micro_batch_size="auto",
        lr=1.5e-3,
        weight_decay=0.05,
        warmup=0.05,
        grad_clip=1.0,
        validation_fraction=0.1,
        patience=None,
        warm_start=False,
        pooling="cls",
        embed_mask_ratio=0.0,
        device="auto",
        precision="auto",
        checkpoint_dir=None,
        resume=False,
        net_params=None,
        random_state=None,
        verbose=0,
    ):
        self.weights = weights
        self.n_parcels = n_parcels
        self.parcel_coords = parcel_coords
        self.t_r = t_r
        self.scaler = scaler
        self.clip = clip
        self.short = short
        self.window_length = window_length
        self.patch_length = patch_length
        self.parcels_per_patch = parcels_per_patch
        self.window_stride = window_stride
        self.embed_dim = embed_dim
        self.depth = depth
        self.n_heads = n_heads
        self.mlp_dim = mlp_dim
        self.attention = attention
        self.decoder = decoder
        self.decoder_embed_dim = decoder_embed_dim
        self.decoder_depth = decoder_depth
        self.decoder_n_heads = decoder_n_heads
        self.decoder_mlp_dim = decoder_mlp_dim
        self.decoded_fraction = decoded_fraction
        self.norm = norm
        self.token_conv = token_conv
        self.position = position
        self.parcel_embedding = parcel_embedding
        self.xyz_scale = xyz_scale
        self.head = head
        self.dropout = dropout
        self.gradient_checkpointing = gradient_checkpointing
        self.prior = prior
        self.mask_ratio = mask_ratio
        self.masking = masking
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
        self.warm_start = warm_start
        self.pooling = pooling
        self.embed_mask_ratio = embed_mask_ratio
        self.device = device
        self.precision = precision
        self.checkpoint_dir = checkpoint_dir
        self.resume = resume
        self.net_params = net_params
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]  # and makes float64 float32
        return tags

    def _donor(self):
        """Return the fitted transformer that `weights` stand for, or None."""
        if self.weights is None:
            return None
        if isinstance(self.weights, FrozenEstimator):
            donor = self.weights.estimator
            if not isinstance(donor, BrainLMTransformer):
                raise TypeError(
                    f"weights holds a frozen {type(donor).__name__}; only a fitted "
                    "BrainLMTransformer has weights."
                )
            check_is_fitted(donor)
            return donor
        if isinstance(self.weights, BrainLMTransformer):
            raise TypeError(
                "weights is a BrainLMTransformer, which clone would empty. Give "
                "FrozenEstimator(transformer), or the folder that save_pretrained wrote."
            )
        return read_once(BrainLMTransformer, self.weights, self.device, self.parcel_coords)
