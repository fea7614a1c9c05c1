/* control_protocol: what posternctl and a worker say to each other. Pure.
 *
 * Request: one line "postern1 word word ...\n", at most 1,024 bytes, at most 4 words.
 * Answer:  lines, in any number:
 *              name key=text key:number ...    a record; text is percent-encoded
 *              +length                         followed by that many raw bytes
 *          and at the end one of
 *              ok
 *              error text                      percent-encoded words for the operator
 * One request per connection; the worker closes after the end.
 * Promise: nothing in a text can end its field or its line; a reader refuses lines over 16 KiB,
 *          more than 48 fields and everything it does not know.
 */
#ifndef SMTPD_CONTROL_PROTOCOL_H
#define SMTPD_CONTROL_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"

#define CONTROL_REQUEST_BYTES 1024
#define CONTROL_WORDS_MOST 4
#define CONTROL_LINE_BYTES 16384
#define CONTROL_FIELDS_MOST 48
#define CONTROL_DATA_BYTES 65536 /* of one piece */

struct control_request {
	char room[CONTROL_REQUEST_BYTES + CONTROL_WORDS_MOST]; /* what the words look at */
	struct str words[CONTROL_WORDS_MOST];
	size_t count;
};

/* False when it would be too long. */
bool control_request_format(const char *const words[], size_t count, struct buf *ret);
/* line without its newline. */
int control_request_parse(struct str line, struct control_request *ret, struct err *err);

/* A record: begin, fields, end. */
void control_put_begin(struct buf *to, const char *name);
void control_put_text(struct buf *to, const char *key, struct str value);
void control_put_number(struct buf *to, const char *key, int64_t value);
void control_put_end(struct buf *to);
/* length 1..CONTROL_DATA_BYTES */
void control_put_data(struct buf *to, struct str bytes);
void control_put_ok(struct buf *to);
void control_put_error(struct buf *to, struct str text);

struct control_field {
	struct str key;
	struct str text;
	bool is_number;
	int64_t number;
};

struct control_record {
	struct str name;
	struct control_field fields[CONTROL_FIELDS_MOST];
	size_t count;
};
/* Empty, 0 where there is no such field. */
struct str control_record_text(const struct control_record *record, const char *key);
int64_t control_record_number(const struct control_record *record, const char *key);

enum control_item {
	CONTROL_MORE,	   /* give more bytes */
	CONTROL_RECORD,	   /* record is filled; valid until the next call */
	CONTROL_DATA,	   /* data is a piece; valid until the next call */
	CONTROL_OK,	   /* the end */
	CONTROL_ERROR,	   /* the end; data is the text */
	CONTROL_MALFORMED, /* the end; this is no answer of ours */
};

struct control_reader {
	struct buf input;
	size_t data_left; /* of a piece that has begun */
	size_t used;	  /* of input by what was given last */
	bool is_over;
	struct control_record record;
	struct str data;
};
void control_reader_clear(struct control_reader *r);
void control_reader_feed(struct control_reader *r, struct str bytes);
enum control_item control_reader_next(struct control_reader *r);

#endif
