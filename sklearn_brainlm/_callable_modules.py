"""Modules that are called like the one function they are for."""

import sys
import types

__all__ = ["make_callable"]


def make_callable(name, function):
    """Let a module be called in the place of its function, which has the same name.

    Once the module is imported, ``sklearn_brainlm.<name>`` is the module and no longer the
    function that was asked for. Its docstring is then the function's too, for ``help``.

    Parameters
    ----------
    name : str
        ``__name__`` of the module.
    function : callable
        What a call of the module calls.
    """
    kind = type("CallableModule", (types.ModuleType,), {"__call__": staticmethod(function)})
    sys.modules[name].__class__ = kind
    sys.modules[name].__doc__ = function.__doc__
