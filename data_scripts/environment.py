"""Whether the environment that runs this file is the book's: exit code 0, else 1 and the reason on one line.

Asked by every target of the Makefile, so it takes a fraction of a second: it reads what is installed and imports none of it.
"""

import re
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def complaint(root: Path = ROOT) -> str | None:
    """Why this environment cannot run the book in `root`; None where it can."""
    link = Path(sysconfig.get_paths()["purelib"]) / "imperfect_labels.pth"
    try:
        if Path(link.read_text(encoding="utf-8").strip()).resolve() != root.resolve():
            return "it was made for a book in another folder"
    except OSError:
        return "it was never finished"
    for name, version in re.findall(
        r"^([\w.-]+)==(\S+)$", (root / "requirements.lock").read_text(encoding="utf-8"), re.M
    ):
        try:
            if metadata.version(name).split("+")[0] != version.split("+")[0]:
                return f"{name} is {metadata.version(name)}, requirements.lock says {version}"
        except metadata.PackageNotFoundError:
            return f"{name} is not in it"
    return None


if __name__ == "__main__":
    why = complaint()
    if why:
        sys.exit(f"The environment {sys.prefix} does not serve: {why}.")
