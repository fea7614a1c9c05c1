/* socketmap_netstring: "5:hello," in and out. Pure.
 *
 * For:     socketmap_server; both directions of socketmap are netstrings.
 * Promise: the length has no leading zero, and no more digits than `most` has; nothing is read
 *          beyond the bytes given.
 */
#ifndef SMTPD_SOCKETMAP_SOCKETMAP_NETSTRING_H
#define SMTPD_SOCKETMAP_SOCKETMAP_NETSTRING_H

#include "libtlsio/base/buf.h"
#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"

/* The netstring that `in` begins with, of at most `most` bytes. 1: payload looks into `in`, used says
 * how many bytes it takes there; 0: not all of it is there yet; -1: it will never be one. */
int socketmap_netstring_split(struct str in, size_t most, struct str *ret_payload,
	size_t *ret_used, struct err *err);
void socketmap_netstring_write(struct buf *into, struct str payload);

#endif
