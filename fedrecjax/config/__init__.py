"""The configuration of a run: sections, methods by name, presets, the flat form by dotted name and a stable hash.

What a configuration builds lives in the rooms of its parts.
"""

from fedrecjax.config.run import (
  REGISTRIES,
  MethodConfig,
  RunConfig,
  defense_parts,
  field_help,
  from_flat,
  owner_of,
  owners,
  parse,
  unset_fields,
  with_unset,
)
from fedrecjax.config.sections import (
  SECTIONS,
  AttackerConfig,
  ConfigError,
  DataConfig,
  EvalConfig,
  ImagesConfig,
  TrainConfig,
)

__all__ = [
  "REGISTRIES",
  "SECTIONS",
  "AttackerConfig",
  "ConfigError",
  "DataConfig",
  "EvalConfig",
  "ImagesConfig",
  "MethodConfig",
  "RunConfig",
  "TrainConfig",
  "defense_parts",
  "field_help",
  "from_flat",
  "owner_of",
  "owners",
  "parse",
  "unset_fields",
  "with_unset",
]
