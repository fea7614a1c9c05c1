#include "policy/dns/dns_unbound.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unbound-event.h>
#include <unbound.h>

#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/base/process.h"
#include "policy/dns/dns_anchor.h"
#include "policy/dns/dns_event.h"

#define CACHE_BYTES (UINT64_C(64) << 20)

enum {
	CLASS_IN = 1,
	SOCKETS_LEAST = 64,
	SOCKETS_MOST = 4096,
	TCP_MOST = 32, /* each has a buffer of 64 KiB */
};

struct dns_unbound {
	struct ub_ctx *ctx;
	struct dns_event_base *base;
	struct list calls;
	FILE *log;
	char words[512]; /* what libunbound last had to say for its log */
	bool is_closing;
};

/* One ub_resolve_event under way. */
struct call {
	struct list link;
	struct dns_unbound *unbound;
	enum dns_type type;
	void (*on_reply)(void *ctx, const struct dns_unbound_reply *reply);
	void *ctx;
	char name[DNS_NAME_BYTES];
};

/* libunbound's log, a line a call: the reason of a failure stands there only. The first line after
 * an event tells most; "SERVFAIL ..." comes right before the answer it is about. */
static ssize_t on_log(void *cookie, const char *bytes, size_t length)
{
	struct dns_unbound *u = cookie;
	struct str line = str_from(bytes, length);
	while (line.length && line.at[line.length - 1] == '\n')
		line.length--;
	size_t at = str_find(line, '>');
	bool is_servfail = at < line.length && memmem(line.at, at, "error: SERVFAIL <", 17);
	if (line.length && (is_servfail || !u->words[0]))
		str_copy(line, u->words, sizeof(u->words));
	return (ssize_t)length;
}

static FILE *open_log(struct dns_unbound *u)
{
	const cookie_io_functions_t functions = { .write = on_log };
	FILE *log = fopencookie(u, "w", functions);
	if (log)
		setvbuf(log, NULL, _IOLBF, BUFSIZ);
	return log;
}

/* "[time] libunbound[pid:0] error: words" without what is in front of the words. */
static const char *said(const struct dns_unbound *u)
{
	const char *words = strstr(u->words, "error: ");
	return words ? words + strlen("error: ") : u->words;
}

/* "SERVFAIL <name. TYPE CLASS>: words": the words, if it is about this call. */
static const char *failure_words(const struct dns_unbound *u, const struct call *call)
{
	char about[DNS_NAME_BYTES + 40];
	const char *words = said(u);
	int length = snprintf(about, sizeof(about), "SERVFAIL <%s. %s IN>: ",
		strcmp(call->name, ".") == 0 ? "" : call->name, dns_type_name(call->type));
	if (length < 0 || (size_t)length >= sizeof(about) ||
		strncasecmp(words, about, (size_t)length) != 0)
		return "";
	return words + length;
}

/* "validation failure <name. TYPE IN>: words": the words. */
static const char *bogus_words(const char *why)
{
	const char *words = why && why[0] == 'v' ? strstr(why, ">: ") : NULL;
	return words ? words + 3 : why ? why : "";
}

static void on_event(void *ctx, int code, void *packet, int length, int security, char *why,
	int was_ratelimited)
{
	(void)was_ratelimited;
	struct call *call = ctx;
	struct dns_unbound *u = call->unbound;
	list_remove(&call->link);
	if (!u->is_closing) {
		struct dns_unbound_reply reply = {
			.code = (unsigned)code,
			.message = str_from(packet, code == 0 && length > 0 ? (size_t)length : 0),
			.security = security == 2   ? DNS_SECURE
				    : security == 1 ? DNS_BOGUS
						    : DNS_INSECURE,
			.why = security == 1 ? bogus_words(why)
			       : code	     ? failure_words(u, call)
					     : "",
		};
		call->on_reply(call->ctx, &reply);
		u->words[0] = '\0';
	}
	free(call);
}

int dns_unbound_ask(struct dns_unbound *u, const char *name, enum dns_type type,
	void (*on_reply)(void *ctx, const struct dns_unbound_reply *reply), void *ctx,
	struct err *err)
{
	struct call *call = mem_zero(sizeof(*call));
	call->unbound = u;
	call->type = type;
	call->on_reply = on_reply;
	call->ctx = ctx;
	str_copy(str_of(name), call->name, sizeof(call->name));
	list_push_back(&u->calls, &call->link);
	int result = ub_resolve_event(u->ctx, name, (int)type, CLASS_IN, call, on_event, NULL);
	if (result == UB_NOERROR)
		return 0;
	list_remove(&call->link);
	free(call);
	return err_set(err, ERR_DNS, "%s", ub_strerror(result));
}

static bool set_number(struct ub_ctx *ctx, const char *option, uint64_t number)
{
	char text[24];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	return ub_ctx_set_option(ctx, option, text) == UB_NOERROR;
}

static long limit(long value, long least, long most)
{
	return value < least ? least : value > most ? most : value;
}

static int set_options(struct ub_ctx *ctx, const struct dns_settings *s, unsigned lookups_most,
	struct err *err)
{
	static const struct {
		const char *option;
		const char *value;
	} fixed[] = {
		{ "module-config:", "validator iterator" },
		{ "do-not-query-localhost:", "no" },
		{ "log-servfail:", "yes" }, /* for its words */
		{ "val-log-squelch:", "no" },
		{ "val-log-level:", "2" }, /* the same for bogus ones */
		{ "infra-keep-probing:", "yes" }, /* a server that comes back is soon found again */
		{ "qname-minimisation:", "yes" },
		{ "harden-dnssec-stripped:", "yes" },
	};
	uint64_t cache = s->cache_bytes ? s->cache_bytes : CACHE_BYTES;
	long descriptors = process_descriptors();
	bool is_good = true;
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		is_good &= ub_ctx_set_option(ctx, fixed[i].option, fixed[i].value) == UB_NOERROR;
	is_good &= set_number(ctx, "msg-cache-size:", cache / 3) &&
		   set_number(ctx, "rrset-cache-size:", cache - cache / 3) &&
		   set_number(ctx, "num-queries-per-thread:", lookups_most) &&
		   set_number(ctx, "outgoing-range:",
			   (uint64_t)limit(descriptors / 2, SOCKETS_LEAST, SOCKETS_MOST)) &&
		   set_number(ctx, "outgoing-num-tcp:",
			   (uint64_t)limit(descriptors / 16, 2, TCP_MOST));
	for (size_t i = 0; s->insecure && s->insecure[i]; i++)
		is_good &= ub_ctx_set_option(ctx, "domain-insecure:", s->insecure[i]) == UB_NOERROR;
	if (!is_good)
		return err_set(err, ERR_SYSTEM, "libunbound %s does not know our options",
			ub_version());
	return 0;
}

static int set_servers(struct ub_ctx *ctx, const struct dns_settings *s, struct err *err)
{
	for (size_t i = 0; s->forward && s->forward[i]; i++)
		if (ub_ctx_set_fwd(ctx, s->forward[i]) != UB_NOERROR)
			return err_set(err, ERR_INPUT, "forward: \"%.60s\" is no address",
				s->forward[i]);
	for (size_t i = 0; i < s->stub_count; i++) {
		const struct dns_stub *stub = &s->stubs[i];
		for (size_t k = 0; stub->servers && stub->servers[k]; k++)
			if (ub_ctx_set_stub(ctx, stub->zone, stub->servers[k], 0) != UB_NOERROR)
				return err_set(err, ERR_INPUT,
					"stub \"%.120s\": \"%.60s\" is no address", stub->zone,
					stub->servers[k]);
	}
	return 0;
}

static int set_anchors(struct ub_ctx *ctx, const char *text, struct err *err)
{
	struct dns_anchor anchor = { .left = str_of(text) };
	int count = 0, result;
	while ((result = dns_anchor_next(&anchor, err)) == 1) {
		ub_ctx_add_ta(ctx, buf_text(&anchor.record));
		count++;
	}
	buf_release(&anchor.record);
	if (result == 0 && count == 0)
		return err_set(err, ERR_INPUT, "there is no record among the trust anchors");
	return result;
}

static bool is_below(const char *name, const char *zone)
{
	size_t length = strlen(name), zone_length = strlen(zone);
	if (length < zone_length || strcasecmp(name + length - zone_length, zone) != 0)
		return false;
	return length == zone_length || name[length - zone_length - 1] == '.';
}

/* Names that libunbound answers by itself, with "there is no such name" (RFC 6761, RFC 8375, RFC
 * 7686). Good, except where an operator says who has to be asked. The first of these calls
 * finalises the context. */
static int finalize(struct dns_unbound *u, const struct dns_settings *s, struct err *err)
{
	static const char *const own[] = { "test", "invalid", "onion", "home.arpa", "localhost" };
	/* of a zone that is not there: only to finalise */
	int result = ub_ctx_zone_remove(u->ctx, "nothing.invalid");
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		for (size_t k = 0; result == UB_NOERROR && k < s->stub_count; k++)
			if (strcmp(s->stubs[k].zone, ".") == 0 || is_below(s->stubs[k].zone, own[i]))
				result = ub_ctx_zone_remove(u->ctx, own[i]);
	if (result == UB_NOERROR)
		return 0;
	return err_set(err, ERR_INPUT, "the resolver cannot start: %s",
		u->words[0] ? said(u) : ub_strerror(result));
}

struct dns_unbound *dns_unbound_new(struct tlsio_loop *loop, const struct dns_settings *settings,
	unsigned lookups_most, struct err *err)
{
	struct dns_unbound *u = mem_zero(sizeof(*u));
	list_init(&u->calls);
	u->log = open_log(u);
	u->base = dns_event_base_new(loop);
	u->ctx = ub_ctx_create_ub_event(dns_event_base_table(u->base));
	if (!u->ctx) {
		err_set(err, ERR_SYSTEM, "libunbound gives no context");
		dns_unbound_free(&u);
		return NULL;
	}
	ub_ctx_debugout(u->ctx, u->log); /* NULL: it says nothing anywhere */
	if (set_options(u->ctx, settings, lookups_most, err) < 0 ||
		set_servers(u->ctx, settings, err) < 0 ||
		(settings->anchor_text && set_anchors(u->ctx, settings->anchor_text, err) < 0) ||
		finalize(u, settings, err) < 0)
		dns_unbound_free(&u);
	else
		u->words[0] = '\0';
	return u;
}

void dns_unbound_free(struct dns_unbound **punbound)
{
	struct dns_unbound *u = *punbound;
	struct list *node;
	*punbound = NULL;
	if (!u)
		return;
	u->is_closing = true;
	ub_ctx_delete(u->ctx);
	if (u->log)
		fclose(u->log);
	dns_event_base_free(&u->base);
	while ((node = list_first(&u->calls))) {
		list_remove(node);
		free(LIST_OWNER(node, struct call, link));
	}
	free(u);
}
