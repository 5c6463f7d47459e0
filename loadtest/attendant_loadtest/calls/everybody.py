"""All users that make calls."""

from attendant_loadtest.calls.apis import AnthropicUser, OpenAiUser, RankingUser
from attendant_loadtest.calls.attendant_v1 import (
    EncodingUser,
    ExplainUser,
    GenerationUser,
    ModelsUser,
    SpeechUser,
    TokenizerUser,
)
from attendant_loadtest.calls.open_inference import OpenInferenceHttpUser, OpenInferenceUser
from attendant_loadtest.calls.reloading import ReloadingUser
from attendant_loadtest.calls.tei import TeiHttpUser, TeiUser
from attendant_loadtest.calls.vllm import VllmUser
from attendant_loadtest.calls.watching import WatchingHttpUser, WatchingUser

__all__ = [
    "AnthropicUser",
    "EncodingUser",
    "ExplainUser",
    "GenerationUser",
    "ModelsUser",
    "OpenAiUser",
    "OpenInferenceHttpUser",
    "OpenInferenceUser",
    "RankingUser",
    "ReloadingUser",
    "SpeechUser",
    "TeiHttpUser",
    "TeiUser",
    "TokenizerUser",
    "VllmUser",
    "WatchingHttpUser",
    "WatchingUser",
]
