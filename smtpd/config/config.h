/* config: one file -> every room's settings, checked as a whole. Immutable, shared by reference.
 *
 * For:     the programs. Parse all, check all; a bad file changes nothing and names file and line.
 * Promise: reads files only through config_source, so that an unprivileged worker can be given
 *          the bytes (certificates and keys included) that the supervisor read.
 */
#ifndef SMTPD_CONFIG_CONFIG_H
#define SMTPD_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/err.h"
#include "libtlsio/base/log.h"
#include "libtlsio/base/netaddr.h"
#include "libtlsio/tlsio_certstore.h"
#include "libtlsio/tlsio_resume.h"
#include "libtlsio/tlsio_server.h"
#include "libtlsio/tlsio_trust.h"
#include "policy/dns/dns_settings.h"
#include "policy/policy_inbound.h"
#include "policy/policy_rules.h"
#include "policy/sts/sts_settings.h"
#include "policy/tlsrpt/tlsrpt_settings.h"
#include "smtpd/delegation/delegation_settings.h"
#include "smtpd/milter/milter_settings.h"
#include "smtpd/relay/relay_routes.h"
#include "smtpd/relay/relay_settings.h"
#include "smtpd/sched/sched_settings.h"
#include "smtpd/session/session.h"
#include "smtpd/session/session_settings.h"
#include "smtpd/sockets/sockets_settings.h"
#include "smtpd/spool/spool_settings.h"

/* Where bytes of files come from: the disk, or what the supervisor sent. */
struct config_source {
	int (*read)(void *ctx, const char *path, size_t max_bytes, struct buf *ret,
		struct err *err);
	void *ctx;
	/* Anybody may read the file: said of private keys as a warning. May be NULL. */
	bool (*is_exposed)(void *ctx, const char *path);
	/* The roots that "system" means; NULL: tlsio_trust_system. */
	struct tlsio_trust *(*system_roots)(void *ctx, struct err *err);
	/* Leaves out listeners, certificates and with them every private key: for who only asks where
	 * mail goes, and may not read those. */
	bool skips_keys;
};
extern const struct config_source config_source_disk;

struct config_listener {
	struct config *config;	    /* the one this is in: what a session's gate asks */
	char *text;		    /* "0.0.0.0:25" as written */
	struct netaddr address;
	struct session_listener session; /* ctx points back at this struct */
	struct tlsio_server *tls;	    /* NULL when tls = off */
	struct tlsio_server *tls_no_tickets; /* for clients that get none */
};

/* Authorities that some part of the file names. */
struct config_authority {
	char *name;	       /* as written there, or "system" */
	uint8_t sha256[32];    /* of what it holds */
	struct tlsio_trust *trust;
};

struct config {
	unsigned references;
	char *path;
	char *hostname;
	char *user;	       /* to run as; NULL = stay who we are */
	char *run_directory;   /* control sockets, pid file */
	long workers;	       /* 0 was given: one per core; here the number */
	int64_t shutdown_ms;   /* how long running transactions may finish; 30s */
	enum log_target log_target;
	enum log_format log_format;
	enum log_level log_level;
	struct config_listener *listeners; /* none: a file for postern-policyd, postern-milter */
	size_t listener_count;
	struct session_settings session;
	struct spool_settings spool;
	struct sched_settings sched;
	struct relay_settings relay;
	struct relay_routes *routes;
	struct policy_rules *rules;
	struct policy_inbound *inbound;
	struct milter_settings milter; /* socket NULL: no section `milter` */
	struct delegation_settings delegation; /* no sockets: no section `policy-service` */
	struct sockets_settings socketmap;
	struct dns_settings dns;
	struct sts_settings sts;
	struct tlsrpt_settings tlsrpt;
	struct tlsio_trust *sts_trust; /* config_sts_authority */
	uint8_t sts_sha256[32];
	/* Some mail goes by MX or DANE, so plans are needed; or another MTA asks for them or tells; or
	 * there are no listeners, and no section policy-service, which needs none. */
	bool wants_plans;
	bool wants_policyd; /* for plans, or for the policy service */
	struct config_authority *authorities;
	size_t authority_count;
	struct tlsio_certstore *present; /* client certificate for relaying; may be NULL */
	char **files;	       /* every file read, for watching and bundling; NULL-terminated */
	char **warnings;       /* what works but is probably not meant; NULL-terminated */
	int64_t certificates_not_after_s; /* soonest expiry; 0 none */
};

/* ticket_secret: shared by all workers; NULL = tickets off. Files named in a file are relative to
 * that file's directory. `posternctl check-config` is this call and a look at warnings. */
struct config *config_load(const char *path, const struct config_source *source,
	const uint8_t *ticket_secret, struct err *err);
/* The authorities of this name and content, for a requirement that came by wire: shared, so ref it;
 * NULL when the file names none such. Of "system" the content may be another: the machine's roots
 * were renewed between two starts. */
struct tlsio_trust *config_find_authority(const struct config *config, const char *name,
	const uint8_t sha256[32]);
/* Those behind config->sts.authority. Gives; NULL and err when this machine has none. */
struct tlsio_trust *config_sts_authority(const struct config *config, uint8_t ret_sha256[32],
	struct err *err);
struct config *config_ref(struct config *config);
void config_unref(struct config **config);

#endif
