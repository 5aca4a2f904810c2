"""The house stands as docs/architecture.md draws it; what import-linter cannot say is walked here."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from tests.docs.drawings import ROOT

KERNEL: Final = frozenset({"SupervisedActor", "LoopActor", "Part"})
"""What an actor or a part of it stands on; a tower is counted from there."""

MAX_LEVELS: Final = 2
MAX_TOWER_LINES: Final = 450
MAX_FILES_IN_ACTORS: Final = 8


def name_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


@cache
def modules() -> Mapping[str, tuple[Path, ast.Module]]:
    return {
        name_of(path): (path, ast.parse(path.read_text(encoding="utf-8")))
        for top in ("actors", "supervision")
        for path in sorted((ROOT / top).rglob("*.py"))
    }


def imported(name: str, path: Path, node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
            kept = package[: len(package) - node.level + 1]
            base = ".".join([*kept, *([node.module] if node.module else [])])
        for alias in node.names:
            yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules() else base


@cache
def imports() -> Mapping[str, frozenset[str]]:
    """Every import between files, those for the type checker only and those within functions included."""
    return {
        name: frozenset(
            target
            for node in ast.walk(tree)
            for target in imported(name, path, node)
            if target in modules() and target != name
        )
        for name, (path, tree) in modules().items()
    }


def circles() -> list[set[str]]:
    """Find the groups of files that import one another, by Tarjan's algorithm."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in imports()[name]:
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            group = set(stack[stack.index(name) :])
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(group)

    for name in modules():
        if name not in index:
            visit(name)
    return found


def test_no_file_imports_itself_in_a_circle() -> None:
    assert circles() == []


@cache
def classes() -> Mapping[str, tuple[tuple[str, ...], int]]:
    """Name → names of its bases, number of its lines."""
    return {
        node.name: (
            tuple(
                base.id if isinstance(base, ast.Name) else getattr(base, "attr", "")
                for base in (
                    base.value if isinstance(base, ast.Subscript) else base for base in node.bases
                )
            ),
            (node.end_lineno or node.lineno) - node.lineno + 1,
        )
        for _, tree in modules().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }


def tower(name: str) -> tuple[str, ...]:
    """List a class and the classes of ours below it, down to the kernel's."""
    if name in KERNEL or name not in classes():
        return ()
    bases, _ = classes()[name]
    below = max((tower(base) for base in bases if base != name), key=len, default=())
    return (name, *below)


def towers() -> Iterator[tuple[str, ...]]:
    for name in classes():
        if not name.endswith("Error") and not name.startswith("Test"):
            yield tower(name)


def test_actors_and_parts_stand_at_most_two_levels_above_the_kernel() -> None:
    of_actors = {
        names
        for names in towers()
        if names and any(base in KERNEL for base in classes()[names[-1]][0])
    }

    high = {names for names in of_actors if len(names) > MAX_LEVELS}

    assert high == set()


def test_no_class_is_longer_than_its_bound_over_its_tower() -> None:
    long = {
        names[0]: lines
        for names in towers()
        if names
        if (lines := sum(classes()[name][1] for name in names)) > MAX_TOWER_LINES
    }

    assert long == {}


def test_few_files_lie_directly_among_the_actors() -> None:
    files = [path for path in (ROOT / "actors").glob("*.py") if path.name != "__init__.py"]

    assert len(files) <= MAX_FILES_IN_ACTORS


def test_no_table_maps_a_message_to_the_name_of_a_method() -> None:
    tables = [
        f"{name}:{node.lineno}"
        for name, (_, tree) in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        if any(
            isinstance(value, ast.Constant) and str(value.value).startswith("on_")
            for value in node.values
        )
    ]

    assert tables == []
