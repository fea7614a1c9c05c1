#include "smtpd/relay/relay_causes.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/mem.h"
#include "smtpd/relay/relay_outcome.h"

/* "; and 20 more hosts" */
#define REST_BYTES 24

static struct relay_cause *find(struct relay_causes *causes, const char *host)
{
	for (size_t i = 0; i < causes->count; i++)
		if (strcmp(causes->items[i].host, host) == 0)
			return &causes->items[i];
	causes->items = mem_resize(causes->items, (causes->count + 1) * sizeof(*causes->items));
	struct relay_cause *cause = &causes->items[causes->count++];
	*cause = (struct relay_cause){ .host = mem_dup(host) };
	return cause;
}

void relay_causes_note(struct relay_causes *causes, const char *host,
	const struct relay_outcome *outcome, bool is_policy)
{
	struct relay_cause *cause = find(causes, host);
	if (cause->is_policy && !is_policy)
		return;
	cause->is_policy = is_policy;
	cause->outcome = *outcome;
}

/* Its words with its host in them. */
static void append_cause(struct buf *words, const struct relay_cause *cause)
{
	const char *text = cause->outcome.text;
	if (cause->outcome.is_smtp_reply)
		buf_printf(words, "%s said \"%s\"", cause->host, text);
	else if (strstr(text, cause->host))
		buf_append_text(words, text);
	else
		buf_printf(words, "%s: %s", cause->host, text);
}

static const struct relay_cause *nth(const struct relay_causes *causes, size_t n)
{
	for (int is_policy = 1; is_policy >= 0; is_policy--)
		for (size_t i = 0; i < causes->count; i++)
			if (causes->items[i].is_policy == is_policy && n-- == 0)
				return &causes->items[i];
	return NULL;
}

void relay_causes_outcome(const struct relay_causes *causes, const char *domain,
	struct relay_outcome *ret)
{
	struct buf words = { 0 };
	size_t n = 1;
	assert(causes->count > 0);
	const struct relay_cause *first = nth(causes, 0);
	if (causes->count == 1) {
		relay_outcome_copy(ret, &first->outcome);
		return;
	}
	if (domain[0])
		buf_printf(&words, "no host of %s will do: ", domain);
	append_cause(&words, first);
	for (; n < causes->count; n++) {
		size_t before = words.length;
		buf_append_text(&words, "; ");
		append_cause(&words, nth(causes, n));
		if (words.length + REST_BYTES < sizeof(ret->text))
			continue;
		buf_truncate(&words, before);
		break;
	}
	if (words.length + REST_BYTES >= sizeof(ret->text))
		buf_truncate(&words, sizeof(ret->text) - REST_BYTES);
	if (n < causes->count)
		buf_printf(&words, "; and %zu more host%s", causes->count - n,
			causes->count - n == 1 ? "" : "s");
	relay_outcome_set(ret, first->outcome.kind, first->outcome.enhanced, "%s",
		buf_text(&words));
	ret->cause = first->outcome.cause;
	buf_release(&words);
}

void relay_causes_clear(struct relay_causes *causes)
{
	for (size_t i = 0; i < causes->count; i++)
		free(causes->items[i].host);
	free(causes->items);
	*causes = (struct relay_causes){ 0 };
}
