"""Estimators around released weights: embed, train, save, export, and what they need to be told.

Not here: that the numbers are the released ones (test_official.py), files (test_weights.py).
"""

import pickle
import warnings

import numpy as np
import pytest
import torch
from released_files import write_checkpoint
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVR
from test_official import BRAINLM, COORDS, HEAD, VITMAE

from sklearn_brainlm import BrainLMTransformer, RecordingScaler, _a424
from sklearn_brainlm.exceptions import AtlasMismatchError, CheckpointError, DataQualityWarning
from sklearn_brainlm.pretraining import adoption
from sklearn_brainlm.weights import load_weights

A424 = np.random.RandomState(2).uniform(-70, 70, (424, 3))
COORDS_OF = {"brainlm": COORDS, "vitmae": A424, "vitmae_finetuned": A424}


@pytest.fixture(params=["brainlm", "vitmae", "vitmae_finetuned"], scope="module")
def released(request, tmp_path_factory):
    """A folder in the released form, its coordinates, and recordings for it."""
    config = {"brainlm": BRAINLM, "vitmae": VITMAE, "vitmae_finetuned": HEAD}[request.param]
    folder = write_checkpoint(tmp_path_factory.mktemp(request.param), config, seed=3)
    coords, rng = COORDS_OF[request.param], np.random.default_rng(0)
    n_timepoints = 100 if request.param == "brainlm" else 230
    recordings = [
        rng.standard_normal((n_timepoints, len(coords)), dtype=np.float32) * 9 + 1000
        for _ in range(3)
    ]
    return folder, coords, recordings


@pytest.fixture(autouse=True)
def said_already(monkeypatch):
    """What is said once a process does not depend on the order of tests."""
    monkeypatch.setattr(adoption, "_SAID", set())


def fit(folder, coords, recordings, **parameters):
    """Fit on the statistics that were not published, and do not mind being told."""
    parameters = {"max_epochs": 0, **parameters}
    model = BrainLMTransformer(weights=str(folder), parcel_coords=coords, **parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataQualityWarning)
        return model.fit(recordings)


def test_embeddings_are_those_of_the_network(released):
    folder, coords, recordings = released
    model = fit(folder, coords, recordings)
    weights = load_weights(folder, parcel_coords=coords)
    scaler = RecordingScaler(divisor=weights.contract.divisor).fit(recordings)
    scaled = scaler.transform(recordings[:1])[0]
    length = weights.contract.window_length
    n_tokens = model._grid.n_tokens(length)
    rows = []
    for start in sorted({*range(0, len(scaled) - length + 1, length), len(scaled) - length}):
        signals = torch.tensor(scaled[start : start + length].T[None].copy())
        with torch.inference_mode():
            latent = weights.module.forward_encoder(signals, torch.arange(n_tokens)[None])
        rows.append(latent[0, 0].numpy())
    found = model.transform(recordings[:1])
    np.testing.assert_allclose(found[0], np.mean(rows, axis=0), atol=1e-4)
    np.testing.assert_array_equal(found, model.transform(recordings[:1]))


def test_two_lines_scale_by_what_they_are_given_and_say_so_once(released):
    folder, coords, recordings = released
    model = BrainLMTransformer.from_pretrained(folder, parcel_coords=coords)
    with pytest.warns(DataQualityWarning, match="never published"):
        found = model.transform(recordings)
    np.testing.assert_allclose(
        found, fit(folder, coords, recordings).transform(recordings), atol=1e-5
    )
    np.testing.assert_array_equal(model.transform(recordings), found)  # and silently


def test_fit_learns_the_statistics_and_says_so_once(released):
    folder, coords, recordings = released
    model = BrainLMTransformer(weights=str(folder), parcel_coords=coords, max_epochs=0)
    with pytest.warns(DataQualityWarning, match="without statistics"):
        model.fit(recordings[:2])
    model.fit(recordings[:2])
    expected = np.median(np.concatenate(recordings[:2]), axis=0)
    np.testing.assert_allclose(model.scaler_.center_, expected, rtol=1e-5)
    np.testing.assert_allclose(model.contract_.center, expected, rtol=1e-5)
    assert model.contract_.t_r == 0.735


def test_legacy_scaling_is_an_option(released):
    folder, coords, recordings = released
    legacy = fit(folder, coords, recordings, scaler="legacy")
    low, median, high = np.percentile(np.concatenate(recordings), [25, 50, 75], axis=0)
    np.testing.assert_allclose(legacy.scaler_.center_, median / (high - low), rtol=1e-4)
    assert (legacy.scaler_.scale_ == legacy.contract_.divisor).all()


def test_pipeline_and_pickle(released):
    folder, coords, recordings = released
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataQualityWarning)
        pipeline = make_pipeline(
            BrainLMTransformer(weights=str(folder), parcel_coords=coords, max_epochs=0), SVR()
        ).fit(recordings, [1.0, 2.0, 3.0])
    text = pickle.dumps(pipeline)
    weights = pipeline[0].net_.module_.encoder[0].mlp[0].weight.detach().numpy().tobytes()
    assert weights not in text
    again = pickle.loads(text)
    np.testing.assert_array_equal(again.predict(recordings), pipeline.predict(recordings))


def test_training_goes_on_and_what_is_saved_comes_back(released, tmp_path):
    folder, coords, recordings = released
    if "sigmoid_outputs" in load_weights(folder).config:
        pytest.skip("fine-tuned weights have no decoder to reconstruct with")
    model = fit(folder, coords, recordings, max_epochs=1, batch_size=2, lr=1e-3, random_state=0)
    assert np.isfinite(model.history_[-1]["train_loss"])
    frozen = fit(folder, coords, recordings)
    assert np.abs(model.transform(recordings) - frozen.transform(recordings)).max() > 1e-5
    assert np.isfinite(model.score(recordings))
    saved = model.save_pretrained(tmp_path / "ours")
    card = (saved / "README.md").read_text()
    assert "CC BY-NC-ND 4.0" in card and "redistribute" in card
    again = BrainLMTransformer.from_pretrained(saved)
    np.testing.assert_array_equal(again.transform(recordings), model.transform(recordings))
    assert again.contract_ == model.contract_
    exported = model.export_official(tmp_path / "official")
    back = load_weights(exported, parcel_coords=coords).module.state_dict()
    for name, weight in model.net_.module_.state_dict().items():
        assert torch.equal(weight, back[name])


def test_released_way_of_embedding(released):
    folder, coords, recordings = released
    model = fit(folder, coords, recordings, embed_mask_ratio=0.75, random_state=0)
    found = model.transform(recordings)
    np.testing.assert_array_equal(found, model.transform(recordings))
    assert np.abs(found - fit(folder, coords, recordings).transform(recordings)).max() > 1e-4


def test_reconstruct_fills_in_what_was_masked(released):
    folder, coords, recordings = released
    model = fit(folder, coords, recordings)
    if "sigmoid_outputs" in load_weights(folder).config:
        with pytest.raises(ValueError, match="no decoder"):
            model.reconstruct(recordings)
        return
    (made, *_) = model.reconstruct(recordings, mask_ratio=0.5, random_state=0)
    assert made.masked.any() and not made.masked.all()
    np.testing.assert_array_equal(made.predicted[~made.masked], made.true[~made.masked])
    assert (made.predicted[made.masked] != made.true[made.masked]).all()


def test_the_13m_family_takes_another_atlas(tmp_path):
    folder = write_checkpoint(tmp_path, BRAINLM, seed=3)
    rng = np.random.default_rng(0)
    recordings = [rng.standard_normal((60, 4)) for _ in range(3)]
    model = fit(folder, COORDS[:4] + 3, recordings, n_parcels=4)
    assert model.contract_.n_parcels == 4 and model.contract_.atlas is None
    assert model.transform(recordings).shape == (3, 16)


def test_the_image_family_refuses_another_atlas(tmp_path):
    folder = write_checkpoint(tmp_path, VITMAE, seed=3)
    with pytest.raises(AtlasMismatchError, match="13M family"):
        fit(folder, COORDS, [np.zeros((200, 7))])


def test_coordinates_of_a424_are_found_where_none_are_given(tmp_path, monkeypatch):
    lines = "".join(f"{i + 1} {x} {y} {z}\n" for i, (x, y, z) in enumerate(A424.tolist()))
    (tmp_path / _a424.COORDINATES).write_text(lines)
    monkeypatch.setattr(_a424, "find_file", lambda name: tmp_path / name)
    folder = write_checkpoint(tmp_path / "weights", VITMAE, seed=3)
    model = BrainLMTransformer.from_pretrained(folder)
    np.testing.assert_allclose(model.parcel_coords_, A424)
    small = write_checkpoint(tmp_path / "small", BRAINLM, seed=3)
    with pytest.raises(AtlasMismatchError, match="7 parcels.*give parcel_coords"):
        BrainLMTransformer.from_pretrained(small)


def test_only_released_weights_are_exported(tmp_path):
    recordings = [np.random.default_rng(i).standard_normal((30, 4)) for i in range(3)]
    model = BrainLMTransformer(window_length=20, patch_length=5, embed_dim=8, max_epochs=1)
    model.fit(recordings)
    with pytest.raises(CheckpointError, match="save_pretrained"):
        model.export_official(tmp_path)
    with pytest.raises(CheckpointError, match="own format"):
        load_weights(model.save_pretrained(tmp_path)).export_official(tmp_path / "x")
