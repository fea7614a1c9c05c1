#include "tests/fakes/fake_dns.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "libtlsio/base/arena.h"
#include "libtlsio/base/codec.h"
#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"

enum { ALIASES_MOST = 16, TIMEOUT_MS = 10000, FOUND_TTL_S = 3600, NONE_TTL_S = 60 };

struct entry {
	UT_hash_handle hh;
	char key[DNS_NAME_BYTES + 16]; /* "type name" */
	struct arena arena;
	struct dns_answer answer;
	size_t count;
	bool is_set;
	bool is_silent;
	bool is_held;
};

struct alias {
	UT_hash_handle hh;
	char name[DNS_NAME_BYTES];
	char target[DNS_NAME_BYTES];
	enum dns_security security;
};

struct dns {
	struct tlsio_loop *loop;
	struct entry *entries;
	struct alias *aliases;
	struct list questions;
	struct dns_answer other;
	int64_t timeout_ms;
	size_t count;
	size_t in_flight;
};

struct dns_question {
	struct list link;
	struct dns *dns;
	char name[DNS_NAME_BYTES];
	enum dns_type type;
	struct tlsio_turn turn;
	struct tlsio_timer timer;
	void (*on_answer)(void *ctx, const struct dns_answer *answer);
	void *ctx;
};

static void lower(const char *name, char into[DNS_NAME_BYTES])
{
	snprintf(into, DNS_NAME_BYTES, "%s", name);
	str_lower_in_place(into, strlen(into));
}

static struct entry *find(struct dns *dns, const char *name, enum dns_type type, bool may_add)
{
	char key[sizeof(((struct entry *)0)->key)], folded[DNS_NAME_BYTES];
	struct entry *e;
	lower(name, folded);
	snprintf(key, sizeof(key), "%d %s", (int)type, folded);
	HASH_FIND_STR(dns->entries, key, e);
	if (e || !may_add)
		return e;
	e = mem_zero(sizeof(*e));
	memcpy(e->key, key, sizeof(key));
	HASH_ADD_STR(dns->entries, key, e);
	return e;
}

struct dns *dns_new(struct tlsio_loop *loop, const struct dns_settings *settings, struct err *err)
{
	(void)err;
	struct dns *dns = mem_zero(sizeof(*dns));
	dns->loop = loop;
	dns->timeout_ms = settings && settings->timeout_ms ? settings->timeout_ms : TIMEOUT_MS;
	list_init(&dns->questions);
	fake_dns_set_default(dns, DNS_NO_NAME, DNS_INSECURE);
	return dns;
}

void dns_free(struct dns **pdns)
{
	struct dns *dns = *pdns;
	*pdns = NULL;
	if (!dns)
		return;
	assert(list_is_empty(&dns->questions)); /* dns.h: cancelled before */
	struct entry *e, *e_next;
	HASH_ITER (hh, dns->entries, e, e_next) {
		HASH_DEL(dns->entries, e);
		arena_clear(&e->arena);
		free(e);
	}
	struct alias *a, *a_next;
	HASH_ITER (hh, dns->aliases, a, a_next) {
		HASH_DEL(dns->aliases, a);
		free(a);
	}
	free(dns);
}

static struct alias *find_alias(struct dns *dns, const char *name)
{
	char folded[DNS_NAME_BYTES];
	struct alias *a;
	lower(name, folded);
	HASH_FIND_STR(dns->aliases, folded, a);
	return a;
}

/* Follows the aliases of name; the weakest link's security. */
static const char *follow(struct dns *dns, const struct dns_question *q, enum dns_security *ret)
{
	const char *name = q->name;
	struct alias *a;
	*ret = DNS_SECURE;
	for (int i = 0; i < ALIASES_MOST && q->type != DNS_CNAME; i++) {
		if (!(a = find_alias(dns, name)))
			break;
		if (a->security != DNS_SECURE)
			*ret = a->security;
		name = a->target;
	}
	return name;
}

static void end_question(struct dns_question *q)
{
	list_remove(&q->link);
	tlsio_turn_cancel(&q->turn);
	tlsio_timer_stop(&q->timer);
	q->dns->in_flight--;
}

static void deliver(struct dns_question *q, const struct dns_answer *answer)
{
	end_question(q);
	q->on_answer(q->ctx, answer);
	free(q);
}

static void on_timeout(void *ctx)
{
	struct dns_question *q = ctx;
	char why[80];
	snprintf(why, sizeof(why), "no answer within %lld s", (long long)(q->dns->timeout_ms / 1000));
	struct dns_answer answer = { .result = DNS_FAILED, .canonical = q->name, .why = why };
	deliver(q, &answer);
}

static void on_turn(void *ctx)
{
	struct dns_question *q = ctx;
	enum dns_security chain;
	const char *name = follow(q->dns, q, &chain);
	struct entry *e = find(q->dns, name, q->type, false);
	if (e && e->is_held)
		return;
	if (e && e->is_silent) {
		tlsio_timer_start(&q->timer, q->dns->timeout_ms);
		return;
	}
	struct dns_answer answer = e && e->is_set ? e->answer : q->dns->other;
	if (name != q->name) {
		answer.is_alias = true;
		answer.canonical = name;
		if (chain != DNS_SECURE && answer.security == DNS_SECURE)
			answer.security = chain;
	}
	if (!answer.canonical)
		answer.canonical = q->name;
	if (!answer.why)
		answer.why = "";
	deliver(q, &answer);
}

struct dns_question *dns_ask(struct dns *dns, const char *name, enum dns_type type,
	void (*on_answer)(void *ctx, const struct dns_answer *answer), void *ctx)
{
	struct dns_question *q = mem_zero(sizeof(*q));
	q->dns = dns;
	q->type = type;
	q->on_answer = on_answer;
	q->ctx = ctx;
	lower(name, q->name);
	find(dns, name, type, true)->count++;
	dns->count++;
	dns->in_flight++;
	list_push_back(&dns->questions, &q->link);
	tlsio_timer_init(&q->timer, dns->loop, on_timeout, q);
	tlsio_turn_init(&q->turn, dns->loop, on_turn, q);
	tlsio_turn_request(&q->turn);
	return q;
}

void dns_cancel(struct dns_question **question)
{
	struct dns_question *q = *question;
	*question = NULL;
	if (!q)
		return;
	end_question(q);
	free(q);
}

static struct entry *set(struct dns *dns, const char *name, enum dns_type type)
{
	struct entry *e = find(dns, name, type, true);
	arena_clear(&e->arena);
	e->answer = (struct dns_answer){ .why = "" };
	e->is_set = true;
	e->is_silent = false;
	return e;
}

static struct str bytes_of(struct arena *arena, const void *bytes, size_t length)
{
	return arena_str(arena, str_from(bytes, length));
}

static const char *name_of(struct arena *arena, struct str text)
{
	if (text.length > 1 && text.at[text.length - 1] == '.')
		text.length--;
	char *name = arena_text(arena, text);
	str_lower_in_place(name, strlen(name));
	return name;
}

static struct str tlsa_of(struct arena *arena, struct str text)
{
	unsigned char bytes[4096];
	size_t used = 0;
	for (int i = 0; i < 3; i++) {
		uint64_t number;
		bool is_number = str_to_u64(str_next_word(&text), 255, &number);
		assert(is_number);
		bytes[used++] = (unsigned char)number;
	}
	struct str hex = str_trim(text);
	assert(hex.length / 2 <= sizeof(bytes) - used);
	bool is_hex = codec_unhex(hex, bytes + used, hex.length / 2);
	assert(is_hex);
	return bytes_of(arena, bytes, used + hex.length / 2);
}

static struct str address_of(struct arena *arena, int family, struct str text)
{
	unsigned char bytes[16];
	int is_address = inet_pton(family, arena_text(arena, str_trim(text)), bytes);
	assert(is_address == 1);
	return bytes_of(arena, bytes, family == AF_INET ? 4 : 16);
}

static void read_record(struct arena *arena, enum dns_type type, struct str text,
	struct dns_record *ret)
{
	uint64_t preference;
	switch (type) {
	case DNS_A:
	case DNS_AAAA:
		ret->data = address_of(arena, type == DNS_A ? AF_INET : AF_INET6, text);
		break;
	case DNS_MX: {
		bool is_number = str_to_u64(str_next_word(&text), 65535, &preference);
		assert(is_number);
		ret->preference = (unsigned)preference;
		ret->name = name_of(arena, str_trim(text));
		break;
	}
	case DNS_CNAME:
		ret->name = name_of(arena, str_trim(text));
		break;
	case DNS_TLSA:
		ret->data = tlsa_of(arena, text);
		break;
	case DNS_TXT:
		ret->data = arena_str(arena, text);
		break;
	}
}

void fake_dns_set(struct dns *dns, const char *name, enum dns_type type, enum dns_security security,
	const char *records)
{
	struct entry *e = set(dns, name, type);
	struct str all = str_of(records), one;
	size_t most = 1;
	for (const char *p = records; *p; p++)
		most += *p == '|';
	struct dns_record *list = arena_alloc(&e->arena, most * sizeof(*list));
	size_t count = 0;
	while (str_split(&all, '|', &one))
		read_record(&e->arena, type, one, &list[count++]);
	e->answer.result = DNS_FOUND;
	e->answer.security = security;
	e->answer.records = list;
	e->answer.count = count;
	e->answer.ttl_s = FOUND_TTL_S;
}

void fake_dns_set_none(struct dns *dns, const char *name, enum dns_type type, enum dns_result result,
	enum dns_security security)
{
	assert(result == DNS_NO_DATA || result == DNS_NO_NAME);
	struct entry *e = set(dns, name, type);
	e->answer.result = result;
	e->answer.security = security;
	e->answer.ttl_s = NONE_TTL_S;
}

void fake_dns_set_failed(struct dns *dns, const char *name, enum dns_type type, bool is_bogus,
	const char *why)
{
	struct entry *e = set(dns, name, type);
	e->answer.result = DNS_FAILED;
	e->answer.security = is_bogus ? DNS_BOGUS : DNS_INSECURE;
	e->answer.why = arena_text(&e->arena, str_of(why));
}

void fake_dns_set_answer(struct dns *dns, const char *name, enum dns_type type,
	const struct dns_answer *answer)
{
	struct entry *e = set(dns, name, type);
	struct dns_record *list = arena_alloc(&e->arena, (answer->count + 1) * sizeof(*list));
	for (size_t i = 0; i < answer->count; i++) {
		list[i] = answer->records[i];
		list[i].data = arena_str(&e->arena, list[i].data);
		if (list[i].name)
			list[i].name = arena_text(&e->arena, str_of(list[i].name));
	}
	e->answer = *answer;
	e->answer.records = list;
	if (answer->canonical)
		e->answer.canonical = arena_text(&e->arena, str_of(answer->canonical));
	if (answer->why)
		e->answer.why = arena_text(&e->arena, str_of(answer->why));
}

void fake_dns_set_silent(struct dns *dns, const char *name, enum dns_type type)
{
	set(dns, name, type)->is_silent = true;
}

void fake_dns_set_ttl(struct dns *dns, const char *name, enum dns_type type, uint32_t ttl_s)
{
	struct entry *e = find(dns, name, type, false);
	assert(e && e->is_set);
	e->answer.ttl_s = ttl_s;
}

void fake_dns_set_age(struct dns *dns, const char *name, enum dns_type type, int64_t age_s)
{
	struct entry *e = find(dns, name, type, false);
	assert(e && e->is_set);
	e->answer.age_s = age_s;
}

void fake_dns_set_alias(struct dns *dns, const char *name, const char *target,
	enum dns_security security)
{
	struct alias *a = find_alias(dns, name);
	if (!a) {
		a = mem_zero(sizeof(*a));
		lower(name, a->name);
		HASH_ADD_STR(dns->aliases, name, a);
	}
	lower(target, a->target);
	a->security = security;
	fake_dns_set(dns, name, DNS_CNAME, security, target);
}

void fake_dns_set_default(struct dns *dns, enum dns_result result, enum dns_security security)
{
	assert(result != DNS_FOUND);
	dns->other = (struct dns_answer){
		.result = result,
		.security = security,
		.ttl_s = result == DNS_FAILED ? 0 : NONE_TTL_S,
		.why = result == DNS_FAILED ? "SERVFAIL" : "",
	};
}

void fake_dns_hold(struct dns *dns, const char *name, enum dns_type type)
{
	find(dns, name, type, true)->is_held = true;
}

void fake_dns_release(struct dns *dns, const char *name, enum dns_type type)
{
	find(dns, name, type, true)->is_held = false;
	/* those that wait for something else wait on: on_turn looks again */
	LIST_EACH (node, &dns->questions) {
		struct dns_question *q = LIST_OWNER(node, struct dns_question, link);
		if (!tlsio_timer_is_active(&q->timer))
			tlsio_turn_request(&q->turn);
	}
}

size_t fake_dns_count(struct dns *dns, const char *name, enum dns_type type)
{
	struct entry *e = find(dns, name, type, false);
	return e ? e->count : 0;
}

size_t fake_dns_count_all(const struct dns *dns)
{
	return dns->count;
}

void fake_dns_reset_counts(struct dns *dns)
{
	struct entry *e, *next;
	HASH_ITER (hh, dns->entries, e, next)
		e->count = 0;
	dns->count = 0;
}

size_t fake_dns_in_flight(const struct dns *dns)
{
	return dns->in_flight;
}
