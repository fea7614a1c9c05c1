#include "smtpd/milter/milter_callbacks.h"

#include <libmilter/mfapi.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/log.h"
#include "libtlsio/base/mem.h"
#include "smtpd/inbound/inbound_verdict.h"
#include "smtpd/milter/milter_facts.h"
#include "smtpd/milter/milter_header.h"
#include "smtpd/milter/milter_snapshot.h"

enum { NAME_BYTES = 256, PATH_BYTES = 400, COPIES_MOST = 1000 };

struct session {
	struct milter_snapshot *snapshot;
	unsigned long actions, steps; /* agreed upon */
	enum milter_mta mta;
	struct milter_client client;
	char name[NAME_BYTES], daemon[NAME_BYTES];
	bool is_exempt;
	/* of one message */
	struct milter_facts facts;
	char sender[PATH_BYTES];
	bool has_objection; /* of a rule that lets it go on */
	struct policy_inbound_refusal objection;
	unsigned copies; /* incoming fields of our name */
};

static struct {
	atomic_uint_least64_t sessions, messages, rejected, tempfailed, quarantined, reported,
		exempt, forged;
} counters;

void milter_callbacks_counters(struct milter_counters *ret)
{
	*ret = (struct milter_counters){
		.sessions = counters.sessions,
		.messages = counters.messages,
		.rejected = counters.rejected,
		.tempfailed = counters.tempfailed,
		.quarantined = counters.quarantined,
		.reported = counters.reported,
		.exempt = counters.exempt,
		.forged = counters.forged,
	};
}

static const char *macro(SMFICTX *ctx, const char *name)
{
	char copy[32];
	snprintf(copy, sizeof(copy), "%s", name);
	return smfi_getsymval(ctx, copy);
}

/* ---- the beginning ------------------------------------------------------------------------------ */

/* The list of a stage replaces the MTA's own. TLS at MAIL: a client need not say EHLO again after
 * STARTTLS, and then HELO's macros are those of the clear text before it. */
static bool ask_for_macros(SMFICTX *ctx)
{
	char connect[] = "v {daemon_name} {daemon_port}";
	char mail[] = "i {tls_version} {cipher} {cipher_bits} {verify} {cert_subject} {cert_issuer} "
		      "{cn_subject}";
	return smfi_setsymlist(ctx, SMFIM_CONNECT, connect) == MI_SUCCESS &&
		smfi_setsymlist(ctx, SMFIM_ENVFROM, mail) == MI_SUCCESS;
}

static unsigned long wanted_actions(const struct milter_snapshot *s)
{
	unsigned long actions = SMFIF_SETSYMLIST;
	if (s->settings->header)
		actions |= SMFIF_ADDHDRS | SMFIF_CHGHDRS;
	if (s->settings->inbound.mode == POLICY_INBOUND_QUARANTINE ||
		policy_inbound_has_mode(s->rules, POLICY_INBOUND_QUARANTINE))
		actions |= SMFIF_QUARANTINE;
	return actions;
}

/* A message to which no rule objects at MAIL has nothing more to be asked, nor to be given. */
static bool is_done_at_mail(const struct milter_snapshot *s)
{
	return !s->settings->header && !policy_inbound_has_recipients(s->rules);
}

/* Stages the MTA need not tell of. DATA is answered for the sake of TCP: Postfix then hands the connection
 * from one process to another, and what the second says would wait 40 ms in its kernel for an
 * acknowledgement of what the first said, if no answer had carried one. A unix socket has no such trouble. */
static unsigned long spared_steps(const struct milter_snapshot *s)
{
	unsigned long spared = SMFIP_NOBODY | SMFIP_NOUNKNOWN | SMFIP_NOEOH | SMFIP_NR_CONN |
		SMFIP_NR_HDR;
	if (s->settings->socket_path || is_done_at_mail(s))
		spared |= SMFIP_NODATA;
	if (!s->settings->header)
		spared |= SMFIP_NOHDRS;
	if (!policy_inbound_has_recipients(s->rules))
		spared |= SMFIP_NORCPT;
	return spared;
}

static sfsistat on_negotiate(SMFICTX *ctx, unsigned long actions, unsigned long steps,
	unsigned long unused2, unsigned long unused3, unsigned long *ret_actions,
	unsigned long *ret_steps, unsigned long *ret_unused2, unsigned long *ret_unused3)
{
	struct milter_snapshot *snapshot = milter_snapshot_take();
	(void)unused2;
	(void)unused3;
	if (!snapshot)
		return SMFIS_REJECT;
	struct session *s = mem_zero(sizeof(*s));
	s->snapshot = snapshot;
	s->actions = wanted_actions(snapshot) & actions;
	unsigned long spared = spared_steps(snapshot);
	/* Where macros cannot be asked for, those of HELO are all there is. */
	if ((actions & SMFIF_SETSYMLIST) && ask_for_macros(ctx))
		spared |= SMFIP_NOHELO;
	s->steps = spared & steps;
	*ret_actions = s->actions;
	*ret_steps = s->steps;
	*ret_unused2 = *ret_unused3 = 0;
	if (smfi_setpriv(ctx, s) != MI_SUCCESS) {
		milter_snapshot_release(&s->snapshot);
		free(s);
		return SMFIS_REJECT;
	}
	counters.sessions++;
	return SMFIS_CONTINUE;
}

/* Programs of the MTA's own machine have no address: they are the loopback's. */
static void read_address(const char *host, const _SOCK_ADDR *address, struct netaddr *ret)
{
	*ret = (struct netaddr){ .family = NETADDR_NONE };
	if (address && (address->sa_family == AF_INET || address->sa_family == AF_INET6))
		netaddr_from_sockaddr(address, ret);
	else if (str_equal_nocase(str_of(host), STR("localhost")))
		netaddr_parse(STR("127.0.0.1"), 0, ret, NULL);
}

static sfsistat on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *address)
{
	struct session *s = smfi_getpriv(ctx);
	const char *daemon = macro(ctx, "{daemon_name}"), *port = macro(ctx, "{daemon_port}");
	uint64_t number = 0;
	if (!s)
		return SMFIS_TEMPFAIL;
	s->mta = milter_facts_mta(s->snapshot->settings->mta, macro(ctx, "v"));
	read_address(host, address, &s->client.address);
	/* What does not fit is no name of any rule. */
	if (str_copy(inbound_verdict_client_name(str_of(host)), s->name, sizeof(s->name)))
		s->client.name = str_of(s->name);
	if (daemon && str_copy(str_of(daemon), s->daemon, sizeof(s->daemon)))
		s->client.daemon = str_of(s->daemon);
	if (port && str_to_u64(str_of(port), 65535, &number))
		s->client.port = (uint16_t)number;
	s->is_exempt = inbound_settings_exempts(&s->snapshot->settings->inbound, &s->client.address,
		s->client.daemon, s->client.port);
	return s->steps & SMFIP_NR_CONN ? SMFIS_NOREPLY : SMFIS_CONTINUE;
}

/* Only so that the MTA sends its macros. */
static sfsistat on_helo(SMFICTX *ctx, char *name)
{
	(void)ctx;
	(void)name;
	return SMFIS_CONTINUE;
}

/* ---- verdicts ------------------------------------------------------------------------------------ */

/* Without the message's id: before its end {i} may be the one before's. */
static void log_objection(const struct session *s, const char *recipient,
	const struct policy_inbound_refusal *r)
{
	char address[NETADDR_TEXT_BYTES];
	struct log_line l;
	log_begin(&l, LOG_LEVEL_INFO, "milter-objection");
	log_text(&l, "action", policy_inbound_mode_name(r->mode));
	if (r->mode >= POLICY_INBOUND_TEMPFAIL)
		log_number(&l, "code", r->code);
	log_text(&l, "client", netaddr_format_ip(&s->client.address, address));
	log_text(&l, "name", s->name[0] ? s->name : NULL);
	log_text(&l, "from", s->sender);
	log_text(&l, "to", recipient);
	log_text(&l, "tls", s->facts.is_tls ? s->facts.version_text : "none");
	log_text(&l, "cipher", s->facts.cipher[0] ? s->facts.cipher : NULL);
	log_text(&l, "subject", s->facts.subject[0] ? s->facts.subject : NULL);
	log_text(&l, "issuer", s->facts.issuer[0] ? s->facts.issuer : NULL);
	log_text(&l, "rule", r->source);
	log_text(&l, "reason", r->text);
	log_end(&l);
}

/* A percent sign begins a conversion there. */
static void set_reply(SMFICTX *ctx, const struct policy_inbound_refusal *r)
{
	char code[8], enhanced[12], text[2 * sizeof(r->text)];
	size_t used = 0;
	for (const char *c = r->text; *c; c++) {
		if (*c == '%')
			text[used++] = '%';
		text[used++] = *c;
	}
	text[used] = '\0';
	snprintf(code, sizeof(code), "%d", r->code);
	snprintf(enhanced, sizeof(enhanced), "%s", r->enhanced);
	smfi_setreply(ctx, code, enhanced, text);
}

static sfsistat act(SMFICTX *ctx, struct session *s, const char *recipient,
	struct policy_inbound_refusal *r)
{
	if (r->mode == POLICY_INBOUND_QUARANTINE && !(s->actions & SMFIF_QUARANTINE)) {
		r->mode = POLICY_INBOUND_TEMPFAIL; /* this MTA cannot: it may not pass for that */
		r->code = 451;
		r->enhanced = "4.7.0";
	}
	log_objection(s, recipient, r);
	switch (r->mode) {
	case POLICY_INBOUND_REPORT:
	case POLICY_INBOUND_QUARANTINE:
		if (!s->has_objection || r->mode > s->objection.mode)
			s->objection = *r;
		s->has_objection = true;
		return SMFIS_CONTINUE;
	case POLICY_INBOUND_TEMPFAIL:
		counters.tempfailed++;
		set_reply(ctx, r);
		return SMFIS_TEMPFAIL;
	default:
		counters.rejected++;
		set_reply(ctx, r);
		return SMFIS_REJECT;
	}
}

static void forget_message(struct session *s)
{
	s->facts = (struct milter_facts){ 0 };
	s->sender[0] = '\0';
	s->has_objection = false;
	s->objection = (struct policy_inbound_refusal){ 0 };
	s->copies = 0;
}

static void read_facts(SMFICTX *ctx, struct session *s)
{
	const struct milter_macros macros = {
		.tls_version = macro(ctx, "{tls_version}"),
		.cipher = macro(ctx, "{cipher}"),
		.cipher_bits = macro(ctx, "{cipher_bits}"),
		.verify = macro(ctx, "{verify}"),
		.cert_subject = macro(ctx, "{cert_subject}"),
		.cert_issuer = macro(ctx, "{cert_issuer}"),
		.cn_subject = macro(ctx, "{cn_subject}"),
	};
	milter_facts_read(&macros, s->mta, &s->facts);
}

static struct policy_inbound_facts shown(const struct session *s)
{
	return milter_facts_shown(&s->facts, &s->client, s->snapshot->settings->inbound.mode);
}

static enum inbound_requiretls read_requiretls(char *const *parameters)
{
	enum inbound_requiretls found = INBOUND_REQUIRETLS_NONE;
	for (; *parameters; parameters++) {
		enum inbound_requiretls said = inbound_verdict_requiretls(str_of(*parameters));
		found = said > found ? said : found;
	}
	return found;
}

static sfsistat on_mail(SMFICTX *ctx, char **words)
{
	struct session *s = smfi_getpriv(ctx);
	struct policy_inbound_refusal refusal;
	if (!s)
		return SMFIS_TEMPFAIL;
	forget_message(s);
	if (s->is_exempt) {
		counters.exempt++;
		return SMFIS_ACCEPT; /* of this message */
	}
	str_copy(str_of(words[0]), s->sender, sizeof(s->sender));
	read_facts(ctx, s);
	struct policy_inbound_facts facts = shown(s);
	if (!inbound_verdict_sender(s->snapshot->rules, &facts, str_of(words[0]),
		    read_requiretls(words + 1), &refusal))
		return act(ctx, s, NULL, &refusal);
	if (!is_done_at_mail(s->snapshot))
		return SMFIS_CONTINUE;
	counters.messages++;
	return SMFIS_ACCEPT; /* of this message */
}

static sfsistat on_recipient(SMFICTX *ctx, char **words)
{
	struct session *s = smfi_getpriv(ctx);
	struct policy_inbound_refusal refusal;
	if (!s)
		return SMFIS_TEMPFAIL;
	struct policy_inbound_facts facts = shown(s);
	if (inbound_verdict_recipient(s->snapshot->rules, &facts, str_of(words[0]), &refusal))
		return SMFIS_CONTINUE;
	return act(ctx, s, words[0], &refusal);
}

static sfsistat on_data(SMFICTX *ctx)
{
	(void)ctx;
	return SMFIS_CONTINUE;
}

/* ---- the message ---------------------------------------------------------------------------------- */

static sfsistat on_header(SMFICTX *ctx, char *name, char *value)
{
	struct session *s = smfi_getpriv(ctx);
	(void)value;
	if (!s)
		return SMFIS_TEMPFAIL;
	const char *ours = s->snapshot->settings->header;
	if (ours && milter_header_is(name, ours))
		s->copies++;
	return s->steps & SMFIP_NR_HDR ? SMFIS_NOREPLY : SMFIS_CONTINUE;
}

/* The last first: whether those behind a field that goes are counted anew differs between MTAs. */
static int take_out_copies(SMFICTX *ctx, struct session *s)
{
	for (unsigned i = s->copies; i > 0; i--) {
		if (smfi_chgheader(ctx, s->snapshot->settings->header, (int)i, NULL) != MI_SUCCESS)
			return -1;
		counters.forged++;
	}
	return 0;
}

static int put_header(SMFICTX *ctx, struct session *s)
{
	const unsigned long needed = SMFIF_ADDHDRS | SMFIF_CHGHDRS;
	struct buf value = { 0 };
	if (!s->snapshot->settings->header || (s->actions & needed) != needed)
		return 0;
	milter_header_value(s->snapshot->hostname, &s->facts,
		s->has_objection ? &s->objection : NULL, &value);
	char *text = buf_take(&value);
	int result = s->copies > COPIES_MOST || take_out_copies(ctx, s) < 0 ||
			smfi_insheader(ctx, 0, s->snapshot->settings->header, text) != MI_SUCCESS
		? -1
		: 0;
	free(text);
	return result;
}

static int quarantine(SMFICTX *ctx, struct session *s)
{
	if (!s->has_objection || s->objection.mode != POLICY_INBOUND_QUARANTINE)
		return 0;
	return smfi_quarantine(ctx, s->objection.text) == MI_SUCCESS ? 0 : -1;
}

static void tell_message(SMFICTX *ctx, const struct session *s)
{
	struct log_line l;
	counters.messages++;
	if (!s->has_objection)
		return;
	if (s->objection.mode == POLICY_INBOUND_QUARANTINE)
		counters.quarantined++;
	else
		counters.reported++;
	log_begin(&l, LOG_LEVEL_INFO, "milter-message");
	log_text(&l, "action", policy_inbound_mode_name(s->objection.mode));
	log_text(&l, "id", macro(ctx, "i"));
	log_text(&l, "from", s->sender);
	log_end(&l);
}

static sfsistat on_end_of_message(SMFICTX *ctx)
{
	struct session *s = smfi_getpriv(ctx);
	if (!s)
		return SMFIS_TEMPFAIL;
	int failed = put_header(ctx, s) < 0 || quarantine(ctx, s) < 0;
	if (failed) {
		log_say(LOG_LEVEL_WARNING, "milter-trouble",
			"the mail server took no change of a message (id %s): told to try again later",
			macro(ctx, "i") ? macro(ctx, "i") : "unknown");
		counters.tempfailed++;
	} else
		tell_message(ctx, s);
	forget_message(s);
	return failed ? SMFIS_TEMPFAIL : SMFIS_CONTINUE;
}

static sfsistat on_abort(SMFICTX *ctx)
{
	struct session *s = smfi_getpriv(ctx);
	if (s)
		forget_message(s);
	return SMFIS_CONTINUE;
}

static sfsistat on_close(SMFICTX *ctx)
{
	struct session *s = smfi_getpriv(ctx);
	if (!s)
		return SMFIS_CONTINUE;
	smfi_setpriv(ctx, NULL);
	milter_snapshot_release(&s->snapshot);
	free(s);
	return SMFIS_CONTINUE;
}

int milter_callbacks_register(struct err *err)
{
	static char name[] = "postern-milter";
	struct smfiDesc description = {
		.xxfi_name = name,
		.xxfi_version = SMFI_VERSION,
		.xxfi_flags = SMFIF_ADDHDRS | SMFIF_CHGHDRS | SMFIF_QUARANTINE | SMFIF_SETSYMLIST,
		.xxfi_connect = on_connect,
		.xxfi_helo = on_helo,
		.xxfi_envfrom = on_mail,
		.xxfi_envrcpt = on_recipient,
		.xxfi_data = on_data,
		.xxfi_header = on_header,
		.xxfi_eom = on_end_of_message,
		.xxfi_abort = on_abort,
		.xxfi_close = on_close,
		.xxfi_negotiate = on_negotiate,
	};
	return smfi_register(description) == MI_SUCCESS
		? 0
		: err_set(err, ERR_SYSTEM, "libmilter takes no filter of its version %x",
			  (unsigned)SMFI_VERSION);
}
