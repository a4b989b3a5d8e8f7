"""The flags of the command, most of them generated from the fields of the configuration's dataclasses."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import typing
from collections.abc import Sequence
from typing import Any

from absl import flags

from experiments.command_line import GIVEN, FlagGroup, field_flag_help, folder, read_flags, version_line
from experiments.errors import UsageError
from experiments.grid import AXES, Shard, parse_only, parse_shard, shown
from experiments.plugins import FLAG, HELP, load_plugins
from experiments.recipes import GROUPS, RECIPES
from experiments.sweep.help import full_help, short_help
from experiments.sweep.scale import SCALES
from experiments.sweep.tensorboard import FOLDER
from fedrecjax.config import owners
from fedrecjax.config.presets import PRESET_FIELD, PRESETS
from fedrecjax.config.training_presets import TRAINING_PRESET_FIELD, TRAINING_PRESETS
from fedrecjax.methods.spelling import did_you_mean
from fedrecjax.plugins import Plugin

AUTO, NONE = "auto", "none"
LAUNCHERS = ("local", "slurm", "ray")


@dataclasses.dataclass(frozen=True)
class Options:
  """What the command line asks for.

  Attributes:
    settings: axes and fields given, by flag name.
    recipes: names of recipes; empty for a grid of flags alone.
    scale: one of `SCALES`; of recipes.
    out_dir: where results go.
    data_dir: folder of the data sets; None: the default.
    launcher: one of `LAUNCHERS`.
    only: values of fields that cells are selected by; empty for all cells.
    shard: the part of the grid to run.
    num_shards: for launchers other than local: jobs to start.
    slurm_parameters: of submitit's executor.
    resume: whether finished cells are skipped.
    list_only: whether to list the cells instead of running them.
    compilation_cache_dir: where compiled programs are kept between processes: "auto", "none" or a folder.
    jobs: processes of this machine that run cells; None: as many as suit.
    debug: whether to train client by client without compilation.
    checkpoint_every: epochs between two checkpoints inside a cell; 0: none, None: time decides.
    tensorboard: folder for TensorBoard; None for none.
    plugins: that the command line names, loaded.
  """

  settings: dict[str, str]
  recipes: tuple[str, ...]
  scale: str
  out_dir: pathlib.Path
  data_dir: pathlib.Path | None
  launcher: str
  only: dict[str, tuple[str, ...]]
  shard: Shard
  num_shards: int
  slurm_parameters: dict[str, int | float | str]
  resume: bool
  list_only: bool
  compilation_cache_dir: str
  jobs: int | None
  debug: bool
  checkpoint_every: int | None
  tensorboard: pathlib.Path | None
  plugins: tuple[Plugin, ...]


def parse_command_line(argv: Sequence[str]) -> Options:
  """Reads the command line, for which plugins are loaded.

  Args:
    argv: the program's name and its flags.

  Raises:
    HelpAsked: for --help or --helpfull.
    UsageError: for flags that cannot be used.
  """
  plugins = load_plugins(argv)
  values = define_flags(flags.FlagValues())
  read_flags(values, argv, {"help": short_help, "helpfull": full_help, "version": version_line})
  return _options(values, plugins)


def define_flags(values: flags.FlagValues) -> flags.FlagValues:
  """Defines all flags in `values` and returns it."""
  sweep = FlagGroup(values, "sweep")
  sweep.text("recipe", None, "comma list of tables to run, listed below, which the other flags override; or of a paper"
             f" all: {', '.join(GROUPS)}. Without recipe, axes and fields: demo.")
  sweep.choice("scale", "full", SCALES, "of recipes: full is the paper's setting; quick runs some of its cells on"
               " embedded data for a few epochs, to see that all is in order.")
  sweep.text("out_dir", None, "folder of the results; default results/RECIPE or results/sweep.")
  sweep.data_dir()
  sweep.choice("launcher", "local", LAUNCHERS, "where cells run: on this machine, or in --num_shards jobs elsewhere.")
  sweep.text("only", "", "FIELD=VALUE+VALUE,...: run the cells with these values only, for example"
             " attack=none+spattack_od,defense=median.")
  sweep.text("shard", "0/1", "i/n: run part i of n only, i from 0 to n-1.")
  sweep.integer("num_shards", 1, "jobs that --launcher=slurm or ray starts.", least=1)
  sweep.text("slurm_parameters", "", "comma list of key=value for submitit's executor, for example"
             " timeout_min=120,slurm_partition=gpu,gpus_per_node=1. A time limit, timeout_min, is needed.")
  sweep.switch("resume", True, "skip cells that are finished in --out_dir.")
  sweep.text("checkpoint_every", "auto", "epochs between two checkpoints inside a cell, from which the same command"
             " goes on; 0: none. auto writes one at the first evaluation point after ten minutes of training, so that"
             " short cells cost nothing. A cell that is stopped by Ctrl-C, SIGTERM or SIGHUP writes one before, if it"
             " has trained for half a minute or a number is given. They lie in OUT/checkpoints until the cell has"
             " ended; --resume=false removes them.")
  sweep.switch("list", False, "print the cells, how many programs they need and about how long they take, and stop.")
  sweep.switch("debug", False, "train client by client without compilation, in seconds per round; what fails or is not"
               " a finite number is then named with its round, client and stage.")
  sweep.repeated(FLAG, HELP)
  sweep.optional_text("tensorboard", "--tensorboard or --tensorboard=DIR: write each evaluation point, while cells run,"
                      " for TensorBoard; by default into OUT/tensorboard. Needs the extra tensorboard.")
  sweep.text("jobs", AUTO, "processes of this machine that share the cells, a whole number from 1, or auto: one for"
             " every ten seconds that the cells are likely to take, at most one per core, and one on a device"
             " that is no CPU. Results do not depend on it. default auto.")
  sweep.text("compilation_cache_dir", AUTO, "folder where JAX keeps compiled programs for later processes; auto: in the"
             " user's cache folder (XDG_CACHE_HOME, else ~/.cache), at most 2 GB in all; none: none are kept."
             " default auto.")
  sweep.switch("help", False, "show the flags of the sweep and its axes.", short_name="h")
  sweep.switch("helpfull", False, "show all flags.")
  sweep.version()
  axes = FlagGroup(values, "axes")
  axes.text("dataset", None, "data sets, or paths of files. default synthetic.")
  for kind, default in (("model", "mf"), ("attack", "none"), ("defense", "none")):
    joined = " Parts of one defense are joined with +." if kind == "defense" else ""
    axes.text(kind, None, f"{kind}s.{joined} default {default}.")
  axes.text("seed", None, "seeds; ranges like 0-4 are allowed. default 0.")
  for owner, config in owners().items():
    annotations = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
      name = f"{owner}.{field.name}"
      FlagGroup(values, owner).text(name, None, field_flag_help(name, annotations[field.name], field.default))
  FlagGroup(values, "eval").text(
    PRESET_FIELD, None, "evaluation protocol of a paper, which other flags override: "
    + "; ".join(f"{name} ({_fields(preset)})" for name, preset in PRESETS.items()) + ".",
  )
  FlagGroup(values, "train").text(
    TRAINING_PRESET_FIELD, None, "how a paper trains, with the sizes and the step size that it chooses for the model,"
    " which other flags override: "
    + "; ".join(f"{name} ({', '.join(preset.models)})" for name, preset in TRAINING_PRESETS.items()) + ".",
  )
  return values


def _fields(preset: dict[str, Any]) -> str:
  return ", ".join(f"{field}={shown(value)}" for field, value in preset.items())


def _options(values: flags.FlagValues, plugins: tuple[Plugin, ...]) -> Options:
  fields = [f"{owner}.{field.name}" for owner, config in owners().items() for field in dataclasses.fields(config)]

  def value(name: str) -> Any:
    return values[name].value

  known = (*AXES, *fields, PRESET_FIELD, TRAINING_PRESET_FIELD)
  settings = {name: value(name) for name in known if value(name) is not None}
  asked = _asked(value("recipe"), settings)
  recipes = tuple(dict.fromkeys(name for one in asked for name in GROUPS.get(one, (one,))))
  if values["scale"].present and not recipes:
    raise UsageError("--scale goes with --recipe")
  shard = parse_shard(value("shard"))
  launcher = value("launcher")
  if launcher == "local" and values["num_shards"].present:
    raise UsageError("--num_shards goes with --launcher=slurm or ray; use --shard=i/n to run a part here")
  if launcher != "local" and values["shard"].present:
    raise UsageError(f"--shard goes with --launcher=local; --launcher={launcher} makes --num_shards parts itself")
  if launcher != "slurm" and values["slurm_parameters"].present:
    raise UsageError("--slurm_parameters goes with --launcher=slurm")
  out_dir = pathlib.Path(value("out_dir") or f"results/{'+'.join(asked) or 'sweep'}")
  return Options(
    settings=settings,
    recipes=recipes,
    scale=value("scale"),
    out_dir=out_dir,
    data_dir=folder(value("data_dir")),
    launcher=launcher,
    only=parse_only(value("only")),
    shard=shard,
    num_shards=value("num_shards"),
    slurm_parameters=_slurm_parameters(value("slurm_parameters")),
    resume=value("resume"),
    list_only=value("list"),
    compilation_cache_dir=value("compilation_cache_dir") or NONE,
    jobs=_jobs(value("jobs"), debug=value("debug")),
    debug=value("debug"),
    checkpoint_every=_checkpoint_every(value("checkpoint_every")),
    tensorboard=out_dir / FOLDER if value("tensorboard") == GIVEN else folder(value("tensorboard")),
    plugins=plugins,
  )


def _checkpoint_every(text: str) -> int | None:
  if text == "auto":
    return None
  if not (text.isascii() and text.isdigit()):
    raise UsageError(f"--checkpoint_every must be a number of epochs, 0 for none, or auto, got {text!r}")
  return int(text)


def _jobs(text: str, *, debug: bool) -> int | None:
  """Reads --jobs."""
  if text == AUTO:
    return 1 if debug else None
  if not text.isdecimal() or int(text) < 1:
    raise UsageError(f"--jobs must be auto or a whole number from 1, got {text!r}")
  if debug and int(text) > 1:
    raise UsageError(f"--jobs={text} does not go with --debug, which runs cells one by one in this process")
  return int(text)


def _asked(text: str | None, settings: dict[str, str]) -> tuple[str, ...]:
  """The recipes and groups of recipes that are asked for."""
  if text is None:
    return () if settings else ("demo",)
  names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
  for name in names:
    if name not in RECIPES and name not in GROUPS:
      meant = did_you_mean(name, (*RECIPES, *GROUPS))
      raise UsageError(f"--recipe must be a comma list of {', '.join((*RECIPES, *GROUPS))}, got {name!r}{meant}")
  return names


def _slurm_parameters(text: str) -> dict[str, int | float | str]:
  result: dict[str, int | float | str] = {}
  for part in filter(None, text.split(",")):
    key, equals, value = part.partition("=")
    if not (key and equals and value):
      raise UsageError(f"--slurm_parameters must be a comma list of key=value, got {part!r}")
    number = re.fullmatch(r"[0-9]+(\.[0-9]+)?", value)
    result[key] = value if number is None else float(value) if number[1] else int(value)
  return result
