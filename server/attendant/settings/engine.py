"""The section of what generates: continuous batching, its memory, and how answers are written."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ByteSize, Field, field_validator, model_validator

from attendant.core.answer_formats import REASONING_FORMATS, TOOL_FORMATS, AnswerFormats, formats_by_model
from attendant.settings.section import Section


class EngineSettings(Section):
    """Continuous batching and its memory, for each model."""

    max_num_seqs: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        None,
        description="Sequences that run together, besides a quarter more, 8 at most, of light tenants alone. "
        "Default: 16 on a CPU, 256 on a GPU, which takes no more.",
    )
    max_num_batched_tokens: int | None = Field(
        None,
        ge=4,
        description="Token budget of a step, or on a CPU of a prompt's steps until the next decodes: decodes come off "
        "it first, prompts get the rest in chunks. Larger favours throughput of prompts, smaller favours steady "
        "streams. Least: max_num_seqs + 3; default: max_num_seqs + 256 "
        "on a CPU, + 2048 on a GPU.",
    )
    max_queue: Annotated[int, Field(ge=0)] = Field(
        1024, description="Sequences that may wait besides those that run; more are refused with RESOURCE_EXHAUSTED."
    )
    max_context_length: int | None = Field(
        None, ge=1, description="Tokens of prompt and answer together. Default: the model's own context length."
    )
    kv_memory: ByteSize | None = Field(
        None,
        description="KV cache budget of each model on a CPU, e.g. 4GiB. Default: kv_memory_fraction of the memory.",
    )
    kv_memory_fraction: Annotated[float, Field(gt=0, le=0.9)] = Field(
        0.3, description="Share of the machine's (or container's) memory for the KV caches of all models together."
    )
    prefix_cache: bool = Field(True, description="Reuse the KV cache of earlier prompts that start alike.")
    threads: int | None = Field(
        None, ge=1, description="Threads of a model run. Default: the processors this process may use."
    )
    spinning: bool = Field(
        True, description="Let idle threads of a model run spin: faster steps, at the price of idle processor time."
    )
    process: bool = Field(
        False,
        description="Run the engines of each model in a process of their own: a crash there costs their requests, "
        "and nothing else.",
    )
    tool_format: str = Field(
        "",
        description="How models write tool calls, where their templates do not show it: names of formats, parted by "
        f"commas, each [MODEL:] NAME; one of {', '.join(TOOL_FORMATS)}. Default: as the templates have it.",
    )
    reasoning_format: str = Field(
        "",
        description="How models write what they think, in the same form; one of "
        f"{', '.join(REASONING_FORMATS)}. Default: as the templates have it.",
    )

    @field_validator("tool_format")
    @classmethod
    def _are_formats_of_tools(cls, value: str) -> str:
        formats_by_model(value, TOOL_FORMATS)
        return value

    @field_validator("reasoning_format")
    @classmethod
    def _are_formats_of_reasoning(cls, value: str) -> str:
        formats_by_model(value, REASONING_FORMATS)
        return value

    def answer_formats(self, model: str, own: AnswerFormats) -> AnswerFormats:
        """How a model writes tool calls and reasoning: as was set for it or for all, or as its ``own`` are."""
        tools = formats_by_model(self.tool_format, TOOL_FORMATS)
        reasoning = formats_by_model(self.reasoning_format, REASONING_FORMATS)
        return AnswerFormats(
            tools.get(model, tools.get("", own.tools)), reasoning.get(model, reasoning.get("", own.reasoning))
        )

    @model_validator(mode="after")
    def _budget_leaves_room_for_prompts(self) -> Self:
        if self.max_num_seqs is not None:
            self.token_budget(self.max_num_seqs, 0)
        return self

    def token_budget(self, max_num_seqs: int, prompt_tokens: int) -> int:
        """Tokens of a step: what was set, or room for ``max_num_seqs`` decodes and ``prompt_tokens`` besides.

        Raises:
            ValueError: what was set leaves no room for a prompt.
        """
        least = max_num_seqs + 3  # three prompt tokens: the shortest prompt that cannot be cut into chunks
        budget = self.max_num_batched_tokens
        if budget is not None and budget < least:
            raise ValueError(
                f"max_num_batched_tokens is {budget}; with max_num_seqs {max_num_seqs} it must be at least {least}, or "
                "prompts would wait for ever"
            )
        return budget or max_num_seqs + prompt_tokens
