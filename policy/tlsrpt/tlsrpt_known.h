/* tlsrpt_known: the words of policies by their identity. Internal to this room.
 *
 * Promise: bounded in number and bytes; the longest not named goes first.
 */
#ifndef POLICY_TLSRPT_TLSRPT_KNOWN_H
#define POLICY_TLSRPT_TLSRPT_KNOWN_H

#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/str.h"

struct tlsrpt_known;

struct tlsrpt_known *tlsrpt_known_new(size_t count_most, size_t bytes_most);
void tlsrpt_known_free(struct tlsrpt_known **known);
/* Copies. */
void tlsrpt_known_put(struct tlsrpt_known *known, uint64_t identity, struct str text);
/* Borrowed until the next put; at NULL: not known. */
struct str tlsrpt_known_find(struct tlsrpt_known *known, uint64_t identity);
size_t tlsrpt_known_count(const struct tlsrpt_known *known);

#endif
