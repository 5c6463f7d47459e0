"""The overview: which models are well, and what all of them do. Its first row can be read from across a room."""

from __future__ import annotations

from deploy.grafana.board import JOB, MODELS, Board, Row
from deploy.grafana.callers import CALLERS
from deploy.grafana.panel import GREEN, RED, Panel, Query, more_is_better, more_is_worse
from deploy.grafana.queries import MODEL, SERIES, WINDOW, mean, quantile, quantiles, total, value
from deploy.prometheus.objectives import CALLERS_FAULTS

_FAULTS = "|".join(CALLERS_FAULTS)
_ANSWERED = f'rate(attendant_request_success_total{{{SERIES}, finished_reason!="cancelled"}}{WINDOW})'
_ENCODED = f'rate(attendant_encoder_requests_total{{{SERIES}, outcome="success"}}{WINDOW})'
_FAILED = (
    f'rate(attendant_request_failure_total{{{SERIES}, error!~"{_FAULTS}"}}{WINDOW}) '
    f'or rate(attendant_encoder_requests_total{{{SERIES}, outcome!~"success|{_FAULTS}"}}{WINDOW})'
)
_GOOD = f"sum by (model_name) ({_ANSWERED} or {_ENCODED})"
_ALL = f"sum by (model_name) ({_ANSWERED} or {_ENCODED} or {_FAILED})"

_ERRORS = total("attendant_request_failure_total", "model_name", "error")
_RESTARTS = f"sum by (model_name, outcome) (increase(attendant_model_restarts_total{{{SERIES}}}[5m]))"

STATUS = Row(
    "Status",
    (
        Panel(
            "Served",
            "Whether each model takes requests, on the replica that is worst off. If not, `attendant models` says why.",
            (Query(f"min by (model_name) (attendant_model_ready{{{SERIES}}})", MODEL),),
            "short",
            "stat",
            width=5,
            words=((0, "NOT SERVED", RED), (1, "served", GREEN)),
        ),
        Panel(
            "First token",
            "How long the middle request waits until its answer begins. Yellow from 1 s on, red from 3 s on.",
            (Query(quantile(0.5, "attendant_time_to_first_token_seconds"), MODEL),),
            "s",
            "stat",
            width=5,
            steps=more_is_worse(1, 3),
        ),
        Panel(
            "Output speed",
            "Tokens a second that one reader sees, on average. People read at about 5; red is below 10, green from 20.",
            (Query(f"1 / ({mean('attendant_request_time_per_output_token_seconds')})", MODEL),),
            "short",
            "stat",
            width=5,
            steps=more_is_better(10, 20),
        ),
        Panel(
            "Success",
            "Share of requests that were answered. Those that callers spoiled or cancelled do not count.",
            (Query(f"{_GOOD} / {_ALL}", MODEL),),
            "percentunit",
            "stat",
            width=5,
            most=1,
            steps=more_is_better(0.95, 0.99),
        ),
        Panel(
            "Requests a minute",
            "How many requests end in a minute, answered or not.",
            (Query(f"60 * {_ALL}", MODEL),),
            "short",
            "stat",
            width=4,
        ),
        Panel(
            "When it was served",
            "The same as Served, over time: a gap of green is when a model was away.",
            (Query(f"min by (model_name) (attendant_model_ready{{{SERIES}}})", MODEL),),
            "short",
            "state-timeline",
            width=24,
            height=5,
            words=((0, "not served", RED), (1, "served", GREEN)),
        ),
    ),
)

SPEED = Row(
    "How long callers wait",
    (
        Panel(
            "Time to first token",
            "From a request's arrival to the first token of its answer: queue, then reading the prompt. "
            "p99: one caller in a hundred waits longer.",
            quantiles("attendant_time_to_first_token_seconds"),
            "s",
        ),
        Panel(
            "Between two tokens",
            "How smoothly answers flow once they have begun.",
            quantiles("attendant_inter_token_latency_seconds"),
            "s",
        ),
        Panel(
            "Whole answer",
            "From arrival to the last token. Long answers take long: compare it with the same hour of another day.",
            quantiles("attendant_e2e_request_latency_seconds"),
            "s",
        ),
    ),
)

WORK = Row(
    "How much is done",
    (
        Panel(
            "Answers",
            "Sequences that ended without an error. `stop`: the model had said all; `length`: it was cut at the limit "
            "that the caller set; `cancelled`: the caller went away.",
            (
                Query(
                    total("attendant_request_success_total", "model_name", "finished_reason"),
                    "{{model_name}} {{finished_reason}}",
                ),
            ),
            "reqps",
            stacked=True,
        ),
        Panel(
            "Failures and refusals",
            "By the error's name; docs/operating.md says what each means. `queue_full` asks for more replicas. "
            "Empty: there are none.",
            (Query(f"{_ERRORS} > 0", "{{model_name}} {{error}}"),),
            "reqps",
            stacked=True,
        ),
        Panel(
            "Tokens",
            "Prompt tokens read and answer tokens written, a second. The best single figure of how much a server does.",
            (
                Query(total("attendant_generation_tokens_total"), "{{model_name}} written"),
                Query(total("attendant_prompt_tokens_total"), "{{model_name}} read"),
            ),
            "short",
        ),
        Panel(
            "Calls of models that encode",
            "Embedding, classifying and the like, by how they ended. A call may have many inputs.",
            (
                Query(
                    total("attendant_encoder_requests_total", "model_name", "task", "outcome"),
                    "{{model_name}} {{task}} {{outcome}}",
                ),
            ),
            "reqps",
            stacked=True,
        ),
        Panel(
            "Recordings",
            "Calls that transcribe, by how they ended.",
            (
                Query(
                    total("attendant_speech_requests_total", "model_name", "outcome"),
                    "{{model_name}} {{outcome}}",
                ),
            ),
            "reqps",
            stacked=True,
        ),
        Panel(
            "Calls that are recorded",
            "What became of the share of calls that `record.file` is to keep. Anything but `written` is missing in the "
            "file: too many waited, a call was too large, or the disk is full.",
            (Query(f'sum by (outcome) (rate(attendant_recorded_calls_total{{job=~"$job"}}{WINDOW}))', "{{outcome}}"),),
            "reqps",
            stacked=True,
        ),
        Panel(
            "Sound",
            "Seconds of sound transcribed in each second: 10 means ten live speakers could be followed.",
            (Query(total("attendant_speech_audio_seconds_total"), MODEL),),
            "short",
        ),
        Panel(
            "Spans of traces",
            "What becomes of them: `sent` to the collector, `failed` because it did not take them, `dropped` because "
            "too many waited. Empty where traces are off.",
            (
                Query(
                    f'sum by (outcome) (rate(attendant_trace_spans_total{{job=~"$job"}}{WINDOW})) > 0',
                    "{{outcome}}",
                ),
            ),
            "short",
            stacked=True,
        ),
    ),
)

ROOM = Row(
    "How full it is",
    (
        Panel(
            "Running and waiting",
            "Requests that are being answered, and those in the queue. A queue that stays means that the load is more "
            "than the server can do.",
            (
                Query(value("attendant_num_requests_running"), "{{model_name}} running"),
                Query(value("attendant_num_requests_waiting"), "{{model_name}} waiting"),
            ),
            "short",
        ),
        Panel(
            "KV memory",
            "Share of the memory for running requests that is taken. Near 1 requests wait for memory, or lose theirs.",
            (
                Query(
                    f"max by (model_name, instance) (attendant_kv_cache_usage_perc{{{SERIES}}})",
                    "{{model_name}} {{instance}}",
                ),
            ),
            "percentunit",
            most=1,
            steps=more_is_worse(0.8, 0.95),
        ),
        Panel(
            "Models that hang or start anew",
            "What became of models whose engines died, and steps that did not end in time. Empty: there are none.",
            (
                Query(
                    f"{_RESTARTS} > 0",
                    "{{model_name}} {{outcome}}",
                ),
                Query(f"increase(attendant_model_hangs_total{{{SERIES}}}[5m]) > 0", "{{model_name}} hung"),
            ),
            "short",
        ),
        Panel(
            "Inputs that wait for a batch",
            "Of models that encode. Runs are short, so this should fall back to 0 again and again.",
            (Query(value("attendant_encoder_rows_waiting", "model_name", "task"), "{{model_name}} {{task}}"),),
            "short",
        ),
    ),
)

BOARD = Board(
    uid="attendant-overview",
    title="Attendant / Overview",
    says="Which models are served, how fast and how well, and what they do. Start here.",
    variables=(JOB, MODELS),
    rows=(STATUS, SPEED, WORK, ROOM, CALLERS),
)
