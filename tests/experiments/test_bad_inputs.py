"""Every bad input of the table is one line that names what is wrong, with the exit status that belongs to it."""

import sys

import pytest

from experiments.command_line import command as command_of
from experiments.sweep.command import main as sweep
from tests.experiments.bad_inputs import CALLS, LINES


def one_line(capsys):
  """The only line on stderr; nothing else has been printed."""
  said = capsys.readouterr()
  assert said.out == "" and said.err.count("\n") == 1 and said.err.endswith("\n"), said
  assert "Traceback" not in said.err
  return said.err


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.main.__module__} {line.flags}"[:70])
def test_command_lines(line, command, tmp_path, monkeypatch, capsys):
  monkeypatch.setenv("PATH", str(tmp_path))
  (tmp_path / "file").write_text("of something else")
  (tmp_path / "bad.csv").write_text(line.content or "")
  flags = [flag.format(file=tmp_path / "file", bad=tmp_path / "bad.csv") for flag in line.flags]
  before = command.arguments() if line.main is sweep else []
  assert line.main(["command", *before, *flags]) == 2
  assert line.named in one_line(capsys)
  assert not list(command.folder.glob("cells/*"))


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.named[:70])
def test_calls_of_the_library(call, small, capsys):
  main = command_of("script", lambda _: call.call(small) and None)
  assert main(["script"]) == call.status
  said = one_line(capsys)
  assert said.startswith("script: ") and call.named in said


def test_there_are_many():
  assert len(LINES) > 40 and len(CALLS) > 30
  assert len({(line.flags, line.content, line.main) for line in LINES}) == len(LINES)


@pytest.mark.parametrize(("error", "said"), [
  (MemoryError(), "MemoryError"), (MemoryError("no 3 TiB"), "no 3 TiB"), (OSError(28, "No space"), "No space"),
])
def test_what_the_machine_lacks(error, said, capsys):
  def work(_):
    raise error

  assert command_of("script", work)(["script"]) == 1
  assert said in one_line(capsys)


def test_what_is_nobodys_mistake_is_not_hidden():
  main = command_of("script", lambda _: sys.intern(3))
  with pytest.raises(TypeError):
    main(["script"])
