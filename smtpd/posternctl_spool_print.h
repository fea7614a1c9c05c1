/* posternctl_spool_print: what a check found, as words for people or as JSON. Pure: into a buf.
 *
 * Promise: nothing a sender chose can send control characters to a terminal.
 */
#ifndef SMTPD_POSTERNCTL_SPOOL_PRINT_H
#define SMTPD_POSTERNCTL_SPOOL_PRINT_H

#include <stdbool.h>

#include "libtlsio/base/buf.h"
#include "smtpd/spool/spool_check.h"
#include "smtpd/spool/spool_repair.h"

struct posternctl_spool_page {
	struct buf *to;
	const char *directory; /* of the shard */
	bool is_json;	       /* an object on each line */
};

void posternctl_spool_put_segment(
	const struct posternctl_spool_page *page, const struct spool_check_segment *segment);
void posternctl_spool_put_place(
	const struct posternctl_spool_page *page, const struct spool_check_place *place);
void posternctl_spool_put_message(
	const struct posternctl_spool_page *page, const struct spool_check_message *message);
void posternctl_spool_put_totals(
	const struct posternctl_spool_page *page, const struct spool_check_totals *totals);
/* directory: of the new shard. */
void posternctl_spool_put_repaired(const struct posternctl_spool_page *page, const char *directory,
	const struct spool_repaired *repaired);

#endif
