"""GIFTI files, of which nothing is believed before it is checked."""

import base64
import math
import zlib

from sklearn_brainlm.exceptions import InvalidRecordingError, UntrustedFileError
from sklearn_brainlm.readers.files import check_file, refuse_web_page

__all__ = ["open_gifti"]

_MAX_VALUES = 1 << 33  # of a file: 32 GB of float32


def open_gifti(path):
    """Read a GIFTI file whole.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    image : nibabel.gifti.GiftiImage
        All of its arrays.

    Raises
    ------
    InvalidRecordingError
        It is no GIFTI file, truncated or damaged.
    UntrustedFileError
        It would unpack to more than it announces, or read another file.
    """
    path, _ = check_file(path)
    parser = _make_parser(path)
    with open(path, "rb") as file:
        refuse_web_page(path, file.read(256))
        file.seek(0)
        try:
            parser.parse(fptr=file)
        except (UntrustedFileError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - of damaged XML nibabel raises nearly anything
            raise InvalidRecordingError(
                f"{path} is not a GIFTI file, or damaged ({type(error).__name__}: {error}). Copy "
                "it again."
            ) from error
    if parser.img is None or any(array.data is None for array in parser.img.darrays):
        raise InvalidRecordingError(f"{path} is truncated, or no GIFTI file. Copy it again.")
    return parser.img


def _make_parser(path):
    """Return nibabel's parser, but one that unpacks no more than is announced, nor other files."""
    from nibabel.gifti.parse_gifti_fast import GiftiImageParser

    class CheckedParser(GiftiImageParser):
        HANDLER_NAMES = [*GiftiImageParser.HANDLER_NAMES, "EntityDeclHandler"]

        def __init__(self):
            super().__init__()
            self.text, self.n_values = [], 0

        def EntityDeclHandler(self, *declared):
            raise UntrustedFileError(
                f"{path} declares entities of XML, which can unpack without end. Write it again "
                "with nibabel."
            )

        def CharacterDataHandler(self, data):
            if self.write_to == "Data":
                self.text.append(data)
            else:
                super().CharacterDataHandler(data)

        def flush_chardata(self):
            if self.write_to == "Data":
                self.n_values += math.prod(self.da.dims)
                self.da.data = _read_block(path, self.da, "".join(self.text), self.n_values)
                self.text = []
            else:
                super().flush_chardata()

    return CheckedParser()


def _read_block(path, array, text, n_values):
    """Values of an array, which with those before it announces so many."""
    from nibabel.gifti.parse_gifti_fast import read_data_block
    from nibabel.gifti.util import gifti_encoding_codes
    from nibabel.nifti1 import data_type_codes

    encoding = gifti_encoding_codes.label[array.encoding]
    if encoding == "External":
        raise UntrustedFileError(
            f"{path} takes its values from another file, {array.ext_fname}. Write it again with "
            "nibabel, values inside."
        )
    n_bytes = math.prod(array.dims) * data_type_codes.dtype[array.datatype].itemsize
    if n_values > _MAX_VALUES or (
        encoding == "B64GZ"
        and len(zlib.decompressobj().decompress(base64.b64decode(text), n_bytes + 1)) > n_bytes
    ):
        raise UntrustedFileError(
            f"{path} unpacks to more than it announces, or announces more than the {_MAX_VALUES} "
            "values that are read. Get it again from where it was made."
        )
    return read_data_block(array, None, text, False)
