"""Images at the step in which items' providers upload them: what is known of them, and who sees what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from fedrecjax.types.basics import Array, Public, beside_features
from fedrecjax.types.model import Loss, Model


class ImageView(NamedTuple):
  """What the provider of the targets' images sees when it uploads, before the first round of an epoch.

  Attributes:
    public: the parameters as they are.
    features: of all items' images as the server has them, float32 `[M, F]`.
    epoch: int32 scalar from 0.
    targets: int32 `[T]`.
    clean: the targets' own images, uint8 `[T, H, W, 3]`.
    current: the images that it uploaded last, float32 `[T, H, W, 3]` on 0..255.
    users: numbers of the users that it may invent, int32 `[U]`.
    extract: the frozen extractor, `images [B, H, W, 3] on 0..255 -> features [B, F]`; differentiable.
    model: functions of the base recommender.
    loss: of one sample, which every client minimises.
    purify: what the server makes of images, with noise of the attacker's own, `(images [B, H, W, 3], key) -> images`,
      or None unless the attack requires `"image_defense"`.
  """

  public: Public
  features: Array
  epoch: Array
  targets: Array
  clean: Array
  current: Array
  users: Array
  extract: Callable[[Array], Array]
  model: Model
  loss: Loss
  purify: Callable[[Array, Array], Array] | None = None

  @property
  def received(self) -> Public:
    """The parameters as the model's functions take them, see :func:`beside_features`."""
    return beside_features(self.public, self.features)


class ImageDefenseView(NamedTuple):
  """What the server has for the images it is sent.

  Attributes:
    extract: the frozen extractor, `images [B, H, W, 3] on 0..255 -> features [B, F]`.
    denoiser: a diffusion model of images, see :class:`fedrecjax.vision.Denoiser`; None if there is none.
  """

  extract: Callable[[Array], Array]
  denoiser: Any = None
