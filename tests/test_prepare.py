"""What fMRIPrep wrote becomes a store; what is wrong with a run is said, and the others go on.

How a store is built and verified is in test_store_building.py, files of other kinds in
test_readers.py, what is made of one run in test_extraction.py, the command in
test_prepare_command.py.
"""

import json
import re

import numpy as np
import pandas as pd
import pytest
from fmriprep_tree import (
    LABELS,
    N_VOLUMES,
    T_R,
    label_voxels,
    make_confounds,
    make_volumes,
    write_atlas,
    write_cifti_run,
    write_confounds,
    write_gifti,
    write_run,
    write_surface_run,
    write_tree,
)
from joblib import parallel_config

from sklearn_brainlm.exceptions import (
    AtlasMismatchError,
    DataQualityWarning,
    InvalidRecordingError,
)
from sklearn_brainlm.preparation.extraction import Extraction
from sklearn_brainlm.prepare import prepare

GOOD = ["sub-01_task-rest_run-1", "sub-01_task-rest_run-2", "sub-03_task-rest_run-2"]
BAD = {
    "sub-02_task-rest_run-1": "gzip CRC mismatch",
    "sub-02_task-rest_run-2": r"in 1 of the 4 labels.*'9 9 \(0%\)'",
    "sub-03_task-rest_run-1": "no confounds of motion, high_pass, wm_csf, scrub",
}
NAME = "sub-01_task-rest"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a tree and an atlas that no test changes."""
    folder = tmp_path_factory.mktemp("derivatives")
    return write_tree(folder / "fmriprep"), write_atlas(folder / "atlas.nii.gz")


@pytest.fixture(scope="module")
def prepared(written, tmp_path_factory):
    """Return what prepare makes of that tree."""
    with pytest.warns(DataQualityWarning, match="3 of 6 recordings were not stored"):
        return prepare(
            written[0], tmp_path_factory.mktemp("stores") / "store", labels_img=written[1]
        )


def test_good_runs_are_stored_and_bad_ones_named(prepared):
    assert prepared.store.ids == GOOD
    assert prepared.store.verify() == []
    assert prepared.store.n_parcels == len(LABELS)
    outcomes = prepared.outcomes.set_index("recording")
    assert outcomes.index[outcomes["stored"]].tolist() == GOOD
    quarantine = (prepared.store.path / "quarantine.tsv").read_text()
    for name, reason in BAD.items():
        assert re.search(reason, outcomes.loc[name, "reason"])
        assert name in quarantine


def test_participants_parcels_and_t_r(prepared):
    people = prepared.store.participants
    assert people["participant_id"].tolist() == ["sub-01", "sub-01", "sub-03"]
    assert people["task"].tolist() == ["rest"] * 3
    assert people["n_scrubbed"].tolist() == [0, 2, 0]
    assert prepared.store.parcels["label"].astype(str).tolist() == ["2", "5", "6", "9"]
    np.testing.assert_allclose(prepared.store.t_r, T_R)


def test_logs_lie_beside_the_store(prepared):
    logs = prepared.store.path.with_name("store.logs")
    assert "gzip CRC mismatch" in (logs / "sub-02_task-rest_run-1.log").read_text()
    assert "lost labels: 9 9 (0%)" in (logs / "sub-02_task-rest_run-2.log").read_text()
    for name in GOOD:  # nothing to warn of in a run that is as it should be
        lines = (logs / f"{name}.log").read_text().splitlines()
        warned = [line for line in lines if line.startswith("warning")]
        assert not [line for line in warned if "release 0.14.0" not in line]  # nilearn's, of itself
    sidecar = json.loads((logs / "sub-01_task-rest_run-2.json").read_text())
    assert sidecar["ScrubbedTimepoints"] == [10, 20]
    whole = sidecar["KeptTimepoints"] + sidecar["ScrubbedTimepoints"]
    assert sorted(whole) == list(range(N_VOLUMES))
    assert sidecar["SmallestCoverage"] == 1
    assert not prepared.store.path.with_name("store.work").exists()
    called = json.loads((logs / "prepare.json").read_text())
    assert called["how"]["strategy"] == ["motion", "high_pass", "wm_csf", "scrub"]
    assert called["versions"]["nilearn"]


def test_second_run_does_no_work(written, tmp_path, monkeypatch):
    calls = []
    original = Extraction.average
    monkeypatch.setattr(
        Extraction, "average", lambda self, run: (calls.append(run.name), original(self, run))[1]
    )
    options = {"labels_img": written[1], "participant_label": ["01", "sub-03"]}
    with pytest.warns(DataQualityWarning):
        first = prepare(written[0], tmp_path / "store", **options)
    assert len(calls) == 4
    manifest = (tmp_path / "store" / "manifest.json").stat().st_mtime_ns
    second = prepare(written[0], tmp_path / "store", **options)
    assert len(calls) == 4
    assert (tmp_path / "store" / "manifest.json").stat().st_mtime_ns == manifest
    pd.testing.assert_frame_equal(first.outcomes, second.outcomes)
    with pytest.raises(FileExistsError, match="settings differ"):
        prepare(written[0], tmp_path / "store", **options, standardize="psc")


def test_goes_on_after_a_kill(written, tmp_path, monkeypatch):
    original, calls = Extraction.average, []

    def killed(self, run):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(run.name)
        return original(self, run)

    options = {"labels_img": written[1], "participant_label": ["01", "03"]}
    monkeypatch.setattr(Extraction, "average", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(written[0], tmp_path / "store", **options)
    calls.clear()
    monkeypatch.setattr(
        Extraction, "average", lambda self, run: (calls.append(run.name), original(self, run))[1]
    )
    with pytest.warns(DataQualityWarning):
        resumed = prepare(written[0], tmp_path / "store", **options)
    assert calls == ["sub-03_task-rest_run-1", "sub-03_task-rest_run-2"]
    with pytest.warns(DataQualityWarning):
        whole = prepare(written[0], tmp_path / "whole", **options)
    for file in ("manifest.json", "participants.tsv"):
        assert (resumed.store.path / file).read_bytes() == (whole.store.path / file).read_bytes()


def test_backend_of_the_caller_is_used(written, tmp_path, prepared):
    with parallel_config("sequential"), pytest.warns(DataQualityWarning):
        other = prepare(written[0], tmp_path / "store", labels_img=written[1])
    np.testing.assert_array_equal(other.store[0], prepared.store[0])


@pytest.mark.slow
def test_processes_do_not_change_the_store(written, tmp_path, prepared):
    with pytest.warns(DataQualityWarning):
        other = prepare(written[0], tmp_path / "store", labels_img=written[1], n_jobs=2)
    manifests = [s.path / "manifest.json" for s in (other.store, prepared.store)]
    assert manifests[0].read_bytes() == manifests[1].read_bytes()


def test_grayordinates(tmp_path):
    folder = tmp_path / "fmriprep"
    values, labels, atlas = write_cifti_run(folder, NAME, seed=0)
    expected = np.stack([values[:, labels == k].mean(axis=1) for k in LABELS], axis=1)
    plain = prepare(folder, tmp_path / "plain", labels_img=atlas, strategy=None)
    np.testing.assert_allclose(plain.store[0], expected, rtol=1e-5)
    assert plain.store.parcels["label"].tolist() == [f"area{k}" for k in LABELS]
    np.testing.assert_allclose(plain.store.t_r, T_R)
    columns = make_confounds(0)
    cleaned = prepare(folder, tmp_path / "cleaned", labels_img=atlas)
    assert cleaned.outcomes["n_scrubbed"].tolist() == [0]
    names = ["trans_x", "rot_z_power2", "csf", "cosine01"]
    left = cleaned.store[0] - cleaned.store[0].mean(axis=0)
    for name in names:
        correlation = np.corrcoef(columns[name], left.T)[0, 1:]
        np.testing.assert_allclose(correlation, 0, atol=1e-3)
    with pytest.raises(FileNotFoundError, match=r"no \*_bold.nii.gz"):
        prepare(folder, tmp_path / "voxels", labels_img=write_atlas(tmp_path / "atlas.nii.gz"))


def test_surfaces(tmp_path):
    folder = tmp_path / "fmriprep"
    write_surface_run(folder, NAME, seed=3, space="fsnative")  # no atlas lies there
    values, labels, atlas = write_surface_run(folder, NAME, seed=0)
    expected = np.stack([values[:, labels == k].mean(axis=1) for k in LABELS], axis=1)
    plain = prepare(folder, tmp_path / "plain", labels_img=atlas, strategy=None)
    np.testing.assert_allclose(plain.store[0], expected, rtol=1e-5)
    assert plain.store.ids == [NAME]
    assert plain.store.parcels["label"].tolist() == [f"area{k}" for k in LABELS]
    assert plain.store.participants["space"].tolist() == ["fsaverage5"]
    np.testing.assert_allclose(plain.store.t_r, T_R)
    cleaned = prepare(folder, tmp_path / "cleaned", labels_img=atlas)
    correlation = np.corrcoef(make_confounds(0)["csf"], cleaned.store[0].T)[0, 1:]
    np.testing.assert_allclose(correlation, 0, atol=1e-3)
    write_surface_run(folder, "sub-01_task-rest", seed=1, space="fsaverage6")
    with pytest.raises(InvalidRecordingError, match="several spaces: 'fsaverage5', 'fsaverage6'"):
        prepare(folder, tmp_path / "store", labels_img=atlas)
    with pytest.raises(InvalidRecordingError, match="names 1 files. Give those of the left"):
        prepare(folder, tmp_path / "store", labels_img=atlas[:1])


def test_surfaces_that_cannot_be_used(tmp_path):
    folder = tmp_path / "fmriprep"
    names = [f"sub-{subject:02d}_task-rest" for subject in range(1, 5)]
    for seed, name in enumerate(names):
        n_vertices = (30, 31) if name == names[3] else (30, 32)
        values, labels, _ = write_surface_run(folder, name, seed, n_vertices=n_vertices)
    atlas = write_surface_run(tmp_path / "other", NAME, seed=0)[2]
    func = folder / "sub-02" / "func"
    (func / f"{names[1]}_hemi-R_space-fsaverage5_bold.func.gii").unlink()
    blank = values[:, :30].copy()
    blank[:, labels[:30] == 5] = np.nan  # as the medial wall may be
    path = folder / "sub-03" / "func" / f"{names[2]}_hemi-L_space-fsaverage5_bold.func.gii"
    write_gifti(path, blank, t_r=T_R)
    with pytest.warns(DataQualityWarning, match="3 of 4 recordings were not stored"):
        prepared = prepare(folder, tmp_path / "store", labels_img=atlas)
    assert prepared.store.ids == names[:1]
    reasons = prepared.outcomes["reason"].tolist()
    assert "no counterpart of the other hemisphere" in reasons[1]
    assert "too little, in 1 of the 4 labels" in reasons[2] and "5 area5 (0%)" in reasons[2]
    assert "31 vertices, the atlas 32" in reasons[3]


def test_names_coordinates_and_people_are_kept(written, tmp_path):
    parcels = pd.DataFrame({"label": ["A", "B", "C", "D"], "x": 1.0, "y": 2.0, "z": [1, 2, 3, 4.0]})
    people = pd.DataFrame({"participant_id": ["sub-09", "sub-01"], "age": [80, 40]})
    options = {"labels_img": written[1], "participant_label": ["01"]}
    prepared = prepare(
        written[0], tmp_path / "store", parcels=parcels, participants=people, **options
    )
    assert prepared.store.parcels["label"].tolist() == ["A", "B", "C", "D"]
    np.testing.assert_array_equal(prepared.store.parcel_coords[:, 2], [1, 2, 3, 4])
    assert prepared.store.participants["age"].tolist() == [40, 40]
    with pytest.raises(InvalidRecordingError, match="sub-09 more than once"):
        prepare(written[0], tmp_path / "twice", participants=people.iloc[[0, 0]], **options)
    with pytest.raises(AtlasMismatchError, match="4 labels, but there are 3 names"):
        prepare(written[0], tmp_path / "other", parcels=parcels[:3], **options)


def test_what_cannot_be_found(written, tmp_path):
    tree, atlas = written
    for options, message in [
        ({"participant_label": ["07"]}, "no subject '07'"),
        ({"task": "faces"}, "task-faces"),
        ({"space": "MNI152NLin6Asym"}, "space-MNI152NLin6Asym"),
    ]:
        with pytest.raises(FileNotFoundError, match=message):
            prepare(tree, tmp_path / "store", labels_img=atlas, **options)
    for folder, message in [("gone", "is not a folder"), ("", "has no folder sub-")]:
        with pytest.raises(FileNotFoundError, match=message):
            prepare(tmp_path / folder, tmp_path / "store", labels_img=atlas)
    with pytest.raises(FileNotFoundError, match=r"gone\.nii does not exist"):
        prepare(tree, tmp_path / "store", labels_img=tmp_path / "gone.nii")
    for options in ({"scrubbed": "no"}, {"min_coverage": 2}, {"t_r": 2000}):
        with pytest.raises(InvalidRecordingError, match=next(iter(options))):
            prepare(tree, tmp_path / "store", labels_img=atlas, **options)


def test_several_images_of_a_run(tmp_path):
    atlas = write_atlas(tmp_path / "atlas.nii.gz")
    folder = tmp_path / "fmriprep"
    write_run(folder, NAME, make_volumes(0), confounds=make_confounds(0))
    write_run(folder, NAME, make_volumes(1), space="T1w")
    only = prepare(folder, tmp_path / "only", labels_img=atlas)  # no atlas lies in T1w
    assert only.store.participants["space"].tolist() == ["MNI152NLin2009cAsym"]
    write_run(folder, NAME, make_volumes(1), space="MNI152NLin6Asym")
    with pytest.raises(InvalidRecordingError, match="several spaces: 'MNI152NLin2009cAsym', 'MNI1"):
        prepare(folder, tmp_path / "store", labels_img=atlas)
    write_run(folder, NAME, make_volumes(1), space="MNI152NLin6Asym_res-2")
    with pytest.raises(InvalidRecordingError, match="several images of 1 runs"):
        prepare(folder, tmp_path / "store", labels_img=atlas, space="MNI152NLin6Asym")
    chosen = {"space": "MNI152NLin6Asym", "resolution": "2", "strategy": None}
    prepared = prepare(folder, tmp_path / "store", labels_img=atlas, **chosen)
    voxels = make_volumes(1)[label_voxels(LABELS[0])].reshape(-1, N_VOLUMES)
    np.testing.assert_allclose(prepared.store[0][:, 0], voxels.mean(axis=0), rtol=1e-5)


def test_a_mended_run_is_read_again(tmp_path):
    atlas = write_atlas(tmp_path / "atlas.nii.gz")
    folder = tmp_path / "fmriprep"
    image = write_run(folder, NAME, make_volumes(0))
    with pytest.raises(InvalidRecordingError, match="no confounds"):
        prepare(folder, tmp_path / "store", labels_img=atlas)
    write_confounds(image.with_name(NAME), make_confounds(0))
    assert len(prepare(folder, tmp_path / "store", labels_img=atlas).store) == 1
