"""Attacks on federated recommenders."""

from fedrecjax.attacks.boosting import explicit_boosting
from fedrecjax.attacks.cluster import cluster
from fedrecjax.attacks.cluster_cl import cluster_cl
from fedrecjax.attacks.dl_poison import dl_poison
from fedrecjax.attacks.fang import fang
from fedrecjax.attacks.fedattack import fedattack
from fedrecjax.attacks.fedrecattack import fedrecattack
from fedrecjax.attacks.gaussian import gaussian
from fedrecjax.attacks.image_popularity import image_popularity
from fedrecjax.attacks.interaction import a_hum, a_ra
from fedrecjax.attacks.label_flip import label_flip
from fedrecjax.attacks.lie import lie
from fedrecjax.attacks.lie_targeted import lie_targeted
from fedrecjax.attacks.mf_poison import mf_poison
from fedrecjax.attacks.none import none
from fedrecjax.attacks.pieck import pieck_ipe, pieck_uea
from fedrecjax.attacks.pipattack import pipattack
from fedrecjax.attacks.psmu import psmu
from fedrecjax.attacks.psmu_images import psmu_pp, psmu_v
from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.attacks.shilling import bandwagon, popular, random
from fedrecjax.attacks.spattack import spattack_ld, spattack_ls, spattack_od, spattack_os
from fedrecjax.attacks.targeted import boosted_targeted

__all__ = [
  "ATTACKS",
  "a_hum",
  "a_ra",
  "bandwagon",
  "boosted_targeted",
  "cluster",
  "cluster_cl",
  "dl_poison",
  "explicit_boosting",
  "fang",
  "fedattack",
  "fedrecattack",
  "gaussian",
  "image_popularity",
  "label_flip",
  "lie",
  "lie_targeted",
  "mf_poison",
  "none",
  "pieck_ipe",
  "pieck_uea",
  "pipattack",
  "popular",
  "psmu",
  "psmu_pp",
  "psmu_v",
  "random",
  "spattack_ld",
  "spattack_ls",
  "spattack_od",
  "spattack_os",
]
