"""The hardware: GPUs (DCGM's exporter), nodes (the node exporter), and the server's own processes."""

from __future__ import annotations

from deploy.grafana.board import INSTANCE, JOB, Board, Row, Variable
from deploy.grafana.panel import GREEN, RED, Panel, Query, more_is_worse

_OURS = 'job=~"$job", instance=~"$instance"'
_NODE = 'instance=~"$node"'
_GPU_NAME = "{{Hostname}} GPU {{gpu}}"
_WINDOW = "[$__rate_interval]"
NODES = Variable("node", "Node", "instance", "node_load1")
MIB = 1048576


def _ours(metric: str) -> str:
    return f"{metric}{{{_OURS}}}"


PROCESSES = Row(
    "Server processes",
    (
        Panel(
            "Versions",
            "What runs where. Two versions at once are a rollout, or one that got stuck.",
            (
                Query(
                    f"count by (job, version, onnxruntime) (attendant_build_info{{{_OURS}}})",
                    "{{job}} {{version}} on ONNX Runtime {{onnxruntime}}",
                ),
            ),
            "short",
            "stat",
            width=6,
            height=7,
        ),
        Panel(
            "Python",
            "The interpreter of each server.",
            (
                Query(
                    f"count by (implementation, version) (python_info{{{_OURS}}})",
                    "{{implementation}} {{version}}",
                ),
            ),
            "short",
            "stat",
            width=4,
            height=7,
        ),
        Panel(
            "Runs since",
            "How long ago each process started. Short times that come again are crashes: read the log's last lines.",
            (Query(f"time() - {_ours('process_start_time_seconds')}", "{{instance}}"),),
            "s",
            "stat",
            width=6,
            height=7,
        ),
        Panel(
            "Answers Prometheus",
            "1 while Prometheus can read a server's metrics, and how long that takes.",
            (
                Query(f"up{{{_OURS}}}", "{{instance}} up"),
                Query(f"scrape_duration_seconds{{{_OURS}}}", "{{instance}} seconds"),
            ),
            "short",
            width=8,
            height=7,
        ),
        Panel(
            "Processors in use",
            "Processor seconds a second. Near the number of threads the server computes all the time.",
            (Query(f"rate(process_cpu_seconds_total{{{_OURS}}}{_WINDOW})", "{{instance}}"),),
            "short",
            width=6,
        ),
        Panel(
            "Memory",
            "Resident: what the process really has, weights and KV memory included. Virtual: what it has mapped, "
            "which may be much more and costs nothing.",
            (
                Query(_ours("process_resident_memory_bytes"), "{{instance}} resident"),
                Query(_ours("attendant_engine_process_memory_bytes"), "{{instance}} engine of {{model_name}}"),
                Query(_ours("process_virtual_memory_bytes"), "{{instance}} virtual"),
            ),
            "bytes",
            width=6,
        ),
        Panel(
            "Open files",
            "Share of the files and connections that the process may have open at once.",
            (Query(f"{_ours('process_open_fds')} / {_ours('process_max_fds')}", "{{instance}}"),),
            "percentunit",
            width=6,
            most=1,
            steps=more_is_worse(0.7, 0.9),
        ),
        Panel(
            "Python's garbage",
            "Collections a second, by generation, and objects that they found and could not free (should be 0).",
            (
                Query(
                    f"sum by (instance, generation) (rate(python_gc_collections_total{{{_OURS}}}{_WINDOW}))",
                    "{{instance}} collections {{generation}}",
                ),
                Query(
                    f"sum by (instance) (rate(python_gc_objects_collected_total{{{_OURS}}}{_WINDOW}))",
                    "{{instance}} objects freed",
                ),
                Query(
                    f"sum by (instance) (rate(python_gc_objects_uncollectable_total{{{_OURS}}}{_WINDOW}))",
                    "{{instance}} objects lost",
                ),
            ),
            "short",
            width=6,
        ),
    ),
)

GPUS = Row(
    "GPUs",
    (
        Panel(
            "Busy",
            "Share of time in which the GPU ran anything. 100 % does not mean that it could do no more: see Power.",
            (Query("DCGM_FI_DEV_GPU_UTIL", _GPU_NAME),),
            "percent",
            most=100,
        ),
        Panel(
            "Memory taken",
            "Weights and KV memory are taken at start, so this is flat. A slow climb is a leak.",
            (Query(f"DCGM_FI_DEV_FB_USED * {MIB}", _GPU_NAME),),
            "bytes",
        ),
        Panel(
            "Memory left",
            "What is free on the GPU. Near 0 a new model cannot be loaded.",
            (Query(f"DCGM_FI_DEV_FB_FREE * {MIB}", _GPU_NAME),),
            "bytes",
        ),
        Panel(
            "Memory busy",
            "Share of time in which memory was read or written. Writing answers is bound by it.",
            (Query("DCGM_FI_DEV_MEM_COPY_UTIL", _GPU_NAME),),
            "percent",
            most=100,
        ),
        Panel(
            "Power",
            "What the GPU draws. The nearer to its limit, the harder it works.",
            (Query("DCGM_FI_DEV_POWER_USAGE", _GPU_NAME),),
            "watt",
        ),
        Panel(
            "Energy",
            "Of the last hour, in watt hours: divide by the tokens of that hour for the price of a token.",
            (Query("increase(DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION[1h]) / 3600000", _GPU_NAME),),
            "watth",
        ),
        Panel(
            "Temperature",
            "Of the chip and its memory. From about 85 degrees on most GPUs slow down.",
            (
                Query("DCGM_FI_DEV_GPU_TEMP", f"{_GPU_NAME} chip"),
                Query("DCGM_FI_DEV_MEMORY_TEMP", f"{_GPU_NAME} memory"),
            ),
            "celsius",
            steps=more_is_worse(80, 90),
        ),
        Panel(
            "Clocks",
            "Of the processors and the memory. A drop under load is a limit of power or heat.",
            (
                Query("DCGM_FI_DEV_SM_CLOCK * 1000000", f"{_GPU_NAME} processors"),
                Query("DCGM_FI_DEV_MEM_CLOCK * 1000000", f"{_GPU_NAME} memory"),
            ),
            "hertz",
        ),
        Panel(
            "Faults",
            "The number of the last XID error (0: none; NVIDIA lists them), and memory rows mapped away as broken.",
            (
                Query("DCGM_FI_DEV_XID_ERRORS", f"{_GPU_NAME} XID"),
                Query("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", f"{_GPU_NAME} rows"),
            ),
            "short",
            steps=((None, GREEN), (1, RED)),
        ),
    ),
)

MACHINES = Row(
    "Nodes",
    (
        Panel(
            "Processors of the node",
            "Share of all processors of the node that are busy, whoever uses them.",
            (
                Query(
                    f'1 - avg by (instance) (rate(node_cpu_seconds_total{{{_NODE}, mode="idle"}}{_WINDOW}))',
                    "{{instance}}",
                ),
            ),
            "percentunit",
            most=1,
        ),
        Panel(
            "Threads that want to run",
            "The load of a minute. Far above the number of processors, threads of a step wait for one another.",
            (Query(f"node_load1{{{_NODE}}}", "{{instance}}"),),
            "short",
        ),
        Panel(
            "Waits",
            "Share of time in which some thread waited for a processor or for memory. Both should be near 0.",
            (
                Query(f"rate(node_pressure_cpu_waiting_seconds_total{{{_NODE}}}{_WINDOW})", "{{instance}} processor"),
                Query(f"rate(node_pressure_memory_waiting_seconds_total{{{_NODE}}}{_WINDOW})", "{{instance}} memory"),
            ),
            "percentunit",
        ),
        Panel(
            "Memory of the node",
            "Share of the node's memory that programs hold.",
            (
                Query(
                    f"1 - node_memory_MemAvailable_bytes{{{_NODE}}} / node_memory_MemTotal_bytes{{{_NODE}}}",
                    "{{instance}}",
                ),
            ),
            "percentunit",
            most=1,
            steps=more_is_worse(0.85, 0.95),
        ),
        Panel(
            "Weights read again",
            "Pages read from the disk a second. Weights are mapped from files: if this stays up, memory is too small.",
            (Query(f"rate(node_vmstat_pgmajfault{{{_NODE}}}{_WINDOW})", "{{instance}} faults"),),
            "short",
        ),
        Panel(
            "Disk read",
            "Bytes a second. High while bundles are loaded, then near 0.",
            (Query(f"sum by (instance) (rate(node_disk_read_bytes_total{{{_NODE}}}{_WINDOW}))", "{{instance}}"),),
            "Bps",
        ),
        Panel(
            "Network",
            "Bytes a second, received and sent. Text is small; images and sound are not.",
            (
                Query(
                    f'sum by (instance) (rate(node_network_receive_bytes_total{{{_NODE}, device!="lo"}}{_WINDOW}))',
                    "{{instance}} received",
                ),
                Query(
                    f'sum by (instance) (rate(node_network_transmit_bytes_total{{{_NODE}, device!="lo"}}{_WINDOW}))',
                    "{{instance}} sent",
                ),
            ),
            "Bps",
        ),
        Panel(
            "Disk in use",
            "Share of each file system that is full.",
            (
                Query(
                    f'1 - node_filesystem_avail_bytes{{{_NODE}, fstype!~"tmpfs|overlay"}} / '
                    f'node_filesystem_size_bytes{{{_NODE}, fstype!~"tmpfs|overlay"}}',
                    "{{instance}} {{mountpoint}}",
                ),
            ),
            "percentunit",
            most=1,
            steps=more_is_worse(0.85, 0.95),
        ),
    ),
)

BOARD = Board(
    uid="attendant-hardware",
    title="Attendant / Hardware",
    says="The server's processes; GPUs, where dcgm-exporter runs; nodes, where the node exporter runs.",
    variables=(JOB, INSTANCE, NODES),
    rows=(PROCESSES, GPUS, MACHINES),
)
