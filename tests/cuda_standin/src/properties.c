// The one device there is, with the properties of an H100 but for its memory, and what kernels ask about it.
#include "standin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

enum {
    MAJOR = 9,
    MINOR = 0,
    MULTIPROCESSORS = 132,
    WARP = 32,
    BLOCK_THREADS = 1024,
    MULTIPROCESSOR_THREADS = 2048,
    REGISTERS = 65536,
    BLOCK_SHARED = 49152,
    BLOCK_SHARED_OPT_IN = 232448,
    MULTIPROCESSOR_SHARED = 233472,
    CUDA_VERSION_SHOWN = 13000,
};

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device) {
    *properties = (struct cudaDeviceProp){
        .name = "CUDA stand-in",
        .major = MAJOR,
        .minor = MINOR,
        .multiProcessorCount = MULTIPROCESSORS,
        .totalGlobalMem = device_memory(),
        .sharedMemPerBlock = BLOCK_SHARED,
        .sharedMemPerBlockOptin = BLOCK_SHARED_OPT_IN,
        .sharedMemPerMultiprocessor = MULTIPROCESSOR_SHARED,
        .maxThreadsPerBlock = BLOCK_THREADS,
        .maxThreadsPerMultiProcessor = MULTIPROCESSOR_THREADS,
        .warpSize = WARP,
        .regsPerBlock = REGISTERS,
        .regsPerMultiprocessor = REGISTERS,
        .maxThreadsDim = {1024, 1024, 64},
        .maxGridSize = {0x7fffffff, 65535, 65535},
        .l2CacheSize = 50 << 20,
        .concurrentManagedAccess = 1,
        .memoryPoolsSupported = 1,
        .cooperativeLaunch = 1,
    };
    return cudaSuccess;
}

static int attribute_value(enum cudaDeviceAttr attribute) {
    switch (attribute) {
        case cudaDevAttrComputeCapabilityMajor: return MAJOR;
        case cudaDevAttrComputeCapabilityMinor: return MINOR;
        case cudaDevAttrMultiProcessorCount: return MULTIPROCESSORS;
        case cudaDevAttrMaxSharedMemoryPerBlock: return BLOCK_SHARED;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin: return BLOCK_SHARED_OPT_IN;
        case cudaDevAttrMaxSharedMemoryPerMultiprocessor: return MULTIPROCESSOR_SHARED;
        case cudaDevAttrMaxThreadsPerBlock: return BLOCK_THREADS;
        case cudaDevAttrMaxThreadsPerMultiProcessor: return MULTIPROCESSOR_THREADS;
        case cudaDevAttrWarpSize: return WARP;
        default: return 1;  // mostly: whether something is supported
    }
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device) {
    *value = attribute_value(attribute);
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device) {
    *device = 0;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count) {
    *count = 1;
    return cudaSuccess;
}

DOES_NOTHING(cudaSetDevice, int device)

cudaError_t cudaDriverGetVersion(int *version) {
    *version = CUDA_VERSION_SHOWN;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version) { return cudaDriverGetVersion(version); }

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *attributes, const void *function) {
    memset(attributes, 0, sizeof *attributes);
    attributes->maxThreadsPerBlock = BLOCK_THREADS;
    attributes->numRegs = 32;
    attributes->binaryVersion = attributes->ptxVersion = 10 * MAJOR + MINOR;
    return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *count, const void *function, int block_size,
                                                                   size_t shared_memory, unsigned flags) {
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char *name, void **function, unsigned version,
                                             unsigned long long flags, enum cudaDriverEntryPointQueryResult *result) {
    *function = dlsym(RTLD_DEFAULT, name);
    if (result) *result = *function ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
}

// -- errors: returned at once, never kept for later

DOES_NOTHING(cudaGetLastError, void)
DOES_NOTHING(cudaPeekAtLastError, void)

const char *cudaGetErrorName(cudaError_t error) {
    static __thread char name[48];
    snprintf(name, sizeof name, "error %d of the CUDA stand-in", error);
    return name;
}

const char *cudaGetErrorString(cudaError_t error) {
    return error == cudaErrorMemoryAllocation ? "out of memory" : cudaGetErrorName(error);
}
