"""How fast images are purified: one measurement at small size, and what is said of bad flags."""

import json

import pytest

from experiments.bench.purification import PURIFIERS, main


@pytest.mark.parametrize("purifier", PURIFIERS)
def test_a_measurement_in_this_process(purifier, capsys):
  flags = ["--sizes=8", "--levels=1", "--respacing=4", "--start=500", f"--in_process={purifier}"]
  assert main(["purification_bench", *flags]) == 0
  found = json.loads(capsys.readouterr().out)
  assert found["purifier"] == purifier and found["size"] == 8
  assert 0 < found["least"] <= found["images_per_s"] <= found["most"]
  assert found["peak_mb"] > 0 and found["compile_s"] > 0


@pytest.mark.parametrize(
  ("flag", "message"),
  [
    ("--sizes=30", "--sizes must be multiples of 4 for 3 levels, got 30"),
    ("--sizes=large", "--sizes must be positive numbers, got 'large'"),
    ("--levels=1+0", "--levels must be positive numbers, got '1+0'"),
    ("--width=48", "--width must be a multiple of 32, got 48"),
    ("--in_process=median", "--in_process must be one of gdmpd_unguided, gdmpd, got 'median'"),
    ("--repeats=3", "repeats"),
  ],
)
def test_bad_flags_are_said_in_a_line(flag, message, capsys):
  assert main(["purification_bench", flag]) == 2
  lines = capsys.readouterr().err.strip().splitlines()
  assert len(lines) == 1 and message in lines[0]


def test_help_lists_the_flags(capsys):
  assert main(["purification_bench", "--help"]) == 0
  assert "--respacing" in capsys.readouterr().out
