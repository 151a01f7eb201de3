"""What a bare runtime lacks, without touching its torch."""

import subprocess
import sys
from importlib import metadata

import pytest

from shared import runtime


def test_missing_knows_absent_and_old():
    wanted = ["numpy", "numpy>=1.0", "numpy>=99.1", "surely-not-a-package", "surely-not-a-package>=2"]
    assert runtime.missing(wanted) == ["numpy>=99.1", "surely-not-a-package", "surely-not-a-package>=2"]


def test_install_holds_the_runtimes_own_packages_fixed(monkeypatch):
    calls = []

    def fake(command, **_):
        constraints = command[command.index("-c") + 1]
        calls.append((command, open(constraints).read()))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(runtime.subprocess, "run", fake)
    runtime.install(["numpy"])
    assert calls == []
    runtime.install(["numpy", "surely-not-a-package>=2"])
    (command, constraints) = calls[0]
    assert command[-1] == "surely-not-a-package>=2"
    assert constraints.split() == [
        f"{name}=={metadata.version(name)}" for name in ("torch", "torchvision", "numpy", "pandas")
    ]


def test_a_failed_install_is_one_sentence(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: no network\n")
    monkeypatch.setattr(runtime.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(RuntimeError, match="Could not install surely-not-a-package .*no network.*install them by hand"):
        runtime.install(["surely-not-a-package"])


def test_importing_shared_costs_nothing_beside_torch():
    code = "import sys, shared; assert not {'torch', 'numpy', 'matplotlib', 'yaml'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    heavy = "{'torchvision', 'sklearn', 'seaborn', 'pandas', 'transformers', 'scipy', 'matplotlib'}"
    modules = "shared.paper, shared.data, shared.train, shared.corrupt, shared.plots, shared.scales, shared.claims"
    code = f"import sys, torch, {modules}; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
