/* tlsrpt_tally: TLS sessions counted as RFC 8460 wants them reported: per UTC day, domain, TXT record
 * seen and policy; failures by all that a report tells of them (R11).
 *
 * For:     postern-policyd, which hears of sessions from posternd's workers and from Postfix;
 *          plan_domain, for people (MTA-STS in testing mode).
 * How:     rows lie in SQLite; memory holds those that were counted lately, read before they are
 *          added to. What was counted is written two seconds later, and at the end, in pieces of 500
 *          rows a turn: kill -9 loses those seconds. The wall clock may go where it wants: a row is
 *          found again whatever day it is.
 * Promise: bounded: rows of a day, different failures of a row, policies whose words are known, days,
 *          bytes of the file, rows in memory. What is beyond is counted as dropped, with one warning
 *          a day. Trouble with the disk is a warning; memory counts on.
 * Costs:   some microseconds a session; the first of a row reads the file once.
 */
#ifndef POLICY_TLSRPT_TLSRPT_TALLY_H
#define POLICY_TLSRPT_TLSRPT_TALLY_H

#include "libtlsio/tlsio_loop.h"
#include "policy/policy_plan.h"
#include "policy/tlsrpt/tlsrpt_row.h"
#include "policy/tlsrpt/tlsrpt_session.h"
#include "policy/tlsrpt/tlsrpt_settings.h"

enum {
	TLSRPT_TALLY_FLUSH_MS = 2000,
	TLSRPT_TALLY_PIECE = 500,	 /* rows written, or removed, in one turn */
	TLSRPT_TALLY_MEMORY_ROWS = 20000,
	TLSRPT_TALLY_KNOWN_MOST = 50000, /* policies */
	TLSRPT_TALLY_KNOWN_BYTES_MOST = 64 * 1024 * 1024,
};

struct tlsrpt_tally;

/* READ_ONLY (posternctl): the file is only looked at; what is added stays in memory. */
enum tlsrpt_tally_mode { TLSRPT_TALLY_READ_WRITE, TLSRPT_TALLY_READ_ONLY };
/* Never fails: a file that cannot be used is a warning, and the counts are kept in memory alone. */
struct tlsrpt_tally *tlsrpt_tally_new(struct tlsio_loop *loop, const struct tlsrpt_settings *settings,
	enum tlsrpt_tally_mode mode, void (*on_warning)(void *ctx, const char *words), void *ctx);
/* After a reload. */
void tlsrpt_tally_change(struct tlsrpt_tally *tally, const struct tlsrpt_settings *settings);
/* Writes what is not written. Accepts NULL, sets NULL. */
void tlsrpt_tally_free(struct tlsrpt_tally **tally);

/* The text of a policy, for sessions that name it by its identity (tlsrpt_policy_identity). Copies. */
void tlsrpt_tally_know_text(struct tlsrpt_tally *tally, struct str text);
/* A session that names its policies. Words that neither memory nor the file knows any more are left
 * out. lost: how many
 * were lost on the way before it. */
void tlsrpt_tally_add_named(struct tlsrpt_tally *tally, const struct policy_session *session,
	uint32_t lost);
/* A session with all its words. */
void tlsrpt_tally_add(struct tlsrpt_tally *tally, const struct tlsrpt_session *session);
/* Adds one POLICY_EVIDENCE_STS_TALLY line when sessions with domain were held against a policy in
 * testing mode (M17), on the days that are kept. */
void tlsrpt_tally_show(struct tlsrpt_tally *tally, const char *domain, struct policy_plan *plan);
/* Everything, now. False: not all is on the disk. */
bool tlsrpt_tally_flush(struct tlsrpt_tally *tally);

struct tlsrpt_tally_counts {
	uint64_t counted, dropped; /* sessions, by policy */
	size_t rows, dirty, known;
};
void tlsrpt_tally_count(const struct tlsrpt_tally *tally, struct tlsrpt_tally_counts *ret);

#endif
