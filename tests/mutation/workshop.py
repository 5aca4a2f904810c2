"""One module's mutants, made and tried by mutmut in a directory of their own; the working tree is never touched.

mutmut mutates what stands in functions. Tables, defaults of fields and decorated methods (properties) it leaves alone:
tests of these walk the table whole.
"""

from __future__ import annotations

import ast
import difflib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from tests.mutation.measured import Measured

ROOT: Final = Path(__file__).resolve().parents[2]
LINKED: Final = ("actors", "supervision", "tests", "docs", "config.toml")
FAILED: Final = frozenset({1, 3})
OUT_OF_TIME: Final = frozenset({24, -24, 36, 152, 255})
"""mutmut's exit codes of a mutant that a test failed on, and of one that made the tests run for ever."""

NOT_TRIED: Final = (None, 2)
TOO_LONG_S: Final = 3600.0
SECTION: Final = """
[tool.mutmut]
source_paths = ["actors", "supervision"]
only_mutate = [{module!r}]
also_copy = ["docs", "config.toml"]
pytest_add_cli_args = ["-p", "no:cacheprovider", "--hypothesis-profile=mutation", "--hypothesis-seed={seed}"]
pytest_add_cli_args_test_selection = {tests!r}
use_git_change_detection = false
timeout_constant = 15.0
timeout_multiplier = 4.0
"""

ANEW: Final = """process_isolation = "forkserver"
forkserver_warmup = "none"
"""

LIST: Final = """
import sys
from pathlib import Path
from mutmut.mutation.file_mutation import mutate_file_contents
print(*mutate_file_contents(sys.argv[1], Path(sys.argv[1]).read_text("utf-8")).mutant_names, sep="\\n")
"""


class MutationError(Exception):
    """mutmut ended with an error, or left mutants untried; the text is the end of what it said."""


@attrs.frozen
class Mutant:
    """One change of one function, and whether a test failed on it."""

    name: str
    function: str
    removed: str
    added: str
    is_killed: bool
    is_out_of_time: bool = False


@attrs.frozen
class Workshop:
    """A directory in which one module is mutated and tried against its tests."""

    place: Path
    module: str
    measured: Measured
    seed: int = 1
    imports_anew: bool = False

    def furnish(self) -> None:
        """Link the sources, and write mutmut's configuration beside them."""
        self.place.mkdir(parents=True, exist_ok=True)
        for name in LINKED:
            (self.place / name).symlink_to(ROOT / name)
        section = SECTION.format(
            module=self.module, tests=list(self.measured.tests), seed=self.seed
        )
        section += ANEW if self.imports_anew else ""
        ours = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        (self.place / "pyproject.toml").write_text(ours + section, encoding="utf-8")

    def names(self) -> list[str]:
        """Name all mutants of the module, without trying them."""
        listed = self._run(sys.executable, "-c", LIST, self.module).split()
        dotted = self.module.removesuffix(".py").replace("/", ".")
        return [f"{dotted}.{name}" for name in listed]

    def try_all(self, names: Sequence[str] = ()) -> list[Mutant]:
        """Try these mutants, all without a name; those of functions that importing calls, with a new import each."""
        tried = self.try_mutants(names)
        again = [
            mutant.name
            for mutant in tried
            if mutant.function in self.measured.at_import and not mutant.is_killed
        ]
        if not again:
            return tried
        anew = attrs.evolve(self, place=self.place / "anew", imports_anew=True)
        anew.furnish()
        return [mutant for mutant in tried if mutant.name not in again] + anew.try_mutants(again)

    def try_mutants(self, names: Sequence[str] = ()) -> list[Mutant]:
        """Try these mutants, all without a name; raises `MutationError` where the tests fail without a mutation."""
        mutmut = Path(sys.executable).with_name("mutmut")
        # Named, so that the tests are run once by their ids: an id that is not found again looks like a kill.
        said = self._run(str(mutmut), "run", "--max-children", "2", *(names or ("*",)))
        wanted = frozenset(names)
        tried = [mutant for mutant in self._results() if not wanted or mutant.name in wanted]
        if not tried:
            raise MutationError(f"{self.module}: nothing was tried:\n{said[-2000:]}")
        return tried

    def _run(self, *command: str) -> str:
        """Run a command in the directory, where our working tree is not on the path."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            command,
            cwd=self.place,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TOO_LONG_S,
            check=False,
        )
        said = done.stdout.decode("utf-8", "replace")
        if done.returncode:
            raise MutationError(f"{self.module}: {' '.join(command[:2])}:\n{said[-4000:]}")
        return said

    def _results(self) -> Iterator[Mutant]:
        mutated = self.place / "mutants" / self.module
        codes = json.loads(mutated.with_name(f"{mutated.name}.meta").read_text(encoding="utf-8"))
        sources = _functions(mutated.read_text(encoding="utf-8"))
        for name, code in codes["exit_code_by_key"].items():
            if code in NOT_TRIED:
                continue
            plain = name.rpartition(".")[2]
            stem = plain.rpartition("__mutmut_")[0]
            removed, added = _difference(sources[f"{stem}__mutmut_orig"], sources[plain])
            function = stem.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
            is_late = code in OUT_OF_TIME
            yield Mutant(name, function, removed, added, code in FAILED or is_late, is_late)


def _functions(source: str) -> Mapping[str, list[str]]:
    """Find the lines of every function, those within classes included, by their names."""
    lines = source.splitlines()
    return {
        node.name: "\n".join(lines[node.lineno - 1 : node.end_lineno])
        .replace(node.name, "f")
        .split("\n")
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def _difference(before: list[str], after: list[str]) -> tuple[str, str]:
    """Tell what a mutant takes out and what it puts in, as texts of one line."""
    compared = [line for line in difflib.ndiff(before, after) if line[0] in "-+"]
    return (
        " ".join(line[1:].strip() for line in compared if line[0] == "-"),
        " ".join(line[1:].strip() for line in compared if line[0] == "+"),
    )
