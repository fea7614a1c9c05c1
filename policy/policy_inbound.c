#include "policy/policy_inbound.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"
#include "policy/policy_domain.h"

#define uthash_malloc(size) mem_alloc(size)
#include <uthash.h>

enum { PREFIX_COUNT = 129 };

/* Compared as bytes: no padding, unused bytes zero. */
struct net_key {
	uint8_t family;
	uint8_t prefix_bits;
	uint8_t bytes[16];
};

struct client_entry {
	UT_hash_handle hh;
	struct net_key key;
	struct policy_inbound_client client;
};

/* An MTA has few services. */
struct daemon_rule {
	char *name;    /* as written */
	uint16_t port; /* of ":587"; 0: a name */
	struct policy_inbound_demand *demand;
};

/* One hash table for all networks and a note which prefix lengths occur: a question costs one
 * look per occurring length, longest first, however many networks there are. */
struct policy_inbound {
	unsigned references;
	struct client_entry *clients;
	size_t ipv4_count[PREFIX_COUNT];
	size_t ipv6_count[PREFIX_COUNT];
	struct policy_domain_table *sender_domains;
	struct policy_domain_table *recipient_domains;
	struct policy_domain_table *client_names;
	struct daemon_rule *daemons;
	size_t daemon_count;
	bool has_recipients;
	unsigned modes; /* bits 1 << enum policy_inbound_mode */
	char **relay_names;
	size_t relay_name_count;
	struct policy_pin *relay_pins;
	size_t relay_pin_count;
};

struct policy_inbound *policy_inbound_new(void)
{
	struct policy_inbound *p = mem_zero(sizeof(*p));
	p->references = 1;
	p->sender_domains = policy_domain_table_new();
	p->recipient_domains = policy_domain_table_new();
	p->client_names = policy_domain_table_new();
	return p;
}

static void note_mode(struct policy_inbound *p, const struct policy_inbound_demand *demand)
{
	p->modes |= 1U << demand->mode;
}

bool policy_inbound_has_recipients(const struct policy_inbound *p)
{
	return p->has_recipients;
}

bool policy_inbound_has_mode(const struct policy_inbound *p, enum policy_inbound_mode mode)
{
	return p->modes & (1U << mode);
}

static struct net_key make_key(const struct netaddr *address, unsigned prefix_bits)
{
	struct netaddr masked = netaddr_mask(address, prefix_bits, prefix_bits);
	struct net_key key;
	memset(&key, 0, sizeof(key));
	key.family = masked.family;
	key.prefix_bits = (uint8_t)prefix_bits;
	memcpy(key.bytes, masked.bytes, masked.family == NETADDR_IPV4 ? 4 : 16);
	return key;
}

static struct client_entry *find_key(const struct policy_inbound *p, const struct net_key *key)
{
	struct client_entry *found;
	HASH_FIND(hh, p->clients, key, sizeof(*key), found);
	return found;
}

int policy_inbound_add_client(struct policy_inbound *p, const struct policy_inbound_client *client,
	struct err *err)
{
	const struct netaddr_net *net = &client->net;
	if (net->address.family != NETADDR_IPV4 && net->address.family != NETADDR_IPV6)
		return err_set(err, ERR_INPUT, "a client is an IP address or network");
	if (client->may_relay && net->prefix_bits == 0)
		return err_set(err, ERR_INPUT,
			"relay for every address of the Internet makes an open relay: name the "
			"networks that may relay");
	struct net_key key = make_key(&net->address, net->prefix_bits);
	if (find_key(p, &key))
		return err_set(err, ERR_INPUT, "this client network is there already: say it once");
	struct client_entry *e = mem_zero(sizeof(*e));
	e->key = key;
	e->client = *client;
	policy_inbound_demand_copy_into(&e->client.demand, &client->demand);
	note_mode(p, &client->demand);
	HASH_ADD(hh, p->clients, key, sizeof(e->key), e);
	(net->address.family == NETADDR_IPV4 ? p->ipv4_count : p->ipv6_count)[net->prefix_bits]++;
	return 0;
}

static int add_pattern(struct policy_inbound *p, struct policy_domain_table *table, const char *kind,
	struct str domain, const struct policy_inbound_demand *demand, struct err *err)
{
	char pattern[POLICY_DOMAIN_BYTES];
	if (policy_domain_parse_pattern(domain, pattern, err) < 0)
		return -1;
	struct policy_inbound_demand *copy = policy_inbound_demand_copy(demand);
	note_mode(p, demand);
	if (policy_domain_table_add(table, pattern, copy))
		return 0;
	policy_inbound_demand_free(copy);
	return err_set(err, ERR_INPUT, "%s \"%s\" has a rule already: say each once", kind, pattern);
}

int policy_inbound_add_sender_domain(struct policy_inbound *p, struct str domain,
	const struct policy_inbound_demand *demand, struct err *err)
{
	return add_pattern(p, p->sender_domains, "sender domain", domain, demand, err);
}

int policy_inbound_add_recipient_domain(struct policy_inbound *p, struct str domain,
	const struct policy_inbound_demand *demand, struct err *err)
{
	if (add_pattern(p, p->recipient_domains, "recipient domain", domain, demand, err) < 0)
		return -1;
	p->has_recipients = true;
	return 0;
}

int policy_inbound_add_client_name(struct policy_inbound *p, struct str name,
	const struct policy_inbound_demand *demand, struct err *err)
{
	if (str_equal(name, STR("*")))
		return err_set(err, ERR_INPUT,
			"a rule for every client is one for networks: client \"0.0.0.0/0\" and "
			"client \"::/0\"");
	return add_pattern(p, p->client_names, "client", name, demand, err);
}

int policy_inbound_add_daemon(struct policy_inbound *p, struct str daemon,
	const struct policy_inbound_demand *demand, struct err *err)
{
	uint64_t port = 0;
	if (daemon.length == 0)
		return err_set(err, ERR_INPUT, "the daemon has no name");
	if (daemon.at[0] == ':' && (!str_to_u64(str_skip(daemon, 1), 65535, &port) || port == 0))
		return err_set(err, ERR_INPUT,
			"a port is written \":587\", a daemon by its name \"smtps\"");
	for (size_t i = 0; i < p->daemon_count; i++) {
		const struct daemon_rule *d = &p->daemons[i];
		if (port ? d->port == port : !d->port && str_equal(str_of(d->name), daemon))
			return err_set(err, ERR_INPUT, "this daemon has a rule already: say it once");
	}
	p->daemons = mem_resize_array(p->daemons, p->daemon_count + 1, sizeof(*p->daemons));
	p->daemons[p->daemon_count++] = (struct daemon_rule){
		.name = mem_dup_bytes(daemon.at, daemon.length), .port = (uint16_t)port,
		.demand = policy_inbound_demand_copy(demand) };
	note_mode(p, demand);
	return 0;
}

void policy_inbound_add_relay_name(struct policy_inbound *p, const char *name)
{
	p->relay_names =
		mem_resize_array(p->relay_names, p->relay_name_count + 1, sizeof(*p->relay_names));
	p->relay_names[p->relay_name_count++] = mem_dup(name);
}

void policy_inbound_add_relay_pin(struct policy_inbound *p, const struct policy_pin *pin)
{
	p->relay_pins =
		mem_resize_array(p->relay_pins, p->relay_pin_count + 1, sizeof(*p->relay_pins));
	p->relay_pins[p->relay_pin_count++] = *pin;
}

struct policy_inbound *policy_inbound_ref(struct policy_inbound *p)
{
	p->references++;
	return p;
}

void policy_inbound_unref(struct policy_inbound **inbound)
{
	struct policy_inbound *p = *inbound;
	*inbound = NULL;
	if (!p || --p->references > 0)
		return;
	struct client_entry *e, *next;
	HASH_ITER(hh, p->clients, e, next) {
		HASH_DEL(p->clients, e);
		policy_inbound_demand_clear(&e->client.demand);
		free(e);
	}
	policy_domain_table_free(&p->sender_domains, policy_inbound_demand_free);
	policy_domain_table_free(&p->recipient_domains, policy_inbound_demand_free);
	policy_domain_table_free(&p->client_names, policy_inbound_demand_free);
	for (size_t i = 0; i < p->daemon_count; i++) {
		free(p->daemons[i].name);
		policy_inbound_demand_free(p->daemons[i].demand);
	}
	free(p->daemons);
	for (size_t i = 0; i < p->relay_name_count; i++)
		free(p->relay_names[i]);
	free(p->relay_names);
	free(p->relay_pins);
	free(p);
}

static const struct policy_inbound_client *find_client(const struct policy_inbound *p,
	const struct netaddr *address)
{
	if (address->family != NETADDR_IPV4 && address->family != NETADDR_IPV6)
		return NULL;
	bool is_ipv4 = address->family == NETADDR_IPV4;
	const size_t *counts = is_ipv4 ? p->ipv4_count : p->ipv6_count;
	for (int bits = is_ipv4 ? 32 : 128; bits >= 0; bits--) {
		if (counts[bits] == 0)
			continue;
		struct net_key key = make_key(address, (unsigned)bits);
		struct client_entry *e = find_key(p, &key);
		if (e)
			return &e->client;
	}
	return NULL;
}

bool policy_inbound_may_relay(const struct policy_inbound *p, const struct netaddr *client,
	const struct tlsio_peer *peer)
{
	const struct policy_inbound_client *c = find_client(p, client);
	if (c && c->may_relay)
		return true;
	struct policy_inbound_facts facts;
	policy_inbound_facts_of_peer(client, peer, &facts);
	return policy_inbound_shows_key(&facts, p->relay_pins, p->relay_pin_count) ||
		policy_inbound_shows_name(&facts, p->relay_names, p->relay_name_count);
}

bool policy_inbound_issues_tickets(const struct policy_inbound *p, const struct netaddr *client)
{
	const struct policy_inbound_client *c = find_client(p, client);
	return !c || !c->no_tickets;
}

/* ---- what is demanded ------------------------------------------------------------------------------ */

/* One question in the making: every rule that holds is asked, the strictest objection is kept. */
struct question {
	const struct policy_inbound_facts *facts;
	struct policy_inbound_refusal *refusal;
	bool is_refused;
};

__attribute__((format(printf, 3, 4))) static void ask(struct question *q,
	const struct policy_inbound_demand *demand, const char *format, ...)
{
	char whose[128];
	struct policy_inbound_refusal refusal = { 0 };
	va_list args;
	va_start(args, format);
	vsnprintf(whose, sizeof(whose), format, args);
	va_end(args);
	if (policy_inbound_demand_is_met(demand, q->facts, whose, &refusal))
		return;
	if (!q->is_refused || refusal.mode > q->refusal->mode)
		*q->refusal = refusal;
	q->is_refused = true;
}

static int cut(struct str text)
{
	return (int)(text.length > 100 ? 100 : text.length);
}

static void ask_client(struct question *q, const struct policy_inbound *p)
{
	char ip[NETADDR_TEXT_BYTES];
	const struct policy_inbound_client *c = find_client(p, &q->facts->client);
	if (c)
		ask(q, &c->demand, "clients in %s/%u", netaddr_format_ip(&c->net.address, ip),
			(unsigned)c->net.prefix_bits);
	struct str name = q->facts->client_name;
	const struct policy_inbound_demand *d =
		name.length ? policy_domain_table_find_named(p->client_names, name) : NULL;
	if (d)
		ask(q, d, "the client %.*s", cut(name), name.at);
}

static void ask_daemon(struct question *q, const struct policy_inbound *p)
{
	for (size_t i = 0; i < p->daemon_count; i++) {
		const struct daemon_rule *d = &p->daemons[i];
		if (d->port ? d->port == q->facts->port
			    : str_equal(str_of(d->name), q->facts->daemon))
			ask(q, d->demand, d->port ? "our port %.80s" : "our service %.80s",
				d->name + (d->port != 0));
	}
}

bool policy_inbound_may_send(const struct policy_inbound *p,
	const struct policy_inbound_facts *facts, struct str sender_domain,
	struct policy_inbound_refusal *ret_refusal)
{
	struct question q = { .facts = facts, .refusal = ret_refusal };
	ask_client(&q, p);
	ask_daemon(&q, p);
	/* <> has no domain: rules of sender domains, "*" too, do not speak of it, or no bounce
	 * of a server without TLS would ever arrive. */
	const struct policy_inbound_demand *d = NULL;
	if (sender_domain.length > 0)
		d = policy_domain_table_find(p->sender_domains, sender_domain);
	if (d)
		ask(&q, d, "mail from %.*s", cut(sender_domain), sender_domain.at);
	return !q.is_refused;
}

bool policy_inbound_may_receive(const struct policy_inbound *p,
	const struct policy_inbound_facts *facts, struct str recipient_domain,
	struct policy_inbound_refusal *ret_refusal)
{
	struct question q = { .facts = facts, .refusal = ret_refusal };
	const struct policy_inbound_demand *d = NULL;
	if (recipient_domain.length > 0)
		d = policy_domain_table_find(p->recipient_domains, recipient_domain);
	if (d)
		ask(&q, d, "mail to %.*s", cut(recipient_domain), recipient_domain.at);
	return !q.is_refused;
}

static void ask_each(void *ctx, const char *pattern, void *value)
{
	struct question *q = ctx;
	ask(q, value, "an address without a domain, which may be one of %.100s", pattern);
}

bool policy_inbound_may_send_bare(const struct policy_inbound *p,
	const struct policy_inbound_facts *facts, struct policy_inbound_refusal *ret_refusal)
{
	struct question q = { .facts = facts, .refusal = ret_refusal };
	ask_client(&q, p);
	ask_daemon(&q, p);
	policy_domain_table_each(p->sender_domains, ask_each, &q);
	return !q.is_refused;
}

bool policy_inbound_may_receive_bare(const struct policy_inbound *p,
	const struct policy_inbound_facts *facts, struct policy_inbound_refusal *ret_refusal)
{
	struct question q = { .facts = facts, .refusal = ret_refusal };
	policy_domain_table_each(p->recipient_domains, ask_each, &q);
	return !q.is_refused;
}
