"""The tests on every Python from 3.11 on that is found here: ``python -m tests.pythons [VERSION ...] [--pytest ...]``.

An interpreter counts that answers as ``python3.12`` on the path, or lies in pyenv's folder of versions. Each gets an
environment of its own, ``.venv-py3.12``, with what the lock file names.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
VERSIONS: Final = ("3.11", "3.12", "3.13", "3.14", "3.15")
LOCK: Final = "tests/requirements.lock"
QUIET: Final = ("--quiet", "--disable-pip-version-check")


def found(version: str) -> str | None:
    """Find the interpreter of a version; None where there is none that runs."""
    return next((each for each in _candidates(version) if _answers(each, version)), None)


def _candidates(version: str) -> Iterator[str]:
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield on_path
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from map(str, sorted(root.glob(f"versions/{version}.*/bin/python"), reverse=True))


def _answers(interpreter: str, version: str) -> bool:
    asked = subprocess.run(
        [interpreter, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() == version


def environment(version: str, interpreter: str) -> Path:
    """Make the environment of a version, with everything that the tests need; gives its interpreter."""
    folder = ROOT / f".venv-py{version}"
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        subprocess.run([interpreter, "-m", "venv", str(folder)], check=True)
    install = [str(python), "-m", "pip", "install", *QUIET]
    subprocess.run([*install, "-r", LOCK], cwd=ROOT, check=True)
    local = ("--no-deps", "--no-build-isolation", "--editable", ".")
    subprocess.run([*install, *local], cwd=ROOT, check=True)
    return python


def main() -> int:
    """Run the tests on each; returns 0 when they pass on every one that was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.pythons", description=__doc__)
    parser.add_argument("versions", nargs="*", default=VERSIONS)
    parser.add_argument("--pytest", nargs=argparse.REMAINDER, default=["--numprocesses", "3"])
    chosen = parser.parse_args()
    failed = False
    for version in chosen.versions:
        interpreter = found(version)
        if interpreter is None:
            print(f"Python {version}: not found here", flush=True)
            continue
        python = environment(version, interpreter)
        command = [str(python), "-m", "pytest", "-q", "--dist", "loadscope", *chosen.pytest]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        print(f"Python {version}: {'passed' if code == 0 else 'FAILED'}", flush=True)
        failed |= code != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
