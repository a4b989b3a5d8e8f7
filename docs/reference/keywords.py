"""What the site's reference needs beyond the text of modules: keywords that only an import shows, and names as code."""

import importlib
import inspect
import re
import typing
from typing import Any

import griffe

# Names in docstrings, as Sphinx marks them.
_ROLE = re.compile(r":(?:class|func|mod):(?=`)")


class Keywords(griffe.Extension):
  """Takes signature and docstring of functions under `keywords_of` from the function that they make."""

  def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
    """Called for everything that is read."""
    if obj.docstring is not None:
      obj.docstring.value = _ROLE.sub("", obj.docstring.value)

  def on_function_instance(self, *, func: griffe.Function, **_: Any) -> None:
    """Called for every function that is read."""
    if not any(str(decorator.value).startswith("keywords_of(") for decorator in func.decorators):
      return
    made = getattr(importlib.import_module(func.module.path), func.name)
    annotations = typing.get_type_hints(made)
    func.parameters = griffe.Parameters(*(
      griffe.Parameter(
        name, annotation=inspect.formatannotation(annotations[name]), kind=griffe.ParameterKind.keyword_only,
        default=repr(parameter.default),
      )
      for name, parameter in inspect.signature(made).parameters.items()
    ))
    func.docstring = griffe.Docstring(_ROLE.sub("", inspect.cleandoc(made.__doc__)), parent=func, lineno=func.lineno)
