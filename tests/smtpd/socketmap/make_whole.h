/* make_whole: plans with what is known of the domain as a whole, in few words. */
#ifndef TESTS_SMTPD_SOCKETMAP_MAKE_WHOLE_H
#define TESTS_SMTPD_SOCKETMAP_MAKE_WHOLE_H

#include "policy/policy_plan.h"

struct made_whole {
	enum policy_level rule;
	bool is_exception, is_for_domain, is_without_dane, is_tls13;
	const char *names[3], *authority, *pins[3];
	enum policy_plan_state state;
	bool is_mx_failed, is_mx_proven;
	unsigned dane, unusable, plain, unknown;
	enum policy_sts_mode sts;
	const char *mx[4];
	const char *text; /* NULL: a plain one */
	const char *words;
};

/* Gives; of example.org. */
struct policy_plan_whole *make_whole(const struct made_whole *from);
struct policy_plan *make_whole_plan(const char *domain, const struct made_whole *from);

#endif
