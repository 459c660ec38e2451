/* run_extract: the job that fills a cache, and the line and the JSON that report it. */
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/output.h"
#include "common/base/progress.h"
#include "common/base/streams.h"
#include "common/base/text.h"
#include "common/base/threads.h"
#include "common/network/engines.h"
#include "extract/pipeline.h"
#include "extract/run.h"
#include "extract/summary.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

static enum status write_json(const struct pipeline_options *run, const struct pipeline_result *result,
                              const char *name, struct output *output) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "images", (double)result->images);
    cJSON_AddNumberToObject(json, "resumed", (double)result->resumed);
    cJSON_AddNumberToObject(json, "seconds", result->seconds);
    if (result->images > 0)
        cJSON_AddNumberToObject(json, "images_per_second", (double)result->images / result->seconds);
    else
        cJSON_AddNullToObject(json, "images_per_second");
    cJSON_AddStringToObject(json, "engine", run->engine->name);
    cJSON_AddStringToObject(json, "isa", run->isa);
    cJSON_AddNumberToObject(json, "threads", (double)result->threads);
    cJSON_AddNumberToObject(json, "peak_rss_bytes", (double)mem_peak_rss_nbytes());
    char *cache = text_utf8(run->cache);
    cJSON_AddStringToObject(json, "cache", cache != NULL ? cache : "");
    char *text = cache != NULL ? cJSON_Print(json) : NULL;
    free(cache);
    cJSON_Delete(json);
    if (text == NULL) {
        output_abort(output);
        return status_set_no_memory(1024, name);
    }
    fprintf(output->stream, "%s\n", text);
    free(text);
    return output_commit(output);
}

/* Prints one line for people, on standard error when the JSON goes to standard output. */
static void print_result(const struct options *options, const struct pipeline_options *run,
                         const struct pipeline_result *result) {
    FILE *stream = streams_of(options->json) == STREAMS_OUTPUT ? stderr : stdout;
    char duration[24];
    if (options->level == LOG_QUIET)
        return;
    text_print(stream, run->cache);
    if (result->images == 0)
        fprintf(stream, ": complete already (%zu images, made this way); nothing to do\n", result->resumed);
    else
        fprintf(
            stream,
            ": complete; %zu images in %s, %.1f images/s (%s, %s, %zu threads, at most %.0f MB of memory)\n",
            result->images, progress_duration(result->seconds, duration),
            (double)result->images / result->seconds, run->engine->name, run->isa, result->threads,
            (double)mem_peak_rss_nbytes() / 1e6);
}

enum status run_extract(const struct options *options) {
    struct pipeline_result result;
    struct output json = {0};
    struct pipeline_options run = {.dataset = options->dataset,
                                   .cache = options->output,
                                   .weights = options->weights,
                                   .size = options->size,
                                   .preprocess = (enum preprocess_mode)options->preprocess,
                                   .limit = options->limit,
                                   .threads = (size_t)threads_settle((int)options->threads),
                                   .force = options->force};
    enum status status = engines_choose(options->engine, (int)run.threads, &run.engine, &run.isa);
    if (status == STATUS_OK && options->json != NULL) /* before the work, so that a wrong name is found now */
        status = output_open(&json, options->json);
    if (status != STATUS_OK)
        return status;
    log_detail("engine %s (%s), %zu threads", run.engine->name, run.isa, run.threads);
    status = pipeline_run(&run, &result);
    if (status != STATUS_OK) {
        output_abort(&json);
        return status;
    }
    print_result(options, &run, &result);
    return options->json != NULL ? write_json(&run, &result, options->json, &json) : STATUS_OK;
}

enum status run_summary(const struct options *options) {
    summary_print(stdout, options->size, options->classes, options->trainable == 1);
    return STATUS_OK;
}
