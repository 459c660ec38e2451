/* idx_folder: finds the IDX files of a data set in a folder. */
#include "common/images/idx_folder.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* The role of a file in a data set: part * 2 + what. */
enum role { TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS, ROLES };

static const char *const usual[ROLES] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                         "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

/* The words of the grammar. */
static const struct word {
    const char *text;
    enum role role;
} words[] = {
    {"train-images", TRAIN_IMAGES}, {"train-labels", TRAIN_LABELS}, {"t10k-images", TEST_IMAGES},
    {"t10k-labels", TEST_LABELS},   {"test-images", TEST_IMAGES},   {"test-labels", TEST_LABELS},
};

/* A file that may be one of the data set's. */
struct candidate {
    char *path;
    enum role role;
    char prefix[64];
    int cost; /* the cheapest of a role is taken: .gz 1, a dot 2, in a folder of its own 4 */
    bool t10k;
};

struct candidates {
    struct candidate *list;
    size_t count;
    char near[200]; /* names that come near, for a message */
};

/* Splits a name by the grammar of idx_folder.h. */
static bool match(const char *name, struct candidate *candidate) {
    for (size_t w = 0; w < sizeof words / sizeof words[0]; w++) {
        const char *at = strcasestr(name, words[w].text);
        if (at == NULL || (size_t)(at - name) >= sizeof candidate->prefix)
            continue;
        const char *rest = at + strlen(words[w].text);
        bool dot = *rest == '.';
        if ((*rest != '-' && !dot) || strncasecmp(rest + 1, "idx", 3) != 0 ||
            !isdigit((unsigned char)rest[4]) || rest[5] != '-')
            continue;
        const char *type = rest + 6;
        size_t length = strspn(type, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
        bool zipped = strcasecmp(type + length, ".gz") == 0;
        if (length == 0 || (type[length] != '\0' && !zipped))
            continue;
        candidate->role = words[w].role;
        candidate->cost = zipped + 2 * dot;
        candidate->t10k = strncasecmp(at, "t10k", 4) == 0;
        snprintf(candidate->prefix, sizeof candidate->prefix, "%.*s", (int)(at - name), name);
        return true;
    }
    return false;
}

bool idx_folder_is_name(const char *name) {
    struct candidate ignored;
    return match(name, &ignored);
}

static char *join(const char *folder, const char *name) {
    char *path = NULL;
    size_t length = strlen(folder);
    bool slash = length > 0 && folder[length - 1] == '/';
    return asprintf(&path, "%s%s%s", folder, slash ? "" : "/", name) < 0 ? NULL : path;
}

static enum status add(struct candidates *all, struct candidate candidate) {
    struct candidate *grown =
        candidate.path != NULL ? realloc(all->list, (all->count + 1) * sizeof *grown) : NULL;
    if (grown == NULL) {
        free(candidate.path);
        return status_set_no_memory(sizeof *grown, "names of files");
    }
    all->list = grown;
    all->list[all->count++] = candidate;
    return STATUS_OK;
}

/* Looks at all names in `folder`. Depth 1 is a folder that has the name of a file. */
static enum status search(struct candidates *all, const char *folder, int depth) {
    DIR *entries = opendir(folder);
    if (entries == NULL)
        return status_set_errno("%s: cannot read the folder", folder);
    enum status status = STATUS_OK;
    const struct dirent *entry;
    while (status == STATUS_OK && (entry = readdir(entries)) != NULL) {
        struct candidate candidate = {0};
        struct stat file;
        if (entry->d_name[0] == '.')
            continue;
        size_t used = strlen(all->near);
        if (!match(entry->d_name, &candidate)) {
            if (depth == 0 && (strcasestr(entry->d_name, "idx") || strcasestr(entry->d_name, "ubyte")))
                snprintf(all->near + used, sizeof all->near - used, "%s%s", used > 0 ? ", " : "",
                         entry->d_name);
            continue;
        }
        candidate.path = join(folder, entry->d_name);
        candidate.cost += 4 * depth;
        bool is_folder = candidate.path != NULL && stat(candidate.path, &file) == 0 && S_ISDIR(file.st_mode);
        if (!is_folder) {
            status = add(all, candidate);
        } else {
            status = depth == 0 ? search(all, candidate.path, 1) : STATUS_OK;
            free(candidate.path);
        }
    }
    closedir(entries);
    return status;
}

/* Returns the cheapest file of a role. *other_ret: another one of the same cost, or one with the other name of
 * the test part. */
static struct candidate *choose(const struct candidates *all, enum role role,
                                const struct candidate **other_ret) {
    struct candidate *best = NULL;
    *other_ret = NULL;
    for (size_t i = 0; i < all->count; i++) {
        struct candidate *one = &all->list[i];
        if (one->role != role)
            continue;
        if (best != NULL && (one->t10k != best->t10k || one->cost == best->cost))
            *other_ret = one->cost < best->cost ? best : one;
        if (best == NULL || one->cost < best->cost)
            best = one;
    }
    return best;
}

/* Checks that all files have the same prefix. */
static enum status check_prefixes(const struct candidates *all, const char *folder) {
    for (size_t i = 1; i < all->count; i++)
        if (strcasecmp(all->list[i].prefix, all->list[0].prefix) != 0)
            return status_set(STATUS_FORMAT,
                              "%s: the files of several data sets (%s%s..., %s%s...); make a folder for each",
                              folder, all->list[0].prefix, usual[all->list[0].role], all->list[i].prefix,
                              usual[all->list[i].role]);
    return STATUS_OK;
}

static enum status missing(const struct candidates *all, const char *folder, enum role role,
                           const char *beside) {
    const char *prefix = all->count > 0 ? all->list[0].prefix : "";
    if (beside != NULL)
        return status_set(STATUS_IO, "%s/%s%s: no such file, with or without .gz, but %s is there", folder,
                          prefix, usual[role], beside);
    return status_set(STATUS_IO,
                      "%s/%s%s: no such file, with or without .gz; "
                      "DATASET is a folder with the IDX files of MNIST (data/get.sh fetches them)%s%s",
                      folder, prefix, usual[role], all->near[0] ? "; names that come near: " : "", all->near);
}

/* Gives each role its file. */
static enum status take(const struct candidates *all, const char *folder, unsigned needed, bool with_labels,
                        struct idx_folder *found) {
    struct candidate *chosen[ROLES];
    for (int r = 0; r < ROLES; r++) {
        const struct candidate *other;
        chosen[r] = choose(all, (enum role)r, &other);
        if (other != NULL)
            return status_set(STATUS_FORMAT,
                              "%s and %s: which of them is meant? Keep one of them in the folder",
                              chosen[r]->path, other->path);
    }
    for (int part = 0; part < IDX_FOLDER_PARTS; part++) {
        struct candidate *images = chosen[2 * part], *labels = chosen[2 * part + 1];
        const struct candidate *other = chosen[2 * !part]; /* of the other part */
        if (images == NULL && labels == NULL && (needed & 1u << part))
            return missing(all, folder, (enum role)(2 * part), other != NULL ? other->path : NULL);
        if (with_labels ? (images == NULL) != (labels == NULL) : images == NULL && labels != NULL)
            return missing(all, folder, (enum role)(2 * part + (images != NULL)),
                           (images ? images : labels)->path);
        if (images == NULL)
            continue;
        found->parts[part].images = images->path;
        images->path = NULL; /* the caller owns them now */
        if (labels != NULL) {
            found->parts[part].labels = labels->path;
            labels->path = NULL;
        }
    }
    return STATUS_OK;
}

enum status idx_folder_find(struct idx_folder *found_ret, const char *folder, unsigned needed, bool labels) {
    struct candidates all = {0};
    struct stat file;
    *found_ret = (struct idx_folder){0};
    const char *name = strrchr(folder, '/');
    if (stat(folder, &file) == 0 && !S_ISDIR(file.st_mode))
        return status_set(STATUS_FORMAT, "%s: a file; DATASET is the folder with the IDX files%s", folder,
                          idx_folder_is_name(name != NULL ? name + 1 : folder)
                              ? ", the one that this file is in"
                              : " of MNIST");
    enum status status = stat(folder, &file) == 0 || errno != ENOENT
                             ? search(&all, folder, 0)
                             : missing(&all, folder, needed & 1u ? TRAIN_IMAGES : TEST_IMAGES, NULL);
    if (status == STATUS_OK)
        status = check_prefixes(&all, folder);
    if (status == STATUS_OK)
        status = take(&all, folder, needed, labels, found_ret);
    for (size_t i = 0; i < all.count; i++)
        free(all.list[i].path);
    free(all.list);
    if (status != STATUS_OK)
        idx_folder_free(found_ret);
    return status;
}

void idx_folder_free(struct idx_folder *found) {
    for (int part = 0; part < IDX_FOLDER_PARTS; part++) {
        free(found->parts[part].images);
        free(found->parts[part].labels);
    }
    *found = (struct idx_folder){0};
}
