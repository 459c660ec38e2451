/* run_export: the jobs that write files for other software: features, and whole networks. */
#include "common/base/log.h"
#include "train/export/export_model.h"
#include "train/jobs.h"
#include "train/results/table.h"

enum status run_export(struct session *session) {
    const struct options *options = session->options;
    const struct cache_split_info *splits = session->info->splits;
    enum status status =
        export_run(session->cache, options->cache, (enum export_format)options->export, options->output);
    char train[32], test[32];
    if (status == STATUS_OK)
        log_info("%s training rows and %s test rows were exported as %s-*.%s",
                 table_count(splits[CACHE_TRAIN].rows, train), table_count(splits[CACHE_TEST].rows, test),
                 options->output, export_names[options->export]);
    return status;
}

enum status run_export_model(struct session *session) {
    const struct options *options = session->options;
    enum status status = export_model_run((enum export_format)options->export, options->output, options->head,
                                          options->weights, session->kernels);
    if (status == STATUS_OK)
        log_info("the network was exported as %s", options->output);
    return status;
}
