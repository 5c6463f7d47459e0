"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attendant_loadtest.gpu.aims import aims


def merge(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Results of several runs of one kit as if of one; where two have the same, the later counts."""
    merged: dict[str, Any] = {}
    for result in results:
        for key, value in result.items():
            old = merged.get(key)
            merged[key] = merge([old, value]) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def markdown(results: dict[str, Any]) -> str:
    """All checks that were run, and the aims."""
    return "\n".join(_lines(results)) + "\n"


def _lines(results: dict[str, Any]) -> Iterator[str]:
    yield _heading(results)
    for name, check in results["checks"].items():
        state = "passed" if check["ok"] else "FAILED" if check["finished"] else "not finished"
        yield f"\n## {name}: {state}\n"
        if "error" in check:
            yield from _error(check)
        else:
            yield from _SECTIONS[name](check)
    found = aims(results)
    if found:
        yield "\n## Aims\n"
        rows = [[aim.what, f"{aim.value:.2f}", f"{aim.at_least:g}", "yes" if aim.met else "no"] for aim in found]
        yield from _table(["aim", "measured", "at least", "reached"], rows)


def _heading(results: dict[str, Any]) -> str:
    hardware, versions = results["hardware"], results["versions"]
    gpus = ", ".join(f"{gpu['name']} (driver {gpu['driver_version']})" for gpu in hardware["gpus"]) or "no GPU"
    packages = ("onnxruntime-gpu", "onnxruntime", "torch", "transformers")
    software = ", ".join(f"{name} {versions[name]}" for name in packages if name in versions)
    kind = "A dry run on a processor, of tiny models: its figures mean nothing.\n\n" if results["dry_run"] else ""
    return (
        f"{kind}{results['date']}: {gpus}; {hardware['processors']} x {hardware['processor']}; "
        f"Python {versions['python']}, {software}"
    )


def _parity(check: dict[str, Any]) -> Iterator[str]:
    head = ["architecture", "type", "positions", "max abs error", "of the spread", "torch's own", "allowed", "passed"]
    rows = []
    for model in check.get("models", ()):
        name = [model["architecture"], model["dtype"]]
        if "error" in model:
            rows.append([*name, "-", "-", "-", "-", "-", _last_line(model)])
            continue
        judged = model["judged_by"]
        figures = [f"{model['max_abs_error']:.1e}", f"{model['max_error_of_spread']:.1%}"]
        figures += [f"{model['torch_' + judged]:.1e}", f"{model['allowed']:.1e}"]
        rows.append([*name, str(model["positions"]), *figures, _passed(model)])
    yield from _table(head, rows)


def _isolation(check: dict[str, Any]) -> Iterator[str]:
    head = ["architecture", "type", "requests", "tokens", "that differ", "largest margin", "allowed", "passed"]
    rows = []
    for model in check.get("models", ()):
        name = [model["architecture"], model["dtype"]]
        if "error" in model:
            rows.append([*name, "-", "-", "-", "-", "-", _last_line(model)])
            continue
        counts = [str(model["requests"]), str(model["tokens_compared"]), str(model["differing_requests"])]
        rows.append(
            [*name, *counts, f"{model['largest_margin']:.1e}", f"{model['allowed_margin']:.1e}", _passed(model)]
        )
    yield from _table(head, rows)


def _speed(check: dict[str, Any]) -> Iterator[str]:
    if "bandwidth" not in check:
        return
    yield f"Memory: {check['bandwidth']['bytes_per_s'] / 1e9:,.0f} GB/s, read and written, in a copy."
    for name, model in check.get("models", {}).items():
        yield f"\n### Llama {name}, bf16\n"
        if "error" in model:
            yield from _error(model)
            continue
        parts = {part: model.get(part, {}) for part in ("graphs", "no_graphs", "transformers")}
        for part, found in parts.items():
            if "error" in found:
                yield f"{part}:"
                yield from _error(found)
        yield from _decode(parts)
        yield ""
        yield from _prefill(parts)


def _decode(parts: dict[str, Any]) -> Iterator[str]:
    head = ["decode batch", "step ms", "tokens/s", "of the roofline", "host", "step ms without CUDA graphs"]
    head += ["transformers tokens/s", "times"]
    plain = {row["batch"]: row for row in parts["no_graphs"].get("decode", ())}
    other = {row["batch"]: row for row in parts["transformers"].get("decode", ())}
    rows = []
    for row in parts["graphs"].get("decode", ()):
        batch = row["batch"]
        cells = [str(batch), f"{row['step_ms']:.2f}", f"{row['tokens_per_s']:,.0f}", f"{row['roofline_share']:.1%}"]
        cells += [f"{row['host_share']:.1%}", f"{plain[batch]['step_ms']:.2f}" if batch in plain else "-"]
        theirs = other.get(batch, {}).get("tokens_per_s")
        cells += [f"{theirs:,.0f}", f"{row['tokens_per_s'] / theirs:.2f}"] if theirs else ["-", "-"]
        rows.append(cells)
    yield from _table(head, rows)


def _prefill(parts: dict[str, Any]) -> Iterator[str]:
    other = {row["tokens"]: row for row in parts["transformers"].get("prefill", ())}
    rows = []
    for row in parts["graphs"].get("prefill", ()):
        theirs = other.get(row["tokens"])
        cells = [str(row["tokens"]), f"{row['ms']:.1f}", f"{row['tokens_per_s']:,.0f}"]
        rows.append([*cells, f"{theirs['tokens_per_s']:,.0f}" if theirs else "-"])
    yield from _table(["prefill tokens", "ms", "tokens/s", "transformers tokens/s"], rows)


def _serving(check: dict[str, Any]) -> Iterator[str]:
    if "tokens_per_s" not in check:
        return
    head = ["model", "streams", "tokens/s", "first token ms p50/p99", "inter-token ms p50/p99", "resident MB, growth"]
    row = [f"Llama {check['model']}", str(check["streams"]), f"{check['tokens_per_s']:,.0f}"]
    for name in ("first_token", "inter_token"):
        row.append(f"{check[name + '_p50_ms']:.1f} / {check[name + '_p99_ms']:.1f}")
    row.append(_memory(check, "resident"))
    if check["device_bytes"] is not None:
        head.append("device MB, growth")
        row.append(_memory(check, "device"))
    yield from _table([*head, "minutes"], [[*row, f"{check['seconds'] / 60:.1f}"]])


_SECTIONS = {"parity": _parity, "isolation": _isolation, "speed": _speed, "serving": _serving}


def _memory(check: dict[str, Any], name: str) -> str:
    return f"{check[name + '_bytes'] / 1e6:,.0f}, {check[name + '_growth_bytes'] / 1e6:+,.0f}"


def _error(found: dict[str, Any]) -> Iterator[str]:
    yield "```"
    yield str(found["error"]).strip()
    yield "```"


def _last_line(found: dict[str, Any]) -> str:
    return str(found["error"]).strip().rpartition("\n")[2].replace("|", "/")


def _passed(found: dict[str, Any]) -> str:
    return "yes" if found["ok"] else "NO"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    lines = [head, ["---"] * len(head), *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    for line in lines:
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
