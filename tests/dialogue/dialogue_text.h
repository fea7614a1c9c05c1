/* dialogue_text: escapes and patterns of scripts. Pure. */
#ifndef TESTS_DIALOGUE_DIALOGUE_TEXT_H
#define TESTS_DIALOGUE_DIALOGUE_TEXT_H

#include <stdbool.h>

#include "libtlsio/base/buf.h"

/* \r \n \t \0 \\ \xHH, and {text*count} for repetition; a CR LF is added unless it ends in \c. */
bool dialogue_text_expand(struct str text, bool adds_line_end, struct buf *ret);
/* A whole reply off the front of received, its lines joined with blanks. False: none yet. */
bool dialogue_text_take_reply(struct buf *received, struct buf *ret);
/* "..." stands for anything. */
bool dialogue_text_matches(struct str text, struct str pattern);
bool dialogue_text_contains(struct str text, struct str part);

#endif
