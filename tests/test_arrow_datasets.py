"""Arrow datasets are read as BrainLM's authors write them. Needs pyarrow, an extra.

The other kinds of files, and the message when pyarrow is missing, are in test_readers.py.
"""

import json
import pickle

import numpy as np
import pytest

from sklearn_brainlm.exceptions import AtlasMismatchError, InvalidRecordingError
from sklearn_brainlm.readers import read_arrow

pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is an extra and not installed")
N_PARCELS = 6


@pytest.fixture
def recordings():
    """Three recordings of differing lengths."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal((n, N_PARCELS)).astype("f4") for n in (9, 11, 7)]


def write_dataset(folder, recordings, *, state=True, **columns):
    """Write a dataset as Dataset.from_dict(...).save_to_disk does: lists of lists, streamed."""
    folder.mkdir()
    names = []
    for index, shard in enumerate((recordings[:2], recordings[2:])):
        values = {"Raw_Recording": [values.tolist() for values in shard]}
        values |= {name: column[2 * index :][: len(shard)] for name, column in columns.items()}
        nested = pyarrow.list_(pyarrow.list_(pyarrow.float32()))
        fields = [("Raw_Recording", nested)]
        fields += [
            (n, pyarrow.string() if isinstance(c[0], str) else pyarrow.int64())
            for n, c in columns.items()
        ]
        table = pyarrow.table(values, schema=pyarrow.schema(fields))
        # A later shard sorts first: the order is that of state.json.
        names.append(f"data-{1 - index if state else index:05d}-of-00002.arrow")
        with pyarrow.ipc.new_stream(folder / names[-1], table.schema) as writer:
            writer.write_table(table, max_chunksize=1)
    if state:
        entries = [{"filename": name} for name in names]
        (folder / "state.json").write_text(json.dumps({"_data_files": entries}))
    return folder


@pytest.mark.parametrize("state", [True, False])
@pytest.mark.parametrize("turned", [True, False])
def test_values_and_people(tmp_path, recordings, turned, state):
    written = [values.T for values in recordings] if turned else recordings
    folder = write_dataset(
        tmp_path / "train",
        written,
        state=state,
        Filename=["1000017.dat", "1000025.dat_rs", "../1000033.dat"],
        **{"Patient ID": ["", "_rs", "77"], "age": [60, 61, 62]},
    )
    found = read_arrow(folder, n_parcels=N_PARCELS)
    for read, values in zip(found.recordings, recordings, strict=True):
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(read))(), values)
    assert found.recordings[0]().dtype == np.float32
    assert found.participants["participant_id"].tolist() == ["1000017", "1000025", "77"]
    assert found.participants["recording"].tolist() == ["1000017", "1000025", "_1000033"]
    assert found.participants["age"].tolist() == [60, 61, 62]


def test_square_recording_is_ambiguous(tmp_path):
    square = np.arange(36, dtype="f4").reshape(6, 6)
    folder = write_dataset(tmp_path / "train", [square] * 3)
    with pytest.raises(InvalidRecordingError, match="both sides could be parcels"):
        read_arrow(folder, n_parcels=6).recordings[0]()
    rows = read_arrow(folder, n_parcels=6, parcels="rows")
    np.testing.assert_array_equal(rows.recordings[0](), square.T)


def test_wrong_atlas_column_and_folder(tmp_path, recordings):
    folder = write_dataset(tmp_path / "train", recordings, Filename=["a", "b", "c"])
    with pytest.raises(AtlasMismatchError, match=r"row 0 has shape \(9, 6\).*424"):
        read_arrow(folder).recordings[0]()
    with pytest.raises(InvalidRecordingError, match=r"no column 'Raw'.*'Raw_Recording'"):
        read_arrow(folder, column="Raw")
    with pytest.raises(InvalidRecordingError, match="Filename holds no table"):
        read_arrow(folder, column="Filename").recordings[0]()
    with pytest.raises(InvalidRecordingError, match=r"no Arrow dataset.*splits 'train'"):
        read_arrow(tmp_path)
    with pytest.raises(FileNotFoundError, match="gone is not a folder"):
        read_arrow(tmp_path / "gone")


def test_ragged_lines(tmp_path):
    path = tmp_path / "a.arrow"
    table = pyarrow.table({"Raw_Recording": [[[1.0, 2.0], [3.0]]]})
    with pyarrow.ipc.new_file(path, table.schema) as writer:  # the format with an index
        writer.write_table(table)
    with pytest.raises(InvalidRecordingError, match="lines of one length"):
        read_arrow(path, n_parcels=2).recordings[0]()


def test_damaged_and_missing_shards(tmp_path, recordings):
    folder = write_dataset(tmp_path / "train", recordings)
    shard = folder / "data-00000-of-00002.arrow"
    content = shard.read_bytes()
    for damaged in (content[:100], b"not arrow at all", content[: len(content) // 2]):
        shard.write_bytes(damaged)
        with pytest.raises(InvalidRecordingError, match="data-00000"):
            read_arrow(folder, n_parcels=N_PARCELS)
    shard.unlink()
    with pytest.raises(FileNotFoundError, match="data-00000"):
        read_arrow(folder)
    (folder / "state.json").write_text('{"_data_files": [{"filename": "../../etc/a.arrow"}]}')
    with pytest.raises(InvalidRecordingError, match="no files of this folder"):
        read_arrow(folder)
