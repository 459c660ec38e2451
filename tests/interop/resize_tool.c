/* resize_tool HEIGHT WIDTH SIZE COUNT: reads COUNT raw gray images of HEIGHT x WIDTH bytes from standard
 * input and writes them, resized to SIZE x SIZE by common/images/resize.h, to standard output. */
#include "common/images/resize.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static size_t number(const char *text) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || value == 0 || value > 65535) {
        fprintf(stderr, "resize_tool: %s: must be a whole number from 1 to 65535\n", text);
        exit(2);
    }
    return value;
}

int main(int argc, char *argv[]) {
    if (argc != 5) {
        fprintf(stderr, "resize_tool: HEIGHT WIDTH SIZE COUNT\n");
        return 2;
    }
    size_t height = number(argv[1]), width = number(argv[2]), size = number(argv[3]), count = number(argv[4]);
    struct resize *resize;
    if (resize_create(&resize, height, width, size) != STATUS_OK) {
        fprintf(stderr, "resize_tool: %s\n", status_message());
        return 1;
    }
    /* Exactly as large as they must be, so that a sanitizer sees a step outside. */
    uint8_t *in = malloc(height * width), *out = malloc(size * size);
    int failed = in == NULL || out == NULL;
    for (size_t i = 0; i < count && !failed; i++) {
        failed = fread(in, 1, height * width, stdin) != height * width;
        if (!failed) {
            resize_run(resize, in, out);
            failed = fwrite(out, 1, size * size, stdout) != size * size;
        }
    }
    failed = fflush(stdout) != 0 || failed;
    if (failed)
        fprintf(stderr, "resize_tool: input cut short, or output failed\n");
    free(in);
    free(out);
    resize_free(resize);
    return failed;
}
