"""Rooms and floors: which package may import which, as docs/architecture.md draws it."""

import ast
import pathlib
import re

import pytest

import fedrecjax

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("fedrecjax", "experiments")


def drawn_floors() -> list[list[str]]:
  """The floors of the picture in docs/architecture.md, from the ground up; each names its rooms."""
  page = (ROOT / "docs" / "architecture.md").read_text()
  picture = re.search(r"<!-- floors -->\n```text\n(.*?)```", page, re.DOTALL)
  assert picture is not None
  lines = [line.partition("  ")[0] for line in picture.group(1).splitlines() if re.match(r"[a-z]", line)]
  return [line.split(" ") for line in reversed(lines)]


FLOOR = {room: height for height, rooms in enumerate(drawn_floors()) for room in rooms}


def modules() -> dict[str, pathlib.Path]:
  """Every module by dotted name; a package's `__init__` has the package's name."""
  found = {}
  for package in PACKAGES:
    for file in (ROOT / package).rglob("*.py"):
      name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
      found[name.removesuffix(".__init__")] = file
  return found


MODULES = modules()


def imports_of(name: str) -> set[str]:
  """The project's modules that a module imports, also inside functions."""
  found = set()
  for node in ast.walk(ast.parse(MODULES[name].read_text())):
    if isinstance(node, ast.ImportFrom) and node.module is not None:
      names = [f"{node.module}.{alias.name}" for alias in node.names]
      found |= {name if name in MODULES else node.module for name in names}
    elif isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
  return {one for one in found if one.partition(".")[0] in PACKAGES}


IMPORTS = {name: imports_of(name) for name in MODULES}


def room_of(name: str) -> str:
  """The room that a module stands in, without the top package: a family of attacks, a package, or a file of its own.

  What lies loose in `attacks` is used by all families and is a room below them; its front door is one above them.
  """
  if name in PACKAGES:
    return name
  parts = name.split(".")[1:]
  if parts[0] == "attacks":
    if len(parts) == 1:
      return "attacks"
    return f"attacks.{parts[1]}" if MODULES[f"fedrecjax.attacks.{parts[1]}"].name == "__init__.py" else "attacks.shared"
  return parts[0] if name.startswith("fedrecjax.") else f"experiments.{parts[0]}"


def arrows() -> list[tuple[str, str]]:
  """(module, module that it imports) between rooms."""
  return [(one, other) for one, others in IMPORTS.items() for other in others if room_of(one) != room_of(other)]


def test_every_room_is_drawn_once():
  rooms = [room for floor in drawn_floors() for room in floor]
  assert sorted(rooms) == sorted({room_of(name) for name in MODULES})


def test_no_import_runs_up_or_along_a_floor():
  wrong = [f"{one} imports {other}" for one, other in arrows() if FLOOR[room_of(one)] <= FLOOR[room_of(other)]]
  assert not wrong


def test_the_arrows_are_seen():
  assert len({(room_of(one), room_of(other)) for one, other in arrows()}) > 100


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_form_no_circle(package):
  done: set[str] = set()

  def visit(name: str, path: tuple[str, ...]) -> None:
    assert name not in path, " -> ".join((*path, name))
    if name in done:
      return
    for other in IMPORTS[name]:
      # A package and its modules: importing one runs the package's __init__, which is no arrow between them.
      if other in MODULES and not name.startswith(f"{other}."):
        visit(other, (*path, name))
    done.add(name)

  for name in MODULES:
    if name.startswith(package):
      visit(name, ())
  assert len(done) > 50


def test_attacks_and_defenses_know_nothing_of_each_other():
  for name, others in IMPORTS.items():
    if name.startswith("fedrecjax.attacks"):
      assert not [one for one in others if one.startswith(("fedrecjax.defenses", "experiments"))], name
    if name.startswith("fedrecjax.defenses"):
      assert not [one for one in others if one.startswith(("fedrecjax.attacks", "experiments"))], name
    if name.startswith("fedrecjax"):
      assert not [one for one in others if one.startswith("experiments")], name


@pytest.mark.parametrize("package", sorted(name for name, file in MODULES.items() if file.name == "__init__.py"))
def test_a_package_says_what_belongs_there(package):
  text = ast.get_docstring(ast.parse(MODULES[package].read_text()))
  assert text is not None and len(text.splitlines()) >= (1 if package.count(".") > 1 else 2), package


def test_the_front_door_shows_public_names_alone():
  assert dir(fedrecjax) == sorted(fedrecjax.__all__)
  assert all(hasattr(fedrecjax, name) for name in fedrecjax.__all__)


def test_no_file_is_two_things():
  long = {name: len(file.read_text().splitlines()) for name, file in MODULES.items()}
  assert not {name: lines for name, lines in long.items() if lines > 400}
