/* sts_policy: the policy file of MTA-STS: grammar, and which hosts it names. Pure.
 *
 * Source:  RFC 8461 3.2, 4.1; M11-M14. max_age above 31557600 is taken as 31557600 (M12). A policy
 *          of mode enforce or testing without mx is refused whole.
 */
#ifndef POLICY_STS_STS_POLICY_H
#define POLICY_STS_STS_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"
#include "policy/policy_combine.h"

enum { STS_POLICY_BYTES_MOST = 65536, STS_MX_MOST = 1000, STS_MAX_AGE_S = 31557600 };

struct sts_policy { /* immutable, shared */
	unsigned references;
	enum policy_sts_mode mode;
	char **mx;		/* lower case, "host" or "*.host"; as many as mx_count */
	size_t mx_count;
	uint32_t max_age_s;
	char *text;		/* as received */
	size_t text_bytes;
};

/* NULL and err with line number and cause. */
struct sts_policy *sts_policy_parse(struct str body, struct err *err);
/* host: any case, with or without a trailing dot (M14). */
bool sts_policy_names(const struct sts_policy *policy, const char *host);
const char *sts_mode_name(enum policy_sts_mode mode); /* "none", "testing", "enforce" */
struct sts_policy *sts_policy_ref(struct sts_policy *policy);
void sts_policy_unref(struct sts_policy **policy); /* accepts NULL, sets NULL */

#endif
