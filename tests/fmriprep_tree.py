"""A small folder of derivatives as fMRIPrep writes them, with what goes wrong in real ones."""

import json

import nibabel
import numpy as np
from nibabel import cifti2, gifti

N_VOLUMES, T_R = 60, 2.0
LABELS = [2, 5, 6, 9]  # with holes, as atlases have
SPACE = "MNI152NLin2009cAsym"
# Images of 8 mm and an atlas of 4 mm, both within the same box.
SHAPE, VOXEL = (8, 9, 8), 8.0
AFFINE = np.diag([VOXEL, VOXEL, VOXEL, 1.0])
AFFINE[:3, 3] = [-28, -32, -28]
MOTION = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
SUFFIXES = ("", "_derivative1", "_power2", "_derivative1_power2")


def write_atlas(path):
    """Write four boxes of labels on a grid twice as fine as that of the images."""
    affine = AFFINE.copy()
    affine[:3, :3] /= 2
    affine[:3, 3] -= VOXEL / 4
    volume = np.zeros(2 * np.array(SHAPE), dtype=np.int16)
    volume[2:6, 2:8, 2:8] = 2
    volume[2:6, 10:16, 2:8] = 5
    volume[8:14, 2:8, 4:14] = 6
    volume[8:14, 10:16, 4:14] = 9
    nibabel.Nifti1Image(volume, affine).to_filename(path)
    return path


def label_voxels(label):
    """Return the voxels of the images that lie in a label."""
    boxes = {2: (1, 3, 1, 4, 1, 4), 5: (1, 3, 5, 8, 1, 4)}
    boxes |= {6: (4, 7, 1, 4, 2, 7), 9: (4, 7, 5, 8, 2, 7)}
    a, b, c, d, e, f = boxes[label]
    return np.s_[a:b, c:d, e:f]


def make_volumes(seed):
    """Return values (X, Y, Z, T) about 1000, as BOLD is."""
    rng = np.random.default_rng(seed)
    return (1000 + 20 * rng.standard_normal((*SHAPE, N_VOLUMES))).astype(np.float32)


def make_confounds(seed, *, n_rows=N_VOLUMES, scrubbed=(), steady_from=0):
    """Return the columns of a table of confounds."""
    rng = np.random.default_rng(1000 + seed)
    names = [name + suffix for name in MOTION for suffix in SUFFIXES]
    names += ["csf", "white_matter", "global_signal", "cosine00", "cosine01"]
    columns = {name: rng.standard_normal(n_rows) for name in names}
    for name in names:
        if "derivative1" in name:
            columns[name][0] = np.nan  # as fMRIPrep leaves the first row
    columns["framewise_displacement"] = np.full(n_rows, 0.1)
    columns["framewise_displacement"][list(scrubbed)] = 2.0
    columns["std_dvars"] = np.ones(n_rows)
    for index in range(steady_from):
        columns[f"non_steady_state_outlier{index:02d}"] = np.eye(n_rows)[index]
    return columns


def write_confounds(stem, columns):
    """Write a table of confounds and its sidecar."""
    rows = ["\t".join(columns)]
    for values in zip(*columns.values(), strict=True):
        rows.append("\t".join("n/a" if np.isnan(v) else repr(float(v)) for v in values))
    table = stem.with_name(f"{stem.name}_desc-confounds_timeseries.tsv")
    table.write_text("\n".join(rows) + "\n")
    table.with_suffix(".json").write_text("{}")
    return table


def write_run(
    folder, name, values, *, affine=AFFINE, t_r=T_R, sidecar_t_r=T_R, confounds=None, space=SPACE
):
    """Write the image, the sidecar and the confounds of a run; return the path of the image."""
    subject = name.partition("_")[0]
    func = folder / subject / "func"
    func.mkdir(parents=True, exist_ok=True)
    stem = func / f"{name}_space-{space}_desc-preproc_bold"
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((*image.header.get_zooms()[:3], t_r))
    image.to_filename(f"{stem}.nii.gz")
    if sidecar_t_r is not None:
        stem.with_name(stem.name + ".json").write_text(json.dumps({"RepetitionTime": sidecar_t_r}))
    if confounds is not None:
        write_confounds(func / name, confounds)
    return stem.with_name(stem.name + ".nii.gz")


def write_tree(folder):
    """Write three subjects of two runs; three runs are as they should be."""
    folder.mkdir()
    description = {"Name": "fMRIPrep", "BIDSVersion": "1.4.0", "DatasetType": "derivative"}
    (folder / "dataset_description.json").write_text(json.dumps(description))
    runs = [f"sub-{subject:02d}_task-rest_run-{run}" for subject in (1, 2, 3) for run in (1, 2)]
    for seed, name in enumerate(runs):
        values = make_volumes(seed)
        if name == "sub-02_task-rest_run-2":
            values[4:, 5:] = 0  # the field of view ends before label 9
        scrubbed = [10, 20] if name == "sub-01_task-rest_run-2" else []
        confounds = make_confounds(seed, scrubbed=scrubbed)
        if name == "sub-03_task-rest_run-1":
            confounds = None
        image = write_run(folder, name, values, confounds=confounds)
        if name == "sub-02_task-rest_run-1":
            content = bytearray(image.read_bytes())
            content[-6] ^= 1  # the checksum, which nibabel does not read
            image.write_bytes(content)
    return folder


def write_cifti_run(folder, name, seed):
    """Write a run of grayordinates, its confounds and an atlas; return values, labels and atlas."""
    func = folder / name.partition("_")[0] / "func"
    func.mkdir(parents=True, exist_ok=True)
    n_vertices = 40
    columns = cifti2.BrainModelAxis.from_surface(
        np.arange(n_vertices), n_vertices, name="CIFTI_STRUCTURE_CORTEX_LEFT"
    )
    rng = np.random.default_rng(seed)
    values = (100 + rng.standard_normal((N_VOLUMES, n_vertices))).astype(np.float32)
    rows = cifti2.SeriesAxis(0, T_R, N_VOLUMES, "SECOND")
    stem = func / f"{name}_space-fsLR_den-91k_bold"
    cifti2.Cifti2Image(values, (rows, columns)).to_filename(f"{stem}.dtseries.nii")
    stem.with_name(stem.name + ".json").write_text(json.dumps({"RepetitionTime": T_R}))
    write_confounds(func / name, make_confounds(seed))
    labels = np.resize(LABELS, n_vertices)
    table = {0: ("???", (0, 0, 0, 0))} | {k: (f"area{k}", (1, 1, 1, 1)) for k in LABELS}
    atlas = folder.parent / "atlas.dlabel.nii"
    axis = cifti2.LabelAxis(["atlas"], [table])
    cifti2.Cifti2Image(labels[np.newaxis].astype("f4"), (axis, columns)).to_filename(atlas)
    return values, labels, atlas


def write_gifti(path, arrays, *, t_r=None, table=None):
    """Write arrays of values of vertices."""
    meta = {} if t_r is None else {"TimeStep": f"{1000 * t_r:.6f}"}
    darrays = [
        gifti.GiftiDataArray(values, datatype=values.dtype.name, meta=gifti.GiftiMetaData(meta))
        for values in arrays
    ]
    image = gifti.GiftiImage(darrays=darrays)
    for key, name in (table or {}).items():
        label = gifti.GiftiLabel(key, 1.0, 0.0, 0.0, 1.0)
        label.label = name
        image.labeltable.labels.append(label)
    image.to_filename(path)
    return path


def write_surface_run(folder, name, seed, *, n_vertices=(30, 32), space="fsaverage5"):
    """Write a run of vertices, its confounds and an atlas; return values, labels and atlas."""
    func = folder / name.partition("_")[0] / "func"
    func.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    values, labels, atlas = [], [], []
    for hemi, n, keys in zip("LR", n_vertices, ([0, 2, 5], [0, 6, 9]), strict=True):
        series = (100 + rng.standard_normal((N_VOLUMES, n))).astype(np.float32)
        stem = func / f"{name}_hemi-{hemi}_space-{space}_bold"
        write_gifti(f"{stem}.func.gii", series, t_r=T_R)
        stem.with_name(stem.name + ".json").write_text(json.dumps({"RepetitionTime": T_R}))
        of_vertex = np.resize(keys, n).astype(np.int32)
        table = {0: "???"} | {key: f"area{key}" for key in keys[1:]}
        atlas.append(write_gifti(folder.parent / f"{hemi}.label.gii", [of_vertex], table=table))
        values.append(series)
        labels.append(of_vertex)
    write_confounds(func / name, make_confounds(seed))
    return np.concatenate(values, axis=1), np.concatenate(labels), tuple(atlas)
