"""The error family: built-in bases and pickling. Who raises what is tested where it is raised."""

import pickle

import pytest

from sklearn_brainlm import exceptions

BUILT_IN = {
    "AtlasMismatchError": ValueError,
    "CheckpointError": OSError,
    "InvalidRecordingError": ValueError,
    "InvalidRecordingTypeError": TypeError,
    "OutOfMemoryError": MemoryError,
    "StoreCorruptionError": OSError,
    "TrainingDivergedError": RuntimeError,
    "UntrustedFileError": ValueError,
}


def test_every_error_is_listed_here():
    errors = {
        name
        for name in exceptions.__all__
        if issubclass(getattr(exceptions, name), exceptions.BrainLMError)
    }
    assert errors - {"BrainLMError"} == set(BUILT_IN)


@pytest.mark.parametrize("name", BUILT_IN)
def test_error_is_of_the_family_and_built_in(name):
    error = getattr(exceptions, name)
    assert issubclass(error, exceptions.BrainLMError)
    assert issubclass(error, BUILT_IN[name])


@pytest.mark.parametrize("name", [*BUILT_IN, "BrainLMError", "DataQualityWarning"])
def test_message_survives_pickling(name):
    error = getattr(exceptions, name)("recording 3: what was found, what to do")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert again.args == error.args
    assert str(again) == "recording 3: what was found, what to do"


def test_data_quality_warning_is_a_user_warning():
    assert issubclass(exceptions.DataQualityWarning, UserWarning)
