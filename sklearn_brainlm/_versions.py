"""Versions of what made a file."""

from importlib.metadata import version

from sklearn_brainlm import __version__

__all__ = ["OF_STORES", "OF_WEIGHTS", "package_versions"]

OF_WEIGHTS = ("torch", "scikit-learn", "skorch", "numpy", "safetensors")
OF_STORES = ("numpy", "pandas")


def package_versions(packages=OF_WEIGHTS):
    """Name the versions of this package and of those that matter beside it.

    Parameters
    ----------
    packages : sequence of str, default=OF_WEIGHTS
        Other packages.

    Returns
    -------
    versions : dict of str to str
        Version by package.
    """
    return {"sklearn-brainlm": __version__, **{name: version(name) for name in packages}}
