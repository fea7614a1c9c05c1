/* inbound_words: how MTAs write the facts of a TLS session. Pure.
 *
 * For:     milter_facts, delegation_facts.
 * Promise: what is missing, too long or not understood proves nothing.
 */
#ifndef SMTPD_INBOUND_INBOUND_WORDS_H
#define SMTPD_INBOUND_INBOUND_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "libtlsio/base/str.h"

/* "TLSv1" is 10, "TLSv1.2" 12; 0: not understood. */
unsigned inbound_words_version(struct str text);
/* Of the cipher's key; where text is empty, what is known of the cipher. */
unsigned inbound_words_bits(struct str text, struct str cipher);
/* A name out of a certificate; has_escapes: +XX is a byte. False when it is cut, or holds what no name in a
 * certificate should: then it may be read, but not compared. */
bool inbound_words_name(struct str text, bool has_escapes, char *ret, size_t capacity);

#endif
