/* engines: the table of the engines, and the choice among them. */
#include "common/network/engines.h"
#include "common/base/blas.h"
#include "common/base/cpu.h"

static enum status isa_of_kernels(int threads, const char **isa_ret) {
    enum cpu_isa isa;
    (void)threads;
    enum status status = cpu_isa_select(&isa);
    *isa_ret = status == STATUS_OK ? cpu_isa_name(isa) : "";
    return status;
}

static enum status isa_of_blas(int threads, const char **isa_ret) {
    enum status status = blas_init(threads);
    *isa_ret = status == STATUS_OK ? blas_core_name() : "";
    return status;
}

static enum status isa_of_double(int threads, const char **isa_ret) {
    (void)threads;
    *isa_ret = "double";
    return STATUS_OK;
}

const char *const engines_names[] = {"auto", "winograd", "gemm", "reference", NULL};

static const struct {
    const struct conv_engine *engine;
    enum status (*start)(int threads, const char **isa_ret);
} engines[] = {
    {&conv_winograd, isa_of_kernels}, /* auto */
    {&conv_winograd, isa_of_kernels},
    {&conv_gemm, isa_of_blas},
    {&conv_reference, isa_of_double},
};
_Static_assert(sizeof engines / sizeof engines[0] + 1 == sizeof engines_names / sizeof engines_names[0],
               "every engine has a name");

enum status engines_choose(int index, int threads, const struct conv_engine **engine_ret,
                           const char **isa_ret) {
    *engine_ret = engines[index].engine;
    return engines[index].start(threads, isa_ret);
}
