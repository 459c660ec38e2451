/* digest: SHA-256 for identity (OpenSSL) and CRC-32C for damage (Intel ISA-L). */
#ifndef COMMON_BASE_DIGEST_H
#define COMMON_BASE_DIGEST_H

#include "common/base/status.h"
#include <stddef.h>
#include <stdint.h>

enum { DIGEST_HEX_SIZE = 65 }; /* 64 lower-case hexadecimal digits and the terminator */

/* A SHA-256 in progress. */
struct digest;

/* Starts a SHA-256; *digest_ret is freed by digest_final(), or digest_free(). STATUS_NO_MEMORY. */
enum status digest_begin(struct digest **digest_ret);
void digest_update(struct digest *digest, const void *data, size_t nbytes);
/* Writes the hexadecimal SHA-256 of all bytes and frees the digest. */
void digest_final(struct digest *digest, char hex[DIGEST_HEX_SIZE]);
void digest_free(struct digest *digest); /* NULL is allowed */

/* CRC-32C (Castagnoli polynomial, reflected 0x82F63B78, as in RFC 3720) of `nbytes` at `data`. `crc` is the value so
 * far, 0 at first: digest_crc32c(digest_crc32c(0, a), b) is the CRC of a followed by b. */
uint32_t digest_crc32c(uint32_t crc, const void *data, size_t nbytes);

#endif
