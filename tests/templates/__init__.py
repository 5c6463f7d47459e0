"""Chat templates in the shape of published models' own, written anew: who writes like that, and what each one knows.

Files beside this one. Tests compare what comes of them with transformers, and read what models answer in their formats.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True, eq=False)
class Published:
    """A template.

    Attributes:
        name: of its file, without the ending.
        models: whose conventions it has.
        special_tokens: that the models have for it, the one that begins a text and the one that ends it first; all of
            them are special in their tokenizers, unless ``words`` has them, too.
        words: of those, the ones that are added tokens and no special ones: decoding keeps them.
        roles: that a message may have beside "user" and "assistant".
        tools, documents: whether the template shows them.
        calls: most tool calls in a message; 0 where it shows none of them. call_ids: whether it asks for ids of nine
            characters. text_arguments: whether it wants a call's arguments as a text.
        takes_turns: whether it raises unless user and assistant take turns.
        parts: whether it takes contents in parts.
        reasoning: whether it shows what was thought, wherever in the conversation.
        variables: by name, values of further variables that change what it writes.
    """

    name: str
    models: str
    special_tokens: tuple[str, ...]
    words: frozenset[str] = frozenset()
    roles: tuple[str, ...] = ("system",)
    tools: bool = True
    documents: bool = False
    calls: int = 3
    call_ids: bool = False
    text_arguments: bool = False
    takes_turns: bool = False
    parts: bool = False
    reasoning: bool = False
    variables: tuple[tuple[str, tuple[object, ...]], ...] = ()

    @property
    def source(self) -> str:
        """The template, in jinja."""
        return (FOLDER / f"{self.name}.jinja").read_text(encoding="utf-8")

    @property
    def bos(self) -> str:
        """The token that begins a text."""
        return self.special_tokens[0]

    @property
    def eos(self) -> str:
        """The token that ends a text."""
        return self.special_tokens[1]


_WITH_TOOL = ("system", "tool")
_LLAMA = (
    *("<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|python_tag|>"),
)
_CHATML = ("<|endoftext|>", "<|im_end|>", "<|im_start|>")
_TAGS = ("<tool_call>", "</tool_call>")
_TURN = ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>")
_MISTRAL = ("<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]")
_RESULTS = ("[TOOL_RESULTS]", "[/TOOL_RESULTS]")
_SYSTEM = ("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]")
_DEEPSEEK = tuple(
    "<" + token.replace("|", "\N{FULLWIDTH VERTICAL LINE}").replace(" ", "\N{LOWER ONE EIGHTH BLOCK}") + ">"
    for token in (
        *("|begin of sentence|", "|end of sentence|", "|User|", "|Assistant|"),
        *("|tool calls begin|", "|tool calls end|", "|tool call begin|", "|tool call end|", "|tool sep|"),
        *("|tool outputs begin|", "|tool outputs end|", "|tool output begin|", "|tool output end|"),
    )
)
_DEEPSEEK_WORDS = frozenset(_DEEPSEEK[2:])
_HARMONY = (
    *("<|startoftext|>", "<|return|>", "<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|call|>"),
    *("<|constrain|>", "<|endoftext|>"),
)
_THOUGHT = ("<think>", "</think>")
_SWITCH: tuple[object, ...] = (True, False)

PUBLISHED = {
    each.name: each
    for each in (
        Published(
            *("llama3", "Llama 3.1, 3.2 and 3.3", _LLAMA),
            roles=_WITH_TOOL,
            calls=1,
            variables=(("date_string", ("26 Jul 2024",)), ("tools_in_user_message", _SWITCH)),
        ),
        Published("llama32-pythonic", "Llama 3.2 and 4, calls in Python", _LLAMA, roles=_WITH_TOOL),
        Published("qwen25", "Qwen 2.5", (*_CHATML, *_TAGS), frozenset(_TAGS), roles=_WITH_TOOL),
        Published(
            *("qwen3", "Qwen 3", (*_CHATML, *_TAGS, *_THOUGHT), frozenset((*_TAGS, *_THOUGHT))),
            roles=_WITH_TOOL,
            reasoning=True,
            variables=(("enable_thinking", _SWITCH),),
        ),
        Published(
            *("mistral-v3", "Mistral 7B v0.3, Mixtral", (*_MISTRAL, *_RESULTS)),
            roles=_WITH_TOOL,
            call_ids=True,
            takes_turns=True,
        ),
        Published(
            *("mistral-v7", "Mistral Large 2411, Small 3", (*_MISTRAL, *_RESULTS, *_SYSTEM)),
            roles=_WITH_TOOL,
            call_ids=True,
            parts=True,
        ),
        Published(
            "mistral-tekken",
            "Mistral Small 3.2, Devstral, Magistral",
            (*_MISTRAL, *_RESULTS, *_SYSTEM, "[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]"),
            roles=_WITH_TOOL,
            parts=True,
            reasoning=True,
            variables=(("default_system", ("Be brief.",)),),
        ),
        Published("gemma2", "Gemma 2", _TURN, roles=(), tools=False, calls=0, takes_turns=True),
        Published("gemma3", "Gemma 3", _TURN, tools=False, calls=0, takes_turns=True, parts=True),
        Published("phi4", "Phi-4", (*_CHATML, "<|im_sep|>"), tools=False, calls=0),
        Published(
            "phi4-mini",
            "Phi-4-mini",
            (
                *("<|endoftext|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|/tool|>"),
                *("<|tool_call|>", "<|/tool_call|>", "<|tool_response|>"),
            ),
            frozenset(("<|tool|>", "<|/tool|>", "<|tool_call|>", "<|/tool_call|>", "<|tool_response|>")),
            roles=_WITH_TOOL,
        ),
        Published("smollm2", "SmolLM2", _CHATML, tools=False, calls=0),
        Published(
            *("smollm3", "SmolLM3", (*_CHATML, *_TAGS, *_THOUGHT), frozenset((*_TAGS, *_THOUGHT))),
            roles=_WITH_TOOL,
            calls=0,
            variables=(("enable_thinking", _SWITCH), ("python_tools", (["def now(): ..."],))),
        ),
        Published(
            *("deepseek-v3", "DeepSeek V3", _DEEPSEEK, _DEEPSEEK_WORDS),
            roles=_WITH_TOOL,
            text_arguments=True,
        ),
        Published(
            *("deepseek-r1", "DeepSeek R1 and distilled ones"),
            (*_DEEPSEEK, *_THOUGHT),
            _DEEPSEEK_WORDS | frozenset(_THOUGHT),
            roles=_WITH_TOOL,
            tools=False,
            calls=0,
        ),
        Published("hermes3", "Hermes 2 Pro and 3", (*_CHATML, *_TAGS), frozenset(_TAGS), roles=_WITH_TOOL),
        Published(
            *("granite33", "Granite 3.1 to 3.3"),
            ("<|end_of_text|>", "<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>", "<|tool_call|>"),
            roles=_WITH_TOOL,
            documents=True,
            reasoning=True,
            variables=(("thinking", _SWITCH), ("controls", ({"length": "short"},))),
        ),
        Published(
            *("gpt-oss", "gpt-oss", _HARMONY),
            roles=("system", "developer", "tool"),
            calls=1,
            reasoning=True,
            variables=(("reasoning_effort", ("low", "high")), ("model_identity", ("You are a clerk.",))),
        ),
        Published(
            *("command-rag", "Command R, its template for documents"),
            ("<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "<|START_OF_TURN_TOKEN|>", "<|SYSTEM_TOKEN|>", "<|USER_TOKEN|>"),
            tools=False,
            documents=True,
            calls=0,
            variables=(("citation_mode", ("accurate", "fast")),),
        ),
    )
}
