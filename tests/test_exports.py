"""Stores in the formats of others, read again by the libraries of these formats."""

import sys

import numpy as np
import pandas as pd
import pytest

from sklearn_brainlm.exports import export_arrow, export_zarr
from sklearn_brainlm.store_building import build_store

PARTICIPANTS = {"participant_id": list("abcdef"), "age": [20.5, np.nan, 30, 40, 50, 60]}


@pytest.fixture(params=["float32", "float16", "int16"])
def store(request, tmp_path, recordings):
    """Return some recordings of a store, in another order."""
    parcels = {"label": [f"parcel {i}" for i in range(12)]}
    whole = build_store(
        tmp_path / "store",
        recordings,
        participants=PARTICIPANTS,
        parcels=parcels,
        dtype=request.param,
    )
    return whole[[4, 0, 2]]


def test_arrow_is_read_again(tmp_path, store):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: the extra bigdata")
    from sklearn_brainlm.readers import read_arrow

    path = export_arrow(store, tmp_path / "dataset")
    found = read_arrow(path, n_parcels=12)
    for read, recording in zip(found["recordings"], store, strict=True):
        np.testing.assert_array_equal(read(), np.asarray(recording))
    assert found["participants"]["participant_id"].tolist() == ["e", "a", "c"]
    assert found["participants"]["age"].tolist() == [50, 20.5, 30]


def test_zarr_is_read_again(tmp_path, store, monkeypatch):
    zarr = pytest.importorskip("zarr", reason="zarr is not installed: the extra bigdata")
    monkeypatch.setattr("sklearn_brainlm.exports._CHUNK_BYTES", 4000)
    path = export_zarr(store, tmp_path / "store.zarr")
    group = zarr.open_group(path, mode="r")
    offsets = group["offsets"][:]
    for i, recording in enumerate(store):
        read = group["values"][offsets[i] : offsets[i + 1]]
        np.testing.assert_array_equal(read, np.asarray(recording))
    assert group.attrs["recordings"] == store.ids
    pd.testing.assert_frame_equal(
        pd.DataFrame(group.attrs["participants"]), store.participants, check_dtype=False
    )
    assert len(group.attrs["parcels"]["label"]) == 12


def test_zarr_notices_a_changed_byte(tmp_path, store):
    zarr = pytest.importorskip("zarr", reason="zarr is not installed: the extra bigdata")
    path = export_zarr(store, tmp_path / "store.zarr")
    chunk = path / "values" / "c" / "0" / "0"
    content = bytearray(chunk.read_bytes())
    content[100] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(ValueError, match="checksum"):
        zarr.open_group(path, mode="r")["values"][:]


@pytest.mark.parametrize(("export", "extra"), [(export_arrow, "pyarrow"), (export_zarr, "zarr")])
def test_a_missing_package_is_named(tmp_path, recordings, monkeypatch, export, extra):
    store = build_store(tmp_path / "store", recordings)
    monkeypatch.setitem(sys.modules, extra, None)  # as if it were not installed
    with pytest.raises(ImportError, match=rf"{extra} is needed.*sklearn-brainlm\[bigdata\]"):
        export(store, tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


@pytest.mark.parametrize(("export", "extra"), [(export_arrow, "pyarrow"), (export_zarr, "zarr")])
def test_what_is_there_is_not_replaced(tmp_path, recordings, export, extra):
    pytest.importorskip(extra, reason=f"{extra} is not installed: the extra bigdata")
    store = build_store(tmp_path / "store", recordings)
    with pytest.raises(FileExistsError, match="new folder"):
        export(store, tmp_path / "store")
