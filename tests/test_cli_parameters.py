"""Options say what the estimators take, are asked for in no time, and come from files as well.

What commands do with them is in the test files of the commands.
"""

import inspect
import json
import resource
import subprocess
import sys
from numbers import Integral, Real

import pytest
from sklearn.utils._param_validation import Interval, Options, make_constraint

from sklearn_brainlm import BrainLMTransformer
from sklearn_brainlm.cli import _build_parser
from sklearn_brainlm.commands.config import insert_config
from sklearn_brainlm.commands.methods import METHODS, build_method
from sklearn_brainlm.commands.parameters import NOT_OPTIONS, PARAMETERS, chosen_parameters

HEAVY = {"joblib", "nilearn", "numpy", "pandas", "scipy", "skorch", "sklearn", "torch"}
HELP = [
    [],
    ["pretrain"],
    ["embed"],
    ["predict"],
    ["compare"],
    ["doctor"],
    ["store"],
    ["store", "verify"],
    ["weights", "list"],
]
LIMIT_S = 0.5
BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}
SIGNATURE = inspect.signature(BrainLMTransformer).parameters


def read(*words):
    """Return what the command line is understood as."""
    parser, commands = _build_parser()
    return parser.parse_args(insert_config(list(words), commands))


@pytest.mark.parametrize("command", HELP, ids=" ".join)
def test_help_loads_nothing_heavy_and_is_there_at_once(command):
    seconds = []
    for _ in range(3):  # the best of three, in CPU-seconds: what else runs is not its doing
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "sklearn_brainlm.cli", *command, "--help"],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if seconds[-1] < LIMIT_S:
            break
    assert run.stdout.startswith("usage: sklearn-brainlm")
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in run.stderr.splitlines()}
    assert "argparse" in loaded  # the table was read
    assert loaded.isdisjoint(HEAVY), sorted(loaded & HEAVY)
    assert min(seconds) < LIMIT_S


def test_every_parameter_of_the_transformer_has_an_option():
    assert set(BY_NAME) == set(SIGNATURE) - NOT_OPTIONS


@pytest.mark.parametrize("name", sorted(set(BY_NAME) & set(SIGNATURE)))
def test_options_agree_with_the_constructor(name):
    parameter, default = BY_NAME[name], SIGNATURE[name].default
    assert parameter.default == default
    words, kinds = set(), set()
    for constraint in map(make_constraint, BrainLMTransformer._parameter_constraints[name]):
        if isinstance(constraint, Interval):
            kinds.add({Integral: "int", Real: "float"}[constraint.type])
        elif isinstance(constraint, Options):
            words |= set(constraint.options)
        elif constraint.is_satisfied_by(None):
            words.add("none")
    expected = {"int": {"int"}, "float": {"float"}, "floats": {"float"}, "word": set()}
    if parameter.kind in expected and name not in ("random_state", "verbose"):
        assert kinds == expected[parameter.kind]
        assert set(parameter.words) == words


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--lr", "1e-3"], {"lr": 1e-3}),
        (["--mask-ratio", "0.5"], {"mask_ratio": 0.5}),
        (["--mask-ratio", "0.5,0.9"], {"mask_ratio": [0.5, 0.9]}),
        (["--prior", "none"], {"prior": None}),
        (["--micro-batch-size", "auto"], {"micro_batch_size": "auto"}),
        (["--micro-batch-size", "8"], {"micro_batch_size": 8}),
        (["--gradient-checkpointing"], {"gradient_checkpointing": True}),
        (["--no-gradient-checkpointing"], {"gradient_checkpointing": False}),
        (["--net-params", '{"optimizer__betas": [0.9, 0.95]}'],
         {"net_params": {"optimizer__betas": [0.9, 0.95]}}),
        ([], {}),
    ],
)  # fmt: skip
def test_options_become_parameters(words, expected):
    chosen = chosen_parameters(read("pretrain", "here", "there", *words))
    assert chosen == expected
    BrainLMTransformer(**chosen, max_epochs=1)._validate_params()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lr", "fast"], "'fast' is not right: expected a number"),
        (["--depth", "1.5"], "expected a whole number"),
        (["--norm", "both"], "one of pre, post"),
        (["--patience", "never"], "expected a whole number, or none"),
        (["--max-epoch", "3"], "unrecognized arguments: --max-epoch 3"),
        (["--test-fraction", "1"], "must be at least 0 and below 1"),
    ],
)
def test_wrong_options_exit_with_two(words, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        read("pretrain", "here", "there", *words)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_options_of_a_file_lose_to_those_of_the_command_line(tmp_path):
    options = {
        "lr": 1e-3,
        "mask_ratio": [0.5, 0.9],
        "patience": None,
        "gradient_checkpointing": True,
        "net_params": {"optimizer__betas": [0.9, 0.95]},
        "preset": "13M",
        "overwrite": True,
    }
    file = tmp_path / "options.json"
    file.write_text(json.dumps(options))
    found = read("pretrain", "here", "there", "--config", str(file), "--lr", "2e-3")
    assert found.lr == 2e-3
    assert {name: getattr(found, name) for name in options if name != "lr"} == {
        name: value for name, value in options.items() if name != "lr"
    }


def test_options_that_are_required_may_be_in_a_file(tmp_path):
    file = tmp_path / "options.toml"
    file.write_text('target = "age"\noutput = "out.tsv"\ncross_validate = 3\n')
    found = read("predict", "here", "--config", str(file))
    assert (found.target, found.output, found.cross_validate) == ("age", "out.tsv", 3)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '{"max_epoch": 3}', "no option 'max_epoch'; the nearest is 'max_epochs'"),
        ("a.json", '{"max_epochs": "many"}', "'many' is not right"),
        ("a.json", '{"overwrite": false}', None),
        ("a.json", '{"overwrite": 1}', "'overwrite' is true or false, got 1"),
        ("a.json", "[1]", "holds a list"),
        ("a.json", "{", "is not JSON"),
        ("a.toml", "lr = ", "is not TOML"),
        ("a.yaml", "lr: 1", "neither .json nor .toml"),
        (None, "", "No such file"),
    ],
)
def test_files_of_options_that_are_wrong_exit_with_two(tmp_path, name, text, message, capsys):
    file = tmp_path / (name or "missing.json")
    if name:
        file.write_text(text)
    words = ("pretrain", "here", "there", "--config", str(file))
    if message is None:
        assert read(*words).overwrite is False
        return
    with pytest.raises(SystemExit) as stopped:
        read(*words)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("name", METHODS)
def test_methods_can_be_built(name, task):
    options = read("compare", "here", "--target", "age", "--weights", "somewhere")
    options_without = read("compare", "here", "--target", "age")
    opened = type("Opened", (), {"parcel_coords": None})
    assert hasattr(build_method(name, task, options, opened, 2.0), "fit")
    if name == "brainlm-frozen":
        with pytest.raises(ValueError, match="pass --weights"):
            build_method(name, task, options_without, opened, 2.0)
