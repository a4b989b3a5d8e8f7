"""Tables of a report for papers: LaTeX with booktabs, and Markdown."""

from __future__ import annotations

import re

import jinja2

from experiments.report.content import Report
from experiments.tables import markdown

_LATEX_SPECIAL = {
  "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
  "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "<": r"\textless{}", ">": r"\textgreater{}",
  "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}",
}
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")


def markdown_of(report: Report) -> str:
  """The summary and the tables as Markdown."""
  lines = [f"# {_plain(report.title)}", "", _plain(report.origin), ""]
  lines += [f"- {_plain(line)}" for line in report.summary]
  if report.warnings:
    lines += ["", "To be known:", "", *(f"- {_plain(line)}" for line in report.warnings)]
  for part in report.parts:
    if part.tables:
      lines += ["", f"## {part.title}", "", *(f"{_plain(line)}\n" for line in part.lines)]
      lines.append("\n\n".join(markdown(table) for table in part.tables))
  return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
  r"""A line in which Markdown takes nothing for markup but names between backticks.

  >>> _plain("`a_b` of <b>a_b</b>")
  '`a_b` of \\<b>a\\_b\\</b>'
  """
  parts = text.split("`")
  return "`".join(part if place % 2 else re.sub(r"([\\*_<\[|#])", r"\\\1", part) for place, part in enumerate(parts))


def latex_of(report: Report) -> str:
  r"""The tables as LaTeX, each a `table` with rules of booktabs, to be read by `\input`."""
  environment = jinja2.Environment(
    loader=jinja2.PackageLoader("experiments.report"), undefined=jinja2.StrictUndefined, autoescape=False,
    block_start_string="<%", block_end_string="%>", variable_start_string="<<", variable_end_string=">>",
    comment_start_string="<#", comment_end_string="#>", trim_blocks=True, lstrip_blocks=True,
  )
  environment.filters |= {"latex": latex, "figure": _figure}
  tables = [(part.anchor, number, table) for part in report.parts if part.anchor != "settings"
            for number, table in enumerate(part.tables)]
  return environment.get_template("tables.tex.j2").render(report=report, tables=tables)


def latex(text: str) -> str:
  r"""Text as LaTeX prints it.

  >>> latex("hr@10 <5% of a_b")
  'hr@10 \\textless{}5\\% of a\\_b'
  """
  return "".join(_LATEX_SPECIAL.get(letter, letter) for letter in " ".join(text.split()))


def _figure(text: str) -> str:
  r"""A text of a column of figures: a number, and half of its interval, are mathematics.

  >>> _figure("0.5000 ±0.0100"), _figure("-"), _figure("-0.1")
  ('$0.5000 \\pm 0.0100$', '--', '$-0.1$')
  """
  number, sign, half = text.partition(" ±")
  if text == "-":
    return "--"
  if _NUMBER.fullmatch(number) and (not sign or _NUMBER.fullmatch(half)):
    return f"${number} \\pm {half}$" if sign else f"${number}$"
  return latex(text)
