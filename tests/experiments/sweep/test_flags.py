"""The command line."""

import dataclasses

import jax
import pytest
from absl import flags

from experiments.command_line import HelpAsked
from experiments.data.command import main as data
from experiments.errors import UsageError
from experiments.grid import Shard
from experiments.recipes import GROUPS, RECIPES
from experiments.sweep.command import main as sweep
from experiments.sweep.flags import define_flags, parse_command_line
from fedrecjax.config import REGISTRIES, owners
from fedrecjax.datasets import dataset_names
from fedrecjax.version import __version__


def parsed(*arguments):
  return parse_command_line(["sweep", *arguments])


def test_every_field_is_a_flag_with_its_description_and_default():
  values = define_flags(flags.FlagValues())
  for owner, config in owners().items():
    for field in dataclasses.fields(config):
      text = values[f"{owner}.{field.name}"].help
      assert "default" in text and len(text) > 30
  with pytest.raises(HelpAsked) as asked:
    parsed("--helpfull")
  assert "--pieck_uea.num_popular" in str(asked.value)
  with pytest.raises(HelpAsked) as asked:
    parsed("-h")
  assert "--recipe" in str(asked.value) and "--pieck_uea.num_popular" not in str(asked.value)


def test_flags_are_not_kept_between_calls():
  assert parsed("--seed=1").settings == {"seed": "1"}
  assert parsed("--train.epochs", "3").settings == {"train.epochs": "3"}


def test_without_axes_and_fields_the_demo_runs():
  assert parsed("--list").recipes == ("demo",)
  assert str(parsed().out_dir) == "results/demo"
  assert parsed("--seed=1").recipes == ()
  assert str(parsed("--seed=1").out_dir) == "results/sweep"
  assert str(parsed("--recipe=demo,pieck_table3").out_dir) == "results/demo+pieck_table3"


def test_flag_file(tmp_path):
  file = tmp_path / "table.flags"
  file.write_text("--attack=none,random\n# a comment\n--train.epochs=3\n")
  assert parsed(f"--flagfile={file}", "--train.epochs=4").settings == {"attack": "none,random", "train.epochs": "4"}


def test_other_flags():
  options = parsed("--shard=1/3", "--resume=false", "--data_dir=/data")
  assert options.shard == Shard(1, 3) and not options.resume and str(options.data_dir) == "/data"
  options = parsed("--launcher=slurm", "--num_shards=4", "--slurm_parameters=timeout_min=60,slurm_partition=gpu")
  assert options.slurm_parameters == {"timeout_min": 60, "slurm_partition": "gpu"}


@pytest.mark.parametrize("arguments", [
  ["--unheard=1"], ["--pieck_uea.unheard=1"], ["--recipe=unheard"], ["--recipe="], ["--launcher=unheard"],
  ["--flagfile=/no/such/file"], ["--resume=perhaps"], ["word"], ["--num_shards=0", "--launcher=ray"],
  ["--num_shards=2"], ["--shard=0/2", "--launcher=ray"], ["--slurm_parameters=a=1"],
  ["--launcher=slurm", "--slurm_parameters=a"], ["--seed"],
])
def test_bad_flags_are_said_in_one_line(arguments):
  with pytest.raises(UsageError) as caught:
    parsed(*arguments)
  assert "\n" not in str(caught.value) and str(caught.value)


def test_help_lists_methods_by_kind_in_a_line_each():
  with pytest.raises(HelpAsked) as asked:
    parsed("--help")
  paragraphs = {text.partition(":")[0]: text.splitlines()[1:] for text in str(asked.value).split("\n\n")}
  listed = [line.split()[0] for title, lines in paragraphs.items() for line in lines if line.startswith("  ")
            and not line.startswith("   ") and title.startswith(("models", "attacks", "defenses", "data", "recipes"))]
  names = [name for registry in REGISTRIES.values() for name in registry.names()]
  assert sorted(listed) == sorted([*names, *dataset_names(), *RECIPES, *GROUPS])
  assert any(line.startswith("  pieck_uea") and "PIECK-UEA: trains the targets" in line
             for line in paragraphs["attacks, targeted"])
  assert [line.split()[0] for line in paragraphs["attacks"]][:1] == ["none"]


def test_the_version_is_shown(capsys):
  for main in (sweep, data):
    assert main(["command", "--version"]) == 0
    assert capsys.readouterr().out.startswith(f"fedrecjax {__version__} (jax {jax.__version__}, Python 3.")


@pytest.mark.parametrize(("flag", "meant"), [
  ("--attack=piek_uea", "got 'piek_uea'; did you mean pieck_uea or pieck_ipe?"),
  ("--defense=none,medain", "got 'medain'; did you mean median?"), ("--model=MF", "got 'MF'; did you mean mf?"),
  ("--recipe=pieck_tabel3", "did you mean pieck_table3"), ("--dataset=ml100k", "; did you mean ml-100k?"),
  ("--train.epoch=3", "Did you mean: train.epochs"), ("--piek_uea.num_popular=3", "pieck_uea.num_popular"),
  ("--train.loss=bpe", "got 'bpe'; did you mean bpr"), ("--only=atack=none", "did you mean attack?"),
])
def test_what_may_be_meant_is_said(flag, meant, capsys, tmp_path):
  assert sweep(["sweep", flag, f"--out_dir={tmp_path}"]) == 2
  error = capsys.readouterr().err
  assert meant in error and error.count("\n") == 1
