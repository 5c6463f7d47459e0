// Kernels: their launch configuration is checked, and nothing is computed.
#include "standin.h"

enum { MAX_THREADS = 1024, MAX_BLOCK_Z = 64, MAX_GRID_X = 0x7fffffff, MAX_GRID_YZ = 65535, MAX_SHARED_MEMORY = 232448 };

static bool fits(dim3 grid, dim3 block, size_t shared_memory) {
    size_t threads = (size_t)block.x * block.y * block.z;
    bool some = grid.x && grid.y && grid.z && threads;
    bool grid_fits = grid.x <= MAX_GRID_X && grid.y <= MAX_GRID_YZ && grid.z <= MAX_GRID_YZ;
    bool block_fits = threads <= MAX_THREADS && block.z <= MAX_BLOCK_Z;
    return some && grid_fits && block_fits && shared_memory <= MAX_SHARED_MEMORY;
}

static cudaError_t launch(dim3 grid, dim3 block, size_t shared_memory, cudaStream_t stream) {
    if (!fits(grid, block, shared_memory)) {
        complain(BAD_LAUNCH, "grid %u x %u x %u of blocks %u x %u x %u with %zu bytes of shared memory", grid.x, grid.y,
                 grid.z, block.x, block.y, block.z, shared_memory);
        return cudaErrorInvalidConfiguration;
    }
    if (is_capturing() && !is_captured(stream)) complain(LAUNCH_NOT_CAPTURED, "a kernel on another stream");
    return cudaSuccess;
}

cudaError_t cudaLaunchKernel(const void *function, dim3 grid, dim3 block, void **arguments, size_t shared_memory,
                             cudaStream_t stream) {
    return launch(grid, block, shared_memory, stream);
}

cudaError_t cudaLaunchCooperativeKernel(const void *function, dim3 grid, dim3 block, void **arguments,
                                        size_t shared_memory, cudaStream_t stream) {
    return launch(grid, block, shared_memory, stream);
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *configuration, const void *function, void **arguments) {
    return launch(configuration->gridDim, configuration->blockDim, configuration->dynamicSmemBytes,
                  configuration->stream);
}

// -- what nvcc makes of <<<...>>>

static __thread struct {
    dim3 grid, block;
    size_t shared_memory;
    void *stream;
} pushed;

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared_memory, struct CUstream_st *stream) {
    pushed.grid = grid;
    pushed.block = block;
    pushed.shared_memory = shared_memory;
    pushed.stream = stream;
    return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared_memory, void *stream) {
    *grid = pushed.grid;
    *block = pushed.block;
    *shared_memory = pushed.shared_memory;
    *(void **)stream = pushed.stream;
    return cudaSuccess;
}

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **arguments, size_t shared_memory,
                               cudaStream_t stream) {
    return launch(grid, block, shared_memory, stream);
}

cudaError_t __cudaGetKernel(cudaKernel_t *kernel, const void *function) {
    *kernel = (cudaKernel_t)function;
    return cudaSuccess;
}

// -- the registration of compiled kernels

void **__cudaRegisterFatBinary(void *binary) {
    static void *handle[8];
    return handle;
}
void __cudaRegisterFatBinaryEnd(void **handle) {}
void __cudaUnregisterFatBinary(void **handle) {}
void __cudaRegisterFunction(void) {}
void __cudaRegisterVar(void) {}

cudaError_t cudaLibraryLoadData(cudaLibrary_t *library, const void *code, enum cudaJitOption *jit_options,
                                void **jit_values, unsigned num_jit_options, enum cudaLibraryOption *options,
                                void **values, unsigned num_options) {
    *library = (cudaLibrary_t)new_handle();
    return cudaSuccess;
}

cudaError_t cudaLibraryUnload(cudaLibrary_t library) {
    free(library);
    return cudaSuccess;
}

cudaError_t cudaLibraryGetKernel(cudaKernel_t *kernel, cudaLibrary_t library, const char *name) {
    *kernel = (cudaKernel_t)new_handle();
    return cudaSuccess;
}

DOES_NOTHING(cudaFuncSetAttribute, const void *function, enum cudaFuncAttribute attribute, int value)
DOES_NOTHING(cudaKernelSetAttributeForDevice, cudaKernel_t kernel, enum cudaFuncAttribute attribute, int value,
             int device)
