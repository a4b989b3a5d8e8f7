"""Base recommenders: how scores come from public parameters, a user's own vector and history.

How they are trained is in `clients` and `server`.
"""

from fedrecjax.models.fedgnn import fedgnn
from fedrecjax.models.lightgcn import lightgcn
from fedrecjax.models.lightvgcn import lightvgcn
from fedrecjax.models.mf import mf
from fedrecjax.models.ncf import ncf
from fedrecjax.models.registry import MODELS
from fedrecjax.models.sasrec import sasrec
from fedrecjax.models.vncf import vncf

__all__ = ["MODELS", "fedgnn", "lightgcn", "lightvgcn", "mf", "ncf", "sasrec", "vncf"]
