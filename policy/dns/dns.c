#include "policy/dns/dns.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

#include "libtlsio/base/arena.h"
#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"
#include "policy/dns/dns_message.h"
#include "policy/dns/dns_unbound.h"

#define TIMEOUT_MS 10000

enum {
	LOOKUPS_MOST = 10000,
	QUESTIONS_MOST = 50000,
	KEY_BYTES = DNS_NAME_BYTES + 8,
};

struct dns {
	struct dns_unbound *unbound;
	struct tlsio_loop *loop;
	struct lookup *lookups; /* under way, by key */
	struct list refused;	/* over before they began */
	size_t question_count;
	int64_t timeout_ms;
};

/* What libunbound is asked. It goes on when nobody waits any more: libunbound cannot stop one, so
 * it counts until it is over, its answer goes into the cache, and who asks again joins it. */
struct lookup {
	UT_hash_handle hh;
	struct dns *dns;
	struct list link; /* dns->refused */
	struct list questions;
	struct tlsio_turn turn;
	struct arena arena;
	struct dns_answer answer;
	enum dns_type type;
	char key[KEY_BYTES]; /* "type name" */
	const char *name;    /* in key */
};

struct dns_question {
	struct list link;
	struct lookup *lookup;
	struct dns *dns;
	struct tlsio_timer timer;
	void (*on_answer)(void *ctx, const struct dns_answer *answer);
	void *ctx;
};

struct dns *dns_new(struct tlsio_loop *loop, const struct dns_settings *settings, struct err *err)
{
	struct dns *dns = mem_zero(sizeof(*dns));
	dns->loop = loop;
	list_init(&dns->refused);
	dns->timeout_ms = settings->timeout_ms ? settings->timeout_ms : TIMEOUT_MS;
	dns->unbound = dns_unbound_new(loop, settings, LOOKUPS_MOST, err);
	if (!dns->unbound)
		dns_free(&dns);
	return dns;
}

static void forget_lookup(struct lookup *lookup)
{
	if (list_is_linked(&lookup->link))
		list_remove(&lookup->link);
	else
		HASH_DEL(lookup->dns->lookups, lookup);
}

static void free_lookup(struct lookup *lookup)
{
	tlsio_turn_cancel(&lookup->turn);
	arena_clear(&lookup->arena);
	free(lookup);
}

void dns_free(struct dns **pdns)
{
	struct dns *dns = *pdns;
	struct lookup *lookup, *next;
	*pdns = NULL;
	if (!dns)
		return;
	assert(dns->question_count == 0); /* they are cancelled before */
	dns_unbound_free(&dns->unbound);
	LIST_EACH_SAFE (node, &dns->refused) {
		lookup = LIST_OWNER(node, struct lookup, link);
		forget_lookup(lookup);
		free_lookup(lookup);
	}
	HASH_ITER (hh, dns->lookups, lookup, next) {
		forget_lookup(lookup);
		free_lookup(lookup);
	}
	free(dns);
}

static void end_question(struct dns_question *question)
{
	list_remove(&question->link);
	tlsio_timer_stop(&question->timer);
	question->dns->question_count--;
}

/* The question's callback may cancel others, ask again, or free dns. */
static void answer_question(struct dns_question *question, const struct dns_answer *answer)
{
	end_question(question);
	question->on_answer(question->ctx, answer);
	free(question);
}

static void on_over(void *ctx)
{
	struct lookup *lookup = ctx;
	struct list *node;
	forget_lookup(lookup);
	while ((node = list_first(&lookup->questions)))
		answer_question(LIST_OWNER(node, struct dns_question, link), &lookup->answer);
	free_lookup(lookup);
}

static void set_failed(struct lookup *lookup, const char *why)
{
	lookup->answer = (struct dns_answer){
		.result = DNS_FAILED,
		.canonical = lookup->name,
		.why = arena_text(&lookup->arena, str_of(why)),
	};
}

/* Words from libunbound go into logs and answers: one line of printable ASCII. */
static const char *clean(struct arena *arena, const char *words)
{
	char *copy = arena_text(arena, str_of(words));
	for (char *c = copy; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	return copy;
}

static void on_reply(void *ctx, const struct dns_unbound_reply *reply)
{
	struct lookup *lookup = ctx;
	tlsio_turn_request(&lookup->turn);
	if (reply->security == DNS_BOGUS) {
		set_failed(lookup, "validation failed");
		lookup->answer.security = DNS_BOGUS;
		if (reply->why[0])
			lookup->answer.why = clean(&lookup->arena, reply->why);
		return;
	}
	if (reply->code != 0) {
		char why[400];
		snprintf(why, sizeof(why), "%s%s%.360s",
			dns_message_code_name(reply->code, &lookup->arena),
			reply->why[0] ? ": " : "", reply->why);
		set_failed(lookup, clean(&lookup->arena, why));
		return;
	}
	dns_message_read(reply->message, lookup->name, lookup->type, &lookup->arena,
		&lookup->answer);
	if (lookup->answer.result != DNS_FAILED)
		lookup->answer.security = reply->security;
}

static struct lookup *new_lookup(struct dns *dns, const char *key, enum dns_type type)
{
	struct lookup *lookup = mem_zero(sizeof(*lookup));
	memcpy(lookup->key, key, KEY_BYTES);
	lookup->dns = dns;
	lookup->name = strchr(lookup->key, ' ') + 1;
	lookup->type = type;
	list_init(&lookup->questions);
	tlsio_turn_init(&lookup->turn, dns->loop, on_over, lookup);
	return lookup;
}

static struct lookup *refuse(struct dns *dns, const char *key, enum dns_type type, const char *why)
{
	struct lookup *lookup = new_lookup(dns, key, type);
	list_push_back(&dns->refused, &lookup->link);
	set_failed(lookup, why);
	tlsio_turn_request(&lookup->turn);
	return lookup;
}

static struct lookup *begin(struct dns *dns, const char *name, enum dns_type type)
{
	char key[KEY_BYTES];
	struct lookup *lookup;
	struct err err;
	int length = snprintf(key, sizeof(key), "%d %s", (int)type, name);
	str_lower_in_place(key, strlen(key));
	if (length >= KEY_BYTES || !dns_message_is_name(str_of(name)))
		return refuse(dns, key, type, "this is no host name");
	HASH_FIND_STR(dns->lookups, key, lookup);
	if (dns->question_count >= QUESTIONS_MOST ||
		(!lookup && HASH_COUNT(dns->lookups) >= LOOKUPS_MOST))
		return refuse(dns, key, type, "too many questions at a time");
	if (lookup)
		return lookup;
	lookup = new_lookup(dns, key, type);
	HASH_ADD_STR(dns->lookups, key, lookup);
	if (dns_unbound_ask(dns->unbound, lookup->name, type, on_reply, lookup, &err) < 0) {
		set_failed(lookup, err.text);
		tlsio_turn_request(&lookup->turn);
	}
	return lookup;
}

static void on_timeout(void *ctx)
{
	struct dns_question *question = ctx;
	char why[60];
	int64_t ms = question->dns->timeout_ms;
	if (ms % 1000)
		snprintf(why, sizeof(why), "no answer within %lld ms", (long long)ms);
	else
		snprintf(why, sizeof(why), "no answer within %lld s", (long long)(ms / 1000));
	char *name = mem_dup(question->lookup->name);
	struct dns_answer answer = { .result = DNS_FAILED, .canonical = name, .why = why };
	answer_question(question, &answer);
	free(name);
}

struct dns_question *dns_ask(struct dns *dns, const char *name, enum dns_type type,
	void (*on_answer)(void *ctx, const struct dns_answer *answer), void *ctx)
{
	struct dns_question *question = mem_zero(sizeof(*question));
	question->dns = dns;
	question->on_answer = on_answer;
	question->ctx = ctx;
	question->lookup = begin(dns, name, type);
	dns->question_count++;
	list_push_back(&question->lookup->questions, &question->link);
	tlsio_timer_init(&question->timer, dns->loop, on_timeout, question);
	tlsio_timer_start(&question->timer, dns->timeout_ms);
	return question;
}

void dns_cancel(struct dns_question **pquestion)
{
	struct dns_question *question = *pquestion;
	*pquestion = NULL;
	if (!question)
		return;
	end_question(question);
	free(question);
}
