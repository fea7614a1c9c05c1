/* err: why a call failed, as a kind and a sentence.
 *
 * For:     every function that can fail: it returns -1 and fills its last parameter.
 * Holds:   nothing; a struct err lives on the caller's stack and allocates nothing.
 * Promise: filled on failure only; a NULL err is allowed everywhere (the words are dropped).
 *          The text names the thing, the cause and, where there is one, the remedy.
 */
#ifndef LIBTLSIO_BASE_ERR_H
#define LIBTLSIO_BASE_ERR_H

#include <stdbool.h>

enum err_kind {
	ERR_NONE = 0,
	ERR_INPUT,  /* what a person or a file told us is wrong */
	ERR_PEER,   /* the other side broke the protocol or went away */
	ERR_TLS,    /* handshake, record or certificate trouble */
	ERR_DNS,    /* a name could not be resolved */
	ERR_SYSTEM, /* the operating system refused; the text carries strerror */
	ERR_LIMIT,  /* one of our limits was reached */
};

struct err {
	enum err_kind kind;
	char text[240];
};

/* Fill err (if not NULL) with a kind and printf words. Returns -1, so: return err_set(...). */
int err_set(struct err *err, enum err_kind kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same with ": strerror(errno_value)" behind the words, kind ERR_SYSTEM. Returns -1. */
int err_system(struct err *err, int errno_value, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Put words in front of what err already says ("certificate x: " ...). Returns -1. */
int err_prefix(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

void err_clear(struct err *err);

/* One word for logs: "input", "peer", "tls", ... */
const char *err_kind_name(enum err_kind kind);

#endif
