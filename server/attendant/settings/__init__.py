"""What an operator can set, with its default and meaning. The only reader of the environment and of YAML files.

Each section is frozen and goes to the object that needs it; nothing below ``app`` sees the whole.
"""

from attendant.settings.admission import AdmissionSettings
from attendant.settings.arguments import ENV_CONFIG, SettingsArguments
from attendant.settings.engine import EngineSettings
from attendant.settings.engine_ports import EnginePort
from attendant.settings.http import HttpSettings
from attendant.settings.lifecycle import LifecycleSettings
from attendant.settings.limits import LimitsSettings
from attendant.settings.logs import LogsSettings
from attendant.settings.repository import RepositorySettings
from attendant.settings.sections import (
    ChatSettings,
    EncoderSettings,
    ExplainSettings,
    GpuSettings,
    GrammarSettings,
    GrpcSettings,
    MetricsSettings,
    RecordSettings,
    SloSettings,
    SpeechSettings,
)
from attendant.settings.security import AuthSettings, TlsSettings
from attendant.settings.serve import ENV_PREFIX, ServeSettings
from attendant.settings.traces import TracesSettings

__all__ = [
    "ENV_CONFIG",
    "ENV_PREFIX",
    "AdmissionSettings",
    "AuthSettings",
    "ChatSettings",
    "EncoderSettings",
    "EnginePort",
    "EngineSettings",
    "ExplainSettings",
    "GpuSettings",
    "GrammarSettings",
    "GrpcSettings",
    "HttpSettings",
    "LifecycleSettings",
    "LimitsSettings",
    "LogsSettings",
    "MetricsSettings",
    "RecordSettings",
    "RepositorySettings",
    "ServeSettings",
    "SettingsArguments",
    "SloSettings",
    "SpeechSettings",
    "TlsSettings",
    "TracesSettings",
]
