/* explain_json: one JSON value, piece by piece, with commas where they belong. Pure: into a buf.
 *
 * Promise: valid UTF-8 and valid JSON whatever the texts hold, if what is opened is closed.
 */
#ifndef SMTPD_EXPLAIN_EXPLAIN_JSON_H
#define SMTPD_EXPLAIN_EXPLAIN_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/buf.h"

struct explain_json { /* { .to = ... } is ready */
	struct buf *to;
	bool has_before; /* a comma is due before the next piece */
};

/* key NULL: a member of a list. */
void explain_json_open(struct explain_json *j, const char *key, char bracket);
void explain_json_close(struct explain_json *j, char bracket);
/* text NULL: null. */
void explain_json_text(struct explain_json *j, const char *key, const char *text);
void explain_json_bytes(struct explain_json *j, const char *key, struct str text);
void explain_json_number(struct explain_json *j, const char *key, int64_t number);
void explain_json_bool(struct explain_json *j, const char *key, bool is_true);
void explain_json_null(struct explain_json *j, const char *key);
/* ["a","b"] */
void explain_json_texts(struct explain_json *j, const char *key, char *const *texts, size_t count);
/* "0123ab..." */
void explain_json_hex(struct explain_json *j, const char *key, const void *bytes, size_t length);

#endif
