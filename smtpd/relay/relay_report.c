#include "smtpd/relay/relay_report.h"

#include <stdio.h>

#include "libtlsio/base/log.h"

static void log_peer(struct log_line *l, const struct relay_job *job,
	const struct relay_connection *c)
{
	const struct tlsio_peer *peer = relay_connection_peer(c);
	char id[17], address[NETADDR_TEXT_BYTES];
	log_text(l, "msg", spool_id_format(job->message, id));
	log_text(l, "host", relay_hop_name(job->hop));
	log_text(l, "address", netaddr_format(relay_connection_remote(c), address));
	log_text(l, "tls", peer ? tlsio_version_name(peer->version) : "none");
	if (!peer)
		return;
	log_text(l, "suite", peer->suite);
	log_text(l, "group", peer->group);
	log_text(l, "subject", peer->subject);
	log_text(l, "issuer", peer->issuer);
}

void relay_report_refused(const struct relay_job *job, const struct relay_connection *c,
	const struct relay_machine_end *end)
{
	const struct policy_judgement *j = relay_connection_judgement(c);
	const struct policy_requirement *r = job->hop->requirement;
	struct log_line l;
	log_begin(&l, LOG_LEVEL_WARNING,
		end->kind == RELAY_END_IN_CLEAR ? "tls-failed" : "policy-refused");
	log_peer(&l, job, c);
	log_text(&l, "level", policy_level_name(r->level));
	log_text(&l, "policy", policy_origin_name(r->origin));
	log_text(&l, "rule", r->source);
	log_text(&l, "verdict", policy_reason_name(j->reason));
	log_text(&l, "reason", j->text);
	log_end(&l);
}

void relay_report_skipped(const struct relay_job *job, const struct policy_plan *plan)
{
	char id[17];
	for (size_t i = 0; i < plan->host_count; i++) {
		const struct policy_plan_host *host = &plan->hosts[i];
		struct log_line l;
		if (host->requirement)
			continue;
		log_begin(&l, LOG_LEVEL_WARNING, "host-skipped");
		log_text(&l, "msg", spool_id_format(job->message, id));
		log_text(&l, "domain", plan->next_hop);
		log_text(&l, "host", host->name);
		if (host->reason != POLICY_REASON_NONE) /* else only a look-up that failed */
			log_text(&l, "verdict", policy_reason_name(host->reason));
		log_text(&l, "reason", host->text);
		log_end(&l);
	}
}

static void judge(const struct relay_job *job, const struct relay_connection *c,
	struct policy_judgement *ret)
{
	const struct relay_hop *hop = job->hop;
	const struct tlsio_peer *peer = relay_connection_peer(c);
	const struct policy_judgement *real = relay_connection_judgement(c);
	const char *name = relay_hop_name(hop);
	bool was_tried = relay_connection_stays_in_clear(c) ||
		real->reason == POLICY_REASON_VALIDATION_FAILURE;
	if (peer)
		policy_judge_peer(hop->testing, name, peer, ret);
	else if (was_tried)
		policy_judge_failed_tls(hop->testing, name, "the handshake failed", ret);
	else
		policy_judge_no_starttls(hop->testing, name, ret);
}

void relay_report_testing(const struct relay_job *job, const struct relay_connection *c)
{
	const struct relay_planner *planner = job->planner;
	struct policy_judgement j = { .reason = job->hop->testing_reason };
	/* A host that the route names is the policy's domain itself. */
	const char *domain = job->destination->by_mx ? job->destination->domain
						     : job->destination->host;
	struct log_line l;
	if (!job->hop->testing && j.reason == POLICY_REASON_NONE)
		return;
	if (job->hop->testing)
		judge(job, c, &j);
	else
		snprintf(j.text, sizeof(j.text), "the policy of %s does not name %s", domain,
			relay_hop_name(job->hop));
	if (planner && planner->report)
		planner->report(planner->ctx, domain, relay_hop_name(job->hop), j.reason);
	if (j.reason == POLICY_REASON_NONE)
		return;
	log_begin(&l, LOG_LEVEL_WARNING, "sts-testing");
	log_text(&l, "domain", domain);
	log_peer(&l, job, c);
	log_text(&l, "verdict", policy_reason_name(j.reason));
	log_text(&l, "reason", j.text);
	log_end(&l);
}
