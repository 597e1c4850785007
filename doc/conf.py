"""How the documentation is built: ``python -m sphinx -W -b html doc doc/_build/html``."""

import os

# Set before torch is imported: nothing of the build computes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from sklearn_brainlm import __version__

project = "sklearn_brainlm"
author = "sklearn_brainlm developers"
copyright = author
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
default_role = "literal"
language = "en-GB"

autosummary_generate = True
autodoc_typehints = "none"
# The template lists the members; numpydoc would list those of scikit-learn again.
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "pydata_sphinx_theme"
html_title = "sklearn_brainlm"
html_show_sourcelink = False
# Without a version switcher or analytics, no page asks the network for anything but mathematics.
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
}


def _skip_what_is_not_ours(app, what, name, obj, skip, options):
    """Leave out what scikit-learn and Python document, the request methods of routing included."""
    del app, what, options
    if name.startswith("set_") and name.endswith("_request"):
        return True
    owner = getattr(getattr(obj, "fget", obj), "__module__", None)
    if callable(obj) and isinstance(owner, str) and not owner.startswith("sklearn_brainlm"):
        return True
    return skip


def setup(app):
    """Connect what leaves members out."""
    app.connect("autodoc-skip-member", _skip_what_is_not_ours)
