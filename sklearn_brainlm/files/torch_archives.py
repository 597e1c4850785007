"""What `torch.save` wrote: looked at from outside, then read without running anything.

Such a file is a zip archive: a pickle that says which tensors there are, and one record of bytes
for each of their storages. Torch keeps a pickle from running code, and that is the second line
here. The first is to look: torch does not notice records that grow when unpacked, nor bytes that
changed.
"""

import hashlib
import pickletools
import re
import struct
import zipfile
from pathlib import Path

import numpy as np

from sklearn_brainlm.exceptions import CheckpointError, UntrustedFileError
from sklearn_brainlm.files.checked import check_digest, check_finite, open_checked, shown

__all__ = ["read_torch_file"]

_MAX_RECORDS = 8192
_MAX_TENSORS = 4096
_MAX_PICKLE = 16 << 20  # bytes; 4096 tensors need less than 1 MB
_RECORD = re.compile(
    r"[^/]+/(data\.pkl|data/[0-9]+|byteorder|version|\.format_version|\.storage_alignment"
    r"|\.data/serialization_id)"
)
# All that a dictionary of tensors and parameters asks a pickle for.
_NAMES = re.compile(
    r"collections OrderedDict"
    r"|torch\._utils _rebuild_(tensor_v2|parameter)"
    r"|torch (Double|Float|Half|BFloat16|Long|Int|Short|Char|Byte|Bool)Storage"
    r"|torch\.storage UntypedStorage"
)
# Opcodes that reach for a name or a class in other ways than the one that is looked at.
_REACHING = {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"}
# Where the directory of an archive says that it lies: the short record, the pointer to the long
# one, and the long one. Torch writes all three, one after the other, at the end of the file.
_SHORT = struct.Struct("<4s8xLLH")
_POINTER = struct.Struct("<4s4xQ4x")
_LONG = struct.Struct("<4s36xQQ")


def read_torch_file(path, *, sha256=None, max_bytes=None):
    """Read the tensors that `torch.save` wrote as one dictionary, without running the file.

    Parameters
    ----------
    path : str or Path
        The file, often ``pytorch_model.bin``.
    sha256 : str, optional
        What the SHA-256 of the file must be, in hexadecimal.
    max_bytes : int, optional
        Refuse a larger file.

    Returns
    -------
    arrays : dict of str to array
        The arrays by name, in the order of the file. bfloat16 comes back as float32.
    digest : str
        SHA-256 of the file, in hexadecimal.

    Raises
    ------
    CheckpointError
        If the file cannot be read, is not the one that `sha256` says, holds NaN or infinity, or
        something other than named tensors.
    UntrustedFileError
        If it is no archive of the kind torch has written since 1.6, claims more than it holds, or
        asks for anything but tensors.

    Notes
    -----
    The tensors are read, not mapped: what happens to the file later does not reach the weights,
    and they are in memory once.
    """
    path = Path(path)
    with open_checked(path, max_bytes) as (file, size):
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        check_digest(path, sha256, digest)
        _check_end(path, file, size)
        _check_records(path, file, size, complete=sha256 is None)
        file.seek(0)
        arrays = _read_tensors(path, file, size)
    check_finite(path, arrays)
    return arrays, digest


def _check_end(path, file, size):
    """Check that the archive has one directory, at its end, and that all records point to it.

    Otherwise what is looked at here and what torch reads could be two different directories.
    """
    lengths = (_LONG.size, _POINTER.size, _SHORT.size)
    file.seek(max(size - sum(lengths), 0))
    tail = file.read().rjust(sum(lengths), b"\0")
    mark_long, long_size, long_begin = _LONG.unpack_from(tail)
    mark_pointer, pointer = _POINTER.unpack_from(tail, lengths[0])
    mark, length, begin, comment = _SHORT.unpack_from(tail, lengths[0] + lengths[1])
    end, sound = size - lengths[2], mark == b"PK\5\6" and comment == 0
    if mark_pointer == b"PK\6\7":
        end, length, begin = size - sum(lengths), long_size, long_begin
        sound = sound and mark_long == b"PK\6\6" and pointer == end
    if not sound or begin + length != end:
        raise UntrustedFileError(
            f"{path} is no archive of tensors, or cut off. Files that torch wrote before 1.6, tar "
            "files and plain pickles are not read, because reading them runs code. If you trust "
            "the file, load it with torch and save it again, best as safetensors."
        )


def _check_records(path, file, size, *, complete):
    """Check the records of the archive, and all the names its pickle asks for."""
    try:
        with zipfile.ZipFile(file) as archive:
            records = archive.infolist()
            if len(records) > _MAX_RECORDS:
                raise UntrustedFileError(
                    f"{path} has {len(records)} records; no weights need more than {_MAX_RECORDS}."
                )
            names = [record.orig_filename for record in records]
            foreign = [name for name in names if not _RECORD.fullmatch(name)]
            folders = {name.partition("/")[0] for name in names}
            if foreign or len(folders) != 1 or len(set(names)) != len(names):
                raise UntrustedFileError(
                    f"{path} is no archive of tensors alone: it has records that torch.save does "
                    f"not write for them, or writes once: {shown(foreign or sorted(names))}."
                )
            if (
                any(
                    r.compress_type or r.flag_bits & 1 or r.compress_size != r.file_size
                    for r in records
                )
                or sum(r.file_size for r in records) > size
            ):
                raise UntrustedFileError(
                    f"{path} has records that are compressed, or larger than the file, which may "
                    "grow without end when unpacked. torch.save does not write such."
                )
            (pickle,) = [r for r in records if r.orig_filename.endswith("/data.pkl")] or [None]
            if pickle is None or pickle.file_size > _MAX_PICKLE:
                raise UntrustedFileError(f"{path} has no usable list of tensors (data.pkl).")
            _check_pickle(path, archive.read(pickle))
            damaged = archive.testzip() if complete else None
    except (zipfile.BadZipFile, NotImplementedError, struct.error) as error:
        raise UntrustedFileError(f"{path} is no sound archive of tensors: {error}.") from error
    if damaged is not None:
        raise CheckpointError(f"{path} is damaged: the checksum of {shown([damaged])} differs.")


def _check_pickle(path, pickle):
    """Read the instructions of a pickle, without following them."""
    wanted = set()
    try:
        for opcode, argument, _ in pickletools.genops(pickle):
            if opcode.name in _REACHING:
                wanted.add(opcode.name)
            elif opcode.name == "GLOBAL" and not _NAMES.fullmatch(argument):
                wanted.add(argument)
    except Exception as error:  # it parses what somebody else wrote, and promises no exceptions
        raise UntrustedFileError(f"{path} holds a broken list of tensors (data.pkl).") from error
    if wanted:
        raise UntrustedFileError(
            f"{path} asks for more than tensors, which could run code: {shown(sorted(wanted))}."
        )


def _read_tensors(path, file, size):
    """Let torch read the checked archive; return the arrays by name."""
    import torch  # late: whoever reads safetensors does not wait for it

    try:
        # The one place that calls it: the released weights exist in this format. weights_only is
        # spelled out, because an environment variable can change its default.
        content = torch.load(file, weights_only=True, map_location="cpu")  # noqa: TID251
    except Exception as error:  # of many types; its text may advise to trust the file
        raise UntrustedFileError(f"{path} cannot be read as tensors alone.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not named tensors.")
    others = [
        str(name)
        for name, tensor in content.items()
        if not isinstance(name, str) or not _is_plain(tensor)
    ]
    if others:
        raise CheckpointError(
            f"{path} must hold tensors by name and nothing else; these are no tensors of numbers: "
            f"{shown(others)}. Save the state_dict of the model alone."
        )
    needed = sum(tensor.numel() * tensor.element_size() for tensor in content.values())
    if len(content) > _MAX_TENSORS or needed > size:
        raise UntrustedFileError(
            f"{path} names {len(content)} tensors of {needed} bytes, and the file has {size}. At "
            f"most {_MAX_TENSORS} are read, and none that share their memory."
        )
    return {name: _to_array(path, name, tensor) for name, tensor in content.items()}


def _is_plain(tensor):
    """Say whether something is a tensor of numbers that lie in memory as NumPy's do."""
    import torch

    known = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64)
    known += (torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
    return (
        type(tensor) in (torch.Tensor, torch.nn.Parameter)
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and tensor.dtype in known
        and not tensor.is_neg()
    )


def _to_array(path, name, tensor):
    """Turn a tensor into an array in C order, which has the memory for itself."""
    import torch

    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return tensor.float().contiguous().numpy()
    array = tensor.contiguous().numpy()
    if array.dtype == np.bool_ and array.view(np.uint8).max(initial=0) > 1:
        raise UntrustedFileError(f"{path}: array {shown([name])} of dtype bool holds other values.")
    return array
