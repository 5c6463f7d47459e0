"""What the server makes of arguments and files, without starting it."""

from __future__ import annotations

import argparse

from attendant.settings import ServeSettings, SettingsArguments


def load_settings(*words: str) -> ServeSettings:
    """What ``attendant serve`` with these words would run on. Raises ConfigurationError."""
    parser = argparse.ArgumentParser()
    arguments = SettingsArguments(parser)
    return arguments.load(parser.parse_args(words))
