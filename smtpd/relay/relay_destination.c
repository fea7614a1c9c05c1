#include "smtpd/relay/relay_destination.h"

#include <idn2.h>
#include <stdio.h>
#include <stdlib.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/base/netaddr.h"

static struct relay_destination *make(const char *domain, struct policy_requirement *requirement)
{
	struct relay_destination *d = mem_zero(sizeof(*d));
	d->references = 1;
	d->requirement = policy_requirement_ref(requirement);
	d->domain = mem_dup("");
	d->rule_domain = mem_dup(domain);
	return d;
}

/* A host as people write it -> the A-label or address that is dialled; NULL with err. */
static char *parse_host(struct str text, struct err *err)
{
	struct netaddr address;
	char *host = mem_dup_bytes(text.at, text.length);
	if (text.length == 0 || text.length > 253 || str_find(text, '/') < text.length) {
		err_set(err, ERR_INPUT, "\"%s\" is not a host name", host);
		free(host);
		return NULL;
	}
	if (netaddr_parse(text, 1, &address, NULL) == 0)
		return host;
	char *ascii = NULL;
	int rc = idn2_lookup_u8((const uint8_t *)host, (uint8_t **)&ascii,
		IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (rc != IDN2_OK) {
		err_set(err, ERR_INPUT, "\"%s\" is not a host name: %s", host, idn2_strerror(rc));
		free(host);
		return NULL;
	}
	free(host);
	host = mem_dup(ascii);
	idn2_free(ascii);
	str_lower_in_place(host, strlen(host));
	if (strlen(host) > 1 && host[strlen(host) - 1] == '.')
		host[strlen(host) - 1] = '\0';
	return host;
}

/* "host", "host:port", "[address]", "[address]:port", a plain IPv6 address. */
static int parse_host_port(struct relay_destination *d, struct str text, uint16_t default_port,
	struct err *err)
{
	struct str host = text;
	struct str port = STR("");
	bool has_port = false;
	if (text.length > 0 && text.at[0] == '[') {
		size_t close = str_find(text, ']');
		struct str behind = close < text.length ? str_skip(text, close + 1) : STR("");
		if (close == text.length || (behind.length > 0 && behind.at[0] != ':'))
			return err_set(err, ERR_INPUT, "\"%.*s\" is not \"[address]\" or "
				"\"[address]:port\"", STR_ARGS(text));
		host = str_skip(str_head(text, close), 1);
		if (str_starts_nocase(host, STR("IPv6:")))
			host = str_skip(host, 5);
		struct netaddr address;
		if (netaddr_parse(host, 1, &address, err) < 0)
			return -1;
		has_port = behind.length > 0;
		port = has_port ? str_skip(behind, 1) : port;
	} else if (str_find(text, ':') == str_find_last(text, ':') &&
		str_find(text, ':') < text.length) {
		host = str_head(text, str_find(text, ':'));
		port = str_skip(text, host.length + 1);
		has_port = true;
	}
	uint64_t number = default_port;
	if (has_port && (!str_to_u64(port, 65535, &number) || number == 0))
		return err_set(err, ERR_INPUT, "\"%.*s\" is not a port (1 to 65535)",
			STR_ARGS(port));
	if (number == 0)
		return err_set(err, ERR_INPUT, "\"%.*s\" lacks a port: write \"host:port\"",
			STR_ARGS(text));
	d->port = (uint16_t)number;
	d->host = parse_host(host, err);
	return d->host ? 0 : -1;
}

/* "[192.0.2.1]" as a recipient's domain is the host itself (RFC 5321 section 2.3.5). */
static int take_literal(struct relay_destination *d, const char *domain, struct err *err)
{
	d->by_mx = false;
	free(d->domain);
	d->domain = mem_dup("");
	return parse_host_port(d, str_of(domain), 25, err);
}

static int parse_mx(struct relay_destination *d, struct str rest, struct err *err)
{
	struct netaddr address;
	const char *own = d->rule_domain;
	d->by_mx = true;
	d->port = 25;
	if (rest.length == 0 && own[0] == '[')
		return take_literal(d, own, err);
	if (rest.length == 0) {
		free(d->domain);
		d->domain = mem_dup(own);
		return 0;
	}
	if (str_find(rest, ':') < rest.length || rest.at[0] == '[' ||
		netaddr_parse(rest, 25, &address, NULL) == 0)
		return err_set(err, ERR_INPUT, "\"mx\" wants a domain whose MX hosts take the mail "
			"(on port 25), not \"%.*s\": for one host write \"smtp host:port\"",
			STR_ARGS(rest));
	char *domain = parse_host(rest, err);
	if (!domain)
		return -1;
	free(d->domain);
	d->domain = domain;
	return 0;
}

static int parse_smtp(struct relay_destination *d, struct str rest, struct err *err)
{
	return parse_host_port(d, rest, 25, err);
}

static int parse_smtps(struct relay_destination *d, struct str rest, struct err *err)
{
	d->implicit_tls = true;
	if (d->requirement && d->requirement->level == POLICY_LEVEL_NONE)
		return err_set(err, ERR_INPUT, "\"smtps\" is TLS from the first byte, but the rule "
			"for this domain (%s) says never TLS", d->requirement->source);
	return parse_host_port(d, rest, 465, err);
}

static int parse_path(struct relay_destination *d, struct str path, const char *what,
	struct err *err)
{
	if (path.length == 0 || path.at[0] != '/' || path.length > 3000 ||
		str_find(path, '\0') < path.length)
		return err_set(err, ERR_INPUT, "%s wants an absolute path, not \"%.*s\"", what,
			STR_ARGS(path));
	d->path = mem_dup_bytes(path.at, path.length);
	return 0;
}

/* A socket of this machine has no network that a rule could be about. */
static void exempt(struct relay_destination *d)
{
	static const struct policy_requirement none = { .level = POLICY_LEVEL_NONE,
		.source = (char *)(uintptr_t) "the route to a socket of this machine" };
	if (!d->requirement)
		return;
	policy_requirement_unref(&d->requirement);
	d->requirement = policy_requirement_new(&none);
}

static int parse_lmtp(struct relay_destination *d, struct str rest, struct err *err)
{
	if (!str_starts(rest, STR("unix:")))
		return parse_host_port(d, rest, 24, err);
	if (rest.length - 5 > 107)
		return err_set(err, ERR_INPUT, "a unix socket's path has at most 107 bytes");
	exempt(d);
	return parse_path(d, str_skip(rest, 5), "\"lmtp unix:\"", err);
}

/* Only %d, %u and %% are known, so that a later word may get a meaning without surprises. */
static int parse_maildir(struct relay_destination *d, struct str rest, struct err *err)
{
	for (size_t i = 0; i < rest.length; i++) {
		if (rest.at[i] != '%')
			continue;
		char next = i + 1 < rest.length ? rest.at[++i] : '\0';
		if (next != 'd' && next != 'u' && next != '%')
			return err_set(err, ERR_INPUT, "a maildir path knows %%d (domain), %%u "
				"(local part) and %%%%, not \"%%%c\"", next ? next : ' ');
	}
	return parse_path(d, rest, "\"maildir\"", err);
}

static int parse_refuse(struct relay_destination *d, struct str rest, struct err *err)
{
	(void)err;
	d->text = rest.length ? mem_dup_bytes(rest.at, rest.length) :
				mem_dup("5.7.1 mail for this address is not accepted");
	return 0;
}

static void append_words(const struct relay_destination *d, struct buf *words)
{
	static const char *const transports[] = { "smtp", "lmtp", "maildir", "refuse" };
	buf_append_text(words, d->by_mx ? "mx" : d->implicit_tls ? "smtps" :
		transports[d->transport]);
	if (d->by_mx)
		buf_printf(words, " %s", d->domain);
	if (d->host)
		buf_printf(words, str_find(str_of(d->host), ':') < strlen(d->host) ? " [%s]:%u" :
			" %s:%u", d->host, d->port);
	if (d->path)
		buf_printf(words, d->transport == RELAY_LMTP ? " unix:%s" : " %s", d->path);
	if (d->text)
		buf_printf(words, " %s", d->text);
}

char *relay_destination_words(const struct relay_destination *d)
{
	struct buf words = { 0 };
	append_words(d, &words);
	return buf_take(&words);
}

bool relay_destination_is_planned(const struct relay_destination *d)
{
	return d->by_mx || (d->host && d->requirement &&
		d->requirement->level >= POLICY_LEVEL_DANE);
}

struct policy_question relay_destination_question(const struct relay_destination *d)
{
	return (struct policy_question){ .kind = d->by_mx ? POLICY_BY_MX : POLICY_BY_HOST,
		.rule_domain = d->rule_domain, .next_hop = d->by_mx ? d->domain : d->host,
		.port = d->port };
}

/* What tells two destinations apart: the next hop and what is demanded of it. */
static void set_key(struct relay_destination *d)
{
	struct buf key = { 0 };
	append_words(d, &key);
	if (d->by_mx || relay_destination_is_planned(d))
		buf_printf(&key, " %s", d->rule_fingerprint); /* of the whole rule: DANE and MTA-STS */
	else if (d->requirement && (d->transport == RELAY_SMTP || d->transport == RELAY_LMTP))
		buf_printf(&key, " %s/%s", policy_level_name(d->requirement->level),
			d->requirement->fingerprint);
	d->key = buf_take(&key);
}

static struct relay_destination *parse(struct relay_destination *d, struct str words,
	struct err *err)
{
	static const struct {
		const char *word;
		enum relay_transport transport;
		int (*parse)(struct relay_destination *d, struct str rest, struct err *err);
	} known[] = {
		{ "mx", RELAY_SMTP, parse_mx },
		{ "smtp", RELAY_SMTP, parse_smtp },
		{ "smtps", RELAY_SMTP, parse_smtps },
		{ "lmtp", RELAY_LMTP, parse_lmtp },
		{ "maildir", RELAY_MAILDIR, parse_maildir },
		{ "refuse", RELAY_REFUSE, parse_refuse },
	};
	struct str rest = words;
	struct str word = str_next_word(&rest);
	rest = str_trim(rest);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!str_equal_nocase(word, str_of(known[i].word)))
			continue;
		d->transport = known[i].transport;
		if (known[i].parse(d, rest, err) < 0) {
			relay_destination_unref(&d);
			return NULL;
		}
		set_key(d);
		return d;
	}
	relay_destination_unref(&d);
	err_set(err, ERR_INPUT,
		"\"%.*s\" is no route: write \"mx\", \"mx domain\", \"smtp host:port\", \"smtps host:465\", \"lmtp unix:/path\", \"lmtp host:port\", \"maildir /path\" or \"refuse words\"",
		words.length < 80 ? (int)words.length : 80, words.at);
	return NULL;
}

struct relay_destination *relay_destination_parse(struct str words,
	struct policy_requirement *requirement, struct err *err)
{
	return parse(make("", requirement), words, err);
}

struct relay_destination *relay_destination_new(struct str words, const char *domain,
	const struct policy_rule *rule, struct err *err)
{
	struct relay_destination *d = make(domain, rule->requirement);
	memcpy(d->rule_fingerprint, rule->fingerprint, sizeof(d->rule_fingerprint));
	d->until_s = rule->until_s;
	return parse(d, words, err);
}

struct relay_destination *relay_destination_ref(struct relay_destination *d)
{
	d->references++;
	return d;
}

void relay_destination_unref(struct relay_destination **destination)
{
	struct relay_destination *d = *destination;
	if (!d)
		return;
	*destination = NULL;
	if (--d->references > 0)
		return;
	if (d->requirement)
		policy_requirement_unref(&d->requirement);
	free(d->key);
	free(d->host);
	free(d->domain);
	free(d->rule_domain);
	free(d->path);
	free(d->text);
	free(d);
}
