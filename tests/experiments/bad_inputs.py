"""What people get wrong, in one place: command lines and calls of the library, and what the one line must name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

import fedrecjax as frj
from experiments import baselines, popularity
from experiments.bench.command import main as bench
from experiments.breakdown.command import main as breakdown
from experiments.compatibility.command import main as compatibility
from experiments.data.command import main as data
from experiments.image_report.command import main as image_report
from experiments.results.command import main as results
from experiments.sweep.command import main as sweep


class Line(NamedTuple):
  """A command line that cannot be carried out; exit status 2.

  Attributes:
    named: flag, field or file that the message must name.
    flags: as given; "{file}" stands for a file and "{bad}" for one of the contents `content`.
    main: the command.
    content: of the file "{bad}".
  """

  named: str
  flags: tuple[str, ...]
  main: Callable[..., int] = sweep
  content: str | None = None


class Call(NamedTuple):
  """A call of the library that cannot be carried out.

  Attributes:
    named: argument, field or method that the message must name.
    call: takes a small data set.
    status: exit status of a command that makes this call.
  """

  named: str
  call: Callable[[frj.Dataset], Any]
  status: int = 2


PUBLIC = ("--attack=fedrecattack", "--attacker.malicious_ratio=0.1")

LINES = (
  Line("unheard.flag", ("--unheard.flag=1",)),
  Line("word", ("word",)),
  Line("--seed", ("--seed",)),
  Line("/no/such/file", ("--flagfile=/no/such/file",)),
  Line("resume", ("--resume=perhaps",)),
  # Axes.
  Line("--attack", ("--attack=unheard",)),
  Line("--attack", ("--attack=",)),
  Line("--defense", ("--defense=median+",)),
  Line("--defense=median+trimmed_mean", ("--defense=median+trimmed_mean",)),
  Line("defense", ("--defense=median+median",)),
  Line("--model", ("--model=nmf",)),
  Line("--seed", ("--seed=-1",)),
  Line("--seed", ("--seed=3-1",)),
  Line("--seed", ("--seed=0-1000000000",)),
  Line("seed", ("--seed=4294967296",)),
  Line("100,000 cells", ("--seed=0-99999", "--train.learning_rate=1,2")),
  # Fields.
  Line("--train.epochs", ("--train.epochs=ten",)),
  Line("train.epochs", ("--train.epochs=0",)),
  Line("--train.learning_rate", ("--train.learning_rate=inf",)),
  Line("--train.learning_rate", ("--train.learning_rate=nan",)),
  Line("--train.loss", ("--train.loss=hinge",)),
  Line("train.clients_per_round", ("--train.clients_per_round=0",)),
  Line("--train.clients_per_round", ("--train.clients_per_round=some",)),
  Line("train.privacy_clip", ("--train.privacy_noise=0.1",)),
  Line("mf.dim", ("--mf.dim=-1",)),
  Line("norm_bound.max_norm", ("--defense=norm_bound", "--norm_bound.max_norm=-1")),
  Line("attacker.target_items", ("--attacker.targets=894",)),
  Line("attacker.target_items", ("--attacker.target_items=894",)),
  Line("attacker.num_targets", ("--attacker.num_targets=61",)),
  Line("attacker.malicious_ratio", ("--attack=random", "--attacker.malicious_ratio=1")),
  Line("eval.ks", ("--eval.ks=5+5",)),
  Line("eval.ks", ("--eval.ks=61",)),
  Line("eval.num_negatives", ("--eval.candidates=sampled", "--eval.num_negatives=500")),
  Line("eval.preset", ("--eval.preset=nobody",)),
  Line("train.preset", ("--train.preset=nobody",)),
  Line("data.test_ratio", ("--data.test_ratio=1",)),
  Line("--data.split", ("--data.split=first",)),
  Line("images.size", ("--images.size=16",)),
  Line("images.source", ("--attack=psmu_v",)),
  Line("--pieck_uea.num_popular", ("--pieck_uea.num_popular=10",)),
  Line("set num_batches to at most that", ("--attack=pieck_uea", "--pieck_uea.num_popular=4")),
  # Sizes beyond memory.
  Line("mf.dim=10000000000 does not fit into memory", ("--mf.dim=10000000000",)),
  Line("train.epochs=1000000000000 does not fit into memory", ("--train.epochs=1000000000000",)),
  Line("train.num_negatives=1000000000000 does not fit into memory", ("--train.num_negatives=1000000000000",)),
  # Where and what to run.
  Line("--recipe", ("--recipe=unheard",)),
  Line("--scale", ("--scale=quick",)),
  Line("scale", ("--scale=middling", "--recipe=demo")),
  Line("--only", ("--only=attack=cluster",)),
  Line("--only", ("--only=attack",)),
  Line("--shard", ("--shard=2/2",)),
  Line("--num_shards", ("--num_shards=2",)),
  Line("--slurm_parameters", ("--slurm_parameters=timeout_min=1",)),
  Line("there is no Slurm here", ("--launcher=slurm", "--slurm_parameters=timeout_min=1")),
  Line("--out_dir", ("--out_dir={file}",)),
  Line("--out_dir", ("--out_dir={file}/below",)),
  Line("--compilation_cache_dir", ("--compilation_cache_dir={file}",)),
  Line("--checkpoint_every", ("--checkpoint_every=often",)),
  Line("--checkpoint_every", ("--checkpoint_every=-1",)),
  Line("--jobs must be auto or a whole number from 1, got '0'", ("--jobs=0",)),
  Line("--jobs must be auto or a whole number from 1, got 'x'", ("--jobs=x",)),
  Line("--jobs must be auto or a whole number from 1, got ''", ("--jobs=",)),
  Line("--jobs=2 does not go with --debug", ("--jobs=2", "--debug")),
  Line("--plugin=/no/such/file.py: no such file", ("--plugin=/no/such/file.py",)),
  Line("--plugin=no_such.module: there is no module no_such", ("--plugin=no_such.module",)),
  Line("--tensorboard: cannot write into", ("--tensorboard={file}/below",)),
  # Data.
  Line("/no/such/file.csv", ("--dataset=/no/such/file.csv",)),
  Line("bad.csv", ("--dataset={bad}",), content="user,item,timestamp\n1,2,3\n1,x\n"),
  Line("bad.csv", ("--dataset={bad}",), content=""),
  Line("bad.csv", ("--dataset={bad}",), content="user,item,timestamp\n"),
  Line("--data.columns=user=NAME+item=NAME", ("--dataset={bad}",), content="who,what\n1,2\n"),
  Line("bad.csv:3: column item: expected an id (--data.ids=names", ("--dataset={bad}",),
       content="user,item,timestamp\n1,2,3\n5,NaN,99\n"),
  Line("bad.csv:2: expected text, found a binary file", ("--dataset={bad}",), content="user,item\n\0\0,\1\n"),
  Line("user and userId may each be the user", ("--dataset={bad}",), content="user,userId,item\n1,2,3\n"),
  Line("two columns are named 'user'", ("--dataset={bad}",), content="user,user,item\n1,2,3\n"),
  Line("bad.csv:3: column timestamp (time): expected times of one unit", ("--dataset={bad}",),
       content="user,item,timestamp\n1,2,1500000000\n1,3,1500000000000\n"),
  Line("1 of 1 users have too few rows", ("--dataset={bad}",), content="user,item\n1,2\n"),
  Line("a quote opens and does not close", ("--dataset={bad}",), content='user,item\n1,"2\n'),
  Line("what else there is: last_by_order", ("--dataset={bad}", "--data.split=last_by_time"),
       content="user,item\n1,2\n"),
  Line("column 'who' for user is not there; the columns are user, item", ("--dataset={bad}", "--data.columns=user=who"),
       content="user,item\n1,2\n"),
  Line("the first line looks like a header", ("--dataset={bad}", "--data.columns=user=0+item=1"),
       content="user,item\n1,2\n"),
  Line("data.columns must be ROLE=COLUMN", ("--data.columns=userId",)),
  Line("--data.format must be one of auto, csv", ("--data.format=excel",)),
  Line("data.encoding: 'utf-99' is unknown", ("--dataset={bad}", "--data.encoding=utf-99"), content="user,item\n1,2\n"),
  Line("data.keep_if must be COLUMN=VALUE", ("--data.keep_if=play",)),
  Line("data.keep_if=item=7 leaves none of 1 rows", ("--dataset={bad}", "--data.keep_if=item=7"),
       content="user,item\n1,2\n"),
  Line("data.min_rating needs a column of ratings", ("--dataset={bad}", "--data.min_rating=4"),
       content="user,item\n1,2\n"),
  Line("--data.min_rating must be a finite number or none", ("--data.min_rating=high",)),
  Line("data.user_core must be 0 or more", ("--data.user_core=-1",)),
  Line("data.user_core=9 and data.item_core=0 leave none of 1 rows", ("--dataset={bad}", "--data.user_core=9"),
       content="user,item\n1,2\n"),
  Line("data.min_rating is of files, and the set synthetic comes from none",
       ("--dataset=synthetic", "--data.min_rating=4")),
  Line("attacker.target_items: item 2 does not exist; bad.csv has 4 items, such as 90, 180, 270",
       ("--dataset={bad}", "--attacker.target_items=2", "--eval.ks=1"),
       content="user,item\n1,90\n1,180\n2,270\n2,360\n"),
  Line("bad.csv:2: column public: expected 0 or 1 (--data.columns=public=none leaves the column out), found 'yes'",
       ("--dataset={bad}",), content="user,item,public\n1,2,yes\n"),
  # Public interactions.
  Line("/no/such/file.csv: no such file", (*PUBLIC, "--attacker.public_file=/no/such/file.csv")),
  Line("of public interactions, which flags of data do not concern", (*PUBLIC, "--attacker.public_file={file}")),
  Line("bad.csv:3: column user: expected one of the 24 users of tiny.csv, such as 0, 1, 2, found '24'",
       (*PUBLIC, "--attacker.public_file={bad}"), content="user,item\n0,1\n24,1\n"),
  Line("bad.csv:2: column item: expected one of the 60 items of tiny.csv, such as 0, 1, 2, found '007'",
       (*PUBLIC, "--attacker.public_file={bad}"), content="user,item\n0,007\n"),
  Line("attacker.public_share must be left alone where attacker.public_file is set, got 0.1",
       (*PUBLIC, "--attacker.public_file={bad}", "--attacker.public_share=0.1"), content="user,item\n0,1\n"),
  Line("attacker.public_share must be left alone for bad.csv, which says itself what is public",
       (*PUBLIC, "--dataset={bad}", "--attacker.public_share=0.1", "--attacker.malicious_ratio=0.5", "--eval.ks=1"),
       content="user,item,public\n0,1,1\n0,2,1\n1,1,0\n1,0,0\n"),
  # Other commands.
  Line("unheard", ("--unheard=1",), bench),
  Line("unheard", ("--unheard=1",), breakdown),
  Line("unheard", ("--unheard=1",), image_report),
  Line("unheard", ("--unheard=1",), compatibility),
  Line("unheard", ("--unheard=1",), data),
  Line("/no/such/file.csv: no such file", ("/no/such/file.csv",), data),
  Line("bad.csv: a header only", ("{bad}",), data, "user,item\n"),
  Line("--rounds", ("--rounds=a",), popularity.main),
  Line("seeds", ("--seeds=0",), baselines.main),
  Line("--keep", ("--keep=unheard",), results),
  Line("--docs", ("--docs={file}",), results),
)


def simulating(**arguments: Any) -> Callable[[frj.Dataset], Any]:
  """A run of a second with these arguments instead of sound ones."""

  def call(small: frj.Dataset) -> Any:
    sound = {
      "dataset": small, "model": frj.mf(dim=4), "train": frj.TrainConfig(epochs=1, clients_per_round=8),
      "attacker": frj.AttackerConfig(malicious_ratio=0.2), "evaluation": frj.EvalConfig(ks=(3,)),
    }
    given = sound | arguments
    return frj.simulate(given.pop("dataset"), **given)

  return call


def configured(**fields: Any) -> Callable[[frj.Dataset], Any]:
  """A configuration from fields by dotted name, with two underscores for the dot."""
  return lambda small: frj.from_flat({name.replace("__", "."): value for name, value in fields.items()})


@frj.traced
def crooked(*, item: int = 0, client: int = 0, strength: float = 1.0) -> frj.Attack:
  """Sends rows of items and of clients that lie so far beside the right ones."""

  def poison(state: Any, uploads: Any, view: Any, key: Any) -> Any:
    del uploads, key
    table = view.public.items
    rows = strength * jnp.ones((view.slot.size, 1, table.shape[1]))
    sent = frj.item_rows(view.slot, view.active, view.targets, rows, table.shape[0])
    return sent._replace(item=sent.item + item, client=sent.client + client), state

  return frj.Attack(poison)


@frj.traced
def failing(*, stage: str = "poison", strength: float = 1.0) -> frj.Attack:
  """Raises an error of its own."""
  del strength

  def fail(*_: Any) -> Any:
    raise KeyError("popularity")

  return frj.Attack(**{"poison": fail, stage: fail})


@frj.traced
def lopsided(*, beside: int = 0, fails: bool = False) -> frj.Defense:
  """Updates items that lie so far beside the right ones."""

  def aggregate(state: Any, uploads: Any, view: Any) -> Any:
    del view
    if fails:
      raise TypeError("no such rule\nand more about it")
    return frj.Update(frj.ItemRows(uploads.item + beside, uploads.row), ()), state

  return frj.Defense(aggregate=aggregate)


MANY_TARGETS = frj.AttackerConfig(malicious_ratio=0.2, num_targets=4)
INTERACTIONS = frj.Interactions("some", np.array([0, 0, 1]), np.array([0, 1, 2]), None, 2, 3, None)

CALLS = (
  Call("attack must be an Attack, got 'pieck_uea'; fedrecjax.attacks.pieck_uea() makes one",
       simulating(attack="pieck_uea")),
  Call("attack must be an Attack, got the function pieck_uea; call it", simulating(attack=frj.pieck_uea)),
  Call("attack must be an Attack, got a Defense; it goes in defense=", simulating(attack=frj.median())),
  Call("defense must be a Defense, got an Attack; it goes in attack=", simulating(defense=frj.pieck_uea())),
  Call("defense must be a Defense, got 'median'", simulating(defense="median")),
  Call("defense must be a Defense, got a list; fedrecjax.chain(*defenses) makes one of several",
       simulating(defense=[frj.norm_bound(max_norm=1.0), frj.median()])),
  Call("model must be a Model, got the function mf; call it, mf()", simulating(model=frj.mf)),
  Call("model must be a Model, got the class Model", simulating(model=frj.Model)),
  Call("model must be a Model, got 'mf'; fedrecjax.models.mf() makes one", simulating(model="mf")),
  Call("model must be a Model, got None", simulating(model=None)),
  Call("dataset must be a Dataset, got an Interactions; fedrecjax.datasets.split makes one",
       simulating(dataset=INTERACTIONS)),
  Call("dataset must be a Dataset, got 'ml-100k'; fedrecjax.load makes one", simulating(dataset="ml-100k")),
  Call("train must be a TrainConfig, got a dict; TrainConfig(**fields) makes one", simulating(train={"epochs": 1})),
  Call("attacker must be an AttackerConfig, got a TrainConfig", simulating(attacker=frj.TrainConfig())),
  Call("evaluation must be an EvalConfig, got a tuple", simulating(evaluation=(5, 10))),
  Call("seed must be", simulating(seed=-1)),
  Call("seed must be", simulating(seed=2**32)),
  Call("seed must be", simulating(seed=1.0)),
  Call("seed must be", simulating(seed=True)),
  Call("progress must be a function", simulating(progress=30)),
  Call("on_evaluation must be a function", simulating(on_evaluation=[])),
  Call("checkpoint_dir must be the path of a folder", simulating(checkpoint_dir=3)),
  Call("checkpoint_every must be a number of epochs", simulating(checkpoint_dir="none", checkpoint_every=0)),
  Call("checkpoint_every goes with checkpoint_dir", simulating(checkpoint_every=3)),
  Call("debug must be a bool", simulating(debug="yes")),
  Call("visuals must be a Visuals", simulating(visuals="covers")),
  Call("server_optimizer must be an optax", simulating(server_optimizer="adam")),
  Call("config must be a RunConfig, got a dict", lambda small: frj.simulate_config({}, small)),
  Call("train.epochs must be an integer", lambda small: frj.TrainConfig(epochs="3")),
  Call("train.epochs must be an integer", lambda small: frj.TrainConfig(epochs=np.float64(3))),
  Call("train.learning_rate must be a finite number", lambda small: frj.TrainConfig(learning_rate=10**400)),
  Call("train.loss must be one of", lambda small: frj.TrainConfig(loss=np.array(["bce", "bpr"]))),
  Call("eval.ks must be integers", lambda small: frj.EvalConfig(ks=5)),
  Call("eval.ks must be integers", lambda small: frj.EvalConfig(ks=[[5], [10]])),
  Call("eval.ks must be different", lambda small: frj.EvalConfig(ks=[5, np.int64(5)])),
  Call("attacker.target_items: item 30 does not exist",
       simulating(attacker=frj.AttackerConfig(targets="given", target_items=[30]))),
  Call("seed must be", configured(seed=True)),
  Call("attack must be a text, got None", configured(attack=None)),
  Call("dataset must be a text, got 3", configured(dataset=3)),
  Call("mf.dim=10000000000 does not fit into memory", simulating(model=frj.mf(dim=10**10))),
  Call("training does not fit into memory: its program works on", simulating(attack=frj.a_hum(num_users=10**9))),
  Call("random.max_rows=6 leaves no room for 4 targets and their negatives; attacker.num_targets must be at most 3",
       simulating(attack=frj.attacks.random(max_rows=6), attacker=MANY_TARGETS)),
  Call("dl_poison.max_rows=60: 29 filler items asked for, 29 available, of which one must be left for negatives",
       simulating(attack=frj.attacks.dl_poison())),
  Call("mf_poison.max_rows=6 leaves no room for 4 targets", simulating(attack=frj.attacks.mf_poison(max_rows=6),
                                                                        attacker=MANY_TARGETS)),
  Call("num_items, top_k, alternatives or attacker.num_targets", simulating(attack=frj.psmu(), attacker=MANY_TARGETS)),
  Call("attack fedrecattack does not fit small: fedrecattack.max_rows must lie between the 4 targets",
       simulating(attack=frj.fedrecattack(max_rows=3), attacker=MANY_TARGETS)),
  Call("attack pieck_ipe does not fit small: num_popular=30", simulating(attack=frj.pieck_ipe(num_popular=30))),
  # Methods that break what was agreed.
  Call("attack crooked: poison uploaded", simulating(attack=crooked(item=100)), status=1),
  Call("attack crooked: poison uploaded", simulating(attack=crooked(item=-100)), status=1),
  Call("in the name of clients that are not its own", simulating(attack=crooked(client=100)), status=1),
  Call("in the name of clients that are not its own", simulating(attack=crooked(client=-100)), status=1),
  Call("defense lopsided: aggregate made", simulating(defense=lopsided(beside=1)), status=1),
  Call("defense lopsided: aggregate made",
       simulating(defense=frj.chain(frj.norm_bound(max_norm=1.0), lopsided(beside=-1))), status=1),
  Call("attack failing: poison failed: KeyError: 'popularity'", simulating(attack=failing()), status=1),
  Call("attack failing: init failed: KeyError: 'popularity'", simulating(attack=failing(stage="init")), status=1),
  Call("defense lopsided: aggregate failed: TypeError: no such rule", simulating(defense=lopsided(fails=True)),
       status=1),
  Call("the model: score_row failed: ZeroDivisionError: division by zero",
       simulating(model=frj.mf(dim=4)._replace(score_row=lambda user, row, shared: 1 / 0)), status=1),
)
