/* cache_schema: the attributes of a cache as tables. A new attribute is a member of its struct and a row here. */
#include "common/cache/cache_schema.h"

#include <inttypes.h>
#include <stdio.h>

const char *const cache_split_names[CACHE_SPLITS] = {[CACHE_TRAIN] = "train", [CACHE_TEST] = "test"};

#define TEXT(type, member, role, option)                                                                     \
    { #member, offsetof(type, member), sizeof(((type *)0)->member), role, option }
#define WHOLE(type, member, role, option)                                                                    \
    { #member, offsetof(type, member), 0, role, option }

const struct cache_field cache_root_fields[] = {
    TEXT(struct cache_info, created_by, CACHE_NOTE, NULL),
    TEXT(struct cache_info, backbone, CACHE_PROVENANCE, NULL),
    TEXT(struct cache_info, layer, CACHE_PROVENANCE, NULL),
    WHOLE(struct cache_info, input_size, CACHE_PROVENANCE, "--size"),
    TEXT(struct cache_info, resize, CACHE_PROVENANCE, NULL),
    TEXT(struct cache_info, preprocess, CACHE_PROVENANCE, "--preprocess"),
    TEXT(struct cache_info, weights_sha256, CACHE_PROVENANCE, "--weights"),
    TEXT(struct cache_info, weights_source, CACHE_NOTE, NULL),
    TEXT(struct cache_info, engine, CACHE_IDENTITY, "--engine"),
    TEXT(struct cache_info, isa, CACHE_IDENTITY, "VGGCACHE_ISA; with --engine=gemm OPENBLAS_CORETYPE"),
    WHOLE(struct cache_info, classes, CACHE_IDENTITY, NULL),
};
const size_t cache_root_field_count = sizeof cache_root_fields / sizeof cache_root_fields[0];

const struct cache_field cache_split_fields[] = {
    TEXT(struct cache_split_info, images_sha256, CACHE_IDENTITY, NULL),
    TEXT(struct cache_split_info, labels_sha256, CACHE_IDENTITY, NULL),
    TEXT(struct cache_split_info, source, CACHE_NOTE, NULL),
    WHOLE(struct cache_split_info, image_height, CACHE_IDENTITY, NULL),
    WHOLE(struct cache_split_info, image_width, CACHE_IDENTITY, NULL),
    WHOLE(struct cache_split_info, block_rows, CACHE_IDENTITY, NULL),
};
const size_t cache_split_field_count = sizeof cache_split_fields / sizeof cache_split_fields[0];

const char *cache_field_text(const struct cache_field *field, const void *info, char text[CACHE_SOURCE]) {
    const char *member = (const char *)info + field->offset;
    if (field->text_size > 0)
        snprintf(text, CACHE_SOURCE, "%s", member);
    else
        snprintf(text, CACHE_SOURCE, "%" PRIu64, *(const uint64_t *)(const void *)member);
    return text;
}

size_t cache_provenance_count(void) {
    size_t count = 0;
    for (size_t i = 0; i < cache_root_field_count; i++)
        count += cache_root_fields[i].role == CACHE_PROVENANCE;
    return count;
}

const char *cache_provenance(const struct cache_info *info, size_t i, char value[CACHE_SOURCE]) {
    const struct cache_field *field = cache_root_fields;
    while (field->role != CACHE_PROVENANCE || i-- > 0)
        field++;
    cache_field_text(field, info, value);
    return field->name;
}
