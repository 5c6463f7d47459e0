"""One model: where a request's time goes, what its engine or batches do, what fails."""

from __future__ import annotations

from deploy.grafana.board import JOB, MODEL, Board, Row
from deploy.grafana.grammars import GRAMMARS
from deploy.grafana.panel import Panel, Query, more_is_worse
from deploy.grafana.queries import SERIES, mean, quantile, quantiles, spread, total, value

_BY_TASK = ("task",)


def _stage(name: str) -> Query:
    return Query(mean(f"attendant_request_{name}_time_seconds", "model_name"), name)


REQUESTS = Row(
    "Requests",
    (
        Panel(
            "Time to first token",
            "Each column is a moment, each cell a range of waits, darker where more requests fell. "
            "Two bands mean two kinds of requests.",
            spread("attendant_time_to_first_token_seconds"),
            "s",
            "heatmap",
            width=12,
        ),
        Panel(
            "Between two tokens",
            "Each column is a moment, each cell a range of pauses, darker where more tokens fell. "
            "A band that climbs means fuller batches.",
            spread("attendant_inter_token_latency_seconds"),
            "s",
            "heatmap",
            width=12,
        ),
        Panel(
            "Where the time goes",
            "Mean of each stage of a request, on top of each other: in the queue, reading the prompt (prefill), "
            "writing the answer (decode).",
            (_stage("queue"), _stage("prefill"), _stage("decode")),
            "s",
            stacked=True,
        ),
        Panel(
            "Time in the queue",
            "Arrival until the engine takes the request up. It grows first when the load is too much.",
            quantiles("attendant_request_queue_time_seconds"),
            "s",
        ),
        Panel(
            "Reading the prompt",
            "First scheduled until the first token: longer prompts and fuller steps take longer.",
            quantiles("attendant_request_prefill_time_seconds"),
            "s",
        ),
        Panel(
            "Writing the answer",
            "First token to last token.",
            quantiles("attendant_request_decode_time_seconds"),
            "s",
        ),
        Panel(
            "Time in the engine",
            "First scheduled to last token: all but the queue.",
            quantiles("attendant_request_inference_time_seconds"),
            "s",
        ),
        Panel(
            "Foreseen and true",
            "Time until the first token, and until the end, as a share of what was foreseen, where there is a deadline "
            "or a target. Around 1 the refusals can be trusted; far above it, requests are late that were let in.",
            quantiles("attendant_request_foreseen_ratio", "what"),
            "short",
        ),
        Panel(
            "Time a token",
            "Mean time of each answer's tokens after its first: the pace at which a reader sees them.",
            quantiles("attendant_request_time_per_output_token_seconds"),
            "s",
        ),
        Panel(
            "Prompts",
            "Tokens of a request's prompt: longer ones take longer to read and more KV memory.",
            quantiles("attendant_request_prompt_tokens"),
            "short",
        ),
        Panel(
            "Answers",
            "Tokens of an answer that ended without an error.",
            quantiles("attendant_request_generation_tokens"),
            "short",
        ),
        Panel(
            "Prompts from the cache",
            "Share of prompt tokens that an earlier request's KV cache had, so that nobody had to compute them.",
            (
                Query(
                    f"{total('attendant_prompt_tokens_cached_total')} / {total('attendant_prompt_tokens_total')}",
                    "{{model_name}}",
                ),
            ),
            "percentunit",
        ),
    ),
)

ENGINE = Row(
    "The engine",
    (
        Panel(
            "A step",
            "How long one step of the engine takes. Every running answer gets one token a step, so this is the pace.",
            quantiles("attendant_step_duration_seconds"),
            "s",
        ),
        Panel(
            "What a step costs",
            "As the engine has learnt it from its latest steps: any step, one that computes prompts besides, a token "
            "of a prompt, a row that decodes, and positions that are attended to. What refusals are decided by.",
            (Query(f"attendant_step_cost_seconds{{{SERIES}}}", "{{model_name}} {{part}}"),),
            "s",
        ),
        Panel(
            "A step's run",
            "Of a step, the time inside the model's run and the choice of tokens.",
            quantiles("attendant_step_run_seconds"),
            "s",
        ),
        Panel(
            "Cost of the host",
            "Share of a step that is not the model's run: scheduling, and handing tokens over. Some percent is usual.",
            (
                Query(
                    f"1 - {total('attendant_step_run_seconds_sum')} / {total('attendant_step_duration_seconds_sum')}",
                    "{{model_name}}",
                ),
            ),
            "percentunit",
        ),
        Panel(
            "Batch",
            "Answers that a step advances by a token. The fuller, the more a server does in all.",
            (
                Query(mean("attendant_step_batch_size"), "mean"),
                Query(quantile(0.9, "attendant_step_batch_size"), "p90"),
            ),
            "short",
        ),
        Panel(
            "Tokens of a step",
            "Of prompts, of sources and of answers together; the token budget bounds it.",
            (Query(mean("attendant_step_tokens"), "mean"), Query(quantile(0.9, "attendant_step_tokens"), "p90")),
            "short",
        ),
        Panel(
            "KV memory",
            "Share of its KV memory that running requests hold, on each replica.",
            (Query(f"max by (instance) (attendant_kv_cache_usage_perc{{{SERIES}}})", "{{instance}}"),),
            "percentunit",
            most=1,
            steps=more_is_worse(0.8, 0.95),
        ),
        Panel(
            "Prompts found in the cache",
            "Share of prompt tokens that need not be computed, because an earlier prompt began alike.",
            (
                Query(
                    f"{total('attendant_prefix_cache_hits_total')} / {total('attendant_prefix_cache_queries_total')}",
                    "{{model_name}}",
                ),
            ),
            "percentunit",
            most=1,
        ),
        Panel(
            "Preemptions",
            "Requests a second that lost their memory to others and are computed again. More than a few cost speed: "
            "more `engine.kv_memory`, or fewer `engine.max_num_seqs`.",
            (Query(total("attendant_num_preemptions_total"), "{{model_name}}"),),
            "short",
        ),
    ),
)

ENCODING = Row(
    "Batches, if it encodes",
    (
        Panel(
            "Wait for a batch",
            "An input's arrival until its batch runs.",
            quantiles("attendant_encoder_queue_seconds", *_BY_TASK),
            "s",
        ),
        Panel("A run", "One run of a batch.", quantiles("attendant_encoder_compute_seconds", *_BY_TASK), "s"),
        Panel(
            "Making tensors",
            "Tokenising texts, decoding and scaling images, of one call.",
            quantiles("attendant_encoder_preprocess_seconds", *_BY_TASK),
            "s",
        ),
        Panel(
            "Inputs of a batch",
            "How many inputs share a run, on average.",
            (Query(mean("attendant_encoder_batch_rows", *_BY_TASK), "{{task}}"),),
            "short",
        ),
        Panel(
            "Tokens of a batch",
            "Tokens (images, samples of sound) that share a run, on average, without padding.",
            (Query(mean("attendant_encoder_batch_tokens", *_BY_TASK), "{{task}}"),),
            "short",
        ),
        Panel(
            "Padding",
            "Share of computed tokens that are padding: inputs of unlike lengths in one run.",
            (
                Query(
                    f"{total('attendant_encoder_padding_tokens_total', *_BY_TASK)} / "
                    f"({total('attendant_encoder_padding_tokens_total', *_BY_TASK)} + "
                    f"{total('attendant_encoder_batch_tokens_sum', *_BY_TASK)})",
                    "{{task}}",
                ),
            ),
            "percentunit",
            most=1,
        ),
        Panel(
            "Inputs now",
            "Those of the run that goes on, and those that wait for one.",
            (
                Query(value("attendant_encoder_rows_running", *_BY_TASK), "{{task}} running"),
                Query(value("attendant_encoder_rows_waiting", *_BY_TASK), "{{task}} waiting"),
            ),
            "short",
        ),
        Panel(
            "Inputs that failed",
            "By the error's name; docs/operating.md says what each means. Empty: none failed.",
            (Query(f"{total('attendant_encoder_row_failures_total', 'task', 'error')} > 0", "{{task}} {{error}}"),),
            "short",
            stacked=True,
        ),
    ),
    closed=True,
)

SPEECH = Row(
    "Recordings, if it hears",
    (
        Panel(
            "Windows",
            "Stretches of sound that were transcribed. Many of `silence`: the recordings are mostly that.",
            (Query(total("attendant_speech_windows_total", "kind"), "{{kind}}"),),
            "short",
            width=12,
            stacked=True,
        ),
        Panel(
            "Sound",
            "Seconds of sound read in each second.",
            (Query(total("attendant_speech_audio_seconds_total"), "{{model_name}}"),),
            "short",
            width=12,
        ),
    ),
    closed=True,
)

EXPLAIN = Row(
    "Explanations",
    (
        Panel(
            "Calls that explain",
            "Attention, attribution and similarity, by how they ended.",
            (Query(total("attendant_explain_requests_total", "kind", "outcome"), "{{kind}} {{outcome}}"),),
            "reqps",
            width=12,
            stacked=True,
        ),
        Panel(
            "Time in the model",
            "Share of the model's thread that looking at attention took. While others wait it stays near "
            "`explain.share` or below; more means that nobody else wanted the time.",
            (Query(total("attendant_explain_run_seconds_total"), "attention"),),
            "percentunit",
            width=12,
        ),
    ),
    closed=True,
)

BOARD = Board(
    uid="attendant-model",
    title="Attendant / One model",
    says="Where the time of one model's requests goes, and what its engine or its batches do.",
    variables=(JOB, MODEL),
    rows=(REQUESTS, ENGINE, ENCODING, SPEECH, EXPLAIN, GRAMMARS),
)
