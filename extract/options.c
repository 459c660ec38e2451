/* options: the command line of `extract`. A new option is a member of struct options and a row here. */
#include "extract/options.h"
#include "common/base/option.h"
#include "common/base/streams.h"
#include "common/base/threads.h"
#include "common/cache/cache_schema.h"
#include "common/network/backbone.h"
#include "common/network/engines.h"
#include "common/network/preprocess.h"
#include "common/network/weights.h"

#define DEFAULT_OUTPUT "features.h5"
enum { THREADS_MAX = 1024 };

static const char doc[] =
    "Runs the frozen VGG16 backbone once over a data set and keeps the features of each image in an HDF5 cache. "
    "DATASET is a folder with the IDX files of MNIST, or of a data set in its format, plain or .gz. "
    "The same command finishes an interrupted run."
    "\v"
    "Exit status: 0 done; 1 failed (one line on standard error says what, where and what to do); "
    "2 the command line is wrong; 128 + signal interrupted, and the same command finishes the cache.\n\n"
    "Example:\n  extract --output=features.h5 data\n  train features.h5";

static const char *const groups[] = {
    "What to make:", "How to make it:", "What to print:", "Instead of making a cache:", NULL};
enum { MAKE = 1, HOW, PRINT, INSTEAD };

static const char *const trainable_names[] = {"head", "all", NULL};

#define FIELD(member) offsetof(struct options, member)

static const struct option_row rows[] = {
    {.name = "output",
     .letter = 'o',
     .value = "FILE",
     .group = MAKE,
     .type = OPTION_FILE,
     .offset = FIELD(output),
     .help = "The cache (default " DEFAULT_OUTPUT ")"},
    {.name = "weights",
     .letter = 'w',
     .value = "FILE",
     .group = MAKE,
     .type = OPTION_FILE,
     .offset = FIELD(weights),
     .help =
         "Keras' VGG16 weights, or random[:SEED] for a seeded He-normal backbone (default " WEIGHTS_DEFAULT
         ")"},
    {.name = "size",
     .letter = 's',
     .value = "N",
     .group = MAKE,
     .type = OPTION_WHOLE,
     .offset = FIELD(size),
     .minimum = BACKBONE_SIZE_MIN,
     .maximum = BACKBONE_SIZE_MAX,
     .help = "Side of the input square in pixels, 32 or more (default 56); "
             "gives 512 (N/32)^2 features, N/32 rounded down"},
    {.name = "preprocess",
     .letter = 'p',
     .value = "MODE",
     .group = MAKE,
     .type = OPTION_CHOICE,
     .offset = FIELD(preprocess),
     .choices = preprocess_names,
     .help = "rescale (divide by 255, the default), "
             "caffe (subtract ImageNet's means, which these weights were trained with), or torch"},
    {.name = "limit",
     .letter = 'n',
     .value = "N",
     .group = MAKE,
     .type = OPTION_WHOLE,
     .offset = FIELD(limit),
     .minimum = 1,
     .maximum = UINT32_MAX,
     .help = "Only the first N images of each split"},
    {.name = "force",
     .letter = 'f',
     .group = MAKE,
     .type = OPTION_FLAG,
     .offset = FIELD(force),
     .help = "Replace a cache that exists, once the new one is complete"},
    {.name = "engine",
     .letter = 'e',
     .value = "NAME",
     .group = HOW,
     .type = OPTION_CHOICE,
     .offset = FIELD(engine),
     .choices = engines_names,
     .help =
         "winograd (what auto chooses), gemm (OpenBLAS), or reference (slow loops that judge the others)"},
    {.name = "threads",
     .letter = 'j',
     .value = "N",
     .group = HOW,
     .type = OPTION_WHOLE,
     .offset = FIELD(threads),
     .minimum = 1,
     .maximum = THREADS_MAX,
     .help = "Threads (default: OMP_NUM_THREADS, or the processors that this process may use); "
             "the result does not depend on it"},
    {.name = "json",
     .value = "FILE",
     .group = PRINT,
     .type = OPTION_FILE,
     .offset = FIELD(json),
     .help = "Write one JSON object about the run (- is standard output)"},
    {.name = "quiet",
     .letter = 'q',
     .group = PRINT,
     .type = OPTION_SET,
     .offset = FIELD(level),
     .minimum = LOG_QUIET,
     .help = "Say nothing but errors"},
    {.name = "verbose",
     .letter = 'v',
     .group = PRINT,
     .type = OPTION_SET,
     .offset = FIELD(level),
     .minimum = LOG_VERBOSE,
     .help = "Say more"},
    {.name = "summary",
     .group = INSTEAD,
     .type = OPTION_FLAG,
     .offset = FIELD(summary),
     .help = "Print the model table, layer by layer, for --size"},
    {.name = "trainable",
     .value = "WHICH",
     .group = INSTEAD,
     .type = OPTION_CHOICE,
     .offset = FIELD(trainable),
     .choices = trainable_names,
     .help = "For --summary: head (the backbone is frozen, the default) or all"},
    {.name = "classes",
     .value = "N",
     .group = INSTEAD,
     .type = OPTION_WHOLE,
     .offset = FIELD(classes),
     .minimum = 1,
     .maximum = CACHE_CLASSES_MAX,
     .help = "For --summary: outputs of the head (default 10)"},
    {.name = "info",
     .value = "CACHE",
     .group = INSTEAD,
     .type = OPTION_TEXT,
     .offset = FIELD(info),
     .help = "Print what is in a cache and how it was made"},
    {.name = "verify",
     .value = "CACHE",
     .group = INSTEAD,
     .type = OPTION_TEXT,
     .offset = FIELD(verify),
     .help = "Read a cache again and check every checksum"},
    {0}};

static bool take_dataset(void *fields, const char *text) {
    struct options *options = fields;
    bool first = options->dataset == NULL;
    options->dataset = text;
    return first;
}

static void check(const struct argp_state *state, void *fields, const bool given[]) {
    struct options *options = fields;
    uint64_t seed;
    bool valid;
    (void)given;
    const bool jobs[OPTIONS_JOBS] = {[OPTIONS_EXTRACT] = options->dataset != NULL,
                                     [OPTIONS_SUMMARY] = options->summary,
                                     [OPTIONS_INFO] = options->info != NULL,
                                     [OPTIONS_VERIFY] = options->verify != NULL};
    int count = 0;
    for (int job = 0; job < OPTIONS_JOBS; job++) {
        count += jobs[job];
        options->job = jobs[job] ? (enum options_job)job : options->job;
    }
    if (count > 1)
        cli_fail(state, "DATASET, --summary, --info and --verify exclude each other");
    if (count == 0)
        cli_fail(state, "DATASET is missing: a folder with IDX files, as data after data/get.sh");
    if (weights_is_random(options->weights, &seed, &valid) && !valid)
        cli_fail(state, "--weights=%s: the seed must be a whole number", options->weights);
    if (streams_of(options->output) != STREAMS_NONE)
        cli_fail(state, "--output=%s: a cache is an HDF5 file and cannot go to standard output or error",
                 options->output);
    if (cli_same_result(options->json, options->output) || cli_same_file(options->json, options->weights))
        cli_fail(state, "--json=%s: is the cache or the weights", options->json);
}

void options_parse(struct options *options, int argc, char *argv[]) {
    static const struct option_program program = {
        .tables = {rows, NULL},
        .groups = groups,
        .argument = "DATASET",
        .arguments = "DATASET\n--summary\n--info=CACHE\n--verify=CACHE",
        .doc = doc,
        .take_argument = take_dataset,
        .check = check,
    };
    *options = (struct options){.output = DEFAULT_OUTPUT,
                                .weights = WEIGHTS_DEFAULT,
                                .size = 56,
                                .classes = 10,
                                .threads = (uint64_t)threads_default(),
                                .preprocess = PREPROCESS_RESCALE,
                                .level = LOG_NORMAL};
    option_parse(&program, options, argc, argv);
}
