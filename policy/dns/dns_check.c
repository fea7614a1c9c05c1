#include "policy/dns/dns_check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"
#include "policy/dns/dns_anchor.h"

enum { NAMES_MOST = 16, WORDS_BYTES = 600 };

/* One name that has to fail. */
struct attempt {
	struct dns_check *check;
	struct dns_question *question;
	char name[DNS_NAME_BYTES];
};

struct dns_check {
	void (*on_over)(void *ctx, enum dns_check_result result, const char *words);
	void *ctx;
	struct tlsio_turn turn; /* over */
	char zone[DNS_NAME_BYTES]; /* of the anchor */
	struct dns_question *anchor;
	bool is_anchor_secure;
	struct attempt attempts[NAMES_MOST];
	size_t attempt_count;
	size_t waiting;
	const char *broken; /* a name that failed as it should */
	enum dns_check_result result;
	char words[WORDS_BYTES]; /* "": nothing decided yet */
};

static void end(struct dns_check *check)
{
	dns_cancel(&check->anchor);
	for (size_t i = 0; i < check->attempt_count; i++)
		dns_cancel(&check->attempts[i].question);
	tlsio_turn_cancel(&check->turn);
}

static void on_turn(void *ctx)
{
	struct dns_check *check = ctx;
	end(check);
	check->on_over(check->ctx, check->result, check->words);
	free(check);
}

/* The first word on it counts; what is still asked is not waited for. */
static void decide(struct dns_check *check, enum dns_check_result result, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void decide(struct dns_check *check, enum dns_check_result result, const char *format, ...)
{
	va_list args;
	if (check->words[0])
		return;
	va_start(args, format);
	vsnprintf(check->words, sizeof(check->words), format, args);
	va_end(args);
	check->result = result;
	tlsio_turn_request(&check->turn);
}

static const char *zone_words(const struct dns_check *check)
{
	return check->zone[1] ? check->zone : "the root";
}

static void decide_in_the_end(struct dns_check *check)
{
	if (!check->is_anchor_secure || check->waiting > 0)
		return;
	if (check->broken)
		decide(check, DNS_CHECK_GOOD,
			"DNSSEC validation works: %s is secure, and %s, which is signed wrongly on "
			"purpose, was refused",
			zone_words(check), check->broken);
	else if (check->attempt_count == 0)
		decide(check, DNS_CHECK_GOOD,
			"DNSSEC validation works: %s is secure (no name that must fail is set)",
			zone_words(check));
	else
		decide(check, DNS_CHECK_UNKNOWN,
			"DNSSEC validation could not be proven: %s is secure, but no name of "
			"resolver check was seen to fail as bogus: is %s still signed wrongly, and "
			"can it be asked from here?",
			zone_words(check), check->attempts[0].name);
}

static void on_anchor(void *ctx, const struct dns_answer *answer)
{
	struct dns_check *check = ctx;
	check->anchor = NULL;
	check->is_anchor_secure = answer->security == DNS_SECURE;
	if (check->is_anchor_secure)
		decide_in_the_end(check);
	else if (answer->security == DNS_BOGUS)
		decide(check, DNS_CHECK_NOT_VALIDATING,
			"DNSSEC does not work: %s, which the trust anchor is for, is bogus (%.160s): "
			"signed domains will get no mail. Is the clock right, is the file of "
			"resolver trust-anchor up to date, does a forwarder or a firewall drop "
			"signatures?",
			zone_words(check), answer->why);
	else if (answer->result == DNS_FAILED)
		decide(check, DNS_CHECK_UNKNOWN,
			"DNSSEC validation could not be checked: no answer about %s (%.160s): is "
			"there a way to name servers, port 53 over UDP and TCP?",
			zone_words(check), answer->why);
	else
		decide(check, DNS_CHECK_NOT_VALIDATING,
			"DNSSEC validation is off: answers about %s come insecure, so DANE is not in "
			"effect: look at resolver trust-anchor and insecure",
			zone_words(check));
}

static void on_attempt(void *ctx, const struct dns_answer *answer)
{
	struct attempt *attempt = ctx;
	struct dns_check *check = attempt->check;
	attempt->question = NULL;
	check->waiting--;
	if (answer->security == DNS_BOGUS)
		check->broken = attempt->name;
	else if (answer->result != DNS_FAILED && answer->security == DNS_INSECURE)
		decide(check, DNS_CHECK_NOT_VALIDATING,
			"DNSSEC validation does not work: %s, which is signed wrongly on purpose, was "
			"answered as if nothing were the matter, so DANE is not in effect: look at "
			"resolver trust-anchor, insecure and forward",
			attempt->name);
	/* a secure answer: somebody mended it, which shows nothing against us */
	decide_in_the_end(check);
}

/* False: there is none, or none that can be read. */
static bool find_zone(struct dns_check *check, const char *anchor_text)
{
	struct dns_anchor anchor = { .left = str_of(anchor_text) };
	bool is_found = anchor_text && dns_anchor_next(&anchor, NULL) == 1 &&
			dns_anchor_zone(&anchor, check->zone, sizeof(check->zone));
	buf_release(&anchor.record);
	return is_found;
}

struct dns_check *dns_check_start(struct tlsio_loop *loop, struct dns *dns,
	const struct dns_settings *settings,
	void (*on_over)(void *ctx, enum dns_check_result result, const char *words), void *ctx)
{
	struct dns_check *check = mem_zero(sizeof(*check));
	check->on_over = on_over;
	check->ctx = ctx;
	tlsio_turn_init(&check->turn, loop, on_turn, check);
	if (!find_zone(check, settings->anchor_text)) {
		decide(check, DNS_CHECK_NOT_VALIDATING,
			"DNSSEC validation is off: there is no trust anchor, so DANE is not in "
			"effect: set resolver trust-anchor (Debian: package dns-root-data)");
		return check;
	}
	for (size_t i = 0; settings->check && settings->check[i] && i < NAMES_MOST; i++) {
		struct attempt *attempt = &check->attempts[check->attempt_count++];
		attempt->check = check;
		snprintf(attempt->name, sizeof(attempt->name), "%s", settings->check[i]);
		check->waiting++;
		attempt->question = dns_ask(dns, attempt->name, DNS_A, on_attempt, attempt);
	}
	check->anchor = dns_ask(dns, check->zone, DNS_A, on_anchor, check);
	return check;
}

void dns_check_cancel(struct dns_check **pcheck)
{
	struct dns_check *check = *pcheck;
	*pcheck = NULL;
	if (!check)
		return;
	end(check);
	free(check);
}
