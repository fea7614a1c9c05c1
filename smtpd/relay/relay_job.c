#include "smtpd/relay/relay_job.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"
#include "smtpd/relay/relay_body.h"
#include "smtpd/relay/relay_outcome.h"

/* Recipients named in one log line; the rest is counted. */
#define LOGGED_MOST 20

/* Does the message really hold UTF-8 where SMTPUTF8 is needed for it, beyond its recipients? */
static bool needs_utf8(struct spool_reader *reader)
{
	const struct spool_envelope *e = spool_reader_envelope(reader);
	struct str piece;
	size_t line_bytes = 0;
	bool is_over = false, is_ascii = true;
	if (!(e->flags & SPOOL_FLAG_SMTPUTF8))
		return false;
	if (!str_is_ascii(e->sender))
		return true;
	while (!is_over && is_ascii && spool_reader_next(reader, &piece, NULL) == 0 &&
		piece.length > 0)
		is_ascii = relay_body_header_is_ascii(piece, &line_bytes, &is_over);
	spool_reader_rewind(reader);
	return !is_ascii;
}

static void attach_envelope(struct relay_job *job)
{
	const struct spool_envelope *e = spool_reader_envelope(job->reader);
	for (size_t i = 0; i < job->count; i++) {
		assert(job->outcomes[i].recipient < e->recipient_count);
		job->recipients[i].who = &e->recipients[job->outcomes[i].recipient];
	}
	job->transaction.envelope = e;
	job->transaction.needs_utf8 = needs_utf8(job->reader);
}

struct relay_job *relay_job_new(struct spool *spool, uint64_t message,
	struct relay_destination *destination, const uint32_t *recipients, size_t count, void *data)
{
	struct relay_job *job = mem_zero(sizeof(*job));
	struct err err = { 0 };
	struct relay_outcome outcome = { 0 };
	job->job = data;
	job->message = message;
	job->destination = relay_destination_ref(destination);
	job->count = count;
	job->outcomes = mem_zero(count * sizeof(*job->outcomes) + 1);
	job->recipients = mem_zero(count * sizeof(*job->recipients) + 1);
	for (size_t i = 0; i < count; i++) {
		job->outcomes[i].recipient = recipients[i];
		job->recipients[i].outcome = &job->outcomes[i];
	}
	job->reader = spool_read(spool, message, &err);
	if (job->reader) {
		attach_envelope(job);
	} else {
		relay_outcome_set(&outcome, RELAY_DEFERRED, "4.3.0",
			"the message cannot be read from the spool: %s", err.text);
		relay_job_settle_all(job, &outcome);
	}
	return job;
}

void relay_job_cancel_ask(struct relay_job *job)
{
	if (job->asked)
		job->planner->cancel(job->planner->ctx, job->asked);
	job->asked = NULL;
}

void relay_job_try(struct relay_job *job, struct relay_hop *hop)
{
	relay_hop_unref(&job->hop);
	job->hop = relay_hop_ref(hop);
}

void relay_job_free(struct relay_job **ref)
{
	struct relay_job *job = *ref;
	if (!job)
		return;
	*ref = NULL;
	list_remove(&job->link);
	relay_job_cancel_ask(job);
	relay_lookup_cancel(&job->lookup);
	tlsio_dial_cancel(&job->dial);
	relay_maildir_cancel(&job->maildir);
	spool_reader_free(&job->reader);
	relay_destination_unref(&job->destination);
	relay_candidates_clear(&job->candidates);
	relay_causes_clear(&job->causes);
	relay_hop_unref(&job->hop);
	free(job->outcomes);
	free(job->recipients);
	free(job);
}

void relay_job_settle_all(struct relay_job *job, const struct relay_outcome *outcome)
{
	for (size_t i = 0; i < job->count; i++) {
		struct relay_recipient *r = &job->recipients[i];
		if (r->state == RELAY_RECIPIENT_SETTLED)
			continue;
		r->state = RELAY_RECIPIENT_SETTLED;
		relay_outcome_copy(r->outcome, outcome);
	}
	job->settled_count = job->count;
	job->transaction.count = 0;
}

void relay_job_next_transaction(struct relay_job *job, size_t most)
{
	size_t left = job->count - job->settled_count;
	assert(left > 0 && job->transaction.count == 0);
	job->transaction.recipients = job->recipients + job->settled_count;
	job->transaction.count = left < most ? left : most;
}

void relay_job_end_transaction(struct relay_job *job)
{
	size_t end = job->settled_count + job->transaction.count;
	job->transaction.count = 0;
	for (size_t i = job->settled_count; i < end; i++) {
		struct relay_recipient r = job->recipients[i];
		if (r.state != RELAY_RECIPIENT_SETTLED) {
			job->recipients[i].state = RELAY_RECIPIENT_WAITING;
			continue;
		}
		job->recipients[i] = job->recipients[job->settled_count];
		job->recipients[job->settled_count++] = r;
	}
	spool_reader_rewind(job->reader);
}

bool relay_job_is_settled(const struct relay_job *job)
{
	return job->settled_count == job->count;
}

void relay_job_see(struct relay_job *job, const struct relay_connection *connection)
{
	const struct tlsio_peer *peer = relay_connection_peer(connection);
	const struct policy_judgement *judgement = relay_connection_judgement(connection);
	struct relay_job_facts *f = &job->facts;
	char note[sizeof(f->note)];
	/* what was noted about a failed TLS explains the clear session that follows */
	snprintf(note, sizeof(note), "%s", judgement->text[0] && !f->note[0] ? judgement->text :
		f->note);
	*f = (struct relay_job_facts){ .tls = "none" };
	memcpy(f->note, note, sizeof(note));
	f->remote = *relay_connection_remote(connection);
	if (!peer)
		return;
	f->tls = tlsio_version_name(peer->version);
	f->suite = peer->suite;
	f->group = peer->group;
	f->is_resumed = peer->is_resumed;
	f->is_verified = judgement->is_verified;
}

/* ---- the log --------------------------------------------------------------------------------- */

static void log_recipients(struct log_line *l, const struct relay_job *job, size_t first,
	bool *is_logged)
{
	const struct relay_outcome *o = &job->outcomes[first];
	struct buf to = { 0 };
	size_t count = 0;
	for (size_t i = first; i < job->count; i++) {
		const struct relay_outcome *other = &job->outcomes[i];
		if (is_logged[i] || other->kind != o->kind || strcmp(other->text, o->text) != 0)
			continue;
		is_logged[i] = true;
		if (count++ >= LOGGED_MOST || !job->reader)
			continue;
		if (to.length > 0)
			buf_append_byte(&to, ',');
		buf_append_str(&to, spool_reader_envelope(job->reader)
			->recipients[other->recipient].address);
	}
	log_str(l, "to", buf_str(&to));
	if (count > 1)
		log_number(l, "recipients", (int64_t)count);
	buf_release(&to);
}

static void log_peer(struct log_line *l, const struct relay_job *job)
{
	const struct relay_job_facts *f = &job->facts;
	char text[NETADDR_TEXT_BYTES];
	if (job->hop && job->hop->host)
		log_text(l, "host", job->hop->host);
	else if (job->destination->host)
		log_text(l, "host", job->destination->host);
	else if (job->destination->path)
		log_text(l, "path", job->destination->path);
	if (!f->tls)
		return;
	if (f->remote.family == NETADDR_IPV4 || f->remote.family == NETADDR_IPV6)
		log_text(l, "address", netaddr_format(&f->remote, text));
	log_text(l, "tls", f->tls);
	log_text(l, "suite", f->suite);
	log_text(l, "group", f->group);
	if (f->suite) {
		log_text(l, "resumed", f->is_resumed ? "yes" : "no");
		log_text(l, "verified", relay_hop_proof(job->hop, f->is_verified));
	}
}

void relay_job_log(const struct relay_job *job, int64_t now_ms)
{
	const struct policy_requirement *r = job->hop ? job->hop->requirement :
							job->destination->requirement;
	bool *is_logged = mem_zero(job->count + 1);
	char id[17];
	bool is_network = job->destination->transport == RELAY_SMTP ||
		job->destination->transport == RELAY_LMTP;
	for (size_t i = 0; i < job->count; i++) {
		const struct relay_outcome *o = &job->outcomes[i];
		struct log_line l;
		if (is_logged[i])
			continue;
		log_begin(&l, o->kind == RELAY_DELIVERED ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING,
			"delivery");
		log_text(&l, "msg", spool_id_format(job->message, id));
		log_recipients(&l, job, i, is_logged);
		log_text(&l, "outcome", relay_outcome_name(o->kind));
		log_text(&l, "status", o->enhanced);
		if (job->destination->by_mx)
			log_text(&l, "domain", job->destination->domain);
		log_peer(&l, job);
		if (is_network && r) {
			log_text(&l, "level", policy_level_name(r->level));
			if (job->hop)
				log_text(&l, "policy", policy_origin_name(r->origin));
			log_text(&l, "rule", r->source);
		}
		log_text(&l, "reason", o->text);
		if (job->facts.note[0] && strcmp(job->facts.note, o->text) != 0)
			log_text(&l, "note", job->facts.note);
		log_number(&l, "delay_ms", now_ms - job->started_ms);
		log_end(&l);
	}
	free(is_logged);
}
