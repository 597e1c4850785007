"""Weights that are known by name: where they are, and under what terms."""

from dataclasses import dataclass

__all__ = ["RELEASED_LICENCE", "KnownWeights", "list_weights"]

RELEASED_LICENCE = (
    "CC BY-NC-ND 4.0 (by their model card): not for commercial use; neither the weights nor what "
    "is made of them may be redistributed."
)


@dataclass(frozen=True)
class KnownWeights:
    """Weights that somebody has published.

    Attributes
    ----------
    name : str
        What to call them here.
    repository, subfolder : str
        Where they are on the Hugging Face hub.
    n_parameters : int or None
        Size of the network, fixed tables included; None where nobody has said.
    parcels : str
        Atlas, and how many parcels it has.
    t_r : float
        Repetition time in seconds.
    window_length : int
        Timepoints of a window.
    licence : str
        Terms of use.

    Examples
    --------
    >>> [weights.name for weights in list_weights()]
    ['brainlm-13M', 'brainlm-111M', 'brainlm-650M', 'brainlm-age']
    """

    name: str
    repository: str
    subfolder: str
    n_parameters: int | None
    parcels: str = "A424, 424"
    t_r: float = 0.735
    window_length: int = 200
    licence: str = RELEASED_LICENCE


_KNOWN = (
    KnownWeights("brainlm-13M", "vandijklab/brainlm", "old_13M", 13_429_292),
    KnownWeights("brainlm-111M", "vandijklab/brainlm", "vitmae_111M", 112_590_080),
    KnownWeights("brainlm-650M", "vandijklab/brainlm", "vitmae_650M", 658_337_868),
    KnownWeights("brainlm-age", "vandijklab/brainlm_finetuned", "age", None),
)


def list_weights():
    """Name the weights that are known.

    They are the networks that the authors of the article released on the Hugging Face hub: three
    sizes, and one that predicts age. Nothing is downloaded. Their licence forbids commercial use.

    Returns
    -------
    list of KnownWeights
        Each has a name that ``weights=`` and :func:`load_weights` take.

    See Also
    --------
    load_weights : Reads weights by name.
    BrainLMTransformer : Starts from them.

    Examples
    --------
    >>> from sklearn_brainlm import list_weights
    >>> {known.licence[:15] for known in list_weights()}
    {'CC BY-NC-ND 4.0'}
    """
    return list(_KNOWN)
