"""Relations between runs that hold whatever the model, the regime, the attack and the defence are.

Belongs here: what two runs, or a run and a reading of its result, have in common. Not here: what one part does.
"""
