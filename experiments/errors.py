"""The error of a command line that cannot be carried out."""


class UsageError(ValueError):
  """Flags that cannot be used; the message is one line that names the flag and what was expected."""
