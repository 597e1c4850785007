"""What the doctor promises on real recordings, measured on the folder of BRAINLM_RECORDINGS.

Every recording is held against a contract made from others of its set and repetition time: of two
recordings of each set and six others in the quick test, of all and twenty others in the slow one.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sklearn_brainlm._spectra import power_by_band
from sklearn_brainlm.contract import InputContract
from sklearn_brainlm.datasets import load_recordings_folder
from sklearn_brainlm.doctor import doctor
from sklearn_brainlm.preprocessing import RecordingScaler, standardize_recordings

WHOLE = 12  # recordings that stand for a set
LEAST_CLEAN = 0.95
PATCH_LENGTH = 20


def open_sets(folder):
    """Yield the name and the content of every set, one for each atlas."""
    for path in sorted(Path(folder).iterdir()):
        table = path / "participants.tsv"
        if not table.is_file():
            continue
        rows = pd.read_csv(table, sep="\t")
        atlases = sorted(rows["atlas"].unique()) if "atlas" in rows else [None]
        for atlas in atlases:
            yield f"{path.name} {atlas or ''}".strip(), load_recordings_folder(path, atlas=atlas)


def contract_for(dataset, index, n_others, known):
    """Return the contract of others of the set, made once for the same others."""
    n_recordings = len(dataset.recordings)
    alike = [i for i in range(n_recordings) if dataset.t_r[i] == dataset.t_r[index]]
    others = tuple(i for i in alike if i != index or n_recordings == 1)[:n_others]
    if others not in known:
        recordings = [dataset.recordings[i] for i in others]
        scaler = RecordingScaler().fit(recordings)
        shortest = min(len(recording) for recording in dataset.recordings)
        known[others] = InputContract(
            n_parcels=dataset.n_parcels,
            window_length=min(200, shortest // PATCH_LENGTH * PATCH_LENGTH),
            patch_length=PATCH_LENGTH,
            t_r=dataset.t_r[index],
            parcel_coords=dataset.parcel_coords,
            center=scaler.center_,
            scale=scaler.scale_,
            spectrum=power_by_band(recordings),
        )
    return known[others]


def is_z_scored(recording):
    """Tell whether the parcels of a recording have one spread already."""
    sd = np.std(recording, axis=0, dtype=np.float64)
    return sd.std() < 0.05 * sd.mean()


def examine(dataset, n_recordings, n_others):
    """Return {fault: [found, ...]} over recordings of a set; of "untouched", what is clean."""
    rng = np.random.default_rng(0)
    results, known = {}, {}

    def note(fault, recording, t_r, *expected):
        diagnosis = doctor([recording], contract, t_r=t_r)
        kinds = {finding.kind for finding in diagnosis.findings if finding.is_error}
        right = bool(kinds & set(expected)) if expected else not diagnosis.findings
        results.setdefault(fault, []).append(right)

    count = len(dataset.recordings)
    looked_at = range(count)
    if n_recordings is not None and n_recordings < count:
        looked_at = np.sort(rng.choice(count, n_recordings, replace=False))
    for index in looked_at:
        contract = contract_for(dataset, index, n_others, known)
        recording, t_r = np.asarray(dataset.recordings[index], dtype="f4"), dataset.t_r[index]
        note("untouched", recording, t_r)
        note("factor 1000", recording * 1000, t_r, "scale")
        note("factor 1/1000", recording / 1000, t_r, "scale")
        note("milliseconds", recording, t_r * 1000, "t_r")
        note("transposed", recording.T, t_r, "transposed")
        if not is_z_scored(recording):
            note("z-scored", standardize_recordings([recording])[0], t_r, "z-scored")
        if dataset.parcel_coords is not None:
            order = rng.permutation(dataset.n_parcels)
            note("permuted", recording[:, order], t_r, "parcel order")
    return results


def check(recordings_folder, n_recordings, n_others):
    """Examine every set, print the rates and compare them with what is promised."""
    n_sets = 0
    for name, dataset in open_sets(recordings_folder):
        results = examine(dataset, n_recordings, n_others)
        print(name, {fault: f"{sum(found)}/{len(found)}" for fault, found in results.items()})
        assert np.mean(results.pop("untouched")) >= LEAST_CLEAN, name
        for fault, found in results.items():
            assert all(found), f"{name}: {fault} missed at {np.flatnonzero(~np.array(found))}"
        n_sets += 1
    assert n_sets, "no set was found"


def test_a_few_recordings_of_every_set(recordings_folder):
    check(recordings_folder, n_recordings=2, n_others=6)


@pytest.mark.slow
def test_all_recordings_of_every_set(recordings_folder):
    check(recordings_folder, n_recordings=None, n_others=20)


def test_whole_sets_are_clean(recordings_folder):
    for name, dataset in open_sets(recordings_folder):
        few = slice(None, None, -(-len(dataset.recordings) // WHOLE))
        recordings, t_r = dataset.recordings[few], dataset.t_r[few]
        diagnosis = doctor(recordings, t_r=t_r, parcel_coords=dataset.parcel_coords)
        assert diagnosis.findings == (), f"{name}: {diagnosis}"
