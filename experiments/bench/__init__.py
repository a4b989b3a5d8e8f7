"""The commands that measure speed: `experiments.bench`, `.attack_costs` and `.purification_bench`.

Speed measured as a part of another command is that command's.
"""
