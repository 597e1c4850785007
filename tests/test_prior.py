"""The closed form inside the network: against NumPy's, its gradients, its folds, what it learns.

Not here: NumPy's own against dense algebra (test_gaussian.py), the network around it
(test_informed.py).
"""

import numpy as np
import pytest
import torch

from sklearn_brainlm.conditioning import adapt_mixing, complete_in_time, visible_patterns
from sklearn_brainlm.modules import GaussianPrior
from sklearn_brainlm.modules.prior import _tilted
from sklearn_brainlm.modules.stationary import Statistics, complete_window
from sklearn_brainlm.modules.visible import group_timepoints
from sklearn_brainlm.preprocessing import standardize_recordings
from sklearn_brainlm.pretraining.prior import assign_folds, cross_fit
from sklearn_brainlm.stationary import fit_statistics

RIDGE = 0.15
L, C = 10, 4  # timepoints of a patch, patch columns of a window


@pytest.fixture
def scaled(recordings):
    return standardize_recordings(recordings)


@pytest.fixture
def statistics(scaled):
    return fit_statistics(scaled[:4], n_lags=12, n_cross_components=5, n_cross_lags=6)


@pytest.fixture
def signals(scaled):
    """Windows (2, P, T) of recordings that the statistics do not know."""
    return torch.from_numpy(np.stack([x[: L * C].T for x in scaled[4:]]))


def draw_visible(n_windows=2, n_parcels=12, part=0.4, seed=0):
    """Draw visible patches (B, P, C); nothing at all is visible in the second column."""
    visible = torch.from_numpy(np.random.default_rng(seed).random((n_windows, n_parcels, C)) < part)
    visible[:, :, 1] = False
    return visible


def hide(visible):
    """Mark the hidden values (B, P, T) of patches."""
    return ~visible.repeat_interleave(L, dim=2)


def disturb(prior):
    """Move every parameter away from the closed form."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter += 0.01 * torch.randn(parameter.shape, generator=generator)
    return prior


# --- the closed form -----------------------------------------------------------------------------


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("n_recorded", "part"), [(L * C, 0.4), (L * C - 7, 0.4), (L * C - 7, 0.8)])
def test_fresh_prior_is_the_closed_form_of_numpy(statistics, signals, n_recorded, part, training):
    visible = draw_visible(part=part)
    recorded = (torch.arange(L * C) < n_recorded).expand(2, -1)
    prior = GaussianPrior(vars(statistics)).train(training)
    filled = prior(signals * recorded[:, None], visible, recorded).detach().numpy()
    for made, window, hidden in zip(filled, signals.numpy(), hide(visible).numpy(), strict=True):
        window, shown = window.T[:n_recorded], ~hidden.T[:n_recorded]
        patterns = visible_patterns(shown)
        mixing = adapt_mixing(statistics, window, patterns, RIDGE)
        expected = complete_in_time(statistics, mixing, window, shown, patterns, RIDGE)
        np.testing.assert_allclose(made.T[:n_recorded], expected, atol=1e-4)


def test_hidden_and_unrecorded_values_are_not_looked_at(statistics, signals):
    visible, recorded = draw_visible(), (torch.arange(L * C) < 35).expand(2, -1)
    prior = disturb(GaussianPrior(vars(statistics)))
    unseen = hide(visible) | ~recorded[:, None]
    changed = torch.where(unseen, 1e6, signals)
    with torch.no_grad():
        first, second = (prior(x, visible, recorded) for x in (signals, changed))
    assert torch.equal(first[unseen], second[unseen])
    assert torch.equal(first[~unseen], signals[~unseen])


@pytest.mark.parametrize("training", [False, True])
def test_a_batch_of_windows_gives_the_same_as_one_by_one(scaled, statistics, training):
    """Whatever the others are: few or most visible, short, of a fold."""
    signals = torch.from_numpy(np.stack([x[: L * C].T for x in scaled]))
    visible = torch.cat([draw_visible(2, part=part, seed=3) for part in (0.2, 0.6, 0.9)])
    visible[5] = True
    visible[5, :, 2] = False  # a whole column
    recorded = torch.arange(L * C) < torch.tensor([40, 33, 40, 31, 40, 40])[:, None]
    fold = torch.tensor([-1, 0, 0, -1, 1, 0])
    batch = signals * recorded[:, None], visible, recorded, fold
    prior = disturb(GaussianPrior(vars(statistics))).train(training)
    folds = [vars(fit_statistics(x, n_lags=12)) for x in (scaled[:2], scaled[2:])]
    with prior.cross_fitted(folds):
        together = prior(*batch)
        alone = torch.cat([prior(*(x[i : i + 1] for x in batch)) for i in range(6)])
    assert torch.equal(together, alone)


def dense_system():
    """Return spectra, a mixing and a window (12, 4) of 4 parcels, in double precision."""
    rng = np.random.default_rng(0)
    group = fit_statistics(
        [rng.standard_normal((50, 4)).cumsum(0).astype(np.float32) for _ in range(2)],
        n_lags=3,
        n_cross_components=3,
        n_cross_lags=3,
    )
    group = Statistics(**vars(group)).double()
    mixing = torch.from_numpy(rng.standard_normal((4, 4))) + 2 * torch.eye(4)
    return group.spectra(group.n_fft(12)), mixing, torch.from_numpy(rng.standard_normal((12, 4)))


@pytest.mark.parametrize(
    "visible",
    [[[1, 0, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]], [[1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]]],
    ids=["few visible", "most visible"],
)
def test_solution_is_that_of_dense_algebra_and_so_is_its_gradient(visible):
    """Against finite differences in double precision, with timepoints that were not recorded."""
    (spectrum, cross_spectrum), mixing, window = dense_system()
    patterns = group_timepoints(torch.tensor(visible).bool(), torch.arange(12) < 10)

    def complete(mixing, spectrum, scale, ridge):
        cross = scale * cross_spectrum
        inverses = patterns.invert((mixing @ mixing.T).detach(), ridge.detach())
        return complete_window(mixing, spectrum, cross, ridge, inverses, window, patterns, 25)

    inputs = [mixing, spectrum, torch.tensor(0.5).double(), torch.tensor(0.2).double()]
    assert torch.autograd.gradcheck(complete, [x.requires_grad_() for x in inputs], fast_mode=True)

    mixing, spectrum, scale, ridge = (x.detach() for x in inputs)
    cross = torch.nn.functional.pad(scale * cross_spectrum, (0, 1, 0, 1))
    lags = torch.fft.irfft(torch.diag_embed(spectrum.T) + cross, dim=0)
    places = torch.arange(12)
    between = mixing @ lags[(places[:, None] - places) % len(lags)] @ mixing.T  # (T, T, P, P)
    whole = between.transpose(1, 2).reshape(48, 48)
    v = patterns.shown.flatten() > 0
    weights = torch.linalg.solve(
        whole[v][:, v] + ridge * torch.eye(int(v.sum())), window.flatten()[v]
    )
    filled = complete(mixing, spectrum, scale, ridge).flatten()
    torch.testing.assert_close(filled[~v], whole[~v][:, v] @ weights)


def test_dead_parcels_and_hardly_any_parcels(scaled):
    dead = [x * (np.arange(12) != 3) for x in scaled]
    for X in (dead, [x[:, :1] for x in scaled], [x[:, :2] for x in scaled]):
        X = [np.ascontiguousarray(x, dtype=np.float32) for x in X]
        prior = disturb(GaussianPrior(vars(fit_statistics(X))))
        signals = torch.from_numpy(X[0][: L * C].T[None].copy())
        visible = draw_visible(1, X[0].shape[1])
        prior(signals, visible).square().sum().backward()
        for name, parameter in prior.named_parameters():
            assert parameter.grad.isfinite().all(), name


# --- learning ------------------------------------------------------------------------------------


def people(n_people, seed):
    """Recordings (100, 10) of people who share half of how two sources mix into parcels."""
    rng, common = np.random.default_rng(seed), np.random.default_rng(7).standard_normal((10, 2))
    made = []
    for _ in range(n_people):
        mixing = common + rng.standard_normal((10, 2))
        sources = np.stack([np.convolve(x, [1, 1, 1], "valid") for x in rng.normal(size=(2, 102))])
        made.append((sources.T @ mixing.T + 0.5 * rng.standard_normal((100, 10))).astype("f4"))
    return standardize_recordings(made)


def errors(prior, signals, visible, fold=None):
    """Return the mean squared error of the hidden values."""
    return (prior(signals, visible, fold=fold) - signals)[hide(visible)].square().mean()


def test_learned_adaptation_beats_the_closed_form_and_can_be_taken_back():
    """The closed form moves 40 / 840 of the way to a person, and these people need more."""
    known, others = (
        torch.from_numpy(np.stack([x[: L * C].T for x in people(n, seed)]))
        for n, seed in ((32, 0), (16, 1))
    )
    statistics, fold_statistics, folds = cross_fit([x.numpy().T for x in known], np.arange(32), [])
    prior, folds = GaussianPrior(statistics), torch.from_numpy(folds)
    visible = draw_visible(16, 10, part=0.5)
    visible[:, :, 1] = visible[:, :, 0]
    with torch.no_grad():
        untrained = prior.eval()(others, visible)
        before = errors(prior, others, visible)
    optimizer = torch.optim.AdamW(prior.train().parameters(), lr=4e-3)
    with prior.cross_fitted(fold_statistics):
        for step in range(12):
            which = slice(4 * (step % 8), 4 * (step % 8) + 4)
            batch = known[which], draw_visible(4, 10, part=0.5, seed=step), folds[which]
            optimizer.zero_grad()
            errors(prior, *batch).backward()
            optimizer.step()
    with torch.no_grad():
        assert errors(prior.eval(), others, visible) < 0.9 * before
        prior.reset()
        assert torch.equal(prior(others, visible), untrained)


def test_every_parameter_gets_a_gradient(statistics, signals):
    prior = disturb(GaussianPrior(vars(statistics)))
    errors(prior, signals, draw_visible()).backward()
    for name, parameter in prior.named_parameters():
        assert parameter.grad.any(), name


# --- folds ---------------------------------------------------------------------------------------


def test_cross_fitted_uses_the_statistics_of_the_fold_and_leaves_none(scaled):
    statistics, fold_statistics, folds = cross_fit(scaled, np.arange(6), [5])
    own = folds[5]
    assert (folds != own).sum() == 5
    signals, visible = torch.from_numpy(scaled[5][: L * C].T[None].copy()), draw_visible(1)
    prior = GaussianPrior(statistics).eval()
    with torch.no_grad():
        knowing = prior(signals, visible)
        with prior.cross_fitted(fold_statistics):
            unknowing = prior(signals, visible, fold=torch.tensor([own]))
            assert torch.equal(prior(signals, visible, fold=torch.tensor([-1])), knowing)
        expected = GaussianPrior(fold_statistics[own]).eval()(signals, visible)
    assert torch.equal(unknowing, expected)
    assert (unknowing - knowing).abs().max() > 1e-3
    assert prior.folds == []
    with pytest.raises(KeyboardInterrupt), prior.cross_fitted(fold_statistics):
        raise KeyboardInterrupt
    assert prior.folds == []


def test_statistics_are_not_weights(scaled):
    statistics, fold_statistics, _ = cross_fit(scaled, np.arange(6), [5])
    prior = GaussianPrior(statistics)
    with prior.cross_fitted(fold_statistics):
        names = set(prior.state_dict())
    assert names == {name for name, _ in prior.named_parameters()}


@pytest.mark.parametrize("n_groups", [1, 2, 5, 12])
def test_folds_keep_groups_together_and_are_balanced(n_groups):
    rng = np.random.default_rng(n_groups)
    groups = rng.permutation(np.repeat([f"sub-{i}" for i in range(n_groups)], 3))
    folds = assign_folds(groups)
    assert set(folds) == set(range(min(n_groups, 5)))
    for group in set(groups):
        assert len(set(folds[groups == group])) == 1
    sizes = np.bincount(folds) // 3  # in groups
    assert sizes.max() - sizes.min() <= 1


def test_cross_fit_leaves_out_all_recordings_of_a_group(scaled):
    groups = np.array(["b", "a", "b", "c", "a", "d"])
    statistics, fold_statistics, folds = cross_fit(scaled, groups, [5])
    assert folds.tolist() == [0, 1, 0, 2, 1, 3]
    expected = fit_statistics(scaled)
    np.testing.assert_array_equal(statistics["covariance"], expected.covariance)
    for fold, found in enumerate(fold_statistics):
        kept = [x for x, number in zip(scaled, folds, strict=True) if number != fold]
        for name, expected in vars(fit_statistics(kept)).items():
            np.testing.assert_array_equal(found[name], expected)


def test_cross_fit_of_one_group_has_nothing_to_leave_out(scaled):
    statistics, fold_statistics, folds = cross_fit(scaled[:2], ["a", "a"], [])
    assert fold_statistics == []
    assert folds.tolist() == [-1, -1]
    np.testing.assert_array_equal(statistics["covariance"], fit_statistics(scaled[:2]).covariance)


@pytest.mark.parametrize("crossing", [0.0, 0.1, 0.4])
def test_cross_spectra_never_outgrow_the_spectra(statistics, signals, crossing):
    """Whatever is learned: a system that is not positive definite has anything as its solution."""
    prior = GaussianPrior(vars(statistics))
    with torch.no_grad():
        prior.crossing.fill_(crossing)
        prior.spectral.normal_(std=0.02, generator=torch.Generator().manual_seed(0))
        base, tilt, root, _ = prior._spectra(prior.statistics, L * C)
        spectrum, cross_spectrum = _tilted(*base, tilt, root)
    joint = cross_spectrum.clone()
    joint.diagonal(dim1=1, dim2=2).add_(spectrum[: joint.shape[1]].T)
    assert torch.linalg.eigvalsh(joint).min() > 0
    filled = prior(signals, draw_visible())
    filled.square().sum().backward()
    assert torch.isfinite(filled).all()
    assert filled.abs().max() < 5 * signals.abs().max()
    assert all(torch.isfinite(weight.grad).all() for weight in prior.parameters())


def test_a_direction_that_curves_down_is_not_taken(statistics, signals, monkeypatch):
    """Rounding may still make one: numbers come out, no NaN."""
    monkeypatch.setattr("sklearn_brainlm.modules.prior.LARGEST_COHERENCE", 1e6)
    prior = GaussianPrior(vars(statistics))
    with torch.no_grad():
        prior.crossing.fill_(0.4)
    filled = prior(signals, draw_visible())
    filled.square().sum().backward()
    assert torch.isfinite(filled).all()
    assert all(torch.isfinite(weight.grad).all() for weight in prior.parameters())
