"""Plugins of tests: what is registered is forgotten afterwards, and pages' files are written out."""

import contextlib
import pathlib
import re
import sys
import textwrap

from fedrecjax.plugins.provenance import FILES, _of_module
from fedrecjax.plugins.registration import TABLES

ROOT = pathlib.Path(__file__).parents[2]


@contextlib.contextmanager
def forgotten():
  """Whatever is registered or imported in between is not there afterwards."""
  tables = {kind: dict(table._methods) for kind, table in TABLES.items()}
  modules, files = set(sys.modules), dict(FILES)
  try:
    yield
  finally:
    for kind, table in TABLES.items():
      table._methods = tables[kind]
    for name in set(sys.modules) - modules:
      if name.startswith("fedrecjax_plugin_") or name.partition(".")[0] in ("drifting_items", "own_package"):
        del sys.modules[name]
    FILES.clear()
    FILES.update(files)
    _of_module.cache_clear()


def attack(name="own", line="", arguments="*, strength: float = 1.0", returns=" -> frj.Attack"):
  """The source of a file that registers an attack."""
  return textwrap.dedent(f'''
    import fedrecjax as frj
    {line}
    @frj.register
    @frj.traced
    def {name}({arguments}){returns}:
      """Uploads nothing.

      Args:
        strength: of nothing.
      """
      return frj.Attack()
    ''').lstrip()


def files_of(page):
  """The files that a page shows: blocks whose first line is a comment with a path."""
  blocks = re.findall(r"```(?:python|toml)\n# (\S+\.\w+)\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
  return dict(blocks)
