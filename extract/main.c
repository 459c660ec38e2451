/* main: the command line of `extract`. It reads options, calls one unit, reports, and is the only place here
 * that decides the exit status. */
#include "common/backbone.h"
#include "common/blas.h"
#include "common/cache.h"
#include "common/cli.h"
#include "common/h5.h"
#include "common/interrupt.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/output.h"
#include "common/progress.h"
#include "common/streams.h"
#include "common/text.h"
#include "common/weights.h"
#include "extract/cpu.h"
#include "extract/pipeline.h"
#include "extract/summary.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_OUTPUT "features.h5"
enum { DEFAULT_SIZE = 56, DEFAULT_CLASSES = 10, THREADS_MAX = 1024 };

enum engine { ENGINE_AUTO, ENGINE_WINOGRAD, ENGINE_GEMM, ENGINE_REFERENCE, ENGINES };
static const char *const engine_names[ENGINES] = {"auto", "winograd", "gemm", "reference"};

enum key { KEY_JSON = 256, KEY_SUMMARY, KEY_INFO, KEY_VERIFY, KEY_TRAINABLE, KEY_CLASSES };

struct arguments {
    struct pipeline_options run;
    enum engine engine;
    const char *json, *info, *verify;
    bool summary, train_all;
    size_t classes;
    enum log_level level;
};

const char *argp_program_version = "vggcache " VGGCACHE_VERSION;

static const char doc[] = "Runs the frozen VGG16 backbone once over a data set and keeps the features of "
                          "each image in an HDF5 cache. DATASET is a "
                          "folder with the four IDX files of MNIST under their usual names, plain or .gz. An "
                          "interrupted run is finished by the "
                          "same command."
                          "\v"
                          "Exit status: 0 done; 1 failed (one line on standard error says what, where and "
                          "what to do); 2 the command line is "
                          "wrong; 128 + signal interrupted, with the cache left to be gone on with.\n\n"
                          "Example:\n  extract --output=features.h5 data\n  train features.h5";

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "What to make:", 1},
    {"output", 'o', "FILE", 0, "The cache (default " DEFAULT_OUTPUT ")", 1},
    {"weights", 'w', "FILE", 0,
     "Keras' VGG16 weights, or random[:SEED] for a seeded He-normal backbone (default " WEIGHTS_DEFAULT ")",
     1},
    {"size", 's', "N", 0,
     "Side of the input square in pixels, 32 or more (default 56); gives 512 (N/32)^2 features, N/32 rounded "
     "down",
     1},
    {"preprocess", 'p', "MODE", 0,
     "rescale (divide by 255, the default), caffe (subtract ImageNet's means, which these weights were "
     "trained with), or torch",
     1},
    {"limit", 'n', "N", 0, "Only the first N images of each split", 1},
    {"force", 'f', NULL, 0, "Replace a cache that exists, once the new one is complete", 1},
    {NULL, 0, NULL, 0, "How to make it:", 2},
    {"engine", 'e', "NAME", 0,
     "winograd (what auto chooses), gemm (OpenBLAS), or reference (slow loops that judge the others)", 2},
    {"threads", 'j', "N", 0, "Threads (default: all processors); the result does not depend on it", 2},
    {NULL, 0, NULL, 0, "What to tell:", 3},
    {"json", KEY_JSON, "FILE", 0, "Write one JSON object about the run (- is standard output)", 3},
    {"quiet", 'q', NULL, 0, "Say nothing but errors", 3},
    {"verbose", 'v', NULL, 0, "Say more", 3},
    {NULL, 0, NULL, 0, "Instead of making a cache:", 4},
    {"summary", KEY_SUMMARY, NULL, 0, "Print the model table, layer by layer, for --size", 4},
    {"trainable", KEY_TRAINABLE, "WHICH", 0,
     "For --summary: head (the backbone is frozen, the default) or all", 4},
    {"classes", KEY_CLASSES, "N", 0, "For --summary: outputs of the head (default 10)", 4},
    {"info", KEY_INFO, "CACHE", 0, "Print what is in a cache and how it was made", 4},
    {"verify", KEY_VERIFY, "CACHE", 0, "Read a cache again and check every checksum", 4},
    {0}};

static error_t parse_option(int key, char *value, struct argp_state *state) {
    struct arguments *arguments = state->input;
    static const char *const trainable[] = {"head", "all"};
    uint64_t seed;
    bool valid;
    switch (key) {
    case 'o':
        if (*value == '\0')
            cli_fail(state, "--output=: the name of a file is missing");
        arguments->run.cache = value;
        break;
    case 'w':
        if (weights_is_random(value, &seed, &valid) && !valid)
            cli_fail(state, "--weights=%s: the seed must be a whole number", value);
        arguments->run.weights = value;
        break;
    case 's':
        arguments->run.size = cli_whole(state, "--size", value, BACKBONE_SIZE_MIN, BACKBONE_SIZE_MAX);
        break;
    case 'p':
        arguments->run.preprocess = (enum preprocess_mode)cli_choice(state, "--preprocess", value,
                                                                     preprocess_names, PREPROCESS_MODES);
        break;
    case 'e':
        arguments->engine = (enum engine)cli_choice(state, "--engine", value, engine_names, ENGINES);
        break;
    case 'j':
        arguments->run.threads = cli_whole(state, "--threads", value, 1, THREADS_MAX);
        break;
    case 'n':
        arguments->run.limit = cli_whole(state, "--limit", value, 1, UINT32_MAX);
        break;
    case 'f':
        arguments->run.force = true;
        break;
    case KEY_JSON:
        if (*value == '\0')
            cli_fail(state, "--json=: the name of a file is missing");
        arguments->json = value;
        break;
    case 'q':
        arguments->level = LOG_QUIET;
        break;
    case 'v':
        arguments->level = LOG_VERBOSE;
        break;
    case KEY_SUMMARY:
        arguments->summary = true;
        break;
    case KEY_TRAINABLE:
        arguments->train_all = cli_choice(state, "--trainable", value, trainable, 2) == 1;
        break;
    case KEY_CLASSES:
        arguments->classes = cli_whole(state, "--classes", value, 1, CACHE_CLASSES_MAX);
        break;
    case KEY_INFO:
        arguments->info = value;
        break;
    case KEY_VERIFY:
        arguments->verify = value;
        break;
    case ARGP_KEY_ARG:
        if (arguments->run.dataset != NULL)
            cli_fail(state, "%s: one DATASET only", value);
        arguments->run.dataset = value;
        break;
    case ARGP_KEY_END:
        if (arguments->summary + (arguments->info != NULL) + (arguments->verify != NULL) +
                (arguments->run.dataset != NULL) >
            1)
            cli_fail(state, "DATASET, --summary, --info and --verify exclude each other");
        if (!arguments->summary && !arguments->info && !arguments->verify && !arguments->run.dataset)
            cli_fail(state, "DATASET is missing: a folder with the four IDX files, as data after "
                            "data/get.sh");
        if (streams_of(arguments->run.cache) != STREAMS_NONE)
            cli_fail(state, "--output=%s: a cache is an HDF5 file and cannot go to standard output or error",
                     arguments->run.cache);
        if (cli_same_result(arguments->json, arguments->run.cache) ||
            cli_same_file(arguments->json, arguments->run.weights))
            cli_fail(state, "--json=%s: is the cache or the weights", arguments->json);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static void print_line(const char *name, const char *value) {
    printf("%-16s ", name);
    text_print(stdout, value);
    putchar('\n');
}

/* Provenance by name, then each split. */
static enum status print_info(const char *path) {
    struct cache *cache;
    char text[CACHE_SOURCE];
    enum status status = cache_open(&cache, path);
    if (status != STATUS_OK)
        return status;
    const struct cache_info *info = cache_info(cache);
    uint64_t rows = 0, progress = 0;
    for (int s = 0; s < CACHE_SPLITS; s++) {
        rows += info->splits[s].rows;
        progress += info->splits[s].progress;
    }
    print_line("cache", path);
    if (info->complete)
        snprintf(text, sizeof text, "complete, %" PRIu64 " rows of %" PRIu64 " features", rows, info->dim);
    else
        snprintf(text, sizeof text, "unfinished, %" PRIu64 " of %" PRIu64 " rows of %" PRIu64 " features",
                 progress, rows, info->dim);
    print_line("state", text);
    snprintf(text, sizeof text, "%" PRIu64, info->classes);
    print_line("classes", text);
    for (size_t i = 0; i < cache_provenance_count(); i++) {
        const char *name = cache_provenance(info, i, text);
        print_line(name, text);
    }
    print_line("weights_source", info->weights_source);
    print_line("engine", info->engine);
    print_line("isa", info->isa);
    print_line("created_by", info->created_by);
    for (int s = 0; s < CACHE_SPLITS; s++) {
        const struct cache_split_info *split = &info->splits[s];
        printf("\n%s\n", cache_split_names[s]);
        snprintf(text, sizeof text, "%" PRIu64 " of %" PRIu64 ", checked in blocks of %" PRIu64,
                 split->progress, split->rows, split->block_rows);
        print_line("  rows", text);
        snprintf(text, sizeof text, "%" PRIu64 " x %" PRIu64 " pixels", split->image_height,
                 split->image_width);
        print_line("  images", text);
        print_line("  source", split->source);
        print_line("  images_sha256", split->images_sha256);
        print_line("  labels_sha256", split->labels_sha256);
    }
    cache_close(cache);
    return STATUS_OK;
}

static enum status verify_split(struct cache *cache, int s) {
    const struct cache_info *info = cache_info(cache);
    const struct cache_split_info *split = &info->splits[s];
    float *features = mem_alloc(split->block_rows * info->dim, sizeof *features);
    uint16_t *labels = mem_alloc(split->block_rows, sizeof *labels);
    enum status status = STATUS_OK;
    if (features == NULL || labels == NULL)
        status = status_set_no_memory(split->block_rows * info->dim * sizeof *features, "block of the cache");
    for (uint64_t at = 0; at < split->progress && status == STATUS_OK; at += split->block_rows) {
        uint64_t left = split->progress - at, rows = left < split->block_rows ? left : split->block_rows;
        status = cache_read(cache, (enum cache_split)s, at, rows, features, labels);
    }
    mem_free(features);
    mem_free(labels);
    return status;
}

static enum status verify(const char *path) {
    struct cache *cache;
    enum status status = cache_open(&cache, path);
    if (status != STATUS_OK)
        return status;
    const struct cache_info *info = cache_info(cache);
    for (int s = 0; s < CACHE_SPLITS && status == STATUS_OK; s++)
        status = verify_split(cache, s);
    if (status == STATUS_OK) {
        text_print(stdout, path);
        printf(": %s; %" PRIu64 " training rows and %" PRIu64 " test rows are as they were written\n",
               info->complete ? "complete" : "unfinished", info->splits[CACHE_TRAIN].progress,
               info->splits[CACHE_TEST].progress);
    }
    cache_close(cache);
    return status;
}

static enum status write_json(const struct arguments *arguments, const struct pipeline_result *result,
                              struct output *output) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "images", (double)result->images);
    cJSON_AddNumberToObject(json, "resumed", (double)result->resumed);
    cJSON_AddNumberToObject(json, "seconds", result->seconds);
    if (result->images > 0)
        cJSON_AddNumberToObject(json, "images_per_second", (double)result->images / result->seconds);
    else
        cJSON_AddNullToObject(json, "images_per_second");
    cJSON_AddStringToObject(json, "engine", arguments->run.engine->name);
    cJSON_AddStringToObject(json, "isa", arguments->run.isa);
    cJSON_AddNumberToObject(json, "threads", (double)arguments->run.threads);
    cJSON_AddNumberToObject(json, "peak_rss_bytes", (double)mem_peak_rss_nbytes());
    char *cache = text_utf8(arguments->run.cache);
    cJSON_AddStringToObject(json, "cache", cache != NULL ? cache : "");
    char *text = cache != NULL ? cJSON_Print(json) : NULL;
    free(cache);
    cJSON_Delete(json);
    if (text == NULL) {
        output_abort(output);
        return status_set_no_memory(1024, arguments->json);
    }
    fprintf(output->stream, "%s\n", text);
    free(text);
    return output_commit(output);
}

/* The engine, and what of the machine decides its last bits. A name never falls back to another. */
static enum status choose_engine(struct arguments *arguments) {
    enum cpu_isa isa;
    switch (arguments->engine) {
    case ENGINE_REFERENCE:
        arguments->run.engine = &conv_reference;
        arguments->run.isa = "double";
        return STATUS_OK;
    case ENGINE_GEMM:
        arguments->run.engine = &conv_gemm;
        arguments->run.isa = blas_core_name();
        return STATUS_OK;
    default: {
        enum status status = cpu_isa_select(&isa);
        arguments->run.engine = &conv_winograd;
        arguments->run.isa = status == STATUS_OK ? cpu_isa_name(isa) : "";
        return status;
    }
    }
}

static enum status extract(struct arguments *arguments) {
    struct pipeline_result result;
    struct output json = {0};
    enum status status = choose_engine(arguments);
    if (status == STATUS_OK && arguments->json != NULL) /* before the work: a wrong name is told now */
        status = output_open(&json, arguments->json);
    if (status != STATUS_OK)
        return status;
    omp_set_num_threads((int)arguments->run.threads);
    blas_init();
    log_detail("engine %s (%s), %zu threads", arguments->run.engine->name, arguments->run.isa,
               arguments->run.threads);
    status = pipeline_run(&arguments->run, &result);
    if (status != STATUS_OK) {
        output_abort(&json);
        return status;
    }
    char duration[24];
    FILE *report = streams_of(arguments->json) == STREAMS_OUTPUT ? stderr : stdout;
    if (arguments->level != LOG_QUIET)
        text_print(report, arguments->run.cache);
    if (arguments->level != LOG_QUIET && result.images == 0)
        fprintf(report, ": complete already (%zu images, made this way); nothing to do\n", result.resumed);
    else if (arguments->level != LOG_QUIET)
        fprintf(report,
                ": complete; %zu images in %s, %.1f images/s (%s, %s, %zu threads, at most %.0f MB of "
                "memory)\n",
                result.images, progress_duration(result.seconds, duration),
                (double)result.images / result.seconds, arguments->run.engine->name, arguments->run.isa,
                arguments->run.threads, (double)mem_peak_rss_nbytes() / 1e6);
    return arguments->json != NULL ? write_json(arguments, &result, &json) : STATUS_OK;
}

int main(int argc, char *argv[]) {
    struct arguments arguments = {
        .run = {.cache = DEFAULT_OUTPUT,
                .weights = WEIGHTS_DEFAULT,
                .size = DEFAULT_SIZE,
                .threads = (size_t)omp_get_num_procs()},
        .classes = DEFAULT_CLASSES,
        .level = LOG_NORMAL,
    };
    static const struct argp argp = {
        options, parse_option, "DATASET\n--summary\n--info=CACHE\n--verify=CACHE", doc, NULL, NULL, NULL};
    streams_init();
    interrupt_init();
    argv[0] = program_invocation_short_name; /* what getopt's own messages begin with */
    cli_parse(&argp, argc, argv, 0, &arguments);
    log_init(program_invocation_short_name, arguments.level);
    h5_init();
    enum status status = STATUS_OK;
    if (arguments.summary)
        summary_print(stdout, arguments.run.size, arguments.classes, arguments.train_all);
    else if (arguments.info != NULL)
        status = print_info(arguments.info);
    else if (arguments.verify != NULL)
        status = verify(arguments.verify);
    else
        status = extract(&arguments);
    if (status == STATUS_OK)
        status = streams_flush();
    if (status == STATUS_OK)
        return EXIT_SUCCESS;
    if (status == STATUS_PIPE)
        interrupt_raise_pipe();
    log_error("%s", status_message());
    if (status == STATUS_INTERRUPTED)
        return 128 + interrupt_signal();
    return status == STATUS_USAGE ? CLI_EXIT_USAGE : CLI_EXIT_FAILED;
}
