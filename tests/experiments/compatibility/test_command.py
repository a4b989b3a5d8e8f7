"""Methods of all kinds together. The whole table is `python -m experiments.compatibility`'s; here every
model meets a client's transform, a rule that compares clients and a filter, under attacks of three kinds.
"""

import chex
import pytest

from experiments.compatibility import command
from experiments.compatibility.command import Triple
from fedrecjax.models import MODELS

CHOSEN = [
  Triple(model, attack, defense)
  for model in MODELS.names()
  for attack, defense in (("a_hum", "fl_wbc"), ("pieck_uea", "krum"), ("random", "union"))
]
IMAGES = [
  Triple("vncf", "psmu_v", "gdmpd"), Triple("vncf", "image_popularity", "krum"),
  Triple("lightvgcn", "psmu_pp", "gdmpd_unguided"),
]
HISTORIES = "sasrec"


@pytest.mark.parametrize("triple", CHOSEN, ids="/".join)
def test_two_rounds_run_or_are_refused_with_a_reason(triple):
  # As one program for one triple of each model; stages are shared by many triples.
  reason = command.try_out(triple, whole=triple.attack == "a_hum")
  if triple.model == HISTORIES and triple.defense == "union":
    assert "a model of histories" in reason
  else:
    assert reason is None


@pytest.mark.parametrize("triple", IMAGES, ids="/".join)
def test_pictures_are_uploaded_before_the_rounds(triple):
  assert command.try_out(triple) is None


@pytest.mark.parametrize("triple", [Triple("mf", "psmu_v", "none"), Triple("ncf", "none", "gdmpd")], ids="/".join)
def test_pictures_need_a_model_that_sees_them(triple):
  assert "which the model does not see" in command.try_out(triple)


def test_rows_that_differ_in_model_or_defence_alone_are_one():
  tried = command.every_triple(models=["mf", "ncf"], attacks=["none", "random"], defenses=["krum", "union"])
  page = command.document([(triple, "so") for triple in tried if triple.attack == "random"], tried)
  assert "| all | all | `random` | so |" in page


def test_every_combination_is_tried():
  triples = command.every_triple()
  assert len(set(triples)) == len(triples) and set(CHOSEN) <= set(triples)


def test_the_page_lists_refusals_with_their_reasons():
  tried = command.every_triple(models=["mf", "sasrec"], attacks=["none", "random"], defenses=["krum", "union"])
  refused = [(Triple("sasrec", "random", "union"), "because"), (Triple("mf", "none", "krum"), "so")]
  page = command.document(refused, tried)
  assert "6 run. 2 are refused:" in page
  assert "| `sasrec` | `union` | `random` | because |" in page
  assert "| `mf` | `krum` | `none` | so |" in page
  assert "- not tried: `fedgnn` " in page and "- attacks: `none` `random`\n" in page
  assert "All of them run." in command.document([], tried)
  assert "not tried" not in command.document([], command.every_triple())


def test_unknown_methods_are_refused(capsys):
  assert command.main(["compatibility", "--attacks=none,nobody"]) == 2
  assert "--attacks must be of" in capsys.readouterr().err


@pytest.mark.parametrize(("attack", "defense"), [("fedrecattack", "krum"), ("label_flip", "union"), ("fang", "hics")])
def test_rounds_in_stages_are_those_of_one_program(attack, defense):
  run = command.planned(Triple("ncf" if defense == "krum" else "mf", attack, defense))
  stages = command.stage_by_stage(run)
  whole = command.together(run)
  chex.assert_trees_all_close(stages, whole, rtol=1e-7, atol=1e-5)
