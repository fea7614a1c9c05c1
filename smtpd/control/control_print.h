/* control_print: records as words for people, or as JSON for programs. Pure: into a buf.
 *
 * Promise: nothing a peer chose (addresses, replies) can send control characters to a terminal;
 *          JSON is always valid UTF-8, one object per line.
 */
#ifndef SMTPD_CONTROL_PRINT_H
#define SMTPD_CONTROL_PRINT_H

#include <stdbool.h>
#include <stdint.h>

#include "libtlsio/base/buf.h"
#include "smtpd/control/control_protocol.h"

/* "45s", "12m", "3h07m", "2d04h" */
void control_print_duration(struct buf *to, int64_t seconds);
/* "512B", "9.8K", "12M", "3.1G" */
void control_print_size(struct buf *to, int64_t bytes);
/* Text with everything that is not printable made harmless; UTF-8 stays. */
void control_print_safe(struct buf *to, struct str text);

/* "text", quoted and escaped; what is no UTF-8 becomes U+FFFD. */
void control_print_json_text(struct buf *to, struct str text);
/* {"key":"text","key":number,...} without a newline; open leaves the closing brace out. */
void control_print_json(struct buf *to, const struct control_record *record, bool is_open);

/* The queue as a table: a line per message, under it a line or two per recipient. */
void control_print_queue_message(struct buf *to, const struct control_record *message);
void control_print_queue_recipient(struct buf *to, const struct control_record *recipient);
/* `queue show`: every field on its line. */
void control_print_show(struct buf *to, const struct control_record *record);
/* One worker's paragraph. now_s: for what expires. */
void control_print_worker(struct buf *to, const struct control_record *worker, int64_t now_s);
/* postern-policyd's. */
void control_print_policyd(struct buf *to, const struct control_record *policyd);

#endif
