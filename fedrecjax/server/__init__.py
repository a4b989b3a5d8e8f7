"""What happens at the server once uploads are one update: the optimiser's step, and rules for shared parameters.

How uploads become one update is a defence.
"""
