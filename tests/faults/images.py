"""Images of one run that something is wrong with, and what a store makes of them."""

import gzip

import nibabel
import numpy as np
from fmriprep_tree import AFFINE, make_confounds, make_volumes, write_atlas, write_run

from sklearn_brainlm.preparation.atlas_images import load_atlas
from sklearn_brainlm.preparation.bids_runs import find_runs
from sklearn_brainlm.preparation.extraction import Extraction
from sklearn_brainlm.prepare import prepare

NAME = "sub-01_task-rest"
SETTINGS = {"strategy": None, "confounds_params": {}, "scrubbed": "keep", "standardize": None}
SETTINGS |= {"low_pass": None, "high_pass": None, "t_r": None, "min_coverage": 0.5}


def make_image(values=None, affine=AFFINE, dtype=np.float32):
    """Return an image in memory, 4-D unless `values` are otherwise."""
    values = make_volumes(0) if values is None else values
    image = nibabel.Nifti1Image(values.astype(dtype), affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((*image.header.get_zooms()[:3], 2.0, 1.0)[: values.ndim])
    return image


def patch_header(offset, field, *, image=None):
    """Return the bytes of an image with some of its header replaced."""
    content = bytearray((image or make_image()).to_bytes())
    content[offset : offset + field.nbytes] = field.tobytes()
    return bytes(content)


def write_packed(path, content):
    """Write bytes as gzip does, fast."""
    path.write_bytes(gzip.compress(content, 1))
    return path


def move(millimetres):
    """Return the place of the images, moved to the right."""
    affine = AFFINE.copy()
    affine[0, 3] += millimetres
    return affine


def write_one(folder, values=None, *, content=None, confounds=True, **run):
    """Write a run below `folder`/fmriprep and an atlas; return the paths of image and atlas."""
    atlas = write_atlas(folder / "atlas.nii.gz")
    values = make_volumes(0) if values is None else values
    table = make_confounds(0, n_rows=values.shape[3]) if confounds is True else confounds
    image = write_run(folder / "fmriprep", NAME, values, confounds=table, **run)
    if content is not None:
        image.write_bytes(content)
    return image, atlas


def extract(folder, atlas=None, **settings):
    """Make the recording of the one run below `folder`/fmriprep, or raise what is wrong."""
    atlas = load_atlas(folder / "atlas.nii.gz" if atlas is None else atlas)
    (run,) = find_runs(folder / "fmriprep", "volume")
    return Extraction(atlas=atlas, **{**SETTINGS, **settings}).average(run)


def prepare_one(folder, **options):
    """Make a store of the one run below `folder`/fmriprep."""
    options = {"labels_img": folder / "atlas.nii.gz", "strategy": None} | options
    return prepare(folder / "fmriprep", folder / "store", **options)
