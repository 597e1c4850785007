"""4-D images, read once from end to end, so that a damaged one is noticed."""

import gzip
import io
import math
import zlib
from typing import NamedTuple

import numpy as np

from sklearn_brainlm._validation import check_t_r
from sklearn_brainlm.exceptions import InvalidRecordingError
from sklearn_brainlm.readers.files import check_file, check_key, refuse_web_page

__all__ = ["BoldImage", "read_bold"]

_HEADER_BYTES = 544  # NIfTI-2; a NIfTI-1 image is longer than its header of 352
# Most that an image may unpack to: this many times its size, and a gigabyte in any case. Real runs
# are packed to a half or, where most of the volume is zero, a tenth.
_MAX_RATIO = 100
_MAX_SMALL = 1 << 30  # bytes
_STEP = 1 << 22  # bytes
_MAX_SCALE = 1e9  # of what a header scales by; values of BOLD are below a million
_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6, "unknown": 1.0}


class BoldImage(NamedTuple):
    """Values of a run, and where and when they are.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.preparation.bold_images import BoldImage
    >>> BoldImage(np.zeros((4, 5, 6, 90), dtype=np.float32), np.eye(4), t_r=2.0).t_r
    2.0
    """

    values: np.ndarray  # (X, Y, Z, T), float32
    affine: np.ndarray  # (4, 4), voxel indices to mm
    t_r: float | None


def read_bold(path, *, max_bytes=1 << 36):
    """Read a 4-D NIfTI image into memory.

    Parameters
    ----------
    path : path
        ``.nii`` or ``.nii.gz``.
    max_bytes : int, default=2**36
        Refuse a larger image, by what its header says, before anything of it is read.

    Returns
    -------
    image : BoldImage
        Its values in float32, scaled as the header says.

    Raises
    ------
    InvalidRecordingError
        The file is truncated, its checksum is wrong, it is no 4-D image, or it announces more
        than it can hold or than `max_bytes`.
    UntrustedFileError
        It is not a regular file.

    Notes
    -----
    The checksum of a gzip file is at its end, and nibabel stops before it: a flipped byte is not
    noticed there. Here the file is unpacked to the end, once, and the image made of what came out.
    """
    path, size = check_file(path)
    check_key(path)
    is_gzip = path.name.endswith(".gz")
    with open(path, "rb") as file:
        refuse_web_page(path, file.read(256))
    try:
        with gzip.open(path) if is_gzip else open(path, "rb") as file:
            begin = file.read(_HEADER_BYTES)
            image_class, n_bytes = _read_header(path, begin)
            if n_bytes > size and not is_gzip:
                raise InvalidRecordingError(
                    f"{path} is truncated: it has {size} bytes, its header announces {n_bytes}. "
                    "Copy it again."
                )
            if n_bytes > min(max_bytes, max(size * _MAX_RATIO, _MAX_SMALL)):
                raise InvalidRecordingError(
                    f"{path} has {size} bytes and announces {n_bytes}, more than a run is packed "
                    f"into or than the {max_bytes} that are read. Copy it again, or unpack it."
                )
            content = io.BytesIO()
            content.write(begin[:n_bytes])
            while piece := file.read(_STEP):  # to the end: there is the checksum
                content.write(piece[: max(0, n_bytes - content.tell())])
    except gzip.BadGzipFile as error:
        what = "gzip CRC mismatch" if "CRC" in str(error) else "it is not a gzip file"
        raise InvalidRecordingError(
            f"{path} is damaged: {what} ({error}). Copy it again."
        ) from None
    except EOFError as error:
        raise InvalidRecordingError(f"{path} is truncated ({error}). Copy it again.") from None
    except zlib.error as error:
        raise InvalidRecordingError(f"{path} is damaged ({error}). Copy it again.") from None
    if content.tell() < n_bytes:
        raise InvalidRecordingError(
            f"{path} is truncated: it unpacks to {content.tell()} bytes, its header announces "
            f"{n_bytes}. Copy it again."
        )
    content.seek(0)
    image = image_class.from_stream(content)
    return _as_bold(path, image)


def _read_header(path, begin):
    """Class of an image, and how many bytes it has, by its header."""
    import nibabel
    from nibabel.spatialimages import HeaderDataError

    for image_class in (nibabel.Nifti1Image, nibabel.Nifti2Image):
        if image_class.header_class.may_contain_header(begin):
            break
    else:
        raise InvalidRecordingError(f"{path} is not a NIfTI image. Check what kind of file it is.")
    try:
        header = image_class.header_class.from_fileobj(io.BytesIO(begin))
        shape = header.get_data_shape()
        if header.get_data_dtype().kind not in "iuf":
            raise HeaderDataError(f"its values are {header.get_data_dtype()}")
        scales = [float(header[field]) for field in ("scl_slope", "scl_inter")]
        if not all(abs(scale) <= _MAX_SCALE for scale in scales):  # nor NaN
            raise HeaderDataError(f"scl_slope and scl_inter are {scales}, at most {_MAX_SCALE:g}")
        values = math.prod(int(n) for n in shape) * header.get_data_dtype().itemsize
        offset = int(header.get_data_offset())
    except (HeaderDataError, ValueError, TypeError, OverflowError) as error:
        raise InvalidRecordingError(
            f"{path} has a header that cannot be used: {error}. Preprocess it again."
        ) from error
    if len(shape) != 4 or min(shape) < 1 or shape[3] < 2 or offset < 0:
        raise InvalidRecordingError(
            f"{path} has shape {tuple(int(n) for n in shape)}; expected a 4-D image of two "
            "timepoints or more. Give the BOLD run, not its reference."
        )
    return image_class, offset + values


def _as_bold(path, image):
    """Values, place and repetition time of an image in memory."""
    affine = np.asarray(image.affine, dtype=float)
    if not np.isfinite(affine).all() or np.linalg.det(affine[:3, :3]) == 0:
        raise InvalidRecordingError(
            f"{path} has an affine that places no voxel: {affine.tolist()}. Preprocess it again."
        )
    with np.errstate(over="ignore", invalid="ignore"):  # such voxels carry no signal, see Atlas
        values = image.get_fdata(dtype=np.float32, caching="unchanged")
    zooms = image.header.get_zooms()
    try:
        unit = image.header.get_xyzt_units()[1]
    except KeyError as error:
        raise InvalidRecordingError(
            f"{path}: header: units of number {error} are not known. Preprocess it again."
        ) from error
    # The header is float32: 0.72 is 0.72000003 there.
    t_r = round(float(zooms[3]) * _SECONDS.get(unit, math.nan), 6)
    if not t_r > 0:
        return BoldImage(values, affine, None)
    try:
        return BoldImage(values, affine, check_t_r(t_r))
    except InvalidRecordingError as error:
        raise InvalidRecordingError(f"{path}: header: {error}") from error
