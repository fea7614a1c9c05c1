/* fake_hop: a next hop in the test's own process and loop, on a loopback socket.
 *
 * For:     tests of relay. Answers every command by the first rule whose words it begins with,
 *          else as a good server would; records everything it is told.
 */
#ifndef TESTS_SMTPD_RELAY_FAKE_HOP_H
#define TESTS_SMTPD_RELAY_FAKE_HOP_H

#include "libtlsio/base/buf.h"
#include "libtlsio/base/netaddr.h"
#include "libtlsio/tlsio_loop.h"
#include "libtlsio/tlsio_server.h"

enum fake_hop_act {
	FAKE_HOP_SAY,	    /* the reply */
	FAKE_HOP_HANG_UP,   /* the reply, then close */
	FAKE_HOP_RESET,	    /* drop the connection */
	FAKE_HOP_SILENT,    /* nothing at all */
	FAKE_HOP_DEAF,	    /* the reply, and nothing is read any more */
};

struct fake_hop_rule {
	const char *words; /* "GREETING", "RCPT TO:<bad", "." the end of data, "BODY" its start */
	const char *reply; /* with its CR LF */
	enum fake_hop_act act;
	int most; /* how often it applies; 0 always */
	int used;
};

enum { FAKE_HOP_RULES = 16 };

struct fake_hop {
	struct tlsio_loop *loop;
	struct netaddr address; /* where it listens; family UNIX for a path */
	struct tlsio_listener *listener;
	int listen_fd;
	const char *ehlo; /* keywords, space between: "PIPELINING SIZE=1000" */
	bool is_lmtp;
	bool is_tls_first;
	struct tlsio_server *tls; /* offers STARTTLS when set; borrowed */
	struct fake_hop_rule rules[FAKE_HOP_RULES];
	size_t rule_count;
	struct list peers;
	/* what happened */
	unsigned connections;
	unsigned open;
	unsigned messages;
	unsigned resumed;
	unsigned client_certificates;
	char server_name[256]; /* the last SNI; "" none */
	struct buf commands;  /* lines with '\n'; "<tls>" where TLS began, "<end>" where it ended */
	struct buf data;      /* content of all messages, dots undone */
};

/* path NULL: 127.0.0.1, a port of the kernel's choice. */
void fake_hop_open(struct fake_hop *hop, struct tlsio_loop *loop, const char *path);
/* At this address and port. */
void fake_hop_open_at(struct fake_hop *hop, struct tlsio_loop *loop, const struct netaddr *address);
void fake_hop_add(struct fake_hop *hop, const char *words, const char *reply,
	enum fake_hop_act act);
void fake_hop_add_once(struct fake_hop *hop, const char *words, const char *reply,
	enum fake_hop_act act);
void fake_hop_close(struct fake_hop *hop);
/* Everyone who is connected is cut off. */
void fake_hop_drop_peers(struct fake_hop *hop);
const char *fake_hop_commands(struct fake_hop *hop);

#endif
