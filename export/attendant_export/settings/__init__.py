"""What the settings of a checkpoint (generation_config.json) come to."""

from attendant_export.settings.defaults import generation_defaults
from attendant_export.settings.table import SETTINGS, Setting, markdown
from attendant_export.settings.warnings import setting_warnings

__all__ = ["SETTINGS", "Setting", "generation_defaults", "markdown", "setting_warnings"]
