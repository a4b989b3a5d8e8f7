"""The command `python -m experiments.report`: the report of finished, partial or several folders."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator, Sequence

from absl import flags

from experiments.atomic_files import new_file
from experiments.command_line import (
  DONE,
  FAILED,
  FlagGroup,
  comma_list,
  command,
  group_help,
  output,
  print_line,
  read_flags,
  use_folder,
)
from experiments.errors import UsageError
from experiments.report.comparison import comparison_of
from experiments.report.content import Report, report_of
from experiments.report.figures import write_figures
from experiments.report.folders import Gathered, gathered
from experiments.report.paper_text import latex_of, markdown_of
from experiments.report.web_page import html
from experiments.results.plots import PlotError

_PAGE = "report.html"
_TEXTS = {"html": (_PAGE, html), "latex": ("report.tex", latex_of), "markdown": ("report.md", markdown_of)}
_FIGURES = ("pdf", "png")


def write_page(out_dir: pathlib.Path) -> pathlib.Path:
  """Writes the page of one folder into it.

  Args:
    out_dir: folder of a sweep with a finished cell.

  Returns:
    The file.

  Raises:
    UsageError: if there is no finished cell.
  """
  with gathered([out_dir]) as found:
    return _write(report_of(found), out_dir, "html")


def _work(argv: Sequence[str]) -> int:
  values = flags.FlagValues()
  group = FlagGroup(values, "report")
  _define_flags(group)
  places = [pathlib.Path(text) for text in read_flags(values, argv, {"help": _help}, places=True)]
  formats = comma_list("format", values["format"].value or "")
  known = (*_TEXTS, *_FIGURES)
  for one in formats:
    if one not in known:
      raise UsageError(f"--format must be a comma list of {', '.join(known)}, got {one!r}")
  compared = values["compare"].value
  if not places or (compared and len(places) != 2):
    expected = "two folders" if compared else "the folder of a sweep, or several"
    raise UsageError(f"expected {expected}, got {len(places)}")
  drawn = [one for one in formats if one in _FIGURES]
  if compared and drawn:
    raise UsageError(f"--format={drawn[0]} does not go with --compare, which makes tables")
  given = values["out_dir"].value
  out_dir = pathlib.Path(given) if given else places[0] if len(places) == 1 else pathlib.Path("results/report")
  if compared:
    with gathered(places[:1]) as first, gathered(places[1:]) as second:
      use_folder(out_dir)
      return _say(_texts(comparison_of(first, second), out_dir, formats))
  with gathered(places) as found:
    use_folder(out_dir)
    return _say(_files(found, out_dir, formats, drawn))


def _files(found: Gathered, out_dir: pathlib.Path, formats: Sequence[str], drawn: Sequence[str]
           ) -> Iterator[pathlib.Path]:
  if len(drawn) < len(formats):
    yield from _texts(report_of(found), out_dir, formats)
  if drawn:
    yield from write_figures(found, out_dir, drawn)


def _texts(report: Report, out_dir: pathlib.Path, formats: Sequence[str]) -> Iterator[pathlib.Path]:
  for one in formats:
    if one in _TEXTS:
      yield _write(report, out_dir, one)


def _write(report: Report, out_dir: pathlib.Path, kind: str) -> pathlib.Path:
  name, text_of = _TEXTS[kind]
  text = text_of(report)
  with new_file(out_dir / name) as temporary:
    temporary.write_text(text, encoding="utf-8")
  return out_dir / name


def _say(files: Iterator[pathlib.Path]) -> int:
  """Names files as they are written; without matplotlib there are those before the figures."""
  console = output()
  try:
    for file in files:
      print_line(console, f"Report: {file}")
  except PlotError as error:
    print(f"report: {error}", file=sys.stderr)
    return FAILED
  return DONE


def _help(values: flags.FlagValues) -> str:
  return group_help(values, "report").replace("[flags]", "OUT [OUT2 ...] [flags]", 1)


def _define_flags(group: FlagGroup) -> None:
  group.text("format", "html", "comma list of html (a page), latex and markdown (tables), pdf and png (figures).")
  group.switch("compare", False, "compare the runs that two folders have in common.")
  group.text("out_dir", None, "folder of the files; default OUT, of several folders results/report.")
  group.switch("help", False, "show the flags.", short_name="h")


main = command("report", _work)
