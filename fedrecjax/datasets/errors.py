"""The one error that bad data raises."""


class DataError(ValueError):
  """Data that cannot be used as asked.

  The message is a single line: where (file and line number, as far as known), the offending text,
  and what was expected, so that a command line can print it as it is.
  """
