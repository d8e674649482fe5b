"""Who imports whom, as docs/architecture.md says: down the levels, never up, and no circle."""

import ast
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
CORE = REPOSITORY / "hairmask_core"
# The parts of hairmask_core from the top; those of one level know nothing of each other.
LEVELS = [
    {"cli"},
    {"server", "evaluation"},
    {"pipeline"},
    {"segmentation", "matting", "hair", "color"},
    {"inference", "photo"},
    {"options", "errors", "checks"},
]
LEVEL_OF = {part: level for level, parts in enumerate(LEVELS) for part in parts}
# What may be read with any Python, also one without numpy: by GIMP's, and by the installer's.
STANDARD_LIBRARY_ONLY = [
    CORE / "options.py",
    CORE / "checks.py",
    *sorted((REPOSITORY / "installer").glob("*.py")),
    *sorted((REPOSITORY / "gimp_plugin/hair_recolor").glob("*.py")),
]


def imported_modules(path):
    """Absolute names of all modules that a file imports, wherever in it that happens."""
    package = [path.relative_to(REPOSITORY).parts[i] for i in range(len(path.relative_to(REPOSITORY).parts) - 1)]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def part_of(name):
    """The part of hairmask_core that a module belongs to, or None."""
    words = name.split(".")
    return words[1] if words[0] == "hairmask_core" and len(words) > 1 and words[1] in LEVEL_OF else None


@pytest.mark.parametrize("part", sorted(LEVEL_OF))
def test_imports_go_down(part):
    files = [CORE / f"{part}.py"] if (CORE / f"{part}.py").exists() else sorted((CORE / part).glob("*.py"))
    assert files
    for path in files:
        used = {part_of(name) for name in imported_modules(path)} - {None, part}
        upwards = {other for other in used if LEVEL_OF[other] <= LEVEL_OF[part]}
        assert not upwards, f"{path.relative_to(REPOSITORY)} imports {upwards}"


@pytest.mark.parametrize("path", STANDARD_LIBRARY_ONLY, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_plug_in_and_installer_need_the_standard_library_only(path):
    beside = {other.stem for other in path.parent.glob("*.py")} | {"gi", "options", "hairmask_core", "installer"}
    for name in imported_modules(path):
        first = name.split(".")[0]
        assert first in beside or first in sys.stdlib_module_names, name
        if first == "hairmask_core" and len(name.split(".")) > 1:
            assert name.split(".")[1] in ("options", "checks", "__version__"), name
