"""The lines that say what a data set holds, and who attacks in it."""


from experiments.data.block import Threat, data_lines, threat_lines, threat_of
from fedrecjax import attacks
from fedrecjax.analysis import summarize
from fedrecjax.config import AttackerConfig, TrainConfig
from tests.support.lockstep import make_run


def test_a_threat_is_that_of_the_run(small):
  attacker = AttackerConfig(malicious_ratio=0.35, num_targets=3, start_epoch=1)
  train = TrainConfig(epochs=3, clients_per_round=5)
  attack = attacks.random(max_rows=8)
  found = threat_of(small, attack, attacker, train, 4)
  run = make_run(small, attack=attack, attacker=attacker, train=train, seed=4)
  assert (found.malicious, found.clients) == (4, 16)
  attacking = (run.rounds.malicious >= 0).sum(axis=1)
  # In two of three epochs every malicious client attacks once; an epoch has four rounds.
  assert found.per_round == attacking.mean() == 8 / 12 and found.most_per_round == attacking.max()
  assert found.targets == tuple(run.population.targets.tolist())
  for target, popularity, rank in zip(found.targets, found.popularity, found.ranks, strict=True):
    assert popularity == small.popularity[target]
    above = small.popularity > popularity
    assert 0 <= rank - 1 - above.sum() < (small.popularity == popularity).sum()


def test_its_lines_name_every_target():
  lines = threat_lines(Threat(47, 990, 11.75, 15, (902, 5), (1700, 0), (3, 1682)))
  assert lines[0].endswith("47 of 990 clients, 11.8 in a round on average, 15 at most") and len(lines) == 3
  assert lines[1].endswith("item 902, 1,700 training interactions, rank 3") and lines[2].endswith("rank 1,682")


def test_only_what_is_the_case_is_said(small):
  lines = "\n".join(data_lines(summarize(small)))
  assert lines.startswith("Data: small\n  users         12\n  items         30")
  assert "1 can never be ranked" in lines and "1 users, who hold out nothing" in lines
  for absent in ("time", "set aside ", "left out ", "public"):
    assert f"\n  {absent}" not in lines
  source = summarize(small)._replace(dropped=0, first_time=3, last_time=9)
  assert "  time          3 to 9, which orders rows" in data_lines(source)
