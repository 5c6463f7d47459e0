// What the parts of the stand-in share. Everything else they define is a function of CUDA or cuBLAS.
#pragma once

#define _GNU_SOURCE
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include <cuda.h>
#include <cuda_runtime_api.h>

// -- complaints.c

// Writes one line, "cuda stand-in: KIND: DETAIL", to the file that the environment variable CUDA_STANDIN_COMPLAINTS
// names, or to stderr.
void complain(const char *kind, const char *format, ...) __attribute__((format(printf, 2, 3)));

extern const char ALLOCATION_IN_CAPTURE[];
extern const char BAD_CAPTURE[];
extern const char BAD_FREE[];
extern const char BAD_LAUNCH[];
extern const char COPY_IN_CAPTURE[];
extern const char LAUNCH_NOT_CAPTURED[];
extern const char SYNCHRONISATION_IN_CAPTURE[];

// -- memory.c

// `size` bytes, zero, on a page of their own; NULL if the device has no room.
void *device_allocate(size_t size);
// False, with a complaint, if device_allocate did not give it.
bool device_release(void *address);
bool is_device_address(const void *address);
size_t device_memory(void);
size_t device_memory_free(void);

// -- streams.c

// Whether a capture goes on that the calling thread may not disturb; if so, with a complaint that `call` did.
bool disturbs_capture(const char *kind, const char *call);
bool is_captured(cudaStream_t stream);
// Whether the calling thread is between the two ends of a capture.
bool is_capturing(void);

// What a handle points to is nobody's business.
static inline void *new_handle(void) { return calloc(1, 64); }

#define DOES_NOTHING(name, ...) \
    cudaError_t name(__VA_ARGS__) { return cudaSuccess; }
