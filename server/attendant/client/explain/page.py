"""Views as one HTML file that needs nothing else: no network, no fonts, no libraries."""

from __future__ import annotations

import base64
import io
import json
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from attendant.client.explain import words
from attendant.client.explain.colors import DARK, DARK_AGAINST, LIGHT, LIGHT_AGAINST, css
from attendant.client.explain.patches import pixels_of
from attendant.client.explain.views import Attention, Attribution, Similarity, Steps, View

LEVELS = 65_535
"""A weight of 1 in the page's numbers of 16 bits."""


def page(views: list[View]) -> str:
    """The file's text: a section for each view."""
    here = files(__package__)
    style, script, frame = (here.joinpath(f"page.{end}").read_text(encoding="utf-8") for end in ("css", "js", "html"))
    sections = "\n".join(f"<section>{_section(view, number)}</section>" for number, view in enumerate(views))
    found = {number: _values(view) for number, view in enumerate(views) if isinstance(view, Attention)}
    filled = {
        "STYLE": f":root{{{_variables()}}}\n{style}",
        "SCRIPT": script,
        "TITLE": escape(words.title_of(views[0])),
        "SECTIONS": sections,
        # "</script>" in a token must not end the element
        "VALUES": json.dumps(found, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
    }
    for name, text in filled.items():
        frame = frame.replace(f"<!--{name}-->", text)
    return frame


def _variables() -> str:
    """The ends of the ramps, which the style sheet mixes between."""
    light = {"none": LIGHT.low, "most": LIGHT.high, "against": LIGHT_AGAINST.high}
    dark = {"none": DARK.low, "most": DARK.high, "against": DARK_AGAINST.high}
    return ";".join(f"--{name}:light-dark({css(color)},{css(dark[name])})" for name, color in light.items())


def _section(view: View, number: int) -> str:
    match view:
        case Attention():
            return _attention(view, number)
        case Attribution():
            return _attribution(view)
        case Similarity():
            return _similarity(view)
        case Steps():
            return _steps(view)


def _heading(title: str, sentences: list[str]) -> str:
    return f"<h2>{escape(title)}</h2>" + "".join(f"<p class=note>{escape(sentence)}</p>" for sentence in sentences)


def _attention(view: Attention, number: int) -> str:
    """The script fills it; without one, what was looked at most is a table."""
    sentences = [*words.caption(view), words.SCALE, words.NOT_AN_EXPLANATION]
    panel = next(view.panels())
    table = "".join(
        f"<tr><th scope=row>{escape(words.name_of(token))}</th><td>{escape(words.looked_at(view, row))}</td></tr>"
        for token, row in zip(view.rows, panel.weights, strict=True)
    )
    return (
        f"{_heading(words.title_of(view), sentences)}<div class=attention data-view={number}></div>"
        f"<noscript><table><caption>{escape(panel.title)}</caption>{table}</table></noscript>"
    )


def _attribution(view: Attribution) -> str:
    top = max((abs(part.weight) for part in view.parts), default=0.0) or 1.0
    shaded, place = [], 0
    for part in view.parts:
        if part.end > part.start >= place:
            shaded.append(escape(view.text[place : part.start]))
            place = part.end
        shaded.append(f"<mark {_shade(part.weight / top)}>{escape(part.text)}</mark>")
    shaded.append(escape(view.text[place:]))
    heads = "".join(f"<th scope=col>{escape(token)}</th>" for token in view.answer_tokens)
    rows = "".join(
        f"<tr><th scope=row>{escape(part.text)}</th><td {_shade(part.weight / top)}>{_spoken(view, part.weight)}</td>"
        + "".join(f"<td {_shade(weight / top)}>{weight:+.2f}</td>" for weight in part.token_weights)
        + "</tr>"
        for part in view.parts
    )
    table = f"<thead><tr><th scope=col>part</th><th scope=col>all</th>{heads}</tr></thead><tbody>{rows}</tbody>"
    heading = _heading(words.title_of(view), words.attribution_caption(view))
    return f"{heading}<p class=text>{''.join(shaded)}</p><div class=wide tabindex=0><table>{table}</table></div>"


def _spoken(view: Attribution, weight: float) -> str:
    return escape(words.percent(weight) if view.method == "rollout" else words.signed(weight))


def _shade(share: float) -> str:
    """A style: blue for what spoke for the answer, orange for what spoke against."""
    name = "against" if share < 0 else "most"
    return f'style="background:color-mix(in oklab,var(--{name}) {100 * min(abs(share), 1):.1f}%,var(--none))"'


def _similarity(view: Similarity) -> str:
    low = float(view.cosines.min())
    span = max(1.0 - low, 1e-12)
    contexts = list(zip(view.words, view.contexts, strict=True))
    rows = "".join(
        f"<tr><th scope=row>{number}. {escape(context)}{f' <i>({escape(word)})</i>' if word else ''}</th>"
        + "".join(f"<td {_shade((float(value) - low) / span)}>{value:.3f}</td>" for value in view.cosines[number - 1])
        + "</tr>"
        for number, (word, context) in enumerate(contexts, start=1)
    )
    heads = "".join(f"<th scope=col>{number}</th>" for number in range(1, len(contexts) + 1))
    table = f"<thead><tr><td></td>{heads}</tr></thead><tbody>{rows}</tbody>"
    heading = _heading(words.title_of(view), [words.SIMILARITY_CAPTION])
    return f"{heading}<div class=wide tabindex=0><table>{table}</table></div>"


def _steps(view: Steps) -> str:
    total = sum(stage.seconds for stage in view.stages) or 1.0
    before, rows = 0.0, []
    for stage in view.stages:
        bar = f"margin-left:{100 * before / total:.2f}%;width:{100 * stage.seconds / total:.2f}%"
        rows.append(
            f"<tr><th scope=row>{escape(stage.name)}</th><td>{1000 * stage.seconds:.1f} ms</td>"
            f'<td class=stage><span style="{bar}"></span>{escape(stage.meaning)}</td></tr>'
        )
        before += stage.seconds
    heading = _heading(words.title_of(view), [view.counts] if view.counts else [])
    answer = f"<p class=text>{escape(view.answer)}</p>" if view.answer else ""
    return f"{heading}<table class=steps>{''.join(rows)}</table>{answer}"


def _values(view: Attention) -> dict[str, Any]:
    """What the script draws from. Weights are numbers of 16 bits, little-endian, in base64: [panels, rows, keys]."""
    weights = np.concatenate([layer.weights for layer in view.layers])  # [panels, rows, keys] float32
    levels = np.round(np.clip(weights, 0, 1) * LEVELS).astype("<u2")
    picture = f"data:image/png;base64,{base64.b64encode(_png(view)).decode()}" if view.grid is not None else ""
    return {
        "rows": [words.name_of(token) for token in view.rows],
        "pieces": [] if view.grid or words.is_timed(view) else list(words.pieces(view.keys, view.text)),
        "keys": [words.key_name(view, key) for key in range(len(view.keys))],
        "panels": [
            {"layer": layer, "head": head, "title": panel.title}
            for (layer, head), panel in zip(_places(view), view.panels(), strict=True)
        ],
        "weights": base64.b64encode(levels.tobytes()).decode(),
        "grid": None if view.grid is None else [view.grid.rows, view.grid.columns, view.grid.num_prefix],
        "image": picture,
        "frame": view.frame_s if words.is_timed(view) else 0,
        "heard": view.num_heard,
        "row": "token of the answer" if view.answer else "token that looks",
    }


def _places(view: Attention) -> list[tuple[int | None, int | None]]:
    """Layer and head of each panel."""
    return [(layer.number, head) for layer in view.layers for head in (layer.heads or (None,))]


def _png(view: Attention) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels_of(view)).save(buffer, "PNG")
    return buffer.getvalue()
