"""The floor plan in the package's docstring holds: a module imports only from floors below its own."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import nasjac

PACKAGE = Path(nasjac.__file__).parent
FLOORS = {
    name: int(number)
    for number, names in re.findall(r"^    ([ \d]\d) {2}(.+)$", nasjac.__doc__ or "", re.MULTILINE)
    for name in names.split()
}


def part(module: str) -> str:
    """The entry of the plan that a module belongs to: nasjac.kinds.residual_mlp.network is part of networks."""
    return module.split(".")[1]


def imports(path: Path) -> set[str]:
    """The modules of the package that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module == "nasjac":
            found |= {f"nasjac.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: relative import"
    return {name for name in found if name.startswith("nasjac.")}


def modules() -> dict[Path, str]:
    paths = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]
    return {path: ".".join(("nasjac", *path.relative_to(PACKAGE).with_suffix("").parts)) for path in paths}


def test_every_module_has_a_floor_and_every_entry_a_module() -> None:
    assert {part(name) for name in modules().values()} == set(FLOORS)


def test_imports_go_down() -> None:
    for path, name in modules().items():
        for imported in imports(path):
            if part(imported) != part(name):
                assert FLOORS[part(imported)] < FLOORS[part(name)], f"{name} imports {imported}"


def test_only_the_command_line_knows_hydra() -> None:
    for path, name in modules().items():
        if part(name) != "cli":
            assert not re.search(r"^\s*(import|from) (hydra|omegaconf)\b", path.read_text(), re.MULTILINE), name


def test_what_measures_needs_torch_and_numpy_alone() -> None:
    allowed = {"torch", "numpy", "nasjac"}
    for path, name in modules().items():
        if part(name) in ("mathematics", "architecture", "sampling", "kinds", "scores"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                for imported in names:
                    top = imported.split(".")[0]
                    assert top in allowed or top in sys.stdlib_module_names, f"{name} imports {imported}"
