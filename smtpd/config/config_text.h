/* config_text: the words of the file and of what it includes, as a list of statements.
 *
 * For:     config_load. libConfuse gives values their types; the words are read here, because it
 *          accepts a file that ends inside a section, opens included files by itself (relative to
 *          the working directory), puts environment variables into strings, forgets on which line
 *          an option stood, and crashes on an empty comment at the end of a file.
 * Promise: what libConfuse gets (`plain`) is well-formed, has no comments, no includes and one
 *          statement a line; lines[n] is what stands on its line n + 1.
 */
#ifndef SMTPD_CONFIG_CONFIG_TEXT_H
#define SMTPD_CONFIG_CONFIG_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "libtlsio/base/arena.h"
#include "libtlsio/base/buf.h"
#include "libtlsio/base/err.h"

/* "name = value", "name += value" or "name title { ... }". */
struct config_statement {
	struct config_statement *next;	   /* in the same section */
	struct config_statement *children; /* of a section */
	const char *name;
	const char *title; /* NULL none */
	const char *file;  /* where it stands; shared by all of one file */
	int line;
	bool is_section;
	bool is_list;  /* the value stands in braces */
	bool is_added; /* += */
	size_t plain_at, plain_bytes;	 /* its part of `plain` */
	size_t lines_at, lines_count;	 /* and of `lines` */
};

struct config_text {
	struct arena arena; /* holds all statements and their words */
	struct config_statement *statements;
	struct buf plain;
	const struct config_statement **lines;
	size_t line_count;
};

/* Appends the content of a file to ret. */
typedef int config_text_read(void *ctx, const char *path, struct buf *ret, struct err *err);

/* Reads path and all it includes. ret zeroed; clear it in either case. */
int config_text_load(struct config_text *ret, const char *path, config_text_read *read, void *ctx,
	struct err *err);
void config_text_clear(struct config_text *text);

/* A path as written in a file, relative to that file's directory unless absolute. Gives. */
char *config_text_path(const char *file, const char *path);

#endif
