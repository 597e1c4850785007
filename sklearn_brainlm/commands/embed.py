"""``embed``: one row of features a recording, as a table, with how it was made beside it."""

from contextlib import nullcontext

from sklearn_brainlm.commands.config import add_config
from sklearn_brainlm.commands.doctor import examine
from sklearn_brainlm.commands.inputs import add_input, count, open_recordings
from sklearn_brainlm.commands.outputs import check_table, open_table, sidecar_of
from sklearn_brainlm.commands.progress import is_first_process, say
from sklearn_brainlm.commands.provenance import describe_run, describe_weights, write_sidecar

__all__ = ["add_embed"]


def add_embed(commands):
    """Add the command and its options.

    Parameters
    ----------
    commands : action of argparse
        The commands there are.
    """
    embed = commands.add_parser(
        "embed",
        help="embed recordings with weights",
        description=(
            "Embed recordings: a table with a row each, and beside it a JSON file of the same "
            "name that says how it was made. The doctor looks at the recordings first, and its "
            "errors stop the command. Several processes share the recordings when started by "
            "torchrun --nproc_per_node N -m sklearn_brainlm.cli embed ..."
        ),
    )
    embed.set_defaults(run=_run)
    embed.add_argument("weights", metavar="WEIGHTS", help="name, folder or hub id")
    add_input(embed)
    embed.add_argument("output", metavar="OUTPUT", help="file ending in .tsv or .parquet")
    add_config(embed)
    embed.add_argument(
        "--pooling",
        choices=("cls", "mean", "parcel", "covariance"),
        default="cls",
        help="how features are made of tokens (default: cls)",
    )
    embed.add_argument(
        "--batch", type=count, default=64, metavar="N", help="recordings at a time (default: 64)"
    )
    embed.add_argument("--device", default="auto", help="device of torch (default: auto)")
    embed.add_argument("--force", action="store_true", help="embed whatever the doctor says")


def _run(options):
    """Examine, embed and write, together with other processes if there are any."""
    output = check_table(options.output)
    from sklearn_brainlm.distributed import process_group

    with process_group(options.device):
        return _embed(options, output)


def _embed(options, output):
    """Examine, embed and write."""
    opened = open_recordings(
        options.input, atlas=options.atlas, max_recordings=options.max_recordings
    )
    from sklearn_brainlm.transformer import BrainLMTransformer

    model = BrainLMTransformer(
        weights=options.weights,
        parcel_coords=opened.parcel_coords,
        pooling=options.pooling,
        device=options.device,
        max_epochs=0,
    )
    donor = model._donor()
    diagnosis = examine(opened, donor, options.t_r)
    say(str(diagnosis))
    if not diagnosis.ok and not options.force:
        say("Nothing was embedded. Mend the recordings, or pass --force.")
        return 1
    X, t_r = opened.at_one_t_r(options.t_r, donor.contract_.t_r)
    model.set_params(t_r=t_r).fit(X)  # learns what the weights leave open, of all recordings
    columns = _write(output, model, X, opened, options.batch)
    if not is_first_process():
        return 0
    from sklearn_brainlm.files.checked import file_sha256

    weights = describe_weights(options.weights, model)
    about = {
        "weights": {**weights, "sha256": donor.weights_sha256_},
        "doctor": [vars(finding) for finding in diagnosis.findings],
        "output": {
            "name": output.name,
            "sha256": file_sha256(output),
            "n_rows": len(opened),
            "n_features": len(columns),
        },
    }
    write_sidecar(sidecar_of(output), describe_run(options, opened, **about))  # vouches: last
    print(f"{len(opened)} recordings, {len(columns)} features: {output}")
    return 0


def _write(output, model, X, opened, batch):
    """Write the table, block by block of recordings; return the names of features.

    Each process embeds one block at a time, and the first one writes all of them, in the order of
    the recordings. Blocks are those of a single process, and so are the features, to the last bit.
    """
    import numpy as np
    import pandas as pd
    from tqdm import tqdm

    from sklearn_brainlm._exchanges import gather_parts
    from sklearn_brainlm.distributed import n_processes, process_rank

    columns = model.get_feature_names_out()
    names = opened.participants[["recording", "participant_id"]]
    blocks = [np.arange(begin, min(begin + batch, len(X))) for begin in range(0, len(X), batch)]
    n, rank = n_processes(), process_rank()
    # No bar where nobody is there to see it.
    hidden = None if rank == 0 else True
    with (
        open_table(output) if rank == 0 else nullcontext() as write,
        tqdm(total=len(X), unit="recording", disable=hidden) as bar,
    ):
        for first in range(0, len(blocks), n):
            made = blocks[first : first + n]
            features = np.empty((0, len(columns)), dtype=np.float32)
            if rank < len(made):
                rows = made[rank]
                part = [X[index] for index in rows] if isinstance(X, list) else X[rows]
                features = model.transform(part)
            for rows, each in zip(made, gather_parts(features, batch) or [], strict=False):
                table = pd.DataFrame(each[: len(rows)], columns=columns)
                write(pd.concat([names.iloc[rows].reset_index(drop=True), table], axis=1))
                bar.update(len(rows))
    return columns
