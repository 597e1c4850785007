"""The atlas is the published one or an error, and coordinates are centres of mass.

The files are made by the tests, but for those of BRAINLM_RECORDINGS at the end. Nothing is
downloaded here: test_hub.py tests the download.
"""

import hashlib
import shutil
import sys
from types import SimpleNamespace

import nibabel
import numpy as np
import pandas as pd
import pytest
from nibabel.cifti2 import BrainModelAxis, Cifti2Image, LabelAxis
from nilearn.datasets.atlas import Atlas
from nilearn.image import index_img
from nilearn.maskers import NiftiLabelsMasker
from scipy import ndimage

from sklearn_brainlm import _a424
from sklearn_brainlm.datasets import atlases, fetch_atlas_a424, parcel_coords_from_labels
from sklearn_brainlm.exceptions import CheckpointError, InvalidRecordingError

AFFINE = np.array([[-2.0, 0, 0, 10], [0, 2, 0.5, -6], [0, 0, 3, -4], [0, 0, 0, 1]])
NAMES = [f"parcel-{label}" for label in range(1, 425)]


def write_table(path, **changed):
    """Write a table of networks: all Limbic, the subcortex and the cerebellum by their names."""
    networks = ["Limbic"] * 360 + ["Subcortex"] * 36 + ["Cerebellum"] * 28
    columns = {"index": range(1, 425), "label": NAMES, "yeo7": networks} | changed
    pd.DataFrame(columns).to_csv(path, sep="\t", index=False)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A folder with a small image, names and coordinates in the place of the published files."""
    folder = tmp_path / "published" / "a424"
    folder.mkdir(parents=True)
    volume = np.zeros((8, 8, 8), dtype=np.float32)
    volume.ravel()[:424] = np.arange(1, 425)
    nibabel.Nifti1Image(volume, AFFINE).to_filename(folder / _a424.LABELS_IMG)
    rows = [f"{label}\t{label}\t{-label}\t{2 * label}\r\n" for label in range(1, 425)]
    (folder / _a424.COORDINATES).write_text("".join(rows), newline="")
    table = {0: ("???", (1, 1, 1, 0))}
    table |= {label: (name, (0, 0, 0, 1)) for label, name in enumerate(NAMES, start=1)}
    voxels = BrainModelAxis.from_mask(np.ones((2, 2, 2)), affine=AFFINE, name="thalamus_left")
    image = Cifti2Image(np.ones((1, 8)), (LabelAxis(["A424"], table), voxels))
    image.to_filename(folder / _a424.NAMES)
    for name in _a424.SHA256:
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        monkeypatch.setitem(_a424.SHA256, name, digest)
    return folder


@pytest.fixture
def downloads(published, monkeypatch):
    """Serve the published files, and list the addresses asked for; `gone` are not served."""
    asked = SimpleNamespace(urls=[], gone=[])

    def download(url, path, *, sha256):
        asked.urls.append(url)
        if any(part in url for part in asked.gone):
            raise CheckpointError("404 Not Found")
        shutil.copy(published / path.name, path)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256

    monkeypatch.setitem(sys.modules, "sklearn_brainlm.hub", SimpleNamespace(download=download))
    return asked


@pytest.fixture
def offline(monkeypatch):
    """Let nilearn fail to fetch the Schaefer atlas."""

    def fail(**_):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("nilearn.datasets.fetch_atlas_schaefer_2018", fail)


def test_files_at_hand_are_taken(published, downloads):
    write_table(published / _a424.TABLE)
    atlas = fetch_atlas_a424(published, verbose=0)
    assert isinstance(atlas, Atlas)
    assert atlas.maps == str(published / _a424.LABELS_IMG)
    assert atlas.labels == ["Background", *NAMES]
    assert list(atlas.lut["index"]) == list(range(425))
    assert (atlas.atlas_type, atlas.template) == ("deterministic", "MNI152NLin6Asym")
    assert atlas.region_coords.dtype == np.float64
    label = np.arange(1, 425)
    np.testing.assert_array_equal(atlas.region_coords, np.c_[label, -label, 2 * label])
    assert list(atlas.networks[[0, 359, 360, 395, 396]]) == [
        *["Limbic"] * 2,
        *["Subcortex"] * 2,
        "Cerebellum",
    ]
    assert "a424_parcels.tsv" in atlas.networks_source
    assert "120" in atlas.description
    # The folder above does as well.
    assert fetch_atlas_a424(str(published.parent), verbose=0).maps == atlas.maps
    assert downloads.urls == []


def test_missing_files_are_downloaded_once(tmp_path, downloads, offline):
    atlas = fetch_atlas_a424(tmp_path / "new", verbose=0)
    folder = tmp_path / "new" / "a424"
    assert atlas.maps == str(folder / "A424+2mm.nii.gz")
    assert sorted(path.name for path in folder.iterdir()) == sorted(_a424.SHA256)
    start = f"https://raw.githubusercontent.com/vandijklab/BrainLM/{_a424.COMMIT}/toolkit/atlases/"
    assert sorted(downloads.urls) == [
        start + name for name in ("A424%2B2mm.nii.gz", "A424.dlabel.nii", "A424_Coordinates.dat")
    ]
    fetch_atlas_a424(tmp_path / "new", verbose=0)
    assert len(downloads.urls) == 3


def test_branch_is_tried_where_the_commit_is_gone(tmp_path, downloads, offline):
    downloads.gone = [_a424.COMMIT]
    fetch_atlas_a424(tmp_path / "new", verbose=0)
    assert [_a424.COMMIT in url for url in downloads.urls] == [True, False] * 3
    assert all("/main/" in url for url in downloads.urls[1::2])


def test_mirror_and_failure(tmp_path, downloads, offline):
    downloads.gone = ["_Coordinates"]
    with pytest.raises(CheckpointError, match=r"_Coordinates.*404.*Copy it from .*new/a424"):
        fetch_atlas_a424(tmp_path / "new", base_url="http://mirror/x/", verbose=0)
    assert downloads.urls[0] == "http://mirror/x/A424%2B2mm.nii.gz"
    assert not any("github" in url for url in downloads.urls)


@pytest.mark.parametrize("name", list(_a424.SHA256))
def test_other_bytes_are_refused(published, downloads, name):
    path = published / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"not the published file.*Remove it") as caught:
        fetch_atlas_a424(published, verbose=0)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content  # what is the user's is not removed
    assert downloads.urls == []


def test_folders_are_those_of_nilearn(tmp_path, monkeypatch, downloads, offline):
    # The first cannot be made: it would lie in a file.
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NILEARN_SHARED_DATA", str(tmp_path / "file" / "shared"))
    monkeypatch.setenv("NILEARN_DATA", str(tmp_path / "mine"))
    assert fetch_atlas_a424(verbose=0).maps == str(tmp_path / "mine" / "a424" / _a424.LABELS_IMG)


def test_no_folder_can_be_written(tmp_path, downloads):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="Pass a data_dir that can"):
        fetch_atlas_a424(tmp_path / "file", verbose=0)
    assert downloads.urls == []


def test_what_is_told(published, offline, capsys):
    atlas = fetch_atlas_a424(published)
    told = capsys.readouterr()
    assert told.out == ""
    for part in ("Glasser", "HCP", "Brainnetome", "SUIT", "non-commercial"):
        assert part in told.err
        assert part in atlas.description
    assert "No networks" in told.err
    assert "no route to host" in told.err
    fetch_atlas_a424(published, verbose=0)
    assert capsys.readouterr() == ("", "")


def test_no_networks_without_table_and_schaefer(published, offline):
    atlas = fetch_atlas_a424(published, verbose=0)
    assert atlas.networks is None
    assert atlas.networks_source is None
    assert "no networks" in atlas.description


def test_networks_are_voted(published, tmp_path, monkeypatch):
    # Three voxels of another grid: labels 1 to 424 lie on lines, at the indices of `nearest`.
    volume = np.zeros((8, 8, 8), dtype=np.int16)
    centres = {1: (0, 1, 1), 2: (3, 4, 4), 3: (6, 4, 7)}
    for label, index in centres.items():
        volume[index] = label
    nibabel.Nifti1Image(volume, AFFINE).to_filename(tmp_path / "schaefer.nii.gz")
    names = ["7Networks_LH_Vis_1", "7Networks_LH_Default_PFC_1", "7Networks_RH_Cont_Par_1"]
    lut = pd.DataFrame({"index": range(4), "name": ["Background", *names]})

    def fetch(*, n_rois, yeo_networks, resolution_mm, data_dir, verbose):
        assert (n_rois, yeo_networks, data_dir, verbose) == (1000, 7, published, 0)
        schaefer = str(tmp_path / "schaefer.nii.gz")
        return Atlas(schaefer, "", "deterministic", lut=lut)

    monkeypatch.setattr("nilearn.datasets.fetch_atlas_schaefer_2018", fetch)
    atlas = fetch_atlas_a424(published, verbose=0)
    voxels = np.stack(np.unravel_index(np.arange(360), (8, 8, 8)), axis=1)
    apart = voxels[:, np.newaxis] - np.array(list(centres.values()))
    distances = np.linalg.norm(apart @ AFFINE[:3, :3].T, axis=2)
    expected = np.array(["Vis", "Default", "Cont"])[distances.argmin(axis=1)]
    assert set(expected) == {"Vis", "Default", "Cont"}
    np.testing.assert_array_equal(atlas.networks[:360], expected)
    assert list(atlas.networks[360:]) == ["Subcortex"] * 36 + ["Cerebellum"] * 28
    assert "votes" in atlas.networks_source
    assert atlas.networks_source in atlas.description


def test_most_voxels_win():
    volume = np.zeros((10, 1, 1))
    volume[:5, 0, 0] = 1  # two voxels near the first centre, three near the second
    volume[6:, 0, 0] = 360
    centres = np.array([[0.0, 0, 0], [3, 0, 0]])
    labels_img = nibabel.Nifti1Image(volume, np.eye(4))
    voted = atlases._vote_networks(labels_img, centres, np.array(["Cont", "SomMot"]))
    assert (voted[0], voted[359]) == ("SomMot", "SomMot")
    voted = atlases._vote_networks(labels_img, centres - [[0], [-2]], np.array(["Cont", "Vis"]))
    assert (voted[0], voted[359]) == ("Cont", "Vis")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"index": range(424)}, "in the order of their labels"),
        ({"label": NAMES[::-1]}, "in the order of their labels"),
        ({"yeo7": ["Vis"] * 423 + ["Language"]}, r"'yeo7' has \['Language'\]"),
        ({"yeo7": [np.nan] * 424}, r"'yeo7' has \[''\]"),
    ],
)
def test_table_of_other_parcels(published, changed, message):
    write_table(published / _a424.TABLE, **changed)
    with pytest.raises(InvalidRecordingError, match=message) as caught:
        fetch_atlas_a424(published, verbose=0)
    assert _a424.TABLE in str(caught.value)


@pytest.mark.parametrize("text", ["", "index\tlabel\n1\ta\n"])
def test_table_without_networks(published, text):
    (published / _a424.TABLE).write_text(text)
    with pytest.raises(InvalidRecordingError, match=r"no column \[.*yeo7"):
        fetch_atlas_a424(published, verbose=0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("424\t", "425\t", "index 1 to 424"),
        ("7\t7\t-7\t14\r\n", "", "index 1 to 424"),
        ("\t-7\t", "\tnan\t", "not finite"),
        ("\t-7\t", "\tx\t", "cannot be read"),
    ],
)
def test_coordinates_of_other_parcels(published, tmp_path, old, new, message):
    text = (published / _a424.COORDINATES).read_bytes().decode()
    (tmp_path / "coords.dat").write_text(text.replace(old, new))
    with pytest.raises(CheckpointError, match=message):
        _a424.read_coordinates(tmp_path / "coords.dat")


# --- parcel_coords_from_labels -------------------------------------------------------------------


def make_labels(dtype=np.int16):
    """A label image of five parcels in an oblique grid; labels are not consecutive."""
    rng = np.random.default_rng(0)
    volume = rng.choice([0, 2, 3, 11, 40, 41], size=(6, 7, 8), p=[0.5, 0.1, 0.1, 0.1, 0.1, 0.1])
    return nibabel.Nifti1Image(volume.astype(dtype), AFFINE)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
def test_centres_of_mass(dtype):
    image = make_labels(dtype)
    coords, labels = parcel_coords_from_labels(image)
    assert list(labels) == [2, 3, 11, 40, 41]
    volume = np.asarray(image.dataobj)
    voxels = ndimage.center_of_mass(np.ones(volume.shape), volume, labels)
    expected = nibabel.affines.apply_affine(AFFINE, np.array(voxels))
    np.testing.assert_allclose(coords, expected, rtol=0, atol=1e-12)


def test_path_single_volume_and_other_background(tmp_path):
    image = make_labels()
    coords, labels = parcel_coords_from_labels(image)
    image.to_filename(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(parcel_coords_from_labels(tmp_path / "labels.nii.gz")[0], coords)
    one = nibabel.Nifti1Image(np.asarray(image.dataobj)[..., np.newaxis], AFFINE)
    np.testing.assert_array_equal(parcel_coords_from_labels(one)[0], coords)
    other, kept = parcel_coords_from_labels(image, background_label=3)
    assert list(kept) == [0, 2, 11, 40, 41]
    np.testing.assert_array_equal(other[2:], coords[2:])


def test_order_is_that_of_a_masker():
    image = make_labels()
    coords, _ = parcel_coords_from_labels(image)
    # A recording whose value is the position of the voxel: the masker averages what we average.
    positions = nibabel.affines.apply_affine(AFFINE, np.argwhere(np.ones(image.shape)))
    volumes = positions.reshape(*image.shape, 3)
    masked = NiftiLabelsMasker(image, standardize=None).fit_transform(
        nibabel.Nifti1Image(volumes, AFFINE)
    )
    np.testing.assert_allclose(masked.T, coords, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        (np.full((2, 2, 2), 1.5), "not whole"),
        (np.full((2, 2, 2), np.nan), "not whole"),
        (np.zeros((2, 2, 2)), "no label but the background"),
        (np.ones((2, 2, 2, 3)), "expected three dimensions"),
    ],
)
def test_images_without_labels(volume, message):
    with pytest.raises(InvalidRecordingError, match=message):
        parcel_coords_from_labels(nibabel.Nifti1Image(volume, np.eye(4)))


# --- the published files -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def a424(recordings_folder):
    """The folder of the published files in BRAINLM_RECORDINGS, or skip."""
    folder = recordings_folder / "a424"
    if not folder.is_dir():
        pytest.skip(f"{recordings_folder} has no folder a424")
    return folder


def test_published_atlas(a424):
    atlas = fetch_atlas_a424(a424, verbose=0)
    coords, labels = parcel_coords_from_labels(atlas.maps)
    np.testing.assert_array_equal(labels, np.arange(1, 425))
    distances = np.linalg.norm(coords - atlas.region_coords, axis=1)
    assert np.median(distances) < 3.2
    assert distances.max() < 14
    assert distances.argmax() == 4  # label 5, as the description says
    np.testing.assert_array_equal(atlas.region_coords % 2, 0)
    sizes = np.bincount(np.asarray(nibabel.load(atlas.maps).dataobj, dtype=int).ravel())
    assert (sizes.min(), sizes.argmin()) == (1, 405)
    for label, name in ((1, "R_V1_ROI"), (120, "R_H_ROI"), (181, "L_V1_ROI"), (424, "Right_X")):
        assert atlas.labels[label] == name
    sides = np.array([{"R": 1, "L": -1}[name[0]] for name in atlas.labels[1:361]])
    np.testing.assert_array_equal(np.sign(atlas.region_coords[:360, 0]), sides)


def test_plain_image_lacks_a_parcel(a424):
    if not (a424 / "A424.nii.gz").is_file():
        pytest.skip(f"{a424} has no A424.nii.gz")
    _, labels = parcel_coords_from_labels(a424 / "A424.nii.gz")
    assert set(range(1, 425)) - set(labels) == {120}


def test_vote_agrees_with_the_table(a424, recordings_folder):
    schaefer = recordings_folder / "tbi_ds000220_schaefer1000" / "parcels.tsv"
    if not (a424 / _a424.TABLE).is_file() or not schaefer.is_file():
        pytest.skip("the table of networks or the centres of the Schaefer parcels are missing")
    atlas = fetch_atlas_a424(a424, verbose=0)
    table = pd.read_csv(schaefer, sep="\t")
    table = table[table["structure"] == "cortex"]
    voted = atlases._vote_networks(
        atlas.maps, table[["x", "y", "z"]].to_numpy(), table["yeo7"].to_numpy()
    )
    np.testing.assert_array_equal(voted, atlas.networks)


def test_masker_takes_the_atlas(a424, recordings_folder):
    painted = recordings_folder / "nifti" / "DERIVED_sub-100206_painted_A424_2mm_40vols.nii.gz"
    if not painted.is_file():
        pytest.skip(f"{painted} does not exist")
    atlas = fetch_atlas_a424(a424, verbose=0)
    masker = NiftiLabelsMasker(atlas.maps, lut=atlas.lut, standardize=None)
    columns = masker.fit_transform(index_img(str(painted), slice(0, 2)))
    expected = np.load(str(painted).replace(".nii.gz", "_expected.npy"))[:2]
    assert columns.shape == (2, 424)
    # The image was scaled to integers when it was written.
    np.testing.assert_allclose(columns, expected, rtol=0, atol=0.04)
    assert np.ptp(expected[0, :360]) > 10 * 0.04  # so that another order would be seen
