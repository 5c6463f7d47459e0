// cuBLAS and cuBLASLt: every call succeeds, nothing is computed. Their headers come only with the libraries themselves,
// some 400 MB, so the few arguments that matter are declared here.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SUCCEEDS(name) \
    int name(void) { return 0; }
#define CREATES(name) \
    int name(void **handle) { return (*handle = calloc(1, 64)) ? 0 : 3; }
#define DESTROYS(name) \
    int name(void *handle) { return free(handle), 0; }

// -- cuBLAS

CREATES(cublasCreate_v2)
DESTROYS(cublasDestroy_v2)
SUCCEEDS(cublasSetStream_v2)
SUCCEEDS(cublasSetMathMode)

int cublasGetMathMode(void *handle, int *mode) {
    *mode = 0;
    return 0;
}

const char *cublasGetStatusName(int status) { return "a status of the CUDA stand-in"; }
const char *cublasGetStatusString(int status) { return cublasGetStatusName(status); }

SUCCEEDS(cublasDgeam)
SUCCEEDS(cublasDgemmBatched)
SUCCEEDS(cublasDgemmStridedBatched)
SUCCEEDS(cublasDgemm_v2)
SUCCEEDS(cublasDgetrfBatched)
SUCCEEDS(cublasDgetriBatched)
SUCCEEDS(cublasGemmBatchedEx)
SUCCEEDS(cublasGemmEx)
SUCCEEDS(cublasGemmStridedBatchedEx)
SUCCEEDS(cublasScopy_v2)
SUCCEEDS(cublasSgeam)
SUCCEEDS(cublasSgemmBatched)
SUCCEEDS(cublasSgemmStridedBatched)
SUCCEEDS(cublasSgemm_v2)
SUCCEEDS(cublasSgetrfBatched)
SUCCEEDS(cublasSgetriBatched)
SUCCEEDS(cublasSscal_v2)

// -- cuBLASLt

CREATES(cublasLtCreate)
DESTROYS(cublasLtDestroy)
CREATES(cublasLtMatmulDescCreate)
DESTROYS(cublasLtMatmulDescDestroy)
SUCCEEDS(cublasLtMatmulDescSetAttribute)
CREATES(cublasLtMatmulPreferenceCreate)
DESTROYS(cublasLtMatmulPreferenceDestroy)
SUCCEEDS(cublasLtMatmulPreferenceSetAttribute)
CREATES(cublasLtMatrixLayoutCreate)
DESTROYS(cublasLtMatrixLayoutDestroy)
SUCCEEDS(cublasLtMatrixLayoutSetAttribute)
CREATES(cublasLtMatrixTransformDescCreate)
DESTROYS(cublasLtMatrixTransformDescDestroy)
SUCCEEDS(cublasLtMatrixTransform)
SUCCEEDS(cublasLtMatmul)
SUCCEEDS(cublasLtMatmulAlgoConfigSetAttribute)
SUCCEEDS(cublasLtMatmulAlgoInit)

// cublasLtMatmulHeuristicResult_t
typedef struct {
    uint64_t algorithm[8];
    size_t workspace_size;
    int state;
    float waves;
    int reserved[4];
} Heuristic;

// One algorithm, which needs no workspace.
int cublasLtMatmulAlgoGetHeuristic(void *handle, void *operation, void *a, void *b, void *c, void *d, void *preference,
                                   int wanted, Heuristic *found, int *num_found) {
    memset(found, 0, sizeof *found);
    *num_found = 1;
    return 0;
}
