/* progress: how far a long job is, its rate and the time that remains. */
#include "common/base/progress.h"
#include "common/base/log.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const double redraw_every = 0.1, line_every = 10.0; /* seconds */

static struct {
    const char *unit;
    size_t first, total;
    double begin, next;
    bool running, terminal;
} job;

double progress_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

char *progress_duration(double seconds, char text[24]) {
    long s = seconds < 1e9 ? (long)(seconds + 0.5) : 1000000000L;
    if (s < 60)
        snprintf(text, 24, "%ld s", s);
    else if (s < 3600)
        snprintf(text, 24, "%ld min %02ld s", s / 60, s % 60);
    else
        snprintf(text, 24, "%ld h %02ld min", s / 3600, s % 3600 / 60);
    return text;
}

void progress_begin(const char *unit, size_t done, size_t total) {
    job.unit = unit;
    job.first = done;
    job.total = total;
    job.begin = progress_clock();
    job.terminal = isatty(STDERR_FILENO);
    job.next = job.begin + (job.terminal ? 0 : line_every);
    job.running = log_level() >= LOG_NORMAL;
}

/* [#####.....] 50 %  35,000 of 70,000 images  180 images/s  3 min 14 s left. */
static void draw(size_t done, double rate, const char *left) {
    char bar[31], line[256];
    double share = job.total ? (double)done / (double)job.total : 1.0;
    int full = (int)(share * 30);
    memset(bar, '.', 30);
    memset(bar, '#', (size_t)full);
    bar[30] = '\0';
    snprintf(line, sizeof line, "[%s] %3.0f %%  %zu of %zu %s  %.0f %s/s  %s left", bar, share * 100, done,
             job.total, job.unit, rate, job.unit, left);
    log_transient(line);
}

void progress_update(size_t done) {
    double now = progress_clock();
    if (!job.running || now < job.next)
        return;
    job.next = now + (job.terminal ? redraw_every : line_every);
    double elapsed = now - job.begin;
    double rate = elapsed > 0 ? (double)(done - job.first) / elapsed : 0;
    char left[24] = "some time";
    if (rate > 0)
        progress_duration((double)(job.total - done) / rate, left);
    if (job.terminal)
        draw(done, rate, left);
    else
        log_info("%zu of %zu %s, %.0f %s/s, %s left", done, job.total, job.unit, rate, job.unit, left);
}

void progress_end(void) {
    log_transient_wipe();
    job.running = false;
}
