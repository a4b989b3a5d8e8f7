"""A report as one page that needs nothing beside it."""

from __future__ import annotations

import base64
import functools
import re
from typing import Any

import jinja2
from markupsafe import Markup, escape

from experiments.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Chart, Panel
from experiments.report.content import Report
from experiments.results.plots import style_of
from experiments.verdicts import OUTCOMES

_DASHES = ("-", "--", ":", "-.")
_NUM_COLORS = 7


def html(report: Report) -> str:
  """The page: style, script, drawings and pictures are inside it, and text from data is escaped."""
  environment = _environment()
  style, script = (Markup(_source(environment, name)) for name in ("report.css", "report.js"))
  return environment.get_template("report.html.j2").render(
    report=report, style=style, script=script, width=WIDTH, height=HEIGHT, left=LEFT, right=WIDTH - RIGHT,
  ) + "\n"


@functools.cache
def _environment() -> jinja2.Environment:
  environment = jinja2.Environment(
    loader=jinja2.PackageLoader("experiments.report"), autoescape=True, undefined=jinja2.StrictUndefined,
  )
  environment.filters |= {
    "base64": lambda content: base64.b64encode(content).decode(), "coded": coded, "hovered": _hovered,
    "outcome": _outcome, "styles": _styles,
  }
  return environment


def _source(environment: jinja2.Environment, name: str) -> str:
  assert environment.loader is not None
  return environment.loader.get_source(environment, name)[0]


def coded(text: str) -> Markup:
  """Escaped text in which what stands between backticks is code.

  >>> coded("`a<b` & c")
  Markup('<code>a&lt;b</code> &amp; c')
  """
  return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _outcome(text: str) -> Markup:
  """A text of a table; the outcome of a verdict has a color."""
  outcome, colon, detail = text.partition(": ")
  if colon and outcome in OUTCOMES:
    kind = outcome.partition(" ")[0]
    return Markup('<span class="{}">{}</span>: {}').format(kind, outcome, detail)
  return escape(text)


def _styles(chart: Chart) -> dict[str, str]:
  """The classes of each line, of its color and its dashes."""
  numbers = {line.name: line.number for panel in chart.panels for line in panel.lines}
  return {
    name: f"c{number % _NUM_COLORS} d{_DASHES.index(style_of(number)[1])}" for name, number in numbers.items()
  }


def _hovered(panel: Panel, chart: Chart) -> dict[str, Any]:
  """What the script knows of a panel."""
  styles = _styles(chart)
  return {
    "box": [LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM], "lower": chart.lower, "upper": chart.upper, "last": chart.last,
    "epochs": panel.epochs,
    "lines": [{"name": line.name, "style": styles[line.name], "mean": line.mean, "seeds": line.seeds}
              for line in panel.lines],
  }
