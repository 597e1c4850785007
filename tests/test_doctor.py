"""Recordings are looked at before weights are used: what is wrong is found, and nothing else is.

Simulated recordings follow the coordinates of their parcels, as brains do. What is promised for
real ones is in test_doctor_recordings.py, what is measured on a single one in test_vitals.py.
"""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.signal import butter, sosfiltfilt
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator

import sklearn_brainlm
from sklearn_brainlm import BrainLMTransformer
from sklearn_brainlm._spectra import power_by_band
from sklearn_brainlm.cli import main
from sklearn_brainlm.contract import InputContract
from sklearn_brainlm.doctor import Diagnosis, doctor
from sklearn_brainlm.exceptions import InvalidRecordingError, InvalidRecordingTypeError
from sklearn_brainlm.preprocessing import RecordingScaler, standardize_recordings

N_PARCELS = 40
T_R = 2.0


@pytest.fixture(scope="module")
def coords():
    """Forty parcels, each with its mirror image, all of one hemisphere first."""
    left = np.random.default_rng(0).uniform([-65, -95, -40], [-5, 65, 70], (N_PARCELS // 2, 3))
    return np.concatenate([left, left * [-1, 1, 1]]).round(1)


@pytest.fixture(scope="module")
def cohort(coords):
    """Eight recordings of 120 timepoints in which near and mirrored parcels are alike."""
    rng = np.random.default_rng(1)
    distances = [np.linalg.norm(coords[:, None] - c, axis=2) for c in (coords, coords * [-1, 1, 1])]
    covariance = np.exp(-distances[0] / 30) + 0.6 * np.exp(-distances[1] / 30)
    mixing = np.linalg.cholesky(covariance + 0.3 * np.eye(N_PARCELS))
    amplitude = rng.uniform(10, 40, N_PARCELS)
    noise = rng.standard_normal((8, 121, N_PARCELS))
    signals = (noise[:, 1:] + 0.5 * noise[:, :-1]) @ mixing.T
    return [x.astype("f4") for x in amplitude * (signals - signals.mean(axis=1, keepdims=True))]


@pytest.fixture(scope="module")
def contract(cohort, coords):
    """What weights trained on the first six expect."""
    return make_contract(cohort[:6], T_R, coords, window_length=100)


@pytest.fixture(scope="module")
def model(cohort, coords):
    """The smallest network, trained on the first six."""
    options = {"embed_dim": 8, "mlp_dim": 8, "prior": None, "max_epochs": 1, "random_state": 0}
    model = BrainLMTransformer(window_length=100, t_r=T_R, parcel_coords=coords, **options)
    return model.fit(cohort[:6])


def make_contract(recordings, t_r, coords, *, method="robust", **fields):
    """Return the contract of weights trained on recordings."""
    scaler = RecordingScaler(method).fit(recordings)
    expected = {
        "n_parcels": recordings[0].shape[1],
        "window_length": min(len(x) for x in recordings) // 20 * 20,
        "patch_length": 20,
        "t_r": t_r,
        "parcel_coords": coords,
        "scaler": method,
        "center": scaler.center_,
        "scale": scaler.scale_,
        "spectrum": power_by_band(recordings),
    }
    return InputContract(**{**expected, **fields})


def kinds(diagnosis):
    """Return the kinds of errors, and those of notes."""
    errors, notes = (
        sorted({f.kind for f in diagnosis.findings if f.is_error == is_error})
        for is_error in (True, False)
    )
    return errors, notes


SHUFFLE = np.random.default_rng(2).permutation(N_PARCELS)
FAULTS = {
    "permuted": ("parcel order", lambda x: x[:, np.resize(SHUFFLE, x.shape[1])]),
    "shifted": ("parcel order", lambda x: np.roll(x, 1, axis=1)),
    "alternating": ("parcel order", lambda x: x[:, np.arange(40).reshape(2, 20).T.ravel()]),
    "times 1000": ("scale", lambda x: 1000.0 * x),
    "by 1000": ("scale", lambda x: x / 1000),
    "with baseline": ("offset", lambda x: x + 5000),
    "z-scored": ("z-scored", lambda x: standardize_recordings([x])[0]),
    "transposed": ("transposed", lambda x: x.T),
    "of another atlas": ("shape", lambda x: x[:, :30]),
    "NaN": ("not finite", lambda x: np.where(np.indices(x.shape).sum(axis=0) == 9, np.nan, x)),
    "too large": ("not finite", lambda x: x.astype("f8") * 1e40),
    "many dead": ("dead parcels", lambda x: x * (np.arange(x.shape[1]) % 4 > 0)),
    "too short": ("length", lambda x: x[:15]),
}


@pytest.mark.parametrize("method", ["robust", "standard"])
def test_nothing_is_found_where_nothing_is_wrong(cohort, coords, method):
    expected = make_contract(cohort[:6], T_R, coords, method=method, window_length=100)
    for recordings in (cohort, cohort[6:7], cohort[7]):
        assert doctor(recordings, expected, t_r=T_R).findings == ()
    assert doctor(cohort, t_r=T_R, parcel_coords=coords).findings == ()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_nothing_else(cohort, contract, fault):
    kind, change = FAULTS[fault]
    for recordings in ([change(cohort[6])], [*cohort[:3], change(cohort[6])]):
        diagnosis = doctor(recordings, contract, t_r=T_R)
        assert kinds(diagnosis)[0] == [kind]
        assert not diagnosis.ok
        (finding,) = (f for f in diagnosis.findings if f.is_error)
        assert finding.recordings == (len(recordings) - 1,)
        assert len(finding.fix) > 10


@pytest.mark.parametrize(
    ("t_r", "is_error", "text"),
    [
        (2000, True, "milliseconds"),
        (0.002, True, "thousandths"),
        (-1, True, "no scanner"),
        (3.0, False, "nothing to see above 0.17 Hz"),
        (0.72, False, "will be resampled"),
        (None, False, "not known"),
    ],
)
def test_repetition_times(cohort, contract, t_r, is_error, text):
    diagnosis = doctor(cohort, contract, t_r=t_r)
    (finding,) = (f for f in diagnosis.findings if f.kind == "t_r")
    assert (finding.is_error, text in finding.text) == (is_error, True)
    assert finding.recordings == tuple(range(8))
    assert doctor(cohort, contract, t_r=[T_R, np.nan, *[T_R] * 6]).findings[0].recordings == (1,)
    with pytest.raises(InvalidRecordingError, match="2 values for 8 recordings"):
        doctor(cohort, t_r=[2.0, 2.0])


def test_lengths_are_counted_at_the_repetition_time_of_the_weights(cohort, contract):
    assert kinds(doctor(cohort, contract, t_r=T_R))[1] == []
    assert kinds(doctor(cohort, contract, t_r=0.72)) == ([], ["length", "t_r"])
    assert kinds(doctor(cohort, contract, t_r=0.2)) == (["length"], ["t_r"])


def test_filtered_recordings(cohort, contract, coords):
    smooth = [sosfiltfilt(butter(5, 0.08, fs=1 / T_R, output="sos"), x, axis=0) for x in cohort]
    diagnosis = doctor(smooth[6:], contract, t_r=T_R)
    assert kinds(diagnosis) == ([], ["spectrum"])
    assert "low-passed, which the training set was not" in diagnosis.findings[0].text
    trained_on_smooth = make_contract(smooth[:6], T_R, coords, window_length=100)
    assert doctor(smooth[6:], trained_on_smooth, t_r=T_R).findings == ()
    diagnosis = doctor(cohort[6:], trained_on_smooth, t_r=T_R)
    assert kinds(diagnosis) == ([], ["spectrum"])
    assert "had none" in diagnosis.findings[0].text
    blind = contract.replace(spectrum=None)
    assert kinds(doctor(smooth[6:], blind, t_r=T_R)) == ([], ["spectrum"])
    assert doctor(cohort[6:], blind, t_r=T_R).findings == ()


def test_recordings_are_compared_with_each_other_where_weights_are_silent(cohort, contract):
    silent = contract.replace(center=None, scale=None)
    for weights in (silent, None):
        for fault in ("times 1000", "by 1000", "z-scored", "with baseline"):
            kind, change = FAULTS[fault]
            diagnosis = doctor([*cohort[:4], change(cohort[6])], weights, t_r=T_R)
            assert kinds(diagnosis) == ([kind], [])
            assert diagnosis.findings[0].recordings == (4,)
    z_scored = standardize_recordings(cohort)
    diagnosis = doctor([*z_scored[:4], cohort[6]], silent, t_r=T_R)
    assert (kinds(diagnosis), diagnosis.findings[0].recordings) == ((["z-scored"], []), (4,))
    assert doctor(z_scored, silent, t_r=T_R).findings == ()
    raw = silent.replace(units="raw scanner units")
    assert kinds(doctor(z_scored, raw, t_r=T_R)) == (["z-scored"], [])


def test_weights_of_z_scored_recordings_want_z_scores(cohort, coords):
    z_scored = standardize_recordings(cohort)
    expected = make_contract(z_scored[:6], T_R, coords, window_length=100)
    assert doctor(z_scored[6:], expected, t_r=T_R).findings == ()
    assert doctor([z_scored[6][10:]], expected, t_r=T_R).findings == ()
    assert kinds(doctor(cohort[6:], expected, t_r=T_R)) == (["scale"], [])


def test_raw_baselines(cohort, coords):
    level = np.random.default_rng(3).uniform(4000, 9000, N_PARCELS)
    gains = np.linspace(0.9, 1.1, len(cohort))
    raw = [gain * (x + level) for gain, x in zip(gains, cohort, strict=True)]
    expected = make_contract(raw[:6], T_R, coords, window_length=100)
    assert doctor(raw[6:], expected, t_r=T_R).findings == ()
    percent = [100 * (x / x.mean(axis=0) - 1) for x in raw]
    for recordings, kind, text in (
        (percent[6:], "offset", "have lost the baseline"),
        (cohort[6:], "offset", "have lost the baseline"),
        ([x / 1000 for x in raw[6:]], "scale", "values are 0.001"),
        ([x * 1000 for x in raw[6:]], "scale", "values are 1"),
    ):
        diagnosis = doctor(recordings, expected, t_r=T_R)
        assert kinds(diagnosis)[0] == [kind]
        assert text in diagnosis.findings[0].text


def test_copies(cohort, contract):
    copies = [*cohort[:4], cohort[1], 2 * cohort[2] + 1, cohort[3][:110]]
    found = doctor(copies, contract, t_r=T_R).findings
    assert [finding.kind for finding in found] == ["duplicates"] * 3
    assert [finding.recordings for finding in found] == [(1, 4), (2, 5), (3, 6)]
    assert ["scaled" in finding.text for finding in found] == [False, True, True]


def test_short_recordings_are_judged_together(cohort, contract):
    short = [x[:45] for x in cohort]
    assert kinds(doctor(short, contract, t_r=T_R)) == ([], ["length"])
    shuffled = doctor([x[:, SHUFFLE] for x in short], contract, t_r=T_R)
    assert kinds(shuffled) == (["parcel order"], ["length"])
    assert shuffled.findings[0].recordings == tuple(range(8))


def test_names(cohort, contract):
    names = [f"parcel {i}" for i in range(N_PARCELS)]
    named = contract.replace(parcel_names=tuple(names))
    assert doctor(cohort, named, t_r=T_R, parcel_names=names).findings == ()
    swapped = [names[1], names[0], *names[2:]]
    for given, text in ((swapped, "parcels 0, 1 have"), (["x", *names[1:]], "such as 'x'")):
        (finding,) = doctor(cohort, named, t_r=T_R, parcel_names=given).findings
        assert (finding.kind, finding.is_error) == ("parcel names", True)
        assert text in finding.text
    frames = [pd.DataFrame(cohort[6], columns=names), pd.DataFrame(cohort[7], columns=swapped)]
    assert doctor(frames[0], named, t_r=T_R).findings == ()
    assert kinds(doctor(frames[1], named, t_r=T_R)) == (["parcel names"], [])
    assert kinds(doctor(frames)) == (["parcel names"], [])


def test_another_atlas(cohort, contract, coords):
    bound = contract.replace(atlas_bound=("learned parcel embeddings",))
    fewer = [x[:, ::2] for x in cohort]
    assert doctor(fewer, contract, t_r=T_R, parcel_coords=coords[::2]).findings == ()
    diagnosis = doctor(fewer, bound, t_r=T_R, parcel_coords=coords[::2])
    assert kinds(diagnosis) == (["shape"], [])
    assert "learned parcel embeddings" in str(diagnosis)
    # The order is right for the coordinates given, and wrong for the weights.
    shuffled = [x[:, SHUFFLE] for x in cohort]
    given = {"t_r": T_R, "parcel_coords": coords[SHUFFLE]}
    assert doctor(shuffled, contract, **given).findings == ()
    diagnosis = doctor(shuffled, bound, **given)
    assert kinds(diagnosis) == (["parcel order"], [])
    assert "mm from theirs" in diagnosis.findings[0].text
    assert doctor(cohort, bound, t_r=T_R, parcel_coords=coords + 2).findings == ()


def test_what_cannot_be_read_does_not_hide_the_rest(cohort, tmp_path):
    np.save(tmp_path / "cut.npy", cohort[0])
    cut = np.load(tmp_path / "cut.npy", mmap_mode="r")
    with open(tmp_path / "cut.npy", "r+b") as file:
        file.truncate(9000)
    diagnosis = doctor([cohort[0], cohort[1][:, 0], cut, 1j * cohort[2], cohort[3] * np.nan])
    assert kinds(diagnosis) == (["not finite", "shape"], [])
    named = {f.recordings for f in diagnosis.findings}
    assert named == {(1,), (2,), (3,), (4,)}
    assert "recording 3 has dtype" in str(diagnosis)
    assert kinds(doctor(1j * cohort[0])) == (["shape"], [])


@pytest.mark.parametrize("X", [[], np.arange(3.0), np.float64(1)])
def test_what_holds_no_recordings(X):
    with pytest.raises(InvalidRecordingError):
        doctor(X)


def test_paths_are_no_recordings():
    with pytest.raises(InvalidRecordingTypeError, match="path"):
        doctor(["sub-01.npy"])


def test_weights_may_be_an_estimator_or_a_folder(cohort, model, tmp_path):
    with pytest.raises(NotFittedError):
        doctor(cohort, clone(model))
    for weights in (model, FrozenEstimator(model), model.save_pretrained(tmp_path / "weights")):
        assert kinds(doctor(cohort[6:], weights, t_r=T_R))[0] == []
        assert kinds(doctor([1000 * x for x in cohort[6:]], weights, t_r=T_R))[0] == ["scale"]
    with pytest.raises(TypeError, match="RecordingScaler has no contract_"):
        doctor(cohort, RecordingScaler().fit(cohort))


def test_table(cohort, contract):
    names = [f"sub-{i}.npy" for i in range(8)]
    recordings = [1000 * cohort[0], cohort[1].T, *cohort[2:]]
    diagnosis = doctor(recordings, contract, t_r=720, recording_ids=names)
    assert isinstance(diagnosis, Diagnosis)
    summary, count, *lines = str(diagnosis).splitlines()
    assert summary.startswith("8 recordings of 40 to 120 timepoints and 40 to 120 parcels")
    assert count == "3 findings, 3 errors"
    assert len(lines) == 3
    assert all(line.startswith("error  ") and " Fix: " in line for line in lines)
    assert "all 8 recordings" in next(line for line in lines if "t_r" in line)
    assert "sub-1.npy" in next(line for line in lines if "transposed" in line)


def test_function_and_module_share_a_name():
    assert sklearn_brainlm.doctor([np.eye(4)]) == doctor([np.eye(4)])
    # Importing the module first makes the package's attribute the module, which is callable too.
    code = "import sklearn_brainlm.doctor; print(sklearn_brainlm.doctor([[[1, 2], [3, 5]]]).ok)"
    arguments = [sys.executable, "-c", code]
    run = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout.split() == ["True"]


@pytest.fixture
def folder(cohort, coords, tmp_path):
    """The cohort as a folder."""
    rows = ["participant_id\trecording\ttr_s"]
    for index, recording in enumerate(cohort):
        np.save(tmp_path / f"sub-{index}.npy", recording)
        rows.append(f"sub-{index}\tsub-{index}.npy\t{T_R}")
    (tmp_path / "participants.tsv").write_text("\n".join(rows) + "\n")
    parcels = [f"{i}\tp{i}\t{x}\t{y}\t{z}" for i, (x, y, z) in enumerate(coords)]
    (tmp_path / "parcels.tsv").write_text("\n".join(["index\tlabel\tx\ty\tz", *parcels]) + "\n")
    return tmp_path


def test_command(folder, cohort, capsys):
    command = ["doctor", "--recordings", str(folder)]
    assert main(command) == 0
    assert "8 recordings of 120 timepoints and 40 parcels, t_r 2 s" in capsys.readouterr().out
    assert main([*command, "--max-recordings", "3"]) == 0
    assert "3 recordings" in capsys.readouterr().out
    assert main([*command, "--t-r", "2000"]) == 1
    assert "Fix: give seconds, t_r=2." in capsys.readouterr().out
    np.save(folder / "sub-5.npy", cohort[5] * 1000)
    assert main(command) == 1
    printed = capsys.readouterr().out
    assert "error  scale  sub-5.npy  values are" in printed
    np.save(folder / "sub-5.npy", cohort[5][:, :7])
    assert main(command) == 1
    assert "parcels.tsv lists 40 parcels" in capsys.readouterr().err


def test_command_reads_weights(folder, cohort, model, tmp_path, capsys):
    weights = model.save_pretrained(tmp_path / "weights")
    command = ["doctor", "--recordings", str(folder), "--weights", str(weights)]
    assert main(command) == 0
    for index, recording in enumerate(cohort):
        np.save(folder / f"sub-{index}.npy", recording / 1000)
    assert main(command) == 1
    assert "all 8 recordings" in capsys.readouterr().out
    assert main([*command[:-1], str(tmp_path / "nowhere")]) == 1
