"""The sections of a configuration: data, training, attacker and evaluation, each checked where it is made."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any, Literal

from fedrecjax.datasets import DataError, ReadOptions, parse_columns
from fedrecjax.methods.fields import IF_SET, as_declared, expected, fits
from fedrecjax.numerics.optimizers import ClientOptimizer, ServerOptimizer


class ConfigError(ValueError):
  """A field has an impossible value; the message is one line that names the field and what was expected."""


def check_field(annotation: Any, value: Any, name: str) -> None:
  """Raises ConfigError unless the value is one of a field's type."""
  if not fits(annotation, value):
    raise ConfigError(f"{name} must be {expected(annotation)}, got {value!r}{hint(name)}")


def hint(name: str) -> str:
  """What somebody who gave an impossible value to this field may have meant; empty for most fields.

  >>> hint("train.epochs"), hint("--attacker.targets")
  ('', '; items by id go in attacker.target_items')
  """
  return {"attacker.targets": "; items by id go in attacker.target_items"}.get(name.removeprefix("--"), "")


def require(condition: bool, field: str, expected: str, value: Any) -> None:
  """Raises ConfigError, naming the field and what was expected, unless the condition holds."""
  if not condition:
    raise ConfigError(f"{field} must be {expected}, got {value!r}")


def _check_fields(section: Any) -> None:
  """Checks a section's fields as it is made, and puts them into the form that they are declared in."""
  owner = next(name for name, config in SECTIONS.items() if isinstance(section, config))
  for name, annotation in typing.get_type_hints(type(section)).items():
    value = as_declared(annotation, getattr(section, name))
    check_field(annotation, value, f"{owner}.{name}")
    object.__setattr__(section, name, value)


def _if_set(default: Any) -> Any:
  return dataclasses.field(default=default, metadata={IF_SET: True})


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """How interactions become training and held-out items.

  Attributes:
    split: how items are held out: "default" is the source's own split where it ships one, else "last"; "last"
      holds out each user's latest item (by time, or by file order where no time is known); "last_by_time",
      "last_by_order", "last_two" (as "last", and the item before it is neither trained on nor ranked, as a
      validation set would be), "random" (one item), "ratio" (a share), "given" (the source's own).
    test_ratio: share of a user's items that "ratio" holds out.
    repeats: interactions that occur several times: "keep" or "drop" all but the first.
    too_few: users with too few items to hold one out: "error", "train_only" (keep, without evaluating them) or
      "drop".
    seed: seed of splits that draw. It is apart from the run's seed, so that several seeds share one split.
    columns: which column plays which role, ROLE=COLUMN joined with +, of the roles user, item, time, rating, split and
      public; by place from 0 where the file has no header. Other roles go to columns of usual names, as all do by
      default; ROLE=none leaves one out.
    format: form of the file; "auto" tells it by its name and first lines.
    separator: what stands between two fields: a word (tab, comma, semicolon, space, bar, colons) or itself; none: the
      one that makes a known header.
    encoding: of the text, such as latin-1; none: UTF-8, or what a byte order mark says.
    quotes: "auto" takes quotes around a field as no part of it, "none" reads them as they stand.
    ids: "auto" reads columns of whole numbers as such, in which another word is a mistake; "names" takes any word as a
      name.
    min_rating: interactions with a lower rating are left out; none: none are.
    keep_if: COLUMN=VALUE: only rows with this value are kept; none: all are.
    user_core: interactions that each user must have, counted again until neither users nor items are left out; 0: any.
    item_core: the same for items.
    unpack_ratio: how many times its size a packed file may unpack to, beyond 256 MiB.
  """

  split: Literal["default", "last", "last_by_time", "last_by_order", "last_two", "random", "ratio", "given"] = "default"
  test_ratio: float = 0.2
  repeats: Literal["keep", "drop"] = "keep"
  too_few: Literal["error", "train_only", "drop"] = "error"
  seed: int = 0
  columns: str | None = _if_set(None)
  format: Literal[
    "auto", "csv", "inter", "u.data", "ratings.dat", "rating", "gowalla", "lastfm-360k", "mind", "lists", "pairs",
    "netflix", "jsonl", "parquet",
  ] = _if_set("auto")
  separator: str | None = _if_set(None)
  encoding: str | None = _if_set(None)
  quotes: Literal["auto", "none"] = _if_set("auto")
  ids: Literal["auto", "names"] = _if_set("auto")
  min_rating: float | None = _if_set(None)
  keep_if: str | None = _if_set(None)
  user_core: int = _if_set(0)
  item_core: int = _if_set(0)
  unpack_ratio: int = _if_set(200)

  def __post_init__(self) -> None:
    _check_fields(self)
    require(0 < self.test_ratio < 1, "data.test_ratio", "between 0 and 1", self.test_ratio)
    for field in ("seed", "user_core", "item_core"):
      require(getattr(self, field) >= 0, f"data.{field}", "0 or more", getattr(self, field))
    try:
      self.reading()
    except DataError as error:
      raise ConfigError(str(error)) from error

  def reading(self) -> ReadOptions:
    """What is said of the files.

    Raises:
      DataError: if it cannot be meant.
    """
    return ReadOptions(
      parse_columns(self.columns), None if self.format == "auto" else self.format, self.separator, self.encoding,
      self.quotes, self.ids, self.min_rating, self.keep_if, self.unpack_ratio,
    )


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  """Federated training.

  Attributes:
    epochs: epochs to train; an epoch has as many rounds as it takes to visit every client once.
    clients_per_round: clients in a round, C; "all" for everybody, malicious clients too (Spattack).
    participation: "shuffled" visits every client once per epoch, in shuffled batches; "uniform" draws C clients for
      every round.
    loss: "bce" (PIECK Eq. 2) or "bpr".
    reduction: a client's loss is the "mean" or the "sum" over its training pairs.
    num_negatives: negatives per positive, q.
    negatives: "once" draws them before training and keeps them, as all published codes do; "every_round" draws
      anew.
    negatives_outside: items that are not drawn as negatives: those of the client's "training", so that held-out items
      can be; or all it has "interacted" with, validation and held-out items too, which tells training the answer
      (ClusterAttack's code).
    duplicates: an item that occurs several times in a client's list is uploaded as the "sum" of its gradients, or
      only its "first" occurrence counts, as in PIECK's published code (needs negatives=once).
    learning_rate: step size of the server, and of the clients for their own vectors.
    client_learning_rate: step size of the clients where it differs; none: the server's.
    client_learning_rates: "fixed" gives all clients the same step size; "uniform" and "log_uniform" draw each client's
      own, once, between client_learning_rate and learning_rate (PIECK Table X).
    client_optimizer: what a client does with its own vector: "sgd"; "momentum", "adam", "adagrad", "yogi" or
      "rmsprop", of each client for itself, which advances when it takes part; or "adam_table", one Adam at a server
      that keeps all user vectors, so that all of them move on in every round (ClusterAttack's code).
    local_steps: steps of gradient descent that a client takes before it uploads how far it came, in units of its step
      size; 1 is FedSGD, more FedAvg.
    server_optimizer: what the server does with the aggregated gradient: "sgd"; "momentum", "adam" (ClusterAttack),
      "adagrad", "yogi" or "rmsprop" over the whole item table; or "lazy_adam", which leaves alone what a round does not
      touch.
    l2: weight of the L2 penalty: half of it times the squared norms is added to each client's loss; 0: none.
    l2_rows: the item rows that it is on, beside the client's own vector: "uploaded", each row that the client uploads;
      "copies", each as often as it stands in the client's list (Spattack's code; FedRecAttack's server keeps one copy,
      which makes it "uploaded"); "table", all public parameters, as a term of the aggregated update (ClusterAttack,
      where a mean over clients makes it one).
    l2_clients: whose loss it is part of: of "all" clients that train, or of "benign" ones alone, so that malicious
      clients train on their profiles without it (FedRecAttack's code). The term on the table stays.
    dropout: share of the numbers of each looked-up item row, and of each looked-up user vector in models that take it
      as it is, that are left out in training (ClusterAttack). A model that reads histories has its own dropout beside.
    row_clip: clients scale each uploaded row down to this L2 norm (FedRecAttack Eq. 5), after privacy_clip and its
      noise and before a defence's own transforms; none: no clipping.
    upload_noise: standard deviation mu of the noise on each uploaded row, in units of row_clip (FedRecAttack
      Eq. 5); 0: none.
    pseudo_items: items outside its list for which each client uploads rows drawn like its real ones, to hide which
      are real (FedGNN); 0: none.
    privacy_clip: clients clip each uploaded number to this absolute value, delta, before privacy_noise (FedGNN); none:
      no clipping.
    privacy_noise: scale lambda of the Laplace noise on each uploaded number (FedGNN); the privacy budget is
      2 privacy_clip / privacy_noise. 0: none.
  """

  epochs: int = 300
  clients_per_round: int | Literal["all"] = 256
  participation: Literal["shuffled", "uniform"] = "shuffled"
  loss: Literal["bce", "bpr"] = "bce"
  reduction: Literal["mean", "sum"] = "mean"
  num_negatives: int = 1
  negatives: Literal["once", "every_round"] = "once"
  negatives_outside: Literal["training", "interacted"] = "training"
  duplicates: Literal["sum", "first"] = "sum"
  learning_rate: float = 1.0
  client_learning_rate: float | None = None
  client_learning_rates: Literal["fixed", "uniform", "log_uniform"] = "fixed"
  client_optimizer: ClientOptimizer = "sgd"
  local_steps: int = 1
  server_optimizer: ServerOptimizer = "sgd"
  l2: float = 0.0
  l2_rows: Literal["uploaded", "copies", "table"] = "uploaded"
  l2_clients: Literal["all", "benign"] = "all"
  dropout: float = 0.0
  row_clip: float | None = None
  upload_noise: float = 0.0
  pseudo_items: int = 0
  privacy_clip: float | None = None
  privacy_noise: float = 0.0

  def __post_init__(self) -> None:
    _check_fields(self)
    require(self.clients_per_round == "all" or self.clients_per_round > 0, "train.clients_per_round",
            "positive or all", self.clients_per_round)
    for field in ("epochs", "num_negatives", "learning_rate", "local_steps"):
      require(getattr(self, field) > 0, f"train.{field}", "positive", getattr(self, field))
    for field in ("client_learning_rate", "row_clip", "privacy_clip"):
      value = getattr(self, field)
      require(value is None or value > 0, f"train.{field}", "positive or none", value)
    for field in ("upload_noise", "privacy_noise", "l2", "pseudo_items"):
      require(getattr(self, field) >= 0, f"train.{field}", "0 or more", getattr(self, field))
    require(0 <= self.dropout < 1, "train.dropout", "at least 0 and below 1", self.dropout)
    require(self.privacy_noise == 0 or self.privacy_clip is not None, "train.privacy_clip",
            "set where train.privacy_noise is, since unbounded numbers have no budget", self.privacy_clip)
    require(self.upload_noise == 0 or self.row_clip is not None, "train.row_clip",
            "set where train.upload_noise is, which is in its units", self.row_clip)
    require(self.duplicates == "sum" or self.negatives == "once", "train.negatives",
            "once where train.duplicates=first", self.negatives)
    require(self.client_learning_rates == "fixed" or self.client_learning_rate is not None,
            "train.client_learning_rate", "set where train.client_learning_rates draws them between it and"
            " train.learning_rate", self.client_learning_rate)
    if self.client_optimizer == "adam_table":
      require(self.client_learning_rates == "fixed", "train.client_learning_rates",
              "fixed where train.client_optimizer=adam_table, which is one optimiser", self.client_learning_rates)
    if self.local_steps > 1:
      require(self.client_optimizer == "sgd", "train.client_optimizer", "sgd where train.local_steps is above 1",
              self.client_optimizer)
      require(self.pseudo_items == 0, "train.pseudo_items", "0 where train.local_steps is above 1",
              self.pseudo_items)
      require(self.duplicates == "sum", "train.duplicates", "sum where train.local_steps is above 1",
              self.duplicates)


@dataclasses.dataclass(frozen=True)
class AttackerConfig:
  """What every attack has in common: how many malicious clients there are and what they promote.

  Attributes:
    malicious_ratio: malicious clients as a share of `ratio_of`; the number is rounded down.
    membership: "added" puts malicious clients beside the users; "converted" takes users over.
    targets: how targets are chosen: "random" items, the "least_popular" ones (ties at random), or "given" ones.
    num_targets: number of targets, T.
    target_items: for "given": names of items as the data call them, joined with + on the command line; a whole number
      is the item that is named so.
    start_epoch: first epoch, from 0, in which malicious clients attack. Before it those with data of their own behave,
      others send nothing.
    stop_epoch: first epoch in which they no longer do; none: they attack to the end.
    colluding: whether malicious clients share what they know and do; else each acts on its own, as the only one.
    own_items: random items that an added malicious client holds, for attacks of clients with data of their own;
      converted ones hold what they held as users.
    public_share: share of each user's training items that everybody can see, rounded up (FedRecAttack's xi), for
      attacks that use them. It is drawn, and must be left alone where public interactions are given: by public_file, or
      by the data set, whose file has a column `public`.
    public_file: path of a file of public interactions in any form that a data set may have, users and items by their
      names, which need be no training interactions; none: they are a share, or the data set's own.
    ratio_of: what the share is of: the "users" of the data set, which are the benign clients where malicious ones are
      added and all clients where users are converted (PIECK, FedRecAttack, ClusterAttack); "all" clients (Spattack); or
      the "benign" ones.
  """

  malicious_ratio: float = 0.05
  membership: Literal["added", "converted"] = "added"
  targets: Literal["random", "least_popular", "given"] = "random"
  num_targets: int = 1
  target_items: tuple[int | str, ...] = ()
  start_epoch: int = 0
  stop_epoch: int | None = None
  colluding: bool = True
  own_items: int = 30
  public_share: float = 0.01
  public_file: str | None = _if_set(None)
  ratio_of: Literal["users", "all", "benign"] = "users"

  def __post_init__(self) -> None:
    _check_fields(self)
    require(self.start_epoch >= 0, "attacker.start_epoch", "0 or more", self.start_epoch)
    require(self.stop_epoch is None or self.stop_epoch > self.start_epoch, "attacker.stop_epoch",
            "above attacker.start_epoch or none", self.stop_epoch)
    require(self.own_items > 0, "attacker.own_items", "positive", self.own_items)
    require(0 <= self.public_share <= 1, "attacker.public_share", "0 to 1", self.public_share)
    require(self.public_file is None or self.public_share == AttackerConfig.public_share, "attacker.public_share",
            "left alone where attacker.public_file is set", self.public_share)
    require(0 <= self.malicious_ratio < 1, "attacker.malicious_ratio", "at least 0 and below 1", self.malicious_ratio)
    require(self.num_targets > 0, "attacker.num_targets", "positive", self.num_targets)
    given = self.targets == "given"
    require(given == bool(self.target_items), "attacker.target_items",
            "set where attacker.targets=given, and only there", self.target_items)
    require(len(set(self.target_items)) == len(self.target_items), "attacker.target_items", "different items",
            self.target_items)

  def without_clients(self) -> AttackerConfig:
    """The same targets, but nobody who promotes them."""
    return AttackerConfig(
      malicious_ratio=0.0, targets=self.targets, num_targets=self.num_targets, target_items=self.target_items
    )


@dataclasses.dataclass(frozen=True)
class EvalConfig:
  """Evaluation, always over benign users.

  Attributes:
    every: epochs between two evaluation points; the last epoch is always one.
    candidates: items that a held-out item is ranked among for hr and ndcg: "all" but the user's training items, or
      "sampled" ones. Exposure of targets is always ranked among all.
    num_negatives: for "sampled": different items outside the user's training items, drawn anew at every point.
    held_out_negative: for "sampled": whether the held-out item may itself be drawn, as in PIECK's published code.
    exposure_among: items that targets are ranked among for exposure: "not_trained" are all but the user's training
      items; "unseen" leaves out held-out items too (FedRecAttack's and A-hum's code). A target that is left out does
      not count for that user.
    left_out: share of the users, malicious ones first, who are not evaluated (0.05 in ClusterAttack's code).
    ks: list lengths K, joined with + on the command line.
    after_uploads: whether metrics are also measured right after each upload of images, before the round after it.
  """

  every: int = 1
  candidates: Literal["all", "sampled"] = "all"
  num_negatives: int = 99
  held_out_negative: bool = False
  exposure_among: Literal["not_trained", "unseen"] = "not_trained"
  left_out: float = 0.0
  ks: tuple[int, ...] = (5, 10, 20)
  after_uploads: bool = _if_set(False)

  def __post_init__(self) -> None:
    _check_fields(self)
    require(self.every > 0, "eval.every", "positive", self.every)
    require(self.num_negatives > 0, "eval.num_negatives", "positive", self.num_negatives)
    require(0 <= self.left_out < 1, "eval.left_out", "at least 0 and below 1", self.left_out)
    require(bool(self.ks) and min(self.ks) > 0, "eval.ks", "positive list lengths", self.ks)
    require(len(set(self.ks)) == len(self.ks), "eval.ks", "different list lengths", self.ks)


@dataclasses.dataclass(frozen=True)
class ImagesConfig:
  """Images of the items, for models that see them and for attacks and defences that change them.

  Attributes:
    source: "none"; "covers" drawn from tastes (data set synthetic), "posters" (ml-1m, ml-100k), "emoji", or the path of
      a folder of files named by item or of an .npz file.
    size: side in pixels to which all images are brought.
    seed: of what is drawn for images: covers, emoji given to items, the extractor's and the diffusion model's training.
      It is apart from the run's seed, so that several seeds share images and networks.
    extractor: frozen network from images to features: "small_cnn", trained on these images, "efficientnet_lite0" or
      "vgg16".
    extractor_weights: path of the extractor's weights; needed by vgg16. For small_cnn, of a network saved before
      instead of training.
    extractor_steps: steps of the small network's training.
    diffusion: diffusion model of defences that purify: "trained" on these images, or the path of a checkpoint, a folder
      of this project or a .pt file of guided-diffusion's 256 x 256 network.
    diffusion_steps: steps of its training.
    diffusion_batch: images in a step of its training.
    diffusion_width: channels of its network's first level, a multiple of 32.
    diffusion_levels: channels of its levels as multiples of that, joined with + on the command line; each further level
      has half the resolution.
  """

  source: str = "none"
  size: int = 32
  seed: int = 0
  extractor: Literal["small_cnn", "efficientnet_lite0", "vgg16"] = "small_cnn"
  extractor_weights: str | None = None
  extractor_steps: int = 200
  diffusion: str = "trained"
  diffusion_steps: int = 1000
  diffusion_batch: int = 16
  diffusion_width: int = 32
  diffusion_levels: tuple[int, ...] = (1, 2, 2)

  def __post_init__(self) -> None:
    _check_fields(self)
    if self.source == "none":
      for declared in dataclasses.fields(self):
        value = getattr(self, declared.name)
        require(value == declared.default, f"images.{declared.name}", "left alone where images.source=none", value)
    for field in ("size", "extractor_steps", "diffusion_steps", "diffusion_batch"):
      require(getattr(self, field) > 0, f"images.{field}", "positive", getattr(self, field))
    require(self.seed >= 0, "images.seed", "0 or more", self.seed)
    require(self.diffusion_width > 0 and self.diffusion_width % 32 == 0, "images.diffusion_width", "a multiple of 32",
            self.diffusion_width)
    levels = self.diffusion_levels
    require(bool(levels) and min(levels) > 0, "images.diffusion_levels", "positive multiples", levels)
    require(self.size % 2 ** (len(levels) - 1) == 0 or self.diffusion != "trained", "images.size",
            f"a multiple of {2 ** (len(levels) - 1)} for {len(levels)} images.diffusion_levels", self.size)
    require(self.extractor != "vgg16" or self.extractor_weights is not None, "images.extractor_weights",
            "set where images.extractor=vgg16", self.extractor_weights)


SECTIONS: dict[str, type] = {
  "data": DataConfig, "train": TrainConfig, "attacker": AttackerConfig, "eval": EvalConfig,
  "images": ImagesConfig,
}
