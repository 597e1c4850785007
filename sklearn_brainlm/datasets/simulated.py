"""A simulated cohort whose ground truth is known and frozen.

The constants below say how strong every effect is. They are part of the claim that a method
finds something, so they are never enlarged to make a claim pass.
"""

from numbers import Integral

import numpy as np
from scipy.signal import fftconvolve, lfilter
from scipy.spatial.distance import cdist
from sklearn.utils import Bunch

from sklearn_brainlm.datasets.images import write_images

# Who is in the cohort.
AGE_RANGE = (20.0, 80.0)  # years, uniform
TASK_FRACTION = 0.5  # of the subjects do the task

# The age effect: the strength of each listed connection correlates with age, at this r, in the
# population. Given age, the connections of one subject are independent of each other.
AGE_CORRELATION = 0.3
MAX_AGE_CONNECTIONS = 12  # pairs across two networks; no parcel is in two of them
CONNECTION_SD = 0.15  # between-subject sd of such a connection, in units of correlation

# The task effect: blocks in one network.
TASK_AMPLITUDE = 0.3  # peak above rest, in sd of the parcel
TASK_BLOCK_SECONDS = 20.0  # on, and as long off

# Where the variance of the haemodynamic signal of a parcel comes from (sums to 1).
NETWORK_VARIANCE = 0.40  # shared with the network
LOCAL_VARIANCE = 0.25  # shared with the neighbours
OWN_VARIANCE = 0.35  # the parcel's own
BETWEEN_NETWORKS = 0.2  # correlation of the signals of two networks
LOCAL_SCALE_MM = 20.0  # sd of the Gaussian by which neighbours share
LOADING_SD = 0.10  # how much the network loadings of a parcel differ between subjects
SIGNAL_VARIANCE = 0.8  # of the recording; the rest is measurement noise
PARCEL_SD_SPREAD = 0.2  # sd of log sd over parcels

# Time scales, in seconds.
NEURAL_TAU = 3.0
NOISE_TAU = 2.0
HRF_SECONDS = 32.0

# The two networks of the age effect, and the network of the task.
_NETWORKS = {
    "dosenbach": ("default", "fronto-parietal", "sensorimotor"),
    "seitzman": ("DefaultMode", "FrontoParietal", "SomatomotorDorsal"),
}
_MIN_PARCELS = 8


def make_cohort(
    n_subjects=40,
    n_timepoints=240,
    t_r=2.0,
    *,
    atlas="dosenbach",
    random_state=0,
    output_dir=None,
):
    """Simulate BOLD recordings of subjects whose age leaves a known trace in connectivity.

    For examples and tests: it downloads nothing and the truth is known, such as the connections
    that follow age. Values are percent signal change about zero.

    Parameters
    ----------
    n_subjects : int, default=40
        Number of subjects, one recording each.
    n_timepoints : int, default=240
        Timepoints of each recording.
    t_r : float, default=2.0
        Repetition time in seconds.
    atlas : {"dosenbach", "seitzman"} or int, default="dosenbach"
        Parcels at real coordinates: 160 of Dosenbach et al. (2010) or 300 of Seitzman et al.
        (2018), both part of nilearn, so nothing is downloaded. A number takes that many
        Dosenbach parcels, spread over all networks.
    random_state : int, numpy.random.Generator or None, default=0
        Seed. A subject's recording depends on the seed and on the subject's position only,
        not on how many subjects follow. None draws a fresh cohort every time.
    output_dir : path or None, default=None
        Folder in which to write the cohort as images: one ``sub-*_bold.nii.gz`` a subject and
        ``labels.nii.gz``. Made if missing; files of the same names are replaced.

    Returns
    -------
    :class:`sklearn.utils.Bunch`
        - ``recordings`` : list of n_subjects float32 arrays of shape (n_timepoints, n_parcels),
          percent signal change about zero, sd near 1
        - ``age`` : array of shape (n_subjects,), years
        - ``subjects`` : array of shape (n_subjects,), str
        - ``task`` : bool array of shape (n_subjects,), who does the task
        - ``task_design`` : array of shape (n_timepoints,), the blocks after the haemodynamic
          response, 0 before the first block and 1 at its peak
        - ``labels`` : array of shape (n_parcels,), network of each parcel
        - ``parcel_coords`` : array of shape (n_parcels, 3), MNI mm
        - ``parcel_sd`` : array of shape (n_parcels,), sd of each parcel without the task
        - ``age_connections`` : int array of shape (n_connections, 2), the pairs of parcels
        - ``connection_strengths`` : array of shape (n_subjects, n_connections), latent z-scores
          that correlate with age at r = .3 in the population
        - ``task_parcels`` : int array, parcels of the task network
        - ``t_r`` : float, seconds; ``n_parcels`` : int; ``description`` : str
        - ``images`` : list of paths and ``labels_img`` : path, only with ``output_dir``

    Raises
    ------
    ValueError
        If a number is out of range or the atlas is unknown.

    See Also
    --------
    load_recordings_folder : Opens real recordings.
    fetch_atlas_a424 : The atlas of the released weights.

    Notes
    -----
    The signal of a subject is white noise, coloured by the subject's own correlation matrix
    (networks, neighbourhood, parcel, age effect) and by a slow neural autocorrelation, convolved
    with Glover's haemodynamic response; autocorrelated noise and task blocks are added.

    In the images a recording of `x` percent is ``1000 * (1 + x / 100)``, so that
    :class:`nilearn.maskers.MultiNiftiLabelsMasker` returns ``1000 + 10 * recording`` up to the
    rounding of float32 (about 1e-4).

    Examples
    --------
    >>> from sklearn_brainlm.datasets import make_cohort
    >>> cohort = make_cohort(n_subjects=2, n_timepoints=100, atlas=24)
    >>> cohort.recordings[0].shape
    (100, 24)
    >>> cohort.parcel_coords.shape
    (24, 3)
    """
    _check_numbers(n_subjects, n_timepoints, t_r)
    parcel_coords, labels, (first, second, task_network) = _load_parcels(atlas)
    # One stream for what the cohort shares and one for each subject.
    streams = np.random.default_rng(random_state).bit_generator.seed_seq.spawn(n_subjects + 1)
    if isinstance(random_state, np.random.Generator):
        # Spawning leaves a caller's generator where it was: draw, so that two calls differ.
        streams = np.random.SeedSequence(random_state.integers(2**63)).spawn(n_subjects + 1)
    parcel_sd = np.exp(
        PARCEL_SD_SPREAD * np.random.default_rng(streams[0]).standard_normal(len(labels))
    )
    age_connections = _list_connections(labels, first, second)
    task_parcels = np.flatnonzero(labels == task_network)
    response, task_design = _haemodynamics(n_timepoints, t_r)

    recordings, ages, strengths, task = [], [], [], []
    for stream in streams[1:]:
        rng = np.random.default_rng(stream)
        age = rng.uniform(*AGE_RANGE)
        does_task = rng.random() < TASK_FRACTION
        strength = _draw_strengths(np.array([age]), len(age_connections), rng)[0]
        correlation = _draw_correlation(parcel_coords, labels, age_connections, strength, rng)
        recording = _draw_signal(correlation, n_timepoints, t_r, response, rng)
        if does_task:
            recording[:, task_parcels] += TASK_AMPLITUDE * task_design[:, np.newaxis]
        recordings.append((recording * parcel_sd).astype(np.float32))
        ages.append(age)
        strengths.append(strength)
        task.append(does_task)

    cohort = Bunch(
        recordings=recordings,
        age=np.array(ages),
        subjects=np.array([f"sub-{number:04d}" for number in range(1, n_subjects + 1)]),
        task=np.array(task),
        task_design=task_design,
        task_parcels=task_parcels,
        labels=labels,
        parcel_coords=parcel_coords,
        parcel_sd=parcel_sd,
        age_connections=age_connections,
        connection_strengths=np.array(strengths),
        t_r=float(t_r),
        n_parcels=len(labels),
        description=(
            f"{n_subjects} simulated recordings of {n_timepoints} timepoints, t_r {t_r:g} s, "
            f"{len(labels)} parcels. Age correlates at r = {AGE_CORRELATION:g} with the "
            f"strength of {len(age_connections)} connections between {first} and {second}; task "
            f"blocks of {TASK_AMPLITUDE:g} sd in {task_network}."
        ),
    )
    if output_dir is not None:
        cohort.images, cohort.labels_img = write_images(
            cohort.recordings,
            [f"{subject}_bold" for subject in cohort.subjects],
            parcel_coords=parcel_coords,
            t_r=cohort.t_r,
            output_dir=output_dir,
        )
    return cohort


def _check_numbers(n_subjects, n_timepoints, t_r):
    """Refuse sizes that make no cohort."""
    for name, value in (("n_subjects", n_subjects), ("n_timepoints", n_timepoints)):
        if not isinstance(value, Integral) or value < 1:
            raise ValueError(f"{name} must be an integer of at least 1, got {value!r}.")
    if not 0 < t_r <= 60:
        raise ValueError(f"t_r must be in seconds, above 0 and at most 60, got {t_r!r}.")


def _load_parcels(atlas):
    """Coordinates (P, 3), network labels (P,), and the networks of the effects."""
    # Imported here: nilearn.datasets takes seconds to import.
    from nilearn.datasets import fetch_coords_dosenbach_2010, fetch_coords_seitzman_2018

    if atlas == "seitzman":
        fetched, networks = fetch_coords_seitzman_2018(), _NETWORKS["seitzman"]
    elif atlas == "dosenbach" or (isinstance(atlas, Integral) and not isinstance(atlas, bool)):
        fetched, networks = fetch_coords_dosenbach_2010(), _NETWORKS["dosenbach"]
    else:
        raise ValueError(
            f"atlas must be 'dosenbach', 'seitzman' or a number of parcels, got {atlas!r}."
        )
    coords = fetched.rois[["x", "y", "z"]].to_numpy(dtype=float)
    labels = np.asarray(fetched.networks, dtype=str)
    if isinstance(atlas, str):
        return coords, labels, networks
    if not _MIN_PARCELS <= atlas <= len(labels):
        raise ValueError(
            f"atlas={atlas} asks for {atlas} parcels; a subset of the Dosenbach atlas has "
            f"{_MIN_PARCELS} to {len(labels)}."
        )
    # Rank within the network first: the networks of the effects come first in a tie, so that
    # even a small subset has both effects.
    order = list(networks) + sorted(set(labels) - set(networks))
    ranks = [np.sum(labels[:index] == label) for index, label in enumerate(labels)]
    by_rank = sorted(range(len(labels)), key=lambda i: (ranks[i], order.index(labels[i])))
    kept = np.sort(by_rank[:atlas])
    return coords[kept], labels[kept], networks


def _list_connections(labels, first, second):
    """Pairs of parcels, one of each network, whose connection depends on age."""
    pairs = zip(np.flatnonzero(labels == first), np.flatnonzero(labels == second), strict=False)
    return np.array(list(pairs)[:MAX_AGE_CONNECTIONS])


def _draw_strengths(age, n_connections, rng):
    """Latent strengths (n_subjects, n_connections): z-scores at r = .3 with age (years)."""
    # The population mean and sd of a uniform age, so that no subject depends on the others.
    low, high = AGE_RANGE
    standard_age = (age - (low + high) / 2) / ((high - low) / np.sqrt(12))
    noise = rng.standard_normal((len(age), n_connections))
    return AGE_CORRELATION * standard_age[:, np.newaxis] + np.sqrt(1 - AGE_CORRELATION**2) * noise


def _draw_correlation(parcel_coords, labels, age_connections, strength, rng):
    """Correlation matrix (P, P) of one subject's haemodynamic signals."""
    networks = np.unique(labels)
    between = np.full((len(networks), len(networks)), BETWEEN_NETWORKS)
    np.fill_diagonal(between, 1.0)
    loadings = np.linalg.cholesky(between)[np.searchsorted(networks, labels)]  # (P, n_networks)
    loadings = loadings + LOADING_SD * rng.standard_normal(loadings.shape)
    loadings /= np.linalg.norm(loadings, axis=1, keepdims=True)
    near = np.exp(-0.5 * (cdist(parcel_coords, parcel_coords) / LOCAL_SCALE_MM) ** 2)
    correlation = NETWORK_VARIANCE * (loadings @ loadings.T) + LOCAL_VARIANCE * near
    correlation[np.diag_indices(len(labels))] += OWN_VARIANCE
    rows, columns = age_connections.T
    correlation[rows, columns] += CONNECTION_SD * strength
    correlation[columns, rows] += CONNECTION_SD * strength
    return correlation


def _square_root(correlation):
    """Matrix A (P, P) with A A' = the nearest correlation matrix."""
    # A subject with extreme connections may fall just outside the positive definite matrices.
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    return root / np.linalg.norm(root, axis=1, keepdims=True)


def _draw_signal(correlation, n_timepoints, t_r, response, rng):
    """Signals plus noise (T, P), every parcel of unit variance in expectation."""
    n_parcels = len(correlation)
    n_warm_up = len(response) - 1
    white = rng.standard_normal((n_timepoints + n_warm_up, n_parcels)) @ _square_root(correlation).T
    signal = fftconvolve(white, response[:, np.newaxis], mode="valid", axes=0)
    persistence = np.exp(-t_r / NOISE_TAU)
    shocks = np.sqrt(1 - persistence**2) * rng.standard_normal((n_timepoints, n_parcels))
    shocks[0] /= np.sqrt(1 - persistence**2)  # starts in the stationary state
    noise = lfilter([1.0], [1.0, -persistence], shocks, axis=0)
    return np.sqrt(SIGNAL_VARIANCE) * signal + np.sqrt(1 - SIGNAL_VARIANCE) * noise


def _haemodynamics(n_timepoints, t_r):
    """Response of unit energy (K,) from neural shock to BOLD, and the task design (T,)."""
    from nilearn.glm.first_level import glover_hrf

    oversampling = max(1, round(t_r / 0.1))
    step = t_r / oversampling
    fine = glover_hrf(t_r, oversampling=oversampling, time_length=HRF_SECONDS)
    fine = fine / fine.sum()
    decay = np.exp(-np.arange(0, HRF_SECONDS, step) / NEURAL_TAU)
    response = fftconvolve(fine, decay)[::oversampling]
    response /= np.linalg.norm(response)

    seconds = step * np.arange(n_timepoints * oversampling)
    blocks = (seconds // TASK_BLOCK_SECONDS) % 2  # off first
    # A block outlasts the response's positive lobe, so that its peak is that of a lasting block.
    peak = fine.cumsum().max()
    task_design = fftconvolve(blocks, fine)[: len(blocks) : oversampling] / peak
    return response, task_design
