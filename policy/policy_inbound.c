#include "policy/policy_inbound.h"

#include <assert.h>
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

/* One hash table for all networks and a note which prefix lengths occur: a question costs one
 * look per occurring length, longest first, however many networks there are. */
struct policy_inbound {
	unsigned references;
	struct client_entry *clients;
	size_t ipv4_count[PREFIX_COUNT];
	size_t ipv6_count[PREFIX_COUNT];
	struct policy_domain_table *sender_domains;
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
	return p;
}

static void copy_demand(struct policy_inbound_demand *into,
	const struct policy_inbound_demand *from)
{
	*into = *from;
	into->names = from->name_count ? mem_array(from->name_count, sizeof(*into->names)) : NULL;
	for (size_t i = 0; i < from->name_count; i++)
		into->names[i] = mem_dup(from->names[i]);
	into->pins = NULL;
	if (from->pin_count) {
		into->pins = mem_array(from->pin_count, sizeof(*into->pins));
		memcpy(into->pins, from->pins, from->pin_count * sizeof(*into->pins));
	}
	into->source = mem_dup(from->source);
}

static void clear_demand(struct policy_inbound_demand *demand)
{
	for (size_t i = 0; i < demand->name_count; i++)
		free(demand->names[i]);
	free(demand->names);
	free(demand->pins);
	free(demand->source);
}

static void free_demand(void *value)
{
	clear_demand(value);
	free(value);
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
	copy_demand(&e->client.demand, &client->demand);
	HASH_ADD(hh, p->clients, key, sizeof(e->key), e);
	(net->address.family == NETADDR_IPV4 ? p->ipv4_count : p->ipv6_count)[net->prefix_bits]++;
	return 0;
}

int policy_inbound_add_sender_domain(struct policy_inbound *p, struct str domain,
	const struct policy_inbound_demand *demand, struct err *err)
{
	char pattern[POLICY_DOMAIN_BYTES];
	if (policy_domain_parse_pattern(domain, pattern, err) < 0)
		return -1;
	struct policy_inbound_demand *copy = mem_zero(sizeof(*copy));
	copy_demand(copy, demand);
	if (policy_domain_table_add(p->sender_domains, pattern, copy))
		return 0;
	free_demand(copy);
	return err_set(err, ERR_INPUT,
		"sender domain \"%s\" has a rule already: say each domain once", pattern);
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
		clear_demand(&e->client.demand);
		free(e);
	}
	policy_domain_table_free(&p->sender_domains, free_demand);
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

/* TLS has made sure that the peer holds the leaf's key, whoever signed the certificate. */
static bool has_pinned_key(const struct tlsio_peer *peer, const struct policy_pin *pins,
	size_t count)
{
	for (size_t i = 0; peer->chain_count && i < count; i++) {
		if (memcmp(peer->chain[0].spki_sha256, pins[i].spki_sha256, 32) == 0)
			return true;
	}
	return false;
}

/* matched_name speaks of names a client asks for; here the peer is the client. */
static bool has_proven_name(const struct tlsio_peer *peer, char *const *names, size_t count)
{
	if (peer->chain_count == 0 || peer->chain_faults != 0)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (tlsio_peer_has_name(peer, names[i]))
			return true;
	}
	return false;
}

bool policy_inbound_may_relay(const struct policy_inbound *p, const struct netaddr *client,
	const struct tlsio_peer *peer)
{
	const struct policy_inbound_client *c = find_client(p, client);
	if (c && c->may_relay)
		return true;
	return peer && (has_pinned_key(peer, p->relay_pins, p->relay_pin_count) ||
			       has_proven_name(peer, p->relay_names, p->relay_name_count));
}

bool policy_inbound_issues_tickets(const struct policy_inbound *p, const struct netaddr *client)
{
	const struct policy_inbound_client *c = find_client(p, client);
	return !c || !c->no_tickets;
}

__attribute__((format(printf, 4, 5))) static bool refuse(struct policy_inbound_refusal *ret,
	int code, const char *enhanced, const char *format, ...)
{
	ret->code = code;
	ret->enhanced = enhanced;
	va_list args;
	va_start(args, format);
	vsnprintf(ret->text, sizeof(ret->text), format, args);
	va_end(args);
	for (char *c = ret->text; *c; c++)
		*c = (*c >= ' ' && *c < 0x7f) ? *c : '?';
	return false;
}

static bool refuse_certificate(const struct policy_inbound_demand *d, const struct tlsio_peer *peer,
	const char *whose, struct policy_inbound_refusal *ret)
{
	if (peer->chain_count == 0)
		return refuse(ret, 554, "5.7.1",
			"Our rule for %s demands a client certificate and you showed none", whose);
	if (peer->chain_faults != 0) {
		char faults[120];
		tlsio_chain_faults_text(peer->chain_faults, faults, sizeof(faults));
		return refuse(ret, 554, "5.7.1",
			"Our rule for %s demands a client certificate and yours is not accepted: %s",
			whose, faults);
	}
	char names[120];
	tlsio_peer_names_text(peer, names, sizeof(names));
	return refuse(ret, 554, "5.7.1",
		"Our rule for %s demands another client certificate%s; yours is for [%s]", whose,
		d->name_count ? " (its name)" : " (its key)", names);
}

static bool meets(const struct policy_inbound_demand *d, const struct tlsio_peer *peer,
	const char *whose, struct policy_inbound_refusal *ret)
{
	/* RFC 3207 section 4: 530 before TLS; section 4.1: 554 when TLS is too weak. */
	if (!peer && (d->requires_tls || d->minimum || d->requires_certificate))
		return refuse(ret, 530, "5.7.0",
			"Must issue a STARTTLS command first: our rule for %s demands TLS", whose);
	if (!peer)
		return true;
	if (peer->version < d->minimum)
		return refuse(ret, 554, "5.7.0", "Our rule for %s demands %s and you speak %s",
			whose, tlsio_version_name(d->minimum), tlsio_version_name(peer->version));
	if (!d->requires_certificate)
		return true;
	bool any_verified = d->name_count == 0 && d->pin_count == 0;
	if (any_verified && peer->chain_count && peer->chain_faults == 0)
		return true;
	if (has_pinned_key(peer, d->pins, d->pin_count) ||
		has_proven_name(peer, d->names, d->name_count))
		return true;
	return refuse_certificate(d, peer, whose, ret);
}

bool policy_inbound_may_send(const struct policy_inbound *p, const struct netaddr *client,
	const struct tlsio_peer *peer, struct str sender_domain,
	struct policy_inbound_refusal *ret_refusal)
{
	char whose[128], ip[NETADDR_TEXT_BYTES];
	const struct policy_inbound_client *c = find_client(p, client);
	if (c) {
		snprintf(whose, sizeof(whose), "clients in %s/%u",
			netaddr_format_ip(&c->net.address, ip), (unsigned)c->net.prefix_bits);
		if (!meets(&c->demand, peer, whose, ret_refusal))
			return false;
	}
	const struct policy_inbound_demand *d = NULL;
	/* <> has no domain: rules of sender domains, "*" too, do not speak of it, or no bounce
	 * of a server without TLS would ever arrive. */
	if (sender_domain.length > 0)
		d = policy_domain_table_find(p->sender_domains, sender_domain);
	if (!d)
		return true;
	snprintf(whose, sizeof(whose), "mail from %.*s",
		(int)(sender_domain.length > 100 ? 100 : sender_domain.length), sender_domain.at);
	return meets(d, peer, whose, ret_refusal);
}
