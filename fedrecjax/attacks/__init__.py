"""Attacks on federated recommenders, in families: data poisoning, targeted, untargeted, by images.

What all families use lies beside them; what clients and attackers both do is in `clients` or `popularity`.
"""

from fedrecjax.attacks.data_poisoning.dl_poison import dl_poison
from fedrecjax.attacks.data_poisoning.fedattack import fedattack
from fedrecjax.attacks.data_poisoning.label_flip import label_flip
from fedrecjax.attacks.data_poisoning.mf_poison import mf_poison
from fedrecjax.attacks.data_poisoning.shilling import bandwagon, popular, random
from fedrecjax.attacks.images.image_popularity import image_popularity
from fedrecjax.attacks.images.psmu_images import psmu_pp, psmu_v
from fedrecjax.attacks.none import none
from fedrecjax.attacks.registry import ATTACKS
from fedrecjax.attacks.targeted.a_ra_a_hum import a_hum, a_ra
from fedrecjax.attacks.targeted.boosted_targeted import boosted_targeted
from fedrecjax.attacks.targeted.explicit_boosting import explicit_boosting
from fedrecjax.attacks.targeted.fedrecattack import fedrecattack
from fedrecjax.attacks.targeted.lie_targeted import lie_targeted
from fedrecjax.attacks.targeted.pieck import pieck_ipe, pieck_uea
from fedrecjax.attacks.targeted.pipattack import pipattack
from fedrecjax.attacks.targeted.psmu import psmu
from fedrecjax.attacks.untargeted.cluster import cluster
from fedrecjax.attacks.untargeted.cluster_cl import cluster_cl
from fedrecjax.attacks.untargeted.fang import fang
from fedrecjax.attacks.untargeted.gaussian import gaussian
from fedrecjax.attacks.untargeted.lie import lie
from fedrecjax.attacks.untargeted.spattack import spattack_ld, spattack_ls, spattack_od, spattack_os

UNTARGETED = frozenset({
  "cluster", "cluster_cl", "fang", "fedattack", "gaussian", "label_flip", "lie", "spattack_ld", "spattack_ls",
  "spattack_od", "spattack_os",
})
"""Attacks that spoil the recommender for everybody and promote nothing."""

__all__ = [
  "ATTACKS",
  "UNTARGETED",
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
