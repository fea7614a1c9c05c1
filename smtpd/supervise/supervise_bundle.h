/* supervise_bundle: the configuration and every file it reads, as one piece of bytes.
 *
 * For:     workers: they dropped their privileges and cannot read a key that only root may read,
 *          so the supervisor reads and hands them the bytes.
 * Holds:   the files in the order they were read, the ticket secret, the configuration's name.
 * Promise: encode and decode are exact inverses; decode refuses anything malformed, cut or over
 *          the limits; the bytes are wiped before their memory is given back.
 * See:     tests/smtpd/supervise/test_supervise_bundle.c
 */
#ifndef SMTPD_SUPERVISE_BUNDLE_H
#define SMTPD_SUPERVISE_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"

#define SUPERVISE_BUNDLE_FILES_MOST 4096
#define SUPERVISE_BUNDLE_BYTES_MOST (64u << 20)
#define SUPERVISE_SECRET_BYTES 64

struct supervise_bundle;

struct supervise_bundle *supervise_bundle_new(const char *config_path);
void supervise_bundle_free(struct supervise_bundle **bundle);

const char *supervise_bundle_config_path(const struct supervise_bundle *bundle);
void supervise_bundle_set_secret(struct supervise_bundle *bundle,
	const uint8_t secret[SUPERVISE_SECRET_BYTES]);
/* NULL: none was set. */
const uint8_t *supervise_bundle_secret(const struct supervise_bundle *bundle);

/* A path that is there already keeps its first content: all of one load see one state of a file. */
int supervise_bundle_add(struct supervise_bundle *bundle, const char *path, struct str content,
	struct err *err);
bool supervise_bundle_find(const struct supervise_bundle *bundle, const char *path,
	struct str *ret_content);
size_t supervise_bundle_count(const struct supervise_bundle *bundle);
const char *supervise_bundle_path(const struct supervise_bundle *bundle, size_t index);

/* As config_source.read, ctx = struct supervise_bundle: what was recorded, and nothing else. */
int supervise_bundle_read(void *ctx, const char *path, size_t max_bytes, struct buf *ret,
	struct err *err);
/* As config_source.read, ctx = struct supervise_bundle: from the disk, and recorded. */
int supervise_bundle_record(void *ctx, const char *path, size_t max_bytes, struct buf *ret,
	struct err *err);

void supervise_bundle_encode(const struct supervise_bundle *bundle, struct buf *ret);
struct supervise_bundle *supervise_bundle_decode(struct str bytes, struct err *err);

/* The encoded form in a sealed memory file (nobody can change it after). Gives a descriptor. */
int supervise_bundle_to_memfd(const struct supervise_bundle *bundle, struct err *err);
/* Borrows fd; reads from its beginning whatever its position is. */
struct supervise_bundle *supervise_bundle_from_memfd(int fd, struct err *err);

#endif
