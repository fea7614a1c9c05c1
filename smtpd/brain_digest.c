#include "smtpd/brain_digest.h"

#include <string.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/tlsio_digest.h"

/* NULL is not "", and no two lists read alike. */
static void add(struct buf *all, const char *text)
{
	if (text)
		buf_printf(all, "%zu:%s\n", strlen(text), text);
	else
		buf_append_text(all, "-\n");
}

static void add_list(struct buf *all, char *const *texts)
{
	for (; texts && *texts; texts++)
		add(all, *texts);
	buf_append_text(all, ".\n");
}

static void add_rule(void *ctx, const char *domain, const struct policy_rule *rule)
{
	struct buf *all = ctx;
	add(all, domain);
	add(all, rule->fingerprint);
	add(all, rule->requirement->source); /* plans say where a rule stands */
	add(all, rule->reason);
	buf_printf(all, "%lld\n", (long long)rule->until_s);
}

void brain_digest(const struct config *config, const uint8_t roots_sha256[32], uint8_t ret[32])
{
	struct buf all = { 0 };
	const struct dns_settings *dns = &config->dns;
	add(&all, PACKAGE_VERSION);
	policy_rules_each(config->rules, add_rule, &all);
	add_list(&all, dns->forward);
	add(&all, dns->anchor_text);
	for (size_t i = 0; i < dns->stub_count; i++) {
		add(&all, dns->stubs[i].zone);
		add_list(&all, dns->stubs[i].servers);
	}
	add_list(&all, dns->insecure);
	add(&all, config->sts.authority);
	buf_append(&all, roots_sha256, 32);
	tlsio_digest_sha256(buf_str(&all), ret);
	buf_release(&all);
}
