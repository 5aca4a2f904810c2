"""What is installed is complete: the wheel alone, beside the locked libraries, runs the main job (DEP-1)."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest

from tests.walk.commands import ENVIRONMENT, ROOT

PATIENCE_S: Final = 110.0


def run(*arguments: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(each) for each in arguments],
        cwd=cwd,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of what belongs into it, as the image does."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    for package in ("actors", "supervision"):
        for file in sorted((ROOT / package).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                target = source / file.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.read_bytes())
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    built = run(
        *(*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", source / "dist", source),
        cwd=source,
    )
    assert built.returncode == 0, built.stderr
    (found,) = (source / "dist").glob("*.whl")
    return found


@pytest.mark.req("DEP-1")
def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())

    ours = {
        file.relative_to(ROOT).as_posix()
        for package in ("actors", "supervision")
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert ours - packed == set()
    assert {"actors/py.typed", "supervision/py.typed"} <= packed
    assert [name for name in packed if name.startswith(("tests", "docs", "deploy"))] == []


@pytest.mark.req("DEP-1", "SUP-9")
def test_the_installed_wheel_runs_the_main_job_in_an_empty_directory(
    wheel: Path, tmp_path: Path
) -> None:
    """The libraries are those of this environment; nothing of this project is in sight but the wheel."""
    installed, empty = tmp_path / "installed", tmp_path / "empty"
    empty.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    libraries = os.pathsep.join(
        path for path in sys.path if path.endswith(("site-packages", "dist-packages"))
    )

    ended = run(
        *(sys.executable, "-S", "-m", "supervision", "run", "--cycles", "1"),
        cwd=empty,
        PYTHONPATH=os.pathsep.join((str(installed), libraries)),
    )
    where = run(
        *(sys.executable, "-S", "-c", "import supervision, actors; print(supervision.__file__)"),
        cwd=empty,
        PYTHONPATH=os.pathsep.join((str(installed), libraries)),
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "stopped in order" in ended.stdout
    assert where.stdout.strip().startswith(str(installed))
