"""Licences of what is installed with the package: listed in the documentation, and compatible."""

import re
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LISTED, PINS = ROOT / "doc" / "licences.rst", ROOT / "constraints.txt"
# Each may be used together with code under BSD-3-Clause. MPL binds changes of its own files only.
COMPATIBLE = (
    "0BSD", "Apache-2.0", "BSD", "BSL-1.0", "CC0-1.0", "HPND", "ISC", "MIT", "MIT-CMU", "MPL-2.0",
    "PSF", "Unlicense", "Zlib",
)  # fmt: skip
# As classifiers and free text of metadata say it, in the words of SPDX.
SPDX = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}


def installed_with_us():
    """Return the licence of each distribution that the package and its plots and baselines need."""
    waiting, licences = [("sklearn-brainlm", ("baselines", "plotting"))], {}
    while waiting:
        name, extras = waiting.pop()
        try:
            about = metadata.metadata(name)
        except metadata.PackageNotFoundError:
            continue  # of another platform
        if canonicalize_name(name) in licences and not extras:
            continue
        licences[canonicalize_name(name)] = licence(about)
        for requirement in map(Requirement, metadata.requires(name) or []):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in ("", *extras)):
                waiting.append((requirement.name, tuple(requirement.extras)))
    del licences["sklearn-brainlm"]
    return licences


def licence(about):
    """Say the licence of a distribution in the words of SPDX."""
    if about.get("License-Expression"):
        return about["License-Expression"]
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in about.get_all("Classifier") or []
        if line.startswith("License ::") and not line.endswith("OSI Approved")
    ]
    said = classifiers or [(about.get("License") or "").strip()]
    return " AND ".join(SPDX.get(one, one) for one in said)


def test_every_licence_may_stand_beside_ours():
    for name, expression in installed_with_us().items():
        parts = re.split(r" AND | OR |[()]", expression)
        for part in filter(None, map(str.strip, parts)):
            base = part.split(" WITH ")[0]
            assert base.startswith(COMPATIBLE), f"{name} is under {part!r}"


def test_the_documentation_lists_them():
    listed = dict(re.findall(r"^   \* - (\S+)\n     - (.+)$", LISTED.read_text(), re.MULTILINE))
    found = installed_with_us()
    assert set(found) <= set(listed), f"to be listed: {sorted(set(found) - set(listed))}"
    # What is said is that of the pinned versions: older ones word it otherwise.
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", PINS.read_text(), re.MULTILINE))
    pinned = {canonicalize_name(name): version for name, version in pinned.items()}
    current = {name for name in found if metadata.version(name) == pinned.get(name)}
    assert not {name: found[name] for name in current if listed[name] != found[name]}
