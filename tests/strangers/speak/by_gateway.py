"""OpenAI's and Anthropic's clients, used as their users do, of an HTTP gateway."""

from __future__ import annotations

import base64
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import numpy as np
import openai
from loop import answer

ADDRESS = f"http://{sys.argv[1]}"
oa = openai.OpenAI(base_url=f"{ADDRESS}/v1", api_key="none", max_retries=0)
an = anthropic.Anthropic(base_url=ADDRESS, api_key="none", max_retries=0)


def call(client: str, method: str, **arguments: Any) -> Any:
    """What a method of a client returns, by its name such as ``chat.completions.create``; of a stream all that comes;
    of an error its status and its body."""
    found: Any = {"openai": oa, "anthropic": an}[client]
    for name in method.split("."):
        found = getattr(found, name)
    try:
        returned = found(**arguments)
        if arguments.get("stream"):
            return [event.model_dump(mode="json", exclude_none=True) for event in returned]
        return returned.model_dump(mode="json", exclude_none=True)
    except (openai.APIStatusError, anthropic.APIStatusError) as error:
        return {"status": error.status_code, "error": error.body}


def many(calls: list[dict[str, Any]]) -> list[Any]:
    """The same for several calls at once."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(lambda each: call(**each), calls))


def leave(num_events: int, **arguments: Any) -> int:
    """Opens a stream, reads so many events of it with text, and goes. Returns how many there were."""
    count = 0
    with oa.chat.completions.create(stream=True, **arguments) as stream:
        for event in stream:
            count += bool(event.choices and event.choices[0].delta.content)
            if count == num_events:
                break
    return count


def embedding(**arguments: Any) -> Any:
    """A vector, as the client asks for it without being told: in base64."""
    raw = oa.embeddings.with_raw_response.create(**arguments).http_response.json()["data"][0]["embedding"]
    return np.frombuffer(base64.b64decode(raw), "<f4") if isinstance(raw, str) else np.array(raw, "<f4")


if __name__ == "__main__":
    answer({action.__name__: action for action in (call, many, leave, embedding)})
