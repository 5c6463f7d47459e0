// Streams, events and the capture of graphs. Everything is done when it is asked for, so there is nothing to wait for;
// a replay does nothing. One capture goes on at a time.
#include "standin.h"

#include <pthread.h>
#include <stdatomic.h>

static atomic_bool active;
static pthread_t capturer;
static cudaStream_t captured;
static enum cudaStreamCaptureMode mode;
static atomic_long num_captures, num_replays;

// For the Python side.
long cuda_standin_captures(void) { return num_captures; }
long cuda_standin_replays(void) { return num_replays; }

bool is_capturing(void) { return active && pthread_equal(capturer, pthread_self()); }

bool is_captured(cudaStream_t stream) { return active && stream == captured; }

bool disturbs_capture(const char *kind, const char *call) {
    if (!active || mode == cudaStreamCaptureModeRelaxed) return false;
    if (mode == cudaStreamCaptureModeThreadLocal && !is_capturing()) return false;
    complain(kind, "%s", call);
    return true;
}

// -- capture

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode wanted) {
    if (active) {
        complain(BAD_CAPTURE, "a capture begins during another");
        return cudaErrorStreamCaptureUnsupported;
    }
    capturer = pthread_self();
    captured = stream;
    mode = wanted;
    active = true;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    if (!is_captured(stream)) {
        complain(BAD_CAPTURE, "the end of a capture that has not begun");
        return cudaErrorIllegalState;
    }
    bool same = is_capturing();
    active = false;
    if (!same) {
        complain(BAD_CAPTURE, "ended by a thread that did not begin it");
        return cudaErrorStreamCaptureWrongThread;
    }
    num_captures++;
    *graph = (cudaGraph_t)new_handle();
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status) {
    *status = is_captured(stream) ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags) {
    *executable = (cudaGraphExec_t)new_handle();
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
    num_replays++;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    free(graph);
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
    free(executable);
    return cudaSuccess;
}

// -- streams

cudaError_t cudaStreamCreate(cudaStream_t *stream) {
    *stream = (cudaStream_t)new_handle();
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) { return cudaStreamCreate(stream); }

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    free(stream);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    if (is_captured(stream)) {
        complain(SYNCHRONISATION_IN_CAPTURE, "cudaStreamSynchronize of the captured stream");
        return cudaErrorStreamCaptureUnsupported;
    }
    bool disturbs = disturbs_capture(SYNCHRONISATION_IN_CAPTURE, "cudaStreamSynchronize");
    return disturbs ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void) {
    if (!active) return cudaSuccess;
    complain(SYNCHRONISATION_IN_CAPTURE, "cudaDeviceSynchronize");
    return cudaErrorStreamCaptureUnsupported;
}

DOES_NOTHING(cudaStreamWaitEvent, cudaStream_t stream, cudaEvent_t event, unsigned flags)

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *data) {
    if (!is_captured(stream)) function(data);
    return cudaSuccess;
}

// -- events

cudaError_t cudaEventCreate(cudaEvent_t *event) {
    *event = (cudaEvent_t)new_handle();
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) { return cudaEventCreate(event); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    free(event);
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end) {
    *milliseconds = 1;
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    bool disturbs = disturbs_capture(SYNCHRONISATION_IN_CAPTURE, "cudaEventSynchronize");
    return disturbs ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

DOES_NOTHING(cudaEventRecord, cudaEvent_t event, cudaStream_t stream)
DOES_NOTHING(cudaEventRecordWithFlags, cudaEvent_t event, cudaStream_t stream, unsigned flags)
