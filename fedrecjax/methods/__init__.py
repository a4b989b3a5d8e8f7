"""How a constructor becomes a method: its table by name, its configuration, and which of its numbers are traced.

Knows nothing of what methods do; attacks, defences and models register themselves through it.
"""
