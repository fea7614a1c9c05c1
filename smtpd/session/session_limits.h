/* session_limits: how many connections there are, in all and from one client network.
 *
 * For:     session.c.
 * Holds:   a count per IPv4 address and per IPv6 /64 that has connections.
 */
#ifndef SMTPD_SESSION_SESSION_LIMITS_H
#define SMTPD_SESSION_SESSION_LIMITS_H

#include <stdbool.h>
#include <stddef.h>

#include "libtlsio/base/netaddr.h"

struct session_limits;

enum session_limits_answer {
	SESSION_LIMITS_OK,	/* counted: session_limits_leave when it ends */
	SESSION_LIMITS_TOTAL,	/* too many in all */
	SESSION_LIMITS_CLIENT,	/* too many from this network */
};

struct session_limits *session_limits_new(void);
void session_limits_free(struct session_limits **limits);
enum session_limits_answer session_limits_enter(struct session_limits *limits,
	const struct netaddr *client, long maximum, long maximum_per_client);
void session_limits_leave(struct session_limits *limits, const struct netaddr *client);
size_t session_limits_total(const struct session_limits *limits);

#endif
