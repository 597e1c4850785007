"""The training loop on its own: steps, schedule, early stopping, divergence.

Not here: how estimators use it (test_transformer.py) and how batches are made (test_batches.py).
"""

import copy

import numpy as np
import pytest
import torch

from sklearn_brainlm.callbacks import Progress, warmup_cosine
from sklearn_brainlm.exceptions import TrainingDivergedError
from sklearn_brainlm.modules import MaskedAutoencoder
from sklearn_brainlm.nets import ReconstructionNet
from sklearn_brainlm.training import WindowNet

P, L, C = 5, 4, 3
SIZES = {
    "embed_dim": 8,
    "depth": 1,
    "n_heads": 2,
    "mlp_dim": 8,
    "decoder_embed_dim": 8,
    "decoder_depth": 1,
    "decoder_n_heads": 2,
    "decoder_mlp_dim": 8,
}


class Batches:
    """The same few batches in every epoch."""

    def __init__(self, *batches):
        self.batches = batches
        self.n_epochs = 0

    def next_epoch(self):
        self.n_epochs += 1

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, step):
        return self.batches[step]


def make_batch(seed, n_windows=6, sign=1.0):
    """A batch whose windows have different numbers of recorded timepoints."""
    rng = np.random.default_rng(seed)
    ids = np.argsort(rng.random((n_windows, P * C)), axis=1)
    n_recorded = rng.integers(2 * L + 1, C * L + 1, n_windows)
    observed = np.arange(C * L) < n_recorded[:, None]
    signals = sign * np.ones((n_windows, P, C * L), np.float32)
    signals += 0.1 * rng.standard_normal(signals.shape).astype(np.float32)
    n_values = [
        sum(observed[b, L * (i % C) : L * (i % C + 1)].sum() for i in ids[b, 9:])
        for b in range(n_windows)
    ]
    inputs = {"signals": signals, "ids_keep": ids[:, :9], "ids_mask": ids[:, 9:]}
    targets = {
        "observed": observed,
        "n_values": np.array(n_values, np.float32),
        "recording": np.arange(10, 10 + n_windows),
    }
    return inputs, targets


def make_net(seed=0, **parameters):
    module = {f"module__{name}": value for name, value in SIZES.items()}
    defaults = {
        "module__n_parcels": P,
        "module__patch_length": L,
        "module__parcel_embedding": "learned",
        "lr": 0.01,
        "max_epochs": 3,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ReconstructionNet(
            MaskedAutoencoder, **{**module, **defaults, **parameters}
        ).initialize()


def test_schedule_is_that_of_torch_after_the_rise():
    """Half a cosine from the highest rate, as CosineAnnealingLR computes it recursively."""
    n_steps, n_rising = 20, 5
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=n_steps - n_rising)
    expected = list(np.arange(1, n_rising + 1) / n_rising)
    for _ in range(n_steps - n_rising):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    factors = [warmup_cosine(step, n_steps, n_rising / n_steps) for step in range(n_steps)]
    np.testing.assert_allclose(factors, expected, atol=1e-12)
    assert min(factors) > 0


def test_learning_rate_of_each_call_and_history():
    net = make_net(warmup=0.5, max_epochs=2)
    train = Batches(make_batch(0), make_batch(1))
    net.partial_fit(train).partial_fit(train)
    expected = [0.01 * warmup_cosine(step, 4, 0.5) for step in (1, 3, 1, 3)]
    np.testing.assert_allclose(net.history[:, "lr"], expected)
    assert train.n_epochs == 4


def test_fused_steps_are_those_of_the_plain_optimizer():
    """One kernel for all weights is AdamW, also for weights of no dimension or without gradient."""
    nets = [make_net(max_epochs=1, optimizer__foreach=True), make_net(max_epochs=1)]
    assert [net.optimizer_.defaults["fused"] for net in nets] == [None, True]
    for net in nets:
        net.module_.register_parameter("scalar", torch.nn.Parameter(torch.tensor(2.0)))
        net.module_.register_parameter("idle", torch.nn.Parameter(torch.tensor(2.0)))
        net.initialize_optimizer()
        net.module_.register_forward_hook(lambda module, _, output: output * module.scalar)
        net.partial_fit(Batches(make_batch(0)))
    plain, fused = (net.get_weights() for net in nets)
    for name in plain:
        np.testing.assert_allclose(fused[name], plain[name], atol=1e-6, err_msg=name)
    assert plain["scalar"] != 2.0
    for net in nets:
        net.set_params(max_epochs=5).partial_fit(Batches(make_batch(0), make_batch(1)))
    losses = [net.history[:, "train_loss"] for net in nets]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    other = make_net(optimizer=torch.optim.SGD)
    assert not other.optimizer_.defaults["fused"]


@pytest.mark.parametrize("size", [1, 4])
def test_micro_batches_learn_what_the_whole_batch_learns(size):
    """Gradients add up to that of the batch, although parts hold unequal numbers of values."""
    whole, parts = make_net(max_epochs=1), make_net(max_epochs=1, micro_batch_size=size)
    batch = make_batch(0)
    gradients = []
    for net in (whole, parts):
        net.train_step_single(tuple({k: torch.from_numpy(v) for k, v in d.items()} for d in batch))
        gradients.append([p.grad.numpy() for p in net.module_.parameters() if p.grad is not None])
    for expected, found in zip(*gradients, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    for net in (whole, parts):
        net.partial_fit(Batches(batch), Batches(make_batch(1)))
    for name in ("train_loss", "valid_loss"):
        np.testing.assert_allclose(parts.history[0, name], whole.history[0, name], rtol=1e-5)


def test_loss_counts_recorded_masked_values_once():
    net = make_net()
    inputs, targets = make_batch(3)
    step = net.validation_step(
        tuple({k: torch.from_numpy(v) for k, v in d.items()} for d in (inputs, targets))
    )
    filled = net.fill(inputs)
    tokens = np.zeros((len(filled), P * C), bool)
    np.put_along_axis(tokens, inputs["ids_mask"], True, axis=1)
    scored = np.repeat(tokens.reshape(-1, P, C), L, axis=2) & targets["observed"][:, None]
    errors = (filled - inputs["signals"])[scored]
    np.testing.assert_allclose(step["loss"], (errors**2).mean(), rtol=1e-5)
    assert scored.sum() == targets["n_values"].sum()


def test_gradient_is_clipped_to_the_norm():
    net = make_net(grad_clip=1e-3)
    batch = tuple({k: torch.from_numpy(v) for k, v in d.items()} for d in make_batch(0))
    net.train_step_single(batch)
    norms = [p.grad.norm() for p in net.module_.parameters() if p.grad is not None]
    np.testing.assert_allclose(torch.stack(norms).norm(), 1e-3, rtol=1e-4)


def test_divergence_names_where_and_leaves_the_weights():
    """Three steps in a row are skipped, the fourth is one too many."""
    net = make_net(micro_batch_size=2)
    inputs, targets = make_batch(1)
    inputs["signals"][3, :, :] = np.nan
    net.partial_fit(Batches(make_batch(0)))
    before = net.get_weights()
    broken = [(inputs, targets)] * 4
    with (
        pytest.warns(RuntimeWarning, match=r"step [2-4] of.* 12, 13\. The step is skipped") as said,
        pytest.raises(TrainingDivergedError) as caught,
    ):
        net.partial_fit(Batches(make_batch(0), *broken))
    assert len(said) == 3
    message = str(caught.value)
    assert "epoch 4, step 5" in message
    assert "recordings 12, 13." in message  # the part of the batch with the NaN in it
    changed = net.get_weights()
    assert all(np.isfinite(value).all() for value in changed.values())
    assert any((changed[name] != before[name]).any() for name in before)  # step 1 was taken


def test_infinite_gradient_of_a_finite_loss_is_divergence():
    net = make_net()
    module = net.module_
    module.cls_token.register_hook(lambda gradient: gradient * torch.inf)
    before = net.get_weights()
    with (
        pytest.warns(RuntimeWarning, match="gradient is not finite"),
        pytest.raises(TrainingDivergedError, match="gradient is not finite"),
    ):
        net.partial_fit(Batches(*[make_batch(0)] * 4))
    after = net.get_weights()
    assert all((after[name] == before[name]).all() for name in before)


def test_stopping_restores_the_best_weights():
    """Learning +1 makes a validation set of -1 worse, so the first epoch is the best."""
    net = make_net(patience=2, max_epochs=20, lr=0.05)
    valid = Batches(make_batch(1, sign=-1.0))
    net.partial_fit(Batches(make_batch(0)), valid)
    losses = net.history[:, "valid_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + 2 < 20
    batch = tuple({k: torch.from_numpy(v) for k, v in d.items()} for d in valid[0])
    np.testing.assert_allclose(net.validation_step(batch)["loss"], losses[best], rtol=1e-6)


def test_interrupt_is_not_swallowed():
    class Interrupted(Batches):
        def __getitem__(self, step):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_net().partial_fit(Interrupted(make_batch(0)))


@pytest.mark.parametrize("size", [np.int64(1), True])
def test_sizes_are_any_integers(size):
    net = WindowNet(torch.nn.LSTM, module__input_size=2, module__hidden_size=size).initialize()
    assert type(net.module_.hidden_size) is int


def test_silent_unless_verbose(capsys):
    make_net().partial_fit(Batches(make_batch(0)))
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
    make_net(verbose=1).partial_fit(Batches(make_batch(0)))
    captured = capsys.readouterr()
    assert "train_loss" in captured.out
    assert captured.err == ""  # no bar where there is no terminal


def test_progress_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    net = make_net(verbose=1, max_epochs=2)
    net.partial_fit(Batches(make_batch(0)))
    assert "/2" in capsys.readouterr().err
    assert dict(net.callbacks_)["progress"].bar_.n == 2
    assert isinstance(dict(net.callbacks_)["progress"], Progress)


def test_weights_round_trip_and_strictness():
    first, second = make_net(seed=0), make_net(seed=1)
    weights = first.get_weights()
    inputs, _ = make_batch(0)
    expected = first.fill(inputs)
    assert (second.fill(inputs) != expected).any()
    second.set_weights(weights)
    np.testing.assert_array_equal(second.fill(inputs), expected)
    lacking = copy.copy(weights)
    del lacking["cls_token"]
    with pytest.raises(RuntimeError, match="cls_token"):
        second.set_weights(lacking)


def test_fill_puts_predictions_in_their_places():
    """Also when patches hold several parcels in another order than that of the signals."""
    order = [3, 0, 4, 1, 2]
    net = make_net(module__parcels_per_patch=2, module__parcel_order=order)
    rng = np.random.default_rng(0)
    signals = rng.standard_normal((1, P, C * L)).astype(np.float32)
    masked = 1 * C + 2  # row 1 holds parcels 4 and 1, column 2 the last timepoints
    inputs = {
        "signals": signals,
        "ids_keep": np.array([[i for i in range(3 * C) if i != masked]]),
        "ids_mask": np.array([[masked]]),
    }
    changed = np.zeros(signals.shape, bool)
    changed[:, [4, 1], 2 * L :] = True
    filled = net.fill(inputs)
    np.testing.assert_array_equal(filled != signals, changed)
    with torch.inference_mode():
        tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
        predicted = net.module_(**tensors).numpy()
    np.testing.assert_array_equal(filled[0, [4, 1], 2 * L :].ravel(), predicted.ravel())


def test_a_compiled_network_keeps_its_names_and_learns_the_same():
    """Traced and run by Python, as a compiler of machine code would take a minute."""
    batches = Batches(make_batch(0), make_batch(1))
    plain, compiled = make_net(), make_net(compile=True, compile__backend="eager")
    for net in (plain, compiled):
        net.partial_fit(batches)
    assert compiled.module_._compiled_call_impl is not None
    weights = compiled.get_weights()
    for name, values in plain.get_weights().items():
        np.testing.assert_allclose(weights[name], values, rtol=1e-5, atol=1e-6)


def test_embeddings_are_fp32_whatever_the_training():
    """Autocast of the CPU stands in for that of CUDA, which behaves the same."""
    net, lower = make_net(), make_net(precision="bf16")
    inputs, _ = make_batch(0)
    everything = np.tile(np.arange(P * C), (6, 1))
    np.testing.assert_array_equal(
        lower.encode(inputs["signals"], everything), net.encode(inputs["signals"], everything)
    )
    np.testing.assert_array_equal(lower.fill(inputs), net.fill(inputs))
    lower.module_.train()
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
    assert lower.infer(tensors).dtype == torch.bfloat16
