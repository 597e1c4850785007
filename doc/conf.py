"""How the documentation is built: ``python -m sphinx -W -b html doc doc/_build/html``."""

import os
import re

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
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
default_role = "literal"
language = "en-GB"

autosummary_generate = True
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
# The template lists the members; numpydoc would list those of scikit-learn again.
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# Every example is executed, and one that fails stops the build. `-D plot_gallery=0` shows them
# without what they print and draw, in seconds.
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "generated/gallery",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"(^|/)_",
    "copyfile_regex": r"_recordings\.py",
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("sklearn_brainlm",),
    "abort_on_example_error": True,
    # The archive of all notebooks would want one of _recordings.py.
    "download_all_examples": False,
    "show_memory": False,
    # They would differ in every build.
    "write_computation_times": False,
    "min_reported_time": 3600,
}

html_theme = "pydata_sphinx_theme"
html_title = "sklearn_brainlm"
html_show_sourcelink = False
html_sidebars = {"*": []}  # pages of the first level have no others beside them
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


def _read_markdown(app, relative_path, parent_docname, content):
    """Turn the headings and links of CHANGELOG.md and SECURITY.md into what Sphinx reads."""
    del app, parent_docname
    if relative_path.suffix == ".md":
        text = re.sub(r"^(##+) (.+)$", _underline, content[0], flags=re.MULTILINE)
        content[0] = re.sub(r"\[([^\]]+)\]\(([^)]+)\)", r"`\1 <\2>`__", text)


def _underline(heading):
    """Return a heading of Markdown as one of reStructuredText, without brackets."""
    title = re.sub(r"[\[\]]", "", heading[2])
    return f"{title}\n{'--~'[len(heading[1]) - 1] * len(title)}\n"


def setup(app):
    """Connect what leaves members out, and what reads the files beside the documentation."""
    app.connect("autodoc-skip-member", _skip_what_is_not_ours)
    app.connect("include-read", _read_markdown)
