"""Rows 117 to 124: the same numbers whatever the precision, the order or the number of helpers.

Not here: what a score may not have seen (test_hygiene.py).
"""

import random

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.utils._param_validation import InvalidParameterError
from training_run import SMALL, make_recordings

from sklearn_brainlm import BrainLMForecaster, BrainLMRegressor, BrainLMTransformer, devices
from sklearn_brainlm.nets import ReconstructionNet

NO_DROPOUT = {**SMALL, "dropout": 0.0}


@pytest.fixture(scope="module")
def fitted():
    """Return a fitted transformer."""
    return BrainLMTransformer(**SMALL).fit(make_recordings())


def weights_of(model):
    """Return the weights of a fitted model."""
    return model.net_.get_weights()


@pytest.mark.fault(117, "overflow of 16-bit floats", "bf16 on GPU, never fp16; the loss in fp32")
def test_fault_117_precision(observe, monkeypatch):
    seen = []
    computed = ReconstructionNet.get_loss

    def get_loss(self, y_pred, y_true, **kwargs):
        loss = computed(self, y_pred, y_true, **kwargs)
        seen.append((y_pred.dtype, loss.dtype, bool(torch.isfinite(loss))))
        return loss

    exact = BrainLMTransformer(**NO_DROPOUT).fit(make_recordings())
    monkeypatch.setattr(ReconstructionNet, "get_loss", get_loss)
    # Values of which the squares are beyond float16, where 300^2 is infinity.
    large = [1e5 * recording for recording in make_recordings()]
    # Estimators refuse bf16 on a CPU, where it is slow; the net computes in it all the same.
    given = {**NO_DROPOUT, "net_params": {"precision": "bf16"}}
    model = BrainLMTransformer(**given).fit(large)
    assert {dtype for _, dtype, _ in seen} == {torch.float32}
    assert all(is_finite for *_, is_finite in seen)
    assert torch.float16 not in {dtype for dtype, *_ in seen}
    assert torch.bfloat16 in {dtype for dtype, *_ in seen}  # it was asked for, and is used
    close = BrainLMTransformer(**given).fit(make_recordings())
    losses = [[row["train_loss"] for row in each.history_] for each in (exact, close)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)
    features = close.transform(make_recordings())
    assert features.dtype == np.float32 and np.isfinite(model.transform(large)).all()
    worst = np.abs(np.subtract(*losses) / losses[0]).max()
    observe(f"loss in float32, {worst:.1e} from that of fp32")


@pytest.mark.fault(117, "precision='auto'", "fp32 on CPU, bf16 on CUDA, fp16 is no choice")
def test_fault_117_defaults(observe, monkeypatch):
    assert devices.resolve_precision("auto", "cpu") == "fp32"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *args, **kwargs: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *args, **kwargs: (9, 0))
    assert devices.resolve_precision("auto", "cuda") == "bf16"
    with observe.raises(InvalidParameterError, match="'precision' .* must be a str among"):
        BrainLMTransformer(**{**SMALL, "precision": "fp16"}).fit(make_recordings())


@pytest.mark.fault(118, "n_jobs=1 and n_jobs=4", "identical cv_results_")
@pytest.mark.slow
def test_fault_118_n_jobs(observe):
    X, y = make_recordings(8), np.arange(8.0)
    model = make_pipeline(BrainLMTransformer(**{**SMALL, "max_epochs": 1}), Ridge())
    grid = {"brainlmtransformer__embed_dim": [4, 8]}
    results = []
    for n_jobs in (1, 4):
        search = GridSearchCV(model, grid, cv=GroupKFold(2), n_jobs=n_jobs, refit=False)
        search.fit(X, y, groups=np.repeat(range(4), 2))
        results.append(search.cv_results_)
    assert results[0].keys() == results[1].keys()
    for name, values in results[0].items():
        if "time" not in name:
            np.testing.assert_array_equal(np.array(values), np.array(results[1][name]))
    observe("cv_results_ equal to the last bit")


@pytest.mark.fault(119, "1 and 2 threads", "equal to 1e-6")
def test_fault_119_threads(observe):
    before = torch.get_num_threads()
    made = []
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            model = BrainLMTransformer(**{**SMALL, "max_epochs": 2, "n_heads": 2})
            made.append(model.fit_transform(make_recordings()))
            assert torch.get_num_threads() == n_threads  # fit changes nothing of it
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(made[0], made[1], rtol=1e-6, atol=1e-6)
    observe(f"largest difference {np.abs(made[0] - made[1]).max():.1e}")


@pytest.mark.fault(120, "batches of 1 and of 8 at predict", "equal to 1e-5, in any order of rows")
@pytest.mark.parametrize("kind", ["transformer", "regressor", "forecaster"])
def test_fault_120_batches(fitted, observe, kind):
    X = [np.concatenate([r, r[::-1]])[: 60 + 3 * i] for i, r in enumerate(make_recordings(8))]
    if kind == "transformer":
        model, use = fitted, BrainLMTransformer.transform
    elif kind == "regressor":
        model, use = BrainLMRegressor(**predictor()), BrainLMRegressor.predict
        model.fit(make_recordings(), np.arange(9.0))
    else:
        model, use = BrainLMForecaster(**forecaster()), BrainLMForecaster.predict
        model.fit(make_recordings())
    before = model.get_params()["micro_batch_size"]
    made = [use(model.set_params(micro_batch_size=n), X) for n in (1, 8)]
    alone = np.concatenate([use(model, [x]) for x in X])
    order = np.random.default_rng(0).permutation(len(X))
    shuffled = use(model, [X[i] for i in order])
    model.set_params(micro_batch_size=before)
    scale = np.abs(made[0]).max()
    for other in (made[1], alone):
        np.testing.assert_allclose(other, made[0], rtol=1e-5, atol=1e-5 * scale)
    np.testing.assert_allclose(shuffled, made[1][order], rtol=1e-5, atol=1e-5 * scale)
    observe(f"{kind}: largest difference {np.abs(made[1] - made[0]).max() / scale:.1e}")


def predictor():
    """Return parameters of a small regressor."""
    names = ("window_length", "patch_length", "embed_dim", "depth", "n_heads", "mlp_dim")
    shared = {name: SMALL[name] for name in (*names, "batch_size", "random_state")}
    return {**shared, "max_epochs": 1}


def forecaster():
    """Return parameters of a small forecaster."""
    given = predictor()
    del given["window_length"]
    return {**given, "context_length": 15, "horizon": 5}


@pytest.mark.fault(121, "saved and loaded", "bit-exact")
def test_fault_121_saved(fitted, tmp_path, observe):
    X = make_recordings()
    again = BrainLMTransformer.from_pretrained(fitted.save_pretrained(tmp_path / "weights"))
    np.testing.assert_array_equal(again.transform(X), fitted.transform(X))
    for name, value in weights_of(fitted).items():
        np.testing.assert_array_equal(weights_of(again)[name], value)
    mask = np.zeros((40, 4), dtype=bool)
    mask[5:10] = True
    np.testing.assert_array_equal(again.impute(X[:1], [mask])[0], fitted.impute(X[:1], [mask])[0])
    import pickle

    model = BrainLMRegressor(**predictor()).fit(X, np.arange(9.0))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
    observe("equal to the last bit")


@pytest.mark.fault(122, "CPU and GPU", "fp32 equal to rtol 1e-4")
@pytest.mark.gpu
def test_fault_122_gpu(fitted, observe):
    if not torch.cuda.is_available():
        pytest.skip("cannot run here: no CUDA device")
    X = make_recordings()
    model = BrainLMTransformer(**{**SMALL, "device": "cuda", "precision": "fp32"})
    model.set_params(dropout=0.0).fit(X)
    model.net_.set_params(device="cuda")
    on_gpu = model.transform(X)
    on_cpu = BrainLMTransformer(**{**SMALL, "dropout": 0.0, "device": "cpu"}).fit(X)
    on_cpu.net_.set_weights(weights_of(model))
    np.testing.assert_allclose(on_cpu.transform(X), on_gpu, rtol=1e-4, atol=1e-4)
    observe("equal to 1e-4")


@pytest.mark.fault(123, "random masks in transform", "nothing is masked: the same each time")
def test_fault_123_transform_draws_nothing(fitted, observe):
    X = make_recordings()
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    first = fitted.transform(X)
    torch.rand(3)
    np.testing.assert_array_equal(fitted.transform(X), first)
    # Only where random masks are asked for are they drawn, and then from random_state.
    torch.set_rng_state(before[0])
    masked = BrainLMTransformer(**{**SMALL, "embed_mask_ratio": 0.75}).fit(X)
    again = BrainLMTransformer(**{**SMALL, "embed_mask_ratio": 0.75}).fit(X)
    made = [masked.transform(X), again.transform(X)]
    made.append(masked.set_params(random_state=1).transform(X))
    np.testing.assert_array_equal(made[1], made[0])
    assert not np.array_equal(made[2], made[0])
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]
    observe("equal to the last bit")


@pytest.mark.fault(124, "the same seed twice", "bit-exact on the CPU; global states untouched")
def test_fault_124_seed(observe):
    X = make_recordings()
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    one, other, third = (
        BrainLMTransformer(**{**SMALL, "random_state": seed}).fit(X) for seed in (3, 3, 4)
    )
    for name, value in weights_of(one).items():
        np.testing.assert_array_equal(weights_of(other)[name], value)
    np.testing.assert_array_equal(one.transform(X), other.transform(X))
    assert not np.array_equal(one.transform(X), third.transform(X))
    losses = [[row["train_loss"] for row in each.history_] for each in (one, other)]
    assert losses[0] == losses[1]
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]
    observe("equal to the last bit")
