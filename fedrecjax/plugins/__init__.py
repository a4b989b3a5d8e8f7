"""Methods and data sets of others: how they are registered, found, and told apart from their former selves.

What a method is stands in `types`, and its table in the room of its kind; nothing here knows of runs.
"""

from fedrecjax.plugins.loading import Plugin, load_again, load_installed, load_plugin
from fedrecjax.plugins.provenance import plugins_of
from fedrecjax.plugins.registration import PluginError, register

__all__ = ["Plugin", "PluginError", "load_again", "load_installed", "load_plugin", "plugins_of", "register"]
