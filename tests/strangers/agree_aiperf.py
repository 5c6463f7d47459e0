"""``python -m tests.strangers.agree_aiperf BUNDLE``: whether ``attendant loadtest`` measures what aiperf measures.

One schedule, requests of the same lengths at the same moments over HTTP, by each of them in turn on one server; nobody
asks what was asked before, as the server would know it. Prints a table in Markdown of the medians of the rounds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from attendant_loadtest.openloop.http_stream import Connections
from attendant_loadtest.openloop.http_target import CHAT, HttpTarget
from attendant_loadtest.schedule.arrivals import arrivals_of
from attendant_loadtest.schedule.lengths import lengths_of
from attendant_loadtest.schedule.mix import Mix, plan
from attendant_loadtest.schedule.planned import Schedule
from attendant_loadtest.schedule.traces import write_native

from tests.strangers.environments import Requirements, environment
from tests.system.server import ServerProcess, serving
from tests.system.server import environment as variables

AIPERF = Requirements(("aiperf==0.13.0",))
COUNTS = ("requests", "tokens")
FIGURES = ("tokens/s", "TTFT p50", "TTFT p99", "inter-token p50", "inter-token p99")
Figures = Mapping[str, float]


def by_us(server: ServerProcess, model: str, schedule: Schedule, folder: Path, seed: int) -> Figures:
    """What ``attendant loadtest`` says: tokens a second, and milliseconds."""
    trace = folder / "ours.jsonl"
    write_native(trace, schedule)
    words = ["-m", "attendant", "loadtest", "--openai", server.http, "--model", model, "--endpoint", CHAT]
    done = subprocess.run(
        [sys.executable, *words, "--trace", f"native:{trace}", "--seed", str(seed), "--json"],
        capture_output=True,
        text=True,
        check=False,
        env=variables(),
    )
    assert done.stdout, done.stderr
    (run,) = json.loads(done.stdout)["runs"]
    assert not run["bottleneck"], run["bottleneck"]
    ttft, itl = run["ttft"]["by_percentile"], run["mean_itl"]["by_percentile"]
    counts = (run["outcomes"]["answered"], run["tokens_per_s"] * run["seconds"])
    values = (run["tokens_per_s"], ttft["50"], ttft["99"], itl["50"], itl["99"])
    return dict(zip((*COUNTS, *FIGURES), (*counts, *values), strict=True))


def by_aiperf(
    server: ServerProcess, model: str, schedule: Schedule, folder: Path, seed: int, tokenizer: Path
) -> Figures:
    """What aiperf says of the same. ``tokenizer``: a folder as transformers wants it; the counts are the server's."""
    trace, out = folder / "aiperf.jsonl", folder / "aiperf"
    target = HttpTarget(Connections(server.http), model, CHAT, seed)
    with trace.open("w", encoding="utf-8") as file:
        for each in schedule:
            body = json.loads(target.prepare(each))
            line = {"timestamp": each.at_s * 1000, "payload": body, "output_length": each.answer}
            file.write(json.dumps(line) + "\n")
    words = ["profile", "--model", model, "--url", server.http, "--endpoint-type", "chat", "--streaming"]
    words += ["--input-file", str(trace), "--custom-dataset-type", "mooncake_trace", "--fixed-schedule"]
    words += ["--use-server-token-count", "--tokenizer", str(tokenizer), "--artifact-dir", str(out), "--ui", "none"]
    words += ["--no-server-metrics", "--no-gpu-telemetry"]
    program = environment(AIPERF) / "bin" / "aiperf"
    # Told to be offline, it looks for the tokenizer in a cache, and not in the folder that is named.
    online = {name: value for name, value in variables().items() if not name.endswith("_OFFLINE")}
    done = subprocess.run([str(program), *words], capture_output=True, text=True, check=False, env=online)
    found = list(out.rglob("profile_export_aiperf.json"))
    assert found, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    said = json.loads(found[0].read_text())
    ttft, itl = said["time_to_first_token"], said["inter_token_latency"]
    values = (said["output_token_throughput"]["avg"], ttft["p50"], ttft["p99"], itl["p50"], itl["p99"])
    counts = (said["request_count"]["avg"], said["total_output_tokens"]["avg"])
    return dict(zip((*COUNTS, *FIGURES), (*counts, *values), strict=True))


def tokenizer_of(bundle: Path, folder: Path) -> Path:
    """A folder with the bundle's tokenizer."""
    made = folder / "tokenizer"
    made.mkdir()
    shutil.copy(bundle / "tokenizer.json", made)
    (made / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}', encoding="utf-8")
    return made


def table(ours: Sequence[Figures], theirs: Sequence[Figures]) -> str:
    """Medians of the rounds, and how far they are apart."""
    rows = ["| | attendant loadtest | aiperf | ours by theirs |", "|---|---:|---:|---:|"]
    for name in FIGURES:
        us, them = median(each[name] for each in ours), median(each[name] for each in theirs)
        rows.append(f"| {name} | {us:.2f} | {them:.2f} | {us / them:.3f} |")
    return "\n".join(rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure in turn, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.strangers.agree_aiperf", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--rate", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--arrivals", default="poisson")
    parser.add_argument("--prompt", default="32-96")
    parser.add_argument("--answer", default="64")
    args = parser.parse_args(argv)
    mix = Mix(lengths_of(args.prompt), lengths_of(args.answer))
    schedule = plan(arrivals_of(args.arrivals)(args.rate), mix, args.seconds, seed=1)
    ours: list[Figures] = []
    theirs: list[Figures] = []
    with tempfile.TemporaryDirectory() as name, serving(Path(name) / "log", args.bundle) as server:
        tokenizer = tokenizer_of(args.bundle, Path(name))
        for number in range(args.rounds + 1):
            folder = Path(name) / str(number)
            folder.mkdir()
            them = by_aiperf(server, args.model, schedule, folder, 2 * number, tokenizer)
            us = by_us(server, args.model, schedule, folder, 2 * number + 1)
            print(json.dumps({"ours": us, "aiperf": them}), file=sys.stderr)
            if number:  # the first is to warm up
                theirs.append(them)
                ours.append(us)
    print(table(ours, theirs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
