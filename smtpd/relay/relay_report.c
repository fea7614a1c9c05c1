#include "smtpd/relay/relay_report.h"

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

/* A host that the route names is the policy's domain itself. */
static const char *domain_of(const struct relay_job *job)
{
	return job->destination->by_mx ? job->destination->domain : job->destination->host;
}

/* "sts-testing": what would have stopped the mail, and did not. */
static void log_testing(const struct relay_job *job, const struct relay_connection *c,
	const struct policy_judgement *j)
{
	struct log_line l;
	log_begin(&l, LOG_LEVEL_WARNING, "sts-testing");
	log_text(&l, "domain", domain_of(job));
	log_peer(&l, job, c);
	log_text(&l, "verdict", policy_reason_name(j->reason));
	log_text(&l, "reason", j->text);
	log_end(&l);
}

static void add_part(struct policy_session *session, const struct policy_report *report,
	const struct policy_judgement *j)
{
	session->parts[session->part_count++] = (struct policy_session_part){ .type = report->type,
		.reason = j->reason, .identity = report->identity, .domain = report->domain,
		.besides = report->measure == POLICY_REPORT_BY_FAILURE ? POLICY_REASON_NONE
								      : report->failure,
		.why = j->text };
}

static void tell(const struct relay_job *job, const struct policy_session *session)
{
	const struct relay_planner *planner = job->planner;
	if (session->part_count > 0 && planner && planner->report)
		planner->report(planner->ctx, session);
}

void relay_report_session(const struct relay_job *job, struct relay_connection *c)
{
	const struct relay_hop *hop = job->hop;
	struct policy_judgement judgements[POLICY_REPORTS_MOST];
	const struct policy_report_facts facts = { .host = relay_hop_name(hop),
		.requirement = hop->requirement, .testing = hop->testing,
		.testing_reason = hop->testing_reason, .peer = relay_connection_peer(c),
		.why = relay_connection_tls_fault(c) };
	struct policy_session session = { .domain = domain_of(job),
		.host = relay_hop_name(hop), .sending = *relay_connection_local(c),
		.receiving = *relay_connection_remote(c) };
	/* In clear because TLS failed: it failed in the session before, which was counted. */
	if (hop->report_count == 0 || relay_connection_stays_in_clear(c) ||
		relay_connection_is_silent(c) || !relay_connection_count_for(c, session.domain))
		return;
	for (size_t i = 0; i < hop->report_count; i++) {
		const struct policy_report *report = &hop->reports[i];
		policy_report_judge(report, &facts, &judgements[i]);
		add_part(&session, report, &judgements[i]);
		if (report->measure == POLICY_REPORT_BY_TESTING &&
			judgements[i].reason != POLICY_REASON_NONE)
			log_testing(job, c, &judgements[i]);
	}
	tell(job, &session);
}

/* Sessions that there would have been, had the host been tried. */
static void report_skipped_host(const struct relay_job *job, const struct policy_plan *plan,
	const struct policy_plan_host *host)
{
	struct policy_judgement judgement = { .reason = POLICY_REASON_NONE };
	struct policy_session session = { .domain = plan->next_hop, .host = host->name };
	for (size_t i = 0; i < host->report_count; i++) {
		const struct policy_report *report = &host->reports[i];
		if (report->measure != POLICY_REPORT_BY_FAILURE)
			continue; /* nothing was judged */
		judgement.reason = report->failure;
		add_part(&session, report, &judgement);
	}
	tell(job, &session);
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
		report_skipped_host(job, plan, host);
	}
}

void relay_report_unknown(const struct relay_job *job, const struct policy_plan *plan)
{
	struct policy_session session = { .domain = plan->next_hop, .host = "", .part_count = 1,
		.parts = { { .type = POLICY_REPORT_TLSA, .reason = plan->reason,
			.domain = plan->next_hop, .why = "" } } };
	if (plan->reason == POLICY_REASON_DNSSEC_INVALID)
		tell(job, &session);
}
