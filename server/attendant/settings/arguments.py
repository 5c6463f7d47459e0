"""Where settings come from: flags, the environment, YAML files. The only reader of the environment."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import CliSettingsSource, EnvSettingsSource, SettingsError

from attendant.core.errors import ConfigurationError
from attendant.settings.serve import ENV_PREFIX, ServeSettings
from attendant.settings.yaml_files import parse_yaml, read_text

ENV_CONFIG = "ATTENDANT_CONFIG"
MAPPINGS = ("vllm_engine",)
"""Settings of a file whose keys are no settings."""


class SettingsArguments:
    """The settings as arguments of ``parser``, and their values once it has parsed.

    Sources, strongest first: flags (``--engine.max-num-seqs 8``), environment (``ATTENDANT_ENGINE__MAX_NUM_SEQS=8``),
    the YAML file of ``--config`` or ``ATTENDANT_CONFIG``, defaults.
    """

    def __init__(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--config",
            metavar="FILE",
            type=Path,
            help=f"YAML file of settings, as in 'engine: {{max_num_seqs: 8}}'; flags and environment are stronger. "
            f"(default: None) [env: {ENV_CONFIG}]",
        )
        self._flags: CliSettingsSource[ArgumentParser] = CliSettingsSource(
            ServeSettings,
            root_parser=parser,
            cli_kebab_case=True,
            cli_implicit_flags=True,
            cli_avoid_json=True,
            cli_hide_none_type=True,
            cli_show_env_vars=True,
            cli_use_class_docs_for_groups=True,
        )

    def load(self, args: Namespace) -> ServeSettings:
        """Gather and check.

        Raises:
            ConfigurationError: one line that names the setting, where it came from and what is allowed.
        """
        config = args.config or os.environ.get(ENV_CONFIG)
        file = _read_yaml(Path(config)) if config else {}
        try:
            environment = EnvSettingsSource(ServeSettings)()
        except SettingsError as error:
            raise ConfigurationError(f"environment: {error}") from None
        sources = {"flag": self._given(args), "environment": environment, str(config): file}
        merged: dict[str, Any] = {}
        for values in reversed(sources.values()):
            merged = _merge(merged, values)
        try:
            return ServeSettings(**merged)
        except ValidationError as error:
            raise ConfigurationError(_explain(error, sources)) from None

    def _given(self, args: Namespace) -> dict[str, Any]:
        self._flags(parsed_args=args)
        given = dict(self._flags())
        if isinstance(args.bundles, list):  # which pydantic-settings joins by commas where decoding is off
            given["bundles"] = args.bundles
        return given


def _read_yaml(path: Path) -> dict[str, Any]:
    data = parse_yaml(read_text(path), str(path))
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigurationError(f"{path}: must hold settings by name, e.g. 'engine: {{max_num_seqs: 8}}'")
    sections = [values for name, values in data.items() if isinstance(values, dict) and name not in MAPPINGS]
    for key in (*data, *(key for section in sections for key in section)):
        if not isinstance(key, str):  # YAML reads names such as no and 1 as values
            raise ConfigurationError(f"{path}: {key!r} is not the name of a setting")
    return data


def _merge(weak: Mapping[str, Any], strong: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(weak)
    for key, value in strong.items():
        below = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        merged[key] = _merge(below, value) if both else value  # type: ignore[arg-type]
    return merged


def _explain(error: ValidationError, sources: Mapping[str, Mapping[str, Any]]) -> str:
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    name = ".".join(path)
    origin = next((_origin(source, path) for source, values in sources.items() if _holds(values, path)), "settings")
    if first["type"] == "extra_forbidden":
        section: Any = ServeSettings
        for part in path[:-1]:
            section = section.model_fields[part].annotation
        return f"{origin}: there is no setting {name}; there are {', '.join(section.model_fields)}"
    message = first["msg"].removeprefix("Value error, ")
    if isinstance(first["input"], dict | BaseModel):  # a rule over a whole section: no single place is at fault
        return f"{name} settings: {message}"
    return f"{origin}: {name}: {message} (it is {str(first['input'])!r})"


def _holds(values: Any, path: list[str]) -> bool:
    for part in path:
        if part.isdecimal() and isinstance(values, list | tuple | str):
            return True
        if not isinstance(values, Mapping) or part not in values:
            return False
        values = values[part]
    return True


def _origin(source: str, path: list[str]) -> str:
    if source == "flag":
        return "argument --" + ".".join(path).replace("_", "-") if path[0] != "bundles" else "argument BUNDLES"
    if source == "environment":
        return "environment variable " + ENV_PREFIX + "__".join(path).upper()
    return source
