"""The command `python -m experiments.results`: keeps results of recipes beside the docs, and makes their page."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence

from experiments.atomic_files import new_file
from experiments.command_line import DONE, FAILED, FlagGroup, comma_list, command, output, print_line, read_group
from experiments.errors import UsageError
from experiments.recipes import GROUPS
from experiments.results.kept import keep
from experiments.results.page import csv_of, page

_FOLDER, _PAGE = "results", "results.md"


def _work(argv: Sequence[str]) -> int:
  value = read_group("results", argv, _define_flags)
  docs = pathlib.Path(value("docs"))
  if not docs.is_dir():
    raise UsageError(f"--docs: {docs} is no folder")
  folder, file = docs / _FOLDER, docs / _PAGE
  if value("check"):
    if value("keep"):
      raise UsageError("--check changes nothing; leave --keep out")
    return _check(file, page(folder))
  for name in comma_list("keep", value("keep")) if value("keep") else ():
    if name not in GROUPS["all"]:
      raise UsageError(f"--keep must be a comma list of {', '.join(GROUPS['all'])}, got {name!r}")
    out_dir = pathlib.Path(value("out_dir") or f"results/{name}")
    count = keep(name, out_dir, csv_of(folder, name))
    print_line(output(), f"{csv_of(folder, name)}: {count} cells of {out_dir}")
  text = page(folder)
  with new_file(file) as temporary:
    temporary.write_text(text, encoding="utf-8")
  print_line(output(), f"Page: {file}")
  return DONE


def _check(file: pathlib.Path, text: str) -> int:
  if file.is_file() and file.read_text(encoding="utf-8") == text:
    return DONE
  print(f"results: {file} is not what docs/results make; python -m experiments.results writes it", file=sys.stderr)
  return FAILED


def _define_flags(group: FlagGroup) -> None:
  group.text("keep", "", "comma list of recipes whose finished cells in --out_dir are written into docs/results.")
  group.text("out_dir", None, "folder of the sweep that --keep reads; default results/RECIPE.")
  group.text("docs", "docs", "folder of the page and of the kept results.")
  group.switch("check", False, "write nothing; fail if the page is not what the kept results make.")


main = command("results", _work)
