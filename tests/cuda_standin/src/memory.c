// Device memory: host memory, counted against a limit. Copies are done when they are asked for, unless captured.
#include "standin.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096 };

// Lies in a page before the memory itself.
typedef struct Block {
    struct Block *next;
    size_t size;
} Block;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Block *blocks;
static size_t used;

size_t device_memory(void) {
    const char *limit = getenv("CUDA_STANDIN_MEMORY");
    return limit ? strtoull(limit, NULL, 10) : (size_t)16 << 30;
}

size_t device_memory_free(void) {
    size_t total = device_memory();
    pthread_mutex_lock(&lock);
    size_t left = used < total ? total - used : 0;
    pthread_mutex_unlock(&lock);
    return left;
}

void *device_allocate(size_t size) {
    size = (size + PAGE - 1) / PAGE * PAGE;
    if (size > device_memory_free()) return NULL;
    // Pages that nothing is written to take no memory of the host.
    void *pages = mmap(NULL, PAGE + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) return NULL;
    Block *block = pages;
    block->size = size;
    pthread_mutex_lock(&lock);
    block->next = blocks;
    blocks = block;
    used += size;
    pthread_mutex_unlock(&lock);
    return (char *)pages + PAGE;
}

static Block *take_block(void *address) {
    pthread_mutex_lock(&lock);
    Block **place = &blocks;
    while (*place && (char *)*place + PAGE != address) place = &(*place)->next;
    Block *block = *place;
    if (block) {
        *place = block->next;
        used -= block->size;
    }
    pthread_mutex_unlock(&lock);
    return block;
}

bool device_release(void *address) {
    if (!address) return true;
    Block *block = take_block(address);
    if (!block) {
        complain(BAD_FREE, "no memory of the device begins at %p", address);
        return false;
    }
    munmap(block, PAGE + block->size);
    return true;
}

bool is_device_address(const void *address) {
    pthread_mutex_lock(&lock);
    bool found = false;
    for (Block *block = blocks; block && !found; block = block->next) {
        const char *begin = (const char *)block + PAGE;
        found = (const char *)address >= begin && (const char *)address < begin + block->size;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

// -- allocation

cudaError_t cudaMalloc(void **address, size_t size) {
    if (disturbs_capture(ALLOCATION_IN_CAPTURE, "cudaMalloc")) return cudaErrorStreamCaptureUnsupported;
    *address = device_allocate(size);
    return *address ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFree(void *address) {
    if (address && disturbs_capture(ALLOCATION_IN_CAPTURE, "cudaFree")) return cudaErrorStreamCaptureUnsupported;
    return device_release(address) ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaMallocFromPoolAsync(void **address, size_t size, cudaMemPool_t pool, cudaStream_t stream) {
    if (is_captured(stream)) complain(ALLOCATION_IN_CAPTURE, "cudaMallocFromPoolAsync");
    *address = device_allocate(size);
    return *address ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFreeAsync(void *address, cudaStream_t stream) {
    return device_release(address) ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaHostAlloc(void **address, size_t size, unsigned flags) {
    if (disturbs_capture(ALLOCATION_IN_CAPTURE, "cudaHostAlloc")) return cudaErrorStreamCaptureUnsupported;
    *address = calloc(1, size ? size : 1);
    return *address ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaMallocHost(void **address, size_t size) { return cudaHostAlloc(address, size, 0); }

cudaError_t cudaFreeHost(void *address) {
    free(address);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *left, size_t *total) {
    *left = device_memory_free();
    *total = device_memory();
    return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *address) {
    memset(attributes, 0, sizeof *attributes);
    bool device = is_device_address(address);
    attributes->type = device ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered;
    attributes->devicePointer = device ? (void *)address : NULL;
    attributes->hostPointer = device ? NULL : (void *)address;
    return cudaSuccess;
}

cudaError_t cudaMemPoolCreate(cudaMemPool_t *pool, const struct cudaMemPoolProps *properties) {
    *pool = new_handle();
    return cudaSuccess;
}

cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool) {
    free(pool);
    return cudaSuccess;
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, enum cudaMemPoolAttr attribute, void *value) {
    *(unsigned long long *)value = 0;
    return cudaSuccess;
}

DOES_NOTHING(cudaMemPoolSetAttribute, cudaMemPool_t pool, enum cudaMemPoolAttr attribute, void *value)
DOES_NOTHING(cudaMemPoolTrimTo, cudaMemPool_t pool, size_t size)

// -- copies

// Whether a copy on `stream` is to be done now. One that is captured is not; if it reads or writes host memory, each
// replay does so again, at a time when that memory may hold something else.
static bool copies_now(const char *call, const void *to, const void *from, size_t size, cudaStream_t stream) {
    if (!is_captured(stream)) return !disturbs_capture(COPY_IN_CAPTURE, call);
    if (!is_device_address(from)) complain(COPY_IN_CAPTURE, "%s of %zu bytes from the host", call, size);
    if (!is_device_address(to)) complain(COPY_IN_CAPTURE, "%s of %zu bytes to the host", call, size);
    return false;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t size, enum cudaMemcpyKind kind) {
    if (disturbs_capture(COPY_IN_CAPTURE, "cudaMemcpy")) return cudaErrorStreamCaptureUnsupported;
    memcpy(to, from, size);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t size, enum cudaMemcpyKind kind, cudaStream_t stream) {
    if (copies_now("cudaMemcpyAsync", to, from, size, stream)) memcpy(to, from, size);
    return cudaSuccess;
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                              size_t height, enum cudaMemcpyKind kind, cudaStream_t stream) {
    if (!copies_now("cudaMemcpy2DAsync", to, from, width * height, stream)) return cudaSuccess;
    for (size_t row = 0; row < height; row++)
        memcpy((char *)to + row * to_pitch, (const char *)from + row * from_pitch, width);
    return cudaSuccess;
}

// Variables of kernels are zero.
cudaError_t cudaMemcpyFromSymbol(void *to, const void *symbol, size_t size, size_t offset, enum cudaMemcpyKind kind) {
    memset(to, 0, size);
    return cudaSuccess;
}

cudaError_t cudaMemset(void *address, int value, size_t size) {
    memset(address, value, size);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *address, int value, size_t size, cudaStream_t stream) {
    if (!is_captured(stream)) memset(address, value, size);
    return cudaSuccess;
}
