"""Make requirements.lock from pyproject.toml: one file of exact versions for `make book`, `make test` and CI.

Run by `make lock`. What torch pins by itself for one platform (CUDA libraries, triton) is left out, so that
the lock serves machines without them as well.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PINS = [
    "torch==2.14.1",
    "torchvision==0.29.1",
]  # raise these by hand: they decide what the records were made with
TORCH_OWN = re.compile(r"^(nvidia-|cuda-|triton)")


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        env = Path(folder) / "env"
        subprocess.run([sys.executable, "-m", "venv", env], check=True)
        pip = [env / "bin" / "python", "-m", "pip"]
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        wanted = [
            *project["dependencies"],
            *(one for extra, many in project["optional-dependencies"].items() if extra != "cluster" for one in many),
        ]
        subprocess.run([*pip, "install", "--quiet", "--dry-run", "--ignore-installed", "--report", f"{folder}/report.json",
                        *PINS, *wanted], check=True)  # fmt: skip
        report = json.loads(Path(folder, "report.json").read_text(encoding="utf-8"))
    found = sorted(
        f"{item['metadata']['name'].lower().replace('_', '-')}=={item['metadata']['version']}"
        for item in report["install"]
    )
    lines = [pin for pin in found if not TORCH_OWN.match(pin)]
    head = "# Made by `make lock` from pyproject.toml; the CUDA libraries that torch pins itself are left out.\n"
    (ROOT / "requirements.lock").write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"requirements.lock: {len(lines)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
