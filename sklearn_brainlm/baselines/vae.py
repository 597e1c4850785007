"""MaskedVAE: embeddings of parcels by a variational autoencoder of their series."""

from numbers import Real

from sklearn.utils._param_validation import Interval

from sklearn_brainlm._parameters import COUNT
from sklearn_brainlm.baselines.masked import MaskedParcelEmbedder
from sklearn_brainlm.baselines.masked_networks import VariationalAutoencoder

__all__ = ["MaskedVAE"]


class MaskedVAE(MaskedParcelEmbedder):
    """Embed parcels by a variational autoencoder that fills in masked patches of their series.

    Section 4.5 of the article: a VAE (Kingma and Welling, 2013) of "3 encoding and 3 decoding
    layers", trained "to replicate time series while maintaining the same masking ratio and loss
    metrics as BrainLM". Networks of parcels are told from its embeddings.

    Parameters
    ----------
    n_parcels : int, optional
        Number of parcels of recordings. When given, ``fit`` notices transposed ones.
    scaler, clip : optional
        `method` and `clip` of :class:`RecordingScaler`: "robust", "standard" or None, and None.
    short : {"pad", "raise"}, default="pad"
        What to do with recordings shorter than a window: fill them up with zeros, or refuse them.
    window_length, patch_length : int, default=200, 20
        Timepoints the network sees at a time, and those of a patch.
    window_stride : int, optional
        Timepoints between the windows that are embedded; `window_length` when None.
    embed_dim, hidden_dim : int, default=32, 256
        Features of the embedding of a parcel, and units of the hidden layers.
    depth : int, default=3
        Layers of the encoder, and of the decoder.
    kl_weight : float, default=1e-4
        Weight of the divergence of embeddings from the standard normal distribution.
    mask_ratio : float or sequence of float, default=0.75
        Part of the patches to mask. Of several, one is drawn for each batch.
    max_epochs, windows_per_recording, batch_size : int, default=100, 1, 16
        Epochs, windows drawn from each recording in an epoch, and windows of an optimizer step.
    micro_batch_size : int or "auto", default="auto"
        Windows on the device at a time: it changes memory, not what is learned.
    lr, weight_decay : float, default=1e-3, 0.01
        Largest learning rate of AdamW, and its weight decay.
    warmup : float, default=0.05
        Part of the steps over which the rate rises, before it falls along a cosine.
    grad_clip : float or None, default=1.0
        Largest norm of the gradient.
    validation_fraction : float, default=0.1
        Part of the recordings held out to compute the validation loss; none of fewer than two.
    patience : int, optional
        Epochs without a better validation loss before training stops with the best weights.
    device : str, default="auto"
        Device of torch; "auto" takes CUDA when it is there.
    precision : {"auto", "fp32", "bf16"}, default="auto"
        What training computes in; "auto" is bf16 on CUDA.
    net_params : dict, optional
        Parameters of the skorch net that win, such as ``{"optimizer__betas": (0.9, 0.95)}``.
    random_state : int, RandomState or None, default=None
        Seed of weights, windows, masks and held-out recordings.
    verbose : int, default=0
        1 prints a line an epoch, and shows a progress bar where there is a terminal.

    Attributes
    ----------
    net_ : MaskedNet
        The trained skorch net.
    history_ : list of dict
        One an epoch: ``epoch``, ``train_loss``, ``valid_loss`` (or None), ``lr``, ``seconds``.
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
    MaskedGCN : Embeddings of parcels by a graph convolutional network.
    sklearn_brainlm.network_probe : Tells networks of parcels from embeddings.

    Notes
    -----
    The article does not say its sizes. Here each parcel is embedded by its own window, masked
    patches are zeros, and the error is that of the masked values, as for BrainLM.

    ``embed_parcels`` lays the windows of a recording side by side; ``transform`` averages over
    them.

    Examples
    --------
    >>> import numpy as np
    >>> recordings = np.random.default_rng(0).standard_normal((4, 60, 5))
    >>> model = MaskedVAE(
    ...     window_length=20, patch_length=5, embed_dim=3, hidden_dim=8, max_epochs=2
    ... ).fit(recordings)
    >>> model.transform(recordings).shape, model.embed_parcels(recordings)[0].shape
    ((4, 15), (5, 9))
    """

    _parameter_constraints = {
        **MaskedParcelEmbedder._parameter_constraints,
        "embed_dim": [COUNT],
        "kl_weight": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        n_parcels=None,
        scaler="robust",
        clip=None,
        short="pad",
        window_length=200,
        patch_length=20,
        window_stride=None,
        embed_dim=32,
        hidden_dim=256,
        depth=3,
        kl_weight=1e-4,
        mask_ratio=0.75,
        max_epochs=100,
        windows_per_recording=1,
        batch_size=16,
        micro_batch_size="auto",
        lr=1e-3,
        weight_decay=0.01,
        warmup=0.05,
        grad_clip=1.0,
        validation_fraction=0.1,
        patience=None,
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
        self.patch_length = patch_length
        self.window_stride = window_stride
        self.embed_dim = embed_dim
        self.hidden_dim = hidden_dim
        self.depth = depth
        self.kl_weight = kl_weight
        self.mask_ratio = mask_ratio
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

    @property
    def _n_embedded(self):
        """Number of features of a parcel."""
        return self.embed_dim

    def _build_module(self):
        """Return the class of the network and its parameters."""
        names = ("hidden_dim", "embed_dim", "depth", "kl_weight")
        return VariationalAutoencoder, {name: getattr(self, name) for name in names}
