"""The parameters of BrainLMTransformer as options, known without importing it.

``tests/test_cli_parameters.py`` compares this table with the constructor.
"""

import argparse
import json
from dataclasses import dataclass

__all__ = ["NOT_OPTIONS", "PARAMETERS", "Parameter", "add_parameters", "chosen_parameters"]

# The first three are of the recordings; a command fits once; the options of the commands say it.
NOT_OPTIONS = {"n_parcels", "parcel_coords", "t_r", "warm_start"}


@dataclass(frozen=True)
class Parameter:
    """A parameter, and how it is read from a command line.

    Attributes
    ----------
    name : str
        As in the constructor.
    kind : {"int", "float", "floats", "word", "text", "switch", "json"}
        What its values are, besides `words`; "word" is nothing but those.
    default : object
        As in the constructor.
    help : str
        What it is.
    words : tuple of str, default=()
        Values that are words; "none" stands for None.

    Examples
    --------
    >>> Parameter("depth", "int", 1, "blocks of the encoder").read("4")
    4
    """

    name: str
    kind: str
    default: object
    help: str
    words: tuple = ()

    def read(self, text):
        """Return the value that a text stands for.

        Parameters
        ----------
        text : str
            What was typed.

        Returns
        -------
        value : object
            A value of the constructor.
        """
        if text in self.words:
            return None if text == "none" else text
        try:
            return _READERS[self.kind](text)
        except ValueError:
            words = "".join(f", or {word}" for word in self.words)
            expected = _EXPECTED[self.kind]
            found = f"expected {expected}{words}" if expected else f"one of {', '.join(self.words)}"
            raise argparse.ArgumentTypeError(f"{text!r} is not right: {found}") from None


def _refuse(text):
    """Take no value but the words."""
    raise ValueError(text)


def _read_floats(text):
    """Return one number, or several as a list."""
    numbers = [float(part) for part in text.split(",")]
    return numbers[0] if len(numbers) == 1 else numbers


_READERS = {
    "int": int,
    "float": float,
    "floats": _read_floats,
    "text": str,
    "word": _refuse,
    "json": json.loads,
}
_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "floats": "numbers with commas between them",
    "text": "text",
    "word": "",
    "json": "an object of JSON",
}

_NONE = ("none",)
PARAMETERS = (
    Parameter("weights", "text", None, "start from: a name, folder or hub id", _NONE),
    Parameter(
        "scaler", "word", "auto", "scaling of parcels",
        ("auto", "robust", "standard", "legacy", "none"),
    ),
    Parameter("clip", "float", None, "largest absolute value after scaling", _NONE),
    Parameter("short", "word", "pad", "what to do with short recordings", ("pad", "raise")),
    Parameter("window_length", "int", 200, "timepoints seen at a time"),
    Parameter("patch_length", "int", 20, "timepoints of a patch"),
    Parameter("parcels_per_patch", "int", 1, "parcels of a patch"),
    Parameter("window_stride", "int", None, "timepoints between windows embedded", _NONE),
    Parameter("embed_dim", "int", 64, "width of the encoder"),
    Parameter("depth", "int", 1, "blocks of the encoder"),
    Parameter("n_heads", "int", 4, "heads of the encoder"),
    Parameter("mlp_dim", "int", 128, "hidden units of a block of the encoder"),
    Parameter("attention", "word", "factorised", "what tokens see", ("full", "factorised")),
    Parameter("decoder", "word", "cross", "kind of decoder", ("full", "cross")),
    Parameter("decoder_embed_dim", "int", 64, "width of the decoder"),
    Parameter("decoder_depth", "int", 1, "blocks of the decoder"),
    Parameter("decoder_n_heads", "int", 4, "heads of the decoder"),
    Parameter("decoder_mlp_dim", "int", 128, "hidden units of a block of the decoder"),
    Parameter("decoded_fraction", "float", 1.0, "part of the masked tokens that is predicted"),
    Parameter("norm", "word", "pre", "where blocks normalise", ("pre", "post")),
    Parameter("token_conv", "int", None, "length of the filter over tokens", _NONE),
    Parameter("position", "word", "parcel", "what positions are of", ("parcel", "image")),
    Parameter(
        "parcel_embedding", "word", "both", "how parcels are embedded", ("xyz", "learned", "both")
    ),
    Parameter("xyz_scale", "float", 0.01, "factor of coordinates"),
    Parameter("head", "word", "mlp", "what makes patches of tokens", ("mlp", "linear")),
    Parameter("dropout", "float", 0.0, "dropout of embedded tokens"),
    Parameter("gradient_checkpointing", "switch", False, "less memory, more time"),
    Parameter(
        "prior", "word", "gaussian", "closed form to start from",
        ("gaussian", "coordinates", "none"),
    ),
    Parameter("mask_ratio", "floats", (0.2, 0.75, 0.9), "part of the tokens to mask"),
    Parameter(
        "masking", "word", "random", "what is masked",
        ("random", "future", "block", "parcel", "burst"),
    ),
    Parameter("max_epochs", "int", 15, "epochs"),
    Parameter("windows_per_recording", "int", 1, "windows of a recording in an epoch"),
    Parameter("batch_size", "int", 4, "windows of an optimizer step"),
    Parameter("micro_batch_size", "int", "auto", "windows on the device at a time", ("auto",)),
    Parameter("lr", "float", 1.5e-3, "largest learning rate"),
    Parameter("weight_decay", "float", 0.05, "weight decay of AdamW"),
    Parameter("warmup", "float", 0.05, "part of the steps over which the rate rises"),
    Parameter("grad_clip", "float", 1.0, "largest norm of the gradient", _NONE),
    Parameter("validation_fraction", "float", 0.1, "part of the recordings to validate on"),
    Parameter("patience", "int", None, "epochs without progress before it stops", _NONE),
    Parameter(
        "pooling", "word", "cls", "what features the weights make, unless told otherwise",
        ("cls", "mean", "parcel", "covariance"),
    ),
    Parameter("embed_mask_ratio", "float", 0.0, "part of the tokens hidden when embedding"),
    Parameter("device", "text", "auto", "device of torch"),
    Parameter("precision", "word", "auto", "what is computed in", ("auto", "fp32", "bf16")),
    Parameter("net_params", "json", None, "parameters of the skorch net, as JSON", _NONE),
    Parameter("random_state", "int", None, "seed of everything", _NONE),
    Parameter("verbose", "int", 0, "1 prints a line an epoch"),
    Parameter("checkpoint_dir", "text", None, "folder for checkpoints to go on from", _NONE),
    Parameter("resume", "switch", False, "go on from the last checkpoint"),
)  # fmt: skip


def add_parameters(parser, own_defaults, names=None):
    """Add an option for each parameter.

    Parameters
    ----------
    parser : ArgumentParser
        Parser of a command.
    own_defaults : dict
        Defaults of the command that are not those of the constructor.
    names : tuple of str, optional
        The parameters that the command has; all of them when None.
    """
    group = parser.add_argument_group("the model and its training")
    for parameter in PARAMETERS:
        if names is not None and parameter.name not in names:
            continue
        default = own_defaults.get(parameter.name, parameter.default)
        flag = f"--{parameter.name.replace('_', '-')}"
        shown = f"{parameter.help} (default: {_show(default)})"
        if parameter.kind == "switch":
            group.add_argument(
                flag,
                action=argparse.BooleanOptionalAction,
                default=argparse.SUPPRESS,
                help=shown,
            )
            continue
        metavar = {"int": "N", "float": "X", "floats": "X,X", "json": "JSON"}.get(parameter.kind)
        if parameter.kind == "word":
            metavar = "{" + ",".join(parameter.words) + "}"
        group.add_argument(
            flag,
            type=parameter.read,
            default=argparse.SUPPRESS,  # what was not said must not win over a preset
            metavar=metavar or parameter.name.upper(),
            help=shown,
        )


def chosen_parameters(options):
    """Return the parameters that were given.

    Parameters
    ----------
    options : Namespace
        What was parsed.

    Returns
    -------
    parameters : dict
        Those that were said, by name.
    """
    given = vars(options)
    names = (parameter.name for parameter in PARAMETERS)
    return {name: given[name] for name in names if name in given}


def _show(value):
    """Write a default as one would type it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else value
