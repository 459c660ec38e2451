/* digest: SHA-256 for identity (OpenSSL) and CRC-32C for damage (Intel ISA-L). */
#include "common/base/digest.h"

#include <isa-l/crc.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

struct digest {
    EVP_MD_CTX *context;
};

enum status digest_begin(struct digest **digest_ret) {
    struct digest *digest = malloc(sizeof *digest);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (digest == NULL || context == NULL || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(context);
        free(digest);
        return status_set_no_memory(sizeof *digest, "SHA-256");
    }
    digest->context = context;
    *digest_ret = digest;
    return STATUS_OK;
}

void digest_update(struct digest *digest, const void *data, size_t nbytes) {
    EVP_DigestUpdate(digest->context, data, nbytes);
}

void digest_final(struct digest *digest, char hex[DIGEST_HEX_SIZE]) {
    unsigned char bytes[EVP_MAX_MD_SIZE] = {0};
    EVP_DigestFinal_ex(digest->context, bytes, NULL);
    for (int i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    digest_free(digest);
}

void digest_free(struct digest *digest) {
    if (digest != NULL)
        EVP_MD_CTX_free(digest->context);
    free(digest);
}

/* ISA-L leaves the usual complement before and after to its caller, and its lengths are int. */
uint32_t digest_crc32c(uint32_t crc, const void *data, size_t nbytes) {
    const unsigned char *at = data;
    crc = ~crc;
    while (nbytes > 0) {
        int part = nbytes < 1u << 30 ? (int)nbytes : 1 << 30;
        crc = crc32_iscsi((unsigned char *)(uintptr_t)at, part, crc);
        at += part;
        nbytes -= (size_t)part;
    }
    return ~crc;
}
