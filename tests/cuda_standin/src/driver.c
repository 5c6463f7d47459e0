// The driver API: what the package cuda-bindings looks up and the server calls, over the same memory and captures.
#include "standin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

CUresult cuInit(unsigned flags) { return CUDA_SUCCESS; }

CUresult cuDriverGetVersion(int *version) {
    cudaDriverGetVersion(version);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count) {
    *count = 1;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal) {
    *device = ordinal;
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    static char the_context;
    *context = (CUcontext)&the_context;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext context) { return CUDA_SUCCESS; }

CUresult cuGetErrorName(CUresult error, const char **name) {
    *name = "an error of the CUDA stand-in";
    return CUDA_SUCCESS;
}

// -- memory

CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t size) {
    if (disturbs_capture(ALLOCATION_IN_CAPTURE, "cuMemAlloc")) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    *address = (CUdeviceptr)device_allocate(size);
    return *address ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuMemFree_v2(CUdeviceptr address) {
    if (disturbs_capture(ALLOCATION_IN_CAPTURE, "cuMemFree")) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    return device_release((void *)address) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemAllocHost_v2(void **address, size_t size) {
    return cudaMallocHost(address, size) ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
}

CUresult cuMemGetInfo_v2(size_t *left, size_t *total) {
    cudaMemGetInfo(left, total);
    return CUDA_SUCCESS;
}

CUresult cuMemsetD8_v2(CUdeviceptr address, unsigned char value, size_t size) {
    if (value) memset((void *)address, value, size);  // writing zeros over zeros would take memory of the host
    return CUDA_SUCCESS;
}

CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t size) {
    if (disturbs_capture(COPY_IN_CAPTURE, "cuMemcpyHtoD")) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    memcpy((void *)to, from, size);
    return CUDA_SUCCESS;
}

CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t size) {
    if (disturbs_capture(COPY_IN_CAPTURE, "cuMemcpyDtoH")) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    memcpy(to, (const void *)from, size);
    return CUDA_SUCCESS;
}

CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t size) {
    if (disturbs_capture(COPY_IN_CAPTURE, "cuMemcpyDtoD")) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    memcpy((void *)to, (const void *)from, size);
    return CUDA_SUCCESS;
}

// -- waiting

CUresult cuCtxSynchronize(void) {
    return cudaDeviceSynchronize() ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
}

CUresult cuStreamSynchronize(CUstream stream) {
    return cudaStreamSynchronize(stream) ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
}

// -- functions by name

// Kernels that are not computed need no description of their tensors.
CUresult cuTensorMapEncodeTiled(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank, void *address,
                                const cuuint64_t *sizes, const cuuint64_t *strides, const cuuint32_t *box,
                                const cuuint32_t *element_strides, CUtensorMapInterleave interleave,
                                CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
                                CUtensorMapFloatOOBfill fill) {
    return CUDA_SUCCESS;
}

// Functions that have been revised have a suffix that callers leave out.
CUresult cuGetProcAddress_v2(const char *name, void **function, int version, cuuint64_t flags,
                             CUdriverProcAddressQueryResult *result) {
    char revised[128];
    Dl_info self;
    dladdr((void *)cuInit, &self);
    void *library = dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    snprintf(revised, sizeof revised, "%s_v2", name);
    *function = dlsym(library, revised);
    if (!*function) *function = dlsym(library, name);
    if (result) *result = *function ? CU_GET_PROC_ADDRESS_SUCCESS : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    return *function ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}
