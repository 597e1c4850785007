"""MaskedGCN: embeddings of parcels by convolutions over a graph of them."""

from sklearn_brainlm._parameters import ARCHITECTURE, COUNT
from sklearn_brainlm.baselines.graph import correlation_graph
from sklearn_brainlm.baselines.masked import MaskedParcelEmbedder
from sklearn_brainlm.baselines.masked_networks import GraphAutoencoder

__all__ = ["MaskedGCN"]


class MaskedGCN(MaskedParcelEmbedder):
    """Embed parcels by a graph convolutional network that fills in masked patches.

    Section 4.5 of the article: a GCN (Kipf and Welling, 2016) of four layers with "a
    self-supervised masking-centric goal" and "a 75% masking ratio". Networks of parcels are told
    from its embeddings.

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
    n_neighbors : int, default=10
        Parcels that each parcel is joined to: those whose correlation with it is largest in size.
    hidden_dim, depth : int, default=64, 4
        Features of a parcel after a layer, and layers.
    dropout : float, default=0.0
        Dropout after each layer.
    mask_ratio : float or sequence of float, default=0.75
        Part of the patches to mask. Of several, one is drawn for each batch.
    max_epochs, windows_per_recording, batch_size : int, default=100, 1, 16
        Epochs, windows drawn from each recording in an epoch, and windows of an optimizer step.
    micro_batch_size : int or "auto", default="auto"
        Windows on the device at a time: it changes memory, not what is learned.
    lr, weight_decay : float, default=3e-3, 0.01
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
    adjacency_ : float32 array of shape (n_parcels, n_parcels)
        Normalised adjacency of the parcels, themselves included.
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
    MaskedVAE : Embeddings of parcels by a variational autoencoder.
    GCNRegressor : Labels of recordings on the same graph.
    sklearn_brainlm.network_probe : Tells networks of parcels from embeddings.

    Notes
    -----
    The article does not say its graph and sizes. Here parcels are joined by their correlation
    averaged over the recordings of ``fit``, a parcel comes with its window, masked patches are
    zeros, and what is predicted is linear in its features after the last layer, which are its
    embedding.

    Four layers average over so many neighbours that parcels of a network, and then all of them,
    become alike: oversmoothing.

    ``embed_parcels`` lays the windows of a recording side by side; ``transform`` averages over
    them.

    Examples
    --------
    >>> import numpy as np
    >>> recordings = np.random.default_rng(0).standard_normal((4, 60, 5))
    >>> model = MaskedGCN(
    ...     window_length=20, patch_length=5, n_neighbors=2, hidden_dim=3, max_epochs=2
    ... ).fit(recordings)
    >>> model.transform(recordings).shape, model.embed_parcels(recordings)[0].shape
    ((4, 15), (5, 9))
    """

    _parameter_constraints = {
        **MaskedParcelEmbedder._parameter_constraints,
        "n_neighbors": [COUNT],
        "dropout": ARCHITECTURE["dropout"],
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
        n_neighbors=10,
        hidden_dim=64,
        depth=4,
        dropout=0.0,
        mask_ratio=0.75,
        max_epochs=100,
        windows_per_recording=1,
        batch_size=16,
        micro_batch_size="auto",
        lr=3e-3,
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
        self.n_neighbors = n_neighbors
        self.hidden_dim = hidden_dim
        self.depth = depth
        self.dropout = dropout
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

    def _learn_input(self, recordings):
        """Learn the scaling and the graph."""
        super()._learn_input(recordings)
        self.adjacency_ = correlation_graph(recordings, self.n_neighbors)

    def _build_module(self):
        """Return the class of the network and its parameters."""
        names = ("hidden_dim", "depth", "dropout")
        parameters = {name: getattr(self, name) for name in names}
        return GraphAutoencoder, {"adjacency": self.adjacency_, **parameters}
