"""``pretrain``: weights from recordings, and how well they fill in people they have not seen."""

from sklearn_brainlm.commands.config import add_config
from sklearn_brainlm.commands.inputs import add_input, open_recordings
from sklearn_brainlm.commands.outputs import check_folder, replaced_folder
from sklearn_brainlm.commands.parameters import add_parameters, chosen_parameters
from sklearn_brainlm.commands.progress import is_first_process, printing_on_stderr, say
from sklearn_brainlm.commands.provenance import describe_run, describe_weights, write_sidecar
from sklearn_brainlm.presets import PRESETS

__all__ = ["add_pretrain"]

# A run that is to be resumed, or repeated, needs a seed; who runs a command wants to see it run.
_DEFAULTS = {"random_state": 0, "verbose": 1}
_MASK_RATIOS = (0.2, 0.75, 0.9)
_MAX_TESTED = 20  # recordings: enough for two digits of R2
_MAX_FITTED = 200  # recordings for the closed form, which needs few


def add_pretrain(commands):
    """Add the command and its options.

    Parameters
    ----------
    commands : action of argparse
        The commands there are.
    """
    pretrain = commands.add_parser(
        "pretrain",
        help="learn weights from recordings",
        description=(
            "Pretrain BrainLM on recordings and write its weights into a folder, with "
            "provenance.json. A part of the people is kept away from training, to say how well "
            "what is masked of them is filled in, beside methods in closed form. Several "
            "processes train together when started by torchrun --nproc_per_node N -m "
            "sklearn_brainlm.cli pretrain ...: on as many GPUs, if there are any."
        ),
    )
    pretrain.set_defaults(run=_run)
    add_input(pretrain)
    pretrain.add_argument("output", metavar="OUTPUT", help="folder for the weights")
    add_config(pretrain)
    pretrain.add_argument(
        "--preset", choices=list(PRESETS), help="size of the article; other options win over it"
    )
    pretrain.add_argument(
        "--groups",
        default="participant_id",
        metavar="COLUMN",
        help="who a recording is of: nobody is on both sides (default: participant_id)",
    )
    pretrain.add_argument(
        "--test-fraction",
        type=_fraction,
        default=0.1,
        metavar="X",
        help="part of the recordings kept away from training for the score (default: 0.1)",
    )
    pretrain.add_argument("--overwrite", action="store_true", help="replace weights at OUTPUT")
    add_parameters(pretrain, _DEFAULTS)


def _run(options):
    """Pretrain, write the weights, and print their score."""
    output = check_folder(options.output, overwrite=options.overwrite)
    opened = open_recordings(
        options.input, atlas=options.atlas, max_recordings=options.max_recordings
    )
    groups = opened.column(options.groups).astype(str).to_numpy()
    X, t_r = opened.at_one_t_r(options.t_r)
    from sklearn_brainlm.distributed import n_processes, process_group
    from sklearn_brainlm.splits import split_people
    from sklearn_brainlm.transformer import BrainLMTransformer

    parameters = {**PRESETS.get(options.preset, {}), **_DEFAULTS, **chosen_parameters(options)}
    model = BrainLMTransformer(**parameters, parcel_coords=opened.parcel_coords, t_r=t_r)
    train, test = split_people(groups, options.test_fraction, parameters["random_state"] or 0)
    say(
        f"{len(train)} recordings of {len(set(groups[train]))} people to train on, {len(test)} of "
        f"{len(set(groups[test]))} kept for the score."
    )
    with printing_on_stderr(), process_group(model.device):
        n_together = n_processes()
        if n_together > 1:
            say(f"{n_together} processes train together.")
        model.fit(_take(X, train), groups=groups[train])
    if not is_first_process():
        return
    from sklearn_brainlm.files.checked import read_json

    scores = _score(model, _take(X, train), _take(X, test))
    about = {
        "parameters": parameters,
        "processes": n_together,
        "test_recordings": [opened.ids[index] for index in test],
        "masked_r2": scores,
        "history": model.history_,
        "weights": describe_weights(output, model),
    }
    # Weights are for others: those who train them further have checkpoints elsewhere.
    model.set_params(checkpoint_dir=None, resume=False)
    with replaced_folder(output) as folder:
        model.save_pretrained(folder)
        about["weights"]["sha256"] = read_json(folder / "config.json")["sha256"]
        write_sidecar(folder / "provenance.json", describe_run(options, opened, **about))
    _print_scores(scores, min(len(test), _MAX_TESTED))
    print(f"Weights of {model.n_parameters_:,} parameters: {output}")


def _score(model, train, test):
    """Return R2 of what was masked of people kept away, a row a method and a column a ratio."""
    import numpy as np

    from sklearn_brainlm.gaussian import GaussianReconstructor
    from sklearn_brainlm.metrics import masked_r2

    if not len(test) or model._resamples():
        return {}
    test = _spread(test, _MAX_TESTED)
    methods = {}
    if model._setting("parcels_per_patch") == 1:  # what is in closed form masks single parcels
        names = ("window_length", "patch_length")
        windows = {name: model._setting(name) for name in names} | {"masking": model.masking}
        fitted = _spread(train, _MAX_FITTED)
        plain = GaussianReconstructor(**windows, temporal=False, adaptive=False)
        methods["Gaussian"] = plain.fit(fitted)
        methods["Adaptive space-time Gaussian"] = GaussianReconstructor(**windows).fit(fitted)
    scores = {"Mean": [], **{name: [] for name in methods}, "BrainLM": []}
    for ratio in _MASK_RATIOS:
        for name, reconstructor in {**methods, "BrainLM": model}.items():
            made = reconstructor.reconstruct(test, mask_ratio=ratio)  # with the same masks
            true, predicted, masked = (
                [one[key] for one in made] for key in ("true", "predicted", "masked")
            )
            scores[name].append(float(masked_r2(true, predicted, masked)))
        nothing = [np.zeros_like(values) for values in true]  # the mean of training, once scaled
        scores["Mean"].append(float(masked_r2(true, nothing, masked)))
    return {"mask_ratio": list(_MASK_RATIOS), **scores}


def _print_scores(scores, n_tested):
    """Print the score beside those of the closed form."""
    if not scores:
        return
    print(f"{'R2 of what was masked':<30}" + "".join(f"{r:>8.0%}" for r in scores["mask_ratio"]))
    for name, row in scores.items():
        if name != "mask_ratio":
            print(f"{name:<30}" + "".join(f"{r2:>8.3f}" for r2 in row))
    print(f"{n_tested} recordings kept away from training. 0: their mean; 1: exact.")


def _take(X, positions):
    """Return some of the recordings."""
    return [X[index] for index in positions] if isinstance(X, list) else X[positions]


def _spread(X, n):
    """Return at most `n` recordings, spread evenly."""
    import numpy as np

    kept = np.linspace(0, len(X) - 1, min(n, len(X))).round().astype(int)
    return [X[index] for index in kept]


def _fraction(text):
    """Read a part of a whole."""
    import argparse

    number = float(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 0 and below 1, got {text}")
    return number
