"""The evaluation protocols of the papers, as fields of the configuration."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
  "pieck": {
    "data.split": "default",
    "eval.candidates": "sampled",
    "eval.num_negatives": 99,
    "eval.held_out_negative": True,
    "eval.ks": [5, 10, 20],
  },
  "fedrecattack": {
    "data.split": "default",
    "eval.candidates": "sampled",
    "eval.num_negatives": 99,
    "eval.exposure_among": "unseen",
    "eval.ks": [5, 10],
  },
  "cluster_union": {
    "data.split": "last_two",
    "eval.candidates": "all",
    "eval.left_out": 0.05,
    "eval.ks": [5, 10, 20],
  },
  "spattack": {
    "data.split": "default",
    "eval.candidates": "sampled",
    "eval.num_negatives": 100,
    "eval.ks": [5, 10],
  },
  "psmu": {
    "data.split": "ratio",
    "data.test_ratio": 0.2,
    "eval.candidates": "all",
    "eval.ks": [5, 20],
  },
}
"""Evaluation protocols of the papers (docs/evaluation.md), as fields that others override."""

PRESET_FIELD = "eval.preset"
PROTOCOL_FIELDS = frozenset().union(*PRESETS.values())
"""The fields that make up a protocol."""
