"""Recordings on surfaces: averaged in parcels of both hemispheres, from files nobody has to trust.

A folder of fMRIPrep's surfaces is in test_prepare.py.
"""

import nibabel.freesurfer
import numpy as np
import pytest
from fmriprep_tree import LABELS, write_gifti, write_surface_run

from sklearn_brainlm.exceptions import (
    AtlasMismatchError,
    InvalidRecordingError,
    UntrustedFileError,
)
from sklearn_brainlm.readers import read_gifti, read_recording
from sklearn_brainlm.readers.vertex_labels import read_vertex_labels

NAME = "sub-01_task-rest"


@pytest.fixture
def written(tmp_path):
    """Return the two images of a run, its values, labels and atlas."""
    values, labels, atlas = write_surface_run(tmp_path / "tree", NAME, seed=0)
    func = tmp_path / "tree" / "sub-01" / "func"
    paths = tuple(func / f"{NAME}_hemi-{side}_space-fsaverage5_bold.func.gii" for side in "LR")
    return paths, values, labels, atlas


def test_parcels_are_means_of_vertices(written):
    paths, values, labels, atlas = written
    read = read_gifti(paths, labels_img=atlas, n_parcels=4)
    expected = np.stack([values[:, labels == k].mean(axis=1) for k in LABELS], axis=1)
    np.testing.assert_allclose(read.recording, expected, rtol=1e-6)
    assert read.recording.dtype == np.float32
    assert read.t_r == 2.0
    assert read.parcel_names == [f"area{k}" for k in LABELS]
    with pytest.raises(AtlasMismatchError, match="has 4 parcels in columns; expected 5"):
        read_gifti(paths, labels_img=atlas, n_parcels=5)
    with pytest.raises(InvalidRecordingError, match="both hemispheres and an atlas to read_gifti"):
        read_recording(paths[0])


def test_one_array_of_all_timepoints(written, tmp_path):
    paths, values, _, atlas = written
    whole = write_gifti(tmp_path / "whole.func.gii", [np.ascontiguousarray(values[:, :30].T)])
    expected = read_gifti(paths, labels_img=atlas)
    read = read_gifti((whole, paths[1]), labels_img=atlas)
    np.testing.assert_array_equal(read.recording, expected.recording)
    assert read.t_r == 2.0  # the other hemisphere says it


def test_vertices_without_signal_do_not_count(written):
    paths, values, labels, atlas = written
    left = values[:, :30].copy()
    inside = np.flatnonzero(labels[:30] == 2)
    left[:, inside[0]] = np.nan
    left[:, inside[1]] = 7.0
    write_gifti(paths[0], left, t_r=2.0)
    read = read_gifti(paths, labels_img=atlas)
    np.testing.assert_allclose(read.recording[:, 0], left[:, inside[2:]].mean(axis=1), rtol=1e-6)
    left[:, inside] = 0.0
    write_gifti(paths[0], left, t_r=2.0)
    with pytest.raises(AtlasMismatchError, match=r"no signal in 1 of the 4 labels.*'2 area2'"):
        read_gifti(paths, labels_img=atlas)


def test_labels_that_both_hemispheres_have(tmp_path):
    names = {0: "???", 1: "V1", 2: "Medial_wall", 4: "MT"}
    left = write_gifti(tmp_path / "l.label.gii", [np.array([0, 1, 2, 4], "i4")], table=names)
    right = write_gifti(tmp_path / "r.label.gii", [np.array([4, 4, 1], "i4")], table=names)
    atlas = read_vertex_labels((left, right))
    assert atlas.of_vertex.tolist() == [0, 1, 0, 4, 8, 8, 5]
    assert atlas.labels.tolist() == [1, 4, 5, 8]
    assert atlas.names == ["L_V1", "L_MT", "R_V1", "R_MT"]
    assert atlas.n_vertices == (4, 3)


def test_annotations_of_freesurfer(tmp_path):
    colours = np.array([[k, k, k, 0, k * (1 + 256 + 65536)] for k in (9, 20, 30)])
    sides = []
    for side, labels in (("lh", [0, 1, 2, 2]), ("rh", [2, 1, -1])):
        path = tmp_path / f"{side}.annot"
        names = ["Unknown", "frontal", "parietal"]
        nibabel.freesurfer.write_annot(path, np.array(labels), colours, names, fill_ctab=False)
        sides.append(path)
    atlas = read_vertex_labels(sides)
    assert atlas.of_vertex.tolist() == [0, 2, 3, 3, 6, 5, 0]
    assert atlas.names == ["L_frontal", "L_parietal", "R_frontal", "R_parietal"]
    sides[0].write_bytes(sides[0].read_bytes()[:30])
    with pytest.raises(InvalidRecordingError, match=r"lh\.annot is not an \.annot"):
        read_vertex_labels(sides)


@pytest.mark.parametrize(("said", "t_r"), [("720", 0.72), ("0.72", 0.72), ("0", None), ("", None)])
def test_time_steps_are_milliseconds_or_seconds(written, said, t_r):
    paths, *_, atlas = written
    for path in paths:
        path.write_text(path.read_text().replace("2000.000000", said))
    assert read_gifti(paths, labels_img=atlas).t_r == t_r


def test_hemispheres_of_two_runs(written, tmp_path):
    paths, values, _, atlas = written
    write_gifti(paths[1], values[:50, 30:], t_r=2.0)
    with pytest.raises(InvalidRecordingError, match=r"not of one run: \[60, 50\] timepoints"):
        read_gifti(paths, labels_img=atlas)
    write_gifti(paths[1], values[:, 30:], t_r=1.0)
    with pytest.raises(InvalidRecordingError, match=r"repetition times \[2\.0, 1\.0\]"):
        read_gifti(paths, labels_img=atlas)
    write_gifti(paths[1], values[:, 31:], t_r=2.0)
    with pytest.raises(AtlasMismatchError, match="31 vertices, the atlas 32"):
        read_gifti(paths, labels_img=atlas)


def test_files_of_other_content(written, tmp_path):
    paths, values, _, atlas = written
    one = values[0, :30]
    for arrays, message in [
        ([one], "holds 1 timepoints"),
        ([one, one[:5]], r"arrays of shape '\(30,\)', '\(5,\)'"),
        ([], "arrays of shape"),
    ]:
        path = write_gifti(tmp_path / "other.func.gii", arrays)
        with pytest.raises(InvalidRecordingError, match=message):
            read_gifti((path, paths[1]), labels_img=atlas)
    blank = write_gifti(tmp_path / "blank.label.gii", [np.zeros(30, "i4")])
    with pytest.raises(AtlasMismatchError, match="no label but the background"):
        read_gifti(paths, labels_img=(blank, blank))
    for arrays in ([one], [one, one]):
        path = write_gifti(tmp_path / "other.label.gii", arrays)
        with pytest.raises(InvalidRecordingError, match="no labels"):
            read_gifti(paths, labels_img=(path, atlas[1]))
    (tmp_path / "page.func.gii").write_text("<!DOCTYPE html><html></html>")
    with pytest.raises(InvalidRecordingError, match="web page"):
        read_gifti((tmp_path / "page.func.gii", paths[1]), labels_img=atlas)


def test_damaged_files_raise_and_nothing_else(written):
    paths, *_, atlas = written
    content, rng = paths[0].read_bytes(), np.random.default_rng(0)
    for end in (5, 300, len(content) // 2, len(content) - 5):
        paths[0].write_bytes(content[:end])
        with pytest.raises(InvalidRecordingError, match="Copy it again"):
            read_gifti(paths, labels_img=atlas)
    n_refused = 0
    for _ in range(200):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 3):
            damaged[place] = rng.integers(0, 256)
        paths[0].write_bytes(damaged)
        try:
            read_gifti(paths, labels_img=atlas)
        except (InvalidRecordingError, AtlasMismatchError, UntrustedFileError):
            n_refused += 1
    assert n_refused > 100


def test_what_would_read_other_files_or_fill_the_memory(written):
    paths, *_, atlas = written
    content = paths[0].read_text()
    external = content.replace("GZipBase64Binary", "ExternalFileBinary", 1).replace(
        'ExternalFileName=""', 'ExternalFileName="/etc/passwd"', 1
    )
    begin, _, rest = content.partition("<!DOCTYPE")
    entities = begin + '<!DOCTYPE GIFTI [<!ENTITY a "aaaa">' + "]>" + rest.partition(">")[2]
    fewer = content.replace('Dim0="30"', 'Dim0="3"', 1)
    more = content.replace('Dim0="30"', f'Dim0="{1 << 40}"', 1)
    for text, message in [
        (external, "values from another file, /etc/passwd"),
        (entities, "declares entities"),
        (fewer, "unpacks to more than it announces"),
        (more, "announces more than"),
    ]:
        assert text != content
        paths[0].write_text(text)
        with pytest.raises(UntrustedFileError, match=message):
            read_gifti(paths, labels_img=atlas)
