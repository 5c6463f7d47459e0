"""Where settings come from, who wins, and what a wrong one is told."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest
from attendant.core.errors import ConfigurationError
from attendant.settings import ServeSettings, SettingsArguments
from pydantic import BaseModel, ValidationError


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("ATTENDANT_")]:
        monkeypatch.delenv(name)


def load(*arguments: str) -> ServeSettings:
    parser = argparse.ArgumentParser(prog="attendant serve", allow_abbrev=False)
    settings = SettingsArguments(parser)
    return settings.load(parser.parse_args(arguments))


def fields(section: type[BaseModel] = ServeSettings, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields(field.annotation, (*prefix, name))
        else:
            yield (*prefix, name)


@pytest.fixture
def yaml(tmp_path: Path) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text("engine:\n  max_num_seqs: 3\n  max_queue: 3\n  threads: 3\nbundles: [/yaml/a, /yaml/b]\n")
    return path


def test_nothing_given_is_the_defaults() -> None:
    assert load() == ServeSettings()


def test_flag_beats_environment_beats_file_beats_default(yaml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTENDANT_ENGINE__MAX_NUM_SEQS", "4")
    monkeypatch.setenv("ATTENDANT_ENGINE__MAX_QUEUE", "4")
    settings = load("--config", str(yaml), "--engine.max-num-seqs", "5")
    assert settings.engine.max_num_seqs == 5
    assert settings.engine.max_queue == 4
    assert settings.engine.threads == 3
    assert settings.engine.max_num_batched_tokens == ServeSettings().engine.max_num_batched_tokens
    assert settings.bundles == (Path("/yaml/a"), Path("/yaml/b"))


def test_the_file_can_be_named_in_the_environment(yaml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTENDANT_CONFIG", str(yaml))
    assert load().engine.max_num_seqs == 3


def test_bundles_from_each_source(yaml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTENDANT_BUNDLES", "/env/a:/env/b, with a comma")
    assert load("--config", str(yaml)).bundles == (Path("/env/a"), Path("/env/b, with a comma"))
    assert load("/flag/a, too", "/flag/b").bundles == (Path("/flag/a, too"), Path("/flag/b"))


def test_values_that_a_person_would_write() -> None:
    settings = load("--engine.kv-memory", "2GiB", "--no-engine.prefix-cache", "--demo", "--log-level", "debug")
    assert settings.engine.kv_memory == 2 * 1024**3
    assert settings.engine.prefix_cache is False
    assert settings.demo is True
    assert settings.log_level == "debug"


def test_services_of_a_cluster_are_not_mistaken_for_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes sets these in every container beside a Service called attendant."""
    monkeypatch.setenv("ATTENDANT_PORT", "tcp://10.0.0.1:50051")
    monkeypatch.setenv("ATTENDANT_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("ATTENDANT_PORT_50051_TCP_ADDR", "10.0.0.1")
    assert load() == ServeSettings()


def test_help_has_every_field_with_default_and_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load("--help")
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for path in fields():
        assert f"ATTENDANT_{'__'.join(path).upper()}" in text
        if path != ("bundles",):
            assert f"--{'.'.join(path).replace('_', '-')} " in text
        description = _field(path).description
        assert description
        assert " ".join(description.split()) in text
    assert text.count("(default: ") == len(list(fields())) + 1  # and --config


def _field(path: tuple[str, ...]):  # type: ignore[no-untyped-def]
    section = ServeSettings
    for name in path[:-1]:
        section = section.model_fields[name].annotation  # type: ignore[assignment]
    return section.model_fields[path[-1]]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--engine.max-num-seqs", "x"], ["--engine.max-num-seqs", "valid integer", "'x'"]),
        (["--engine.max-num-seqs", "0"], ["--engine.max-num-seqs", "greater than or equal to 1", "'0'"]),
        (
            ["--engine.max-num-seqs", "16", "--engine.max-num-batched-tokens", "18"],
            ["max_num_batched_tokens is 18", "max_num_seqs 16", "at least 19"],
        ),
        (["--gpu.devices", "0,0"], ["--gpu.devices", "each once"]),
        (["--slo.objectives", "ttft 300 p99"], ["--slo.objectives", "'ttft 300 p99'", "as in ttft 300ms p99"]),
        (["--gpu.memory-fraction", "1.5"], ["--gpu.memory-fraction", "0.98"]),
        (["--engine.kv-memory", "4Q"], ["--engine.kv-memory", "4Q"]),
        (["--log-level", "loud"], ["--log-level", "'debug', 'info', 'warning' or 'error'", "loud"]),
        (["--grpc.port", "65536"], ["--grpc.port", "65535"]),
    ],
)
def test_a_wrong_flag_is_named(arguments: list[str], parts: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("variable", "value", "parts"),
    [
        ("ATTENDANT_ENGINE__MAX_QUEUE", "-1", ["ATTENDANT_ENGINE__MAX_QUEUE", "greater than or equal to 0"]),
        ("ATTENDANT_ENGINE__NOTHING", "1", ["ATTENDANT_ENGINE__NOTHING", "no setting engine.nothing", "max_num_seqs"]),
        ("ATTENDANT_ENGINE", "{", ["environment", "engine"]),
    ],
)
def test_a_wrong_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, parts: list[str]
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as caught:
        load()
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("engine: {max_queue: -1}", ["settings.yaml", "engine.max_queue", "greater than or equal to 0"]),
        ("engine: {speed: 1}", ["settings.yaml", "no setting engine.speed", "max_num_seqs"]),
        ("engine: {no: 1}", ["settings.yaml", "False is not the name of a setting"]),
        ("motor: 1", ["settings.yaml", "no setting motor", "engine"]),
        ("engine: 1", ["settings.yaml", "engine", "dictionary"]),
        ("- a", ["settings.yaml", "settings by name"]),
        ("engine: {a: b: c", ["settings.yaml", "not valid YAML"]),
        ("bundles: 2024-13-45", ["settings.yaml", "not valid YAML", "month must be in 1..12"]),
        ("bundles: !!bool maybe", ["settings.yaml", "not valid YAML", "maybe"]),
        ("bundles: " + "[" * 3000, ["settings.yaml", "nested too deep"]),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, parts: list[str]) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load("--config", str(path))
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.yaml: cannot be read: No such file"):
        load("--config", str(tmp_path / "gone.yaml"))


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("# nothing yet\n")
    assert load("--config", str(path)) == ServeSettings()


def test_sections_are_frozen() -> None:
    with pytest.raises(ValidationError):
        ServeSettings().engine.max_num_seqs = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("flag", "value", "allowed"),
    [
        ("--http.keep-alive-s", "0.01", "0, or at least 1"),
        ("--http.keep-alive-s", "inf", "less than or equal to 3600"),
        ("--http.max-body-bytes", "0", "greater than or equal to 1024"),
        ("--http.origins", "chat.example.org", "SCHEME://HOST"),
    ],
)
def test_what_http_cannot_be_told(flag: str, value: str, allowed: str) -> None:
    with pytest.raises(ConfigurationError, match=allowed):
        load(flag, value)
