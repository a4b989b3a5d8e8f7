"""Files of a report: the page needs nothing beside it, papers get tables and figures, and no sweep fails by it."""

import html.parser
import sys

import pytest
from rich.console import Console

from experiments.report import command
from experiments.report.command import main
from experiments.sweep import summary
from experiments.sweep.flags import parse_command_line

LIGHT = 200_000


class Page(html.parser.HTMLParser):
  """All that a page names by address, and its text."""

  def __init__(self, text):
    super().__init__()
    self.addresses, self.text, self.opened = [], [], []
    self.feed(text)

  def handle_starttag(self, tag, attributes):
    self.opened.append(tag)
    self.addresses += [value for name, value in attributes if name in ("src", "href", "action", "data")]

  def handle_data(self, data):
    self.text.append(data)


@pytest.fixture(scope="module")
def written(sweep, tmp_path_factory):
  """All files of the folder, once."""
  folder = tmp_path_factory.mktemp("written")
  assert main(["report", str(sweep.folder), "--format=html,latex,markdown", f"--out_dir={folder}"]) == 0
  return folder


def test_the_page_is_light_and_needs_nothing_beside_it(written):
  text = (written / "report.html").read_text()
  page = Page(text)
  assert len(text) < LIGHT
  assert all(address.startswith(("#", "data:")) for address in page.addresses) and "url(" not in text
  assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_text_from_data_is_text(written):
  text = (written / "report.html").read_text()
  assert "<b>&" not in text and "<script>alert" not in text
  page = Page(text)
  assert any("a<b>&\"$x_%'.csv" in part for part in page.text)
  # What starts a script stands in the script's own data as an escape.
  assert page.opened.count("script") == 1 + text.count('type="application/json"')


def test_the_page_names_what_was_measured(written, sweep):
  text = (written / "report.html").read_text()
  assert text.count("--out_dir=results/again") == len(sweep.cells)
  assert "25 of 27" in text and "To be known" in text
  for anchor in ("results", "grid", "curves", "cost", "detection", "stealth", "runs", "settings"):
    assert f'<section id="{anchor}">' in text and f'href="#{anchor}"' in text


def test_tables_for_papers(written):
  tex = (written / "report.tex").read_text()
  assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == tex.count(r"\toprule") == 4
  assert r"explicit\_boosting & norm\_bound & $3$ &" in tex and r" \pm " in tex and "±" not in tex
  rows = [line for line in tex.splitlines() if line.startswith("none & none")]
  assert rows and all(line.endswith(r" \\") for line in rows)
  markdown = (written / "report.md").read_text()
  assert r"\<script>alert" in markdown and "| attack | defense | seeds | hr@10 |" in markdown


def test_figures_for_papers(sweep, tmp_path):
  assert main(["report", str(sweep.folder), "--format=pdf,png", f"--out_dir={tmp_path}"]) == 0
  names = {"report_curves", "report_grid_er_at_10", "report_grid_hr_at_10"}
  assert {file.stem for file in tmp_path.glob("*.pdf")} == {file.stem for file in tmp_path.glob("*.png")} == names
  assert all(file.read_bytes().startswith(b"%PDF") for file in tmp_path.glob("*.pdf"))
  assert not list(tmp_path.glob("*.html"))
  # Fonts of type 3 are refused by publishers.
  assert b"/Type3" not in (tmp_path / "report_curves.pdf").read_bytes()


def test_without_matplotlib_there_is_the_page_and_a_line(sweep, tmp_path, monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, "matplotlib", None)
  assert main(["report", str(sweep.folder), "--format=html,png", f"--out_dir={tmp_path}"]) == 1
  assert (tmp_path / "report.html").is_file()
  assert capsys.readouterr().err == (
    "report: no figure drawn: matplotlib is missing, pip install fedrecjax[plots] brings it\n")


@pytest.mark.parametrize(("arguments", "expected"), [
  ([], "expected the folder of a sweep, or several, got 0"),
  (["--compare", "one"], "expected two folders, got 1"),
  (["one", "--format=html,word"], "--format must be a comma list of html, latex, markdown, pdf, png, got 'word'"),
  (["--compare", "one", "two", "--format=pdf"], "--format=pdf does not go with --compare, which makes tables"),
  (["nowhere"], "nowhere is no folder"),
])
def test_what_cannot_be_done_is_a_line(arguments, expected, capsys, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert main(["report", *arguments]) == 2
  assert capsys.readouterr().err == f"report: {expected}\n"
  assert not (tmp_path / "nowhere").exists()


def test_folders_and_flags_stand_in_any_order(sweep, tmp_path, capsys):
  folder = str(sweep.folder)
  assert main(["report", "--compare", folder, "--format=markdown", folder, f"--out_dir={tmp_path}"]) == 0
  assert capsys.readouterr().out == f"Report: {tmp_path / 'report.md'}\n"
  assert "25 runs of 9 configurations are in both folders; 25 of them" in (tmp_path / "report.md").read_text()


def test_an_error_in_the_report_fails_no_sweep(monkeypatch, capsys, tmp_path):
  def broken(out_dir):
    raise ZeroDivisionError("first line\nsecond line")

  monkeypatch.setattr(command, "write_page", broken)
  summary._write_report(parse_command_line(["sweep", f"--out_dir={tmp_path}"]), Console())
  assert capsys.readouterr() == ("", "sweep: report.html is not written: ZeroDivisionError: first line\n")
