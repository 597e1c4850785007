"""Print constraints that hold every requirement of pyproject.toml at its oldest supported version.

    python .ci/oldest_versions.py > oldest.txt
    python -m pip install -c oldest.txt -e ".[test]"

torch is held at the version of constraints.txt: of the others, no build without CUDA may be at
hand.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = ("baselines", "plotting", "test")
AS_PINNED = {"torch"}
# Newer ones warn of what the oldest versions above still call.
OF_THEIR_TIME = ("pyparsing==3.1.0",)


def oldest(requirement):
    """Turn NAME>=VERSION,... into NAME==VERSION."""
    name, version = re.match(r"([\w.-]+)(?:\[[^]]*\])?>=([\w.]+)", requirement).groups()
    return name, version


def main():
    """Print one line a requirement."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    requirements = [*project["dependencies"], *(r for extra in EXTRAS for r in extras[extra])]
    requirements = [r for r in requirements if not r.startswith("sklearn-brainlm")]
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line and not line.startswith("#")
    )
    for name, version in map(oldest, requirements):
        print(f"{name}=={pins[name] if name in AS_PINNED else version}")
    print(*OF_THEIR_TIME, sep="\n")


if __name__ == "__main__":
    main()
