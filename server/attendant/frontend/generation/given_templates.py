"""Templates that come with calls: whether they are taken, and how they are rendered without harm to anybody else."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from typing import Any

from attendant.bundle import TemplateHabits
from attendant.bundle.template_process import HEADER
from attendant.core.chat import ChatPrompt
from attendant.core.errors import InvalidRequest, NotAllowed
from attendant.models.conversations import checked, written
from attendant.settings import ChatSettings

_PROGRAM = "attendant.bundle.template_process"
_MAX_KEPT = 256
"""Templates whose habits are kept."""

_PATIENCE = 20
"""Seconds of waiting for a second of processor time: a busy machine gives a process little of it."""


class _Ended(Exception):
    """The process ended over a job."""


class GivenTemplates:
    """Renders callers' templates in a process of their own, one at a time.

    The process starts with the first of them. One that takes more processor time or memory than allowed ends the
    process, and the next call has a new one.
    """

    def __init__(self, settings: ChatSettings) -> None:
        self._settings = settings
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self._habits: dict[tuple[str, tuple[tuple[str, str], ...]], TemplateHabits] = {}

    async def rendered(self, chat: ChatPrompt, special_tokens: Mapping[str, str]) -> str:
        """The text that a conversation's own template makes of it.

        Args:
            special_tokens: the model's, by the names that templates have for them.

        Raises:
            NotAllowed: the operator has not opened this.
            InvalidRequest: naming what is wrong with the template, or what it does not take.
        """
        settings, source = self._settings, chat.given_template
        if not settings.given_templates:
            raise NotAllowed("templates of callers are not rendered here; chat.given_templates turns them on")
        if chat.template:
            raise InvalidRequest("template", "is given beside given_template; allowed: one of them")
        if len(source) > settings.max_template_characters:
            limit = settings.max_template_characters
            raise InvalidRequest("given_template", f"has {len(source)} characters; allowed: at most {limit}")
        job: dict[str, Any] = {"template": source, "special_tokens": dict(special_tokens), "conversation": None}
        async with self._turn:
            habits = await self._habits_of(job)
            whole = await asyncio.to_thread(written, chat, habits)
            end = await self._asked({**job, "conversation": whole.by_name()})
        if "continues_not" in end:
            raise InvalidRequest("continue_final_message", end["continues_not"])
        return checked(_told(end)["text"])

    async def close(self) -> None:
        """End the process, and see that it is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.communicate()  # closes its pipes, too

    async def _habits_of(self, job: Mapping[str, Any]) -> TemplateHabits:
        key = job["template"], tuple(job["special_tokens"].items())
        found = self._habits.get(key)
        if found is None:
            told = _told(await self._asked(job))["habits"]
            sets = {name: frozenset(told[name]) for name in ("parts", "only_parts")}
            found = TemplateHabits(**{**told, **sets, "variables": tuple(told["variables"])})
            if len(self._habits) >= _MAX_KEPT:
                self._habits.clear()
            self._habits[key] = found
        return found

    async def _asked(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """The end of a job. Whatever cuts it short ends the process, too: what it says next belongs to no one."""
        limit_s = self._settings.template_timeout_s
        sent = await asyncio.to_thread(_as_json, {**job, "limit_s": limit_s})
        try:
            return await asyncio.wait_for(self._exchanged(sent), limit_s * _PATIENCE + _PATIENCE)
        except (_Ended, TimeoutError) as error:
            await self.close()
            why = f"takes more than {limit_s:g} s of processor time (chat.template_timeout_s), or too much memory"
            raise InvalidRequest("given_template", why) from error
        except BaseException:
            await self.close()
            raise

    async def _exchanged(self, sent: bytes) -> dict[str, Any]:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", _PROGRAM), stdin=PIPE, stdout=PIPE, stderr=DEVNULL
            )
        jobs, ends = self._process.stdin, self._process.stdout
        assert jobs is not None, "it is a pipe"
        assert ends is not None, "it is a pipe"
        try:
            jobs.write(len(sent).to_bytes(HEADER, "big") + sent)
            await jobs.drain()
            size = int.from_bytes(await ends.readexactly(HEADER), "big")
            end: dict[str, Any] = await asyncio.to_thread(json.loads, await ends.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise _Ended from error
        return end


def _as_json(job: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(job).encode()
    except RecursionError:
        raise InvalidRequest("chat", "is nested too deeply for a template of the call's own") from None


def _told(end: dict[str, Any]) -> dict[str, Any]:
    if "refused" in end:
        raise InvalidRequest("given_template", f"cannot be used: {end['refused']}")
    return end
