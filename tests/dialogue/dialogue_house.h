/* dialogue_house: a session service on fakes: virtual time, a spool in memory, clients on memory
 * transports, a gate with fixed answers.
 *
 * For:     dialogue_words (scripts), and tests that want the same in C (which may free the service themselves).
 * The gate: mail for ours.example, mx.example and [192.0.2.25] is taken from everybody; clients in
 *          10.0.0.0/8 may relay anywhere. Senders at refused.example are refused (550), at
 *          strict.example without TLS 1.3 (554), at later.example for now (450). Where senders
 *          are looked up, null.example has a null MX (550 5.7.27); clients in 10.0.0.0/8 are not
 *          asked about. The answers come at the end of the turn, or while held back, never.
 */
#ifndef TESTS_DIALOGUE_DIALOGUE_HOUSE_H
#define TESTS_DIALOGUE_DIALOGUE_HOUSE_H

#include <stdbool.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/tlsio_stream.h"
#include "smtpd/session/session.h"

#define DIALOGUE_CLIENTS 64

struct dialogue_client {
	struct tlsio_stream *stream;
	struct buf received; /* what the server said and the script has not yet expected */
	bool is_over;	     /* the server closed */
	bool is_secured;
};

/* One question that the gate was asked. */
struct dialogue_question {
	struct list link;
	struct session_question *question;
	bool is_null_mx;
};

struct dialogue_house {
	struct tlsio_loop *loop;
	struct spool *spool;
	struct session_settings settings;
	struct session_listener listener;
	struct session_service *service;
	struct tlsio_server *tls; /* what tls_for answers; NULL: not offered */
	struct dialogue_client clients[DIALOGUE_CLIENTS];
	size_t client_count;
	struct list questions;
	struct tlsio_turn answer_turn;
	size_t forgotten; /* questions */
	bool holds_answers;
	struct buf log;
	bool is_idle; /* on_idle of a drain came */
	bool is_unused; /* on_unused of the settings came */
};

/* Settings as documented; change them before the first client connects. */
void dialogue_house_open(struct dialogue_house *house);
/* Checks that nothing leaked. */
void dialogue_house_close(struct dialogue_house *house);
/* STARTTLS and implicit TLS with a throwaway certificate. */
void dialogue_house_use_tls(struct dialogue_house *house);
struct dialogue_client *dialogue_house_connect(struct dialogue_house *house, const char *address);
/* The client's side of the handshake. False when it failed. */
bool dialogue_house_secure(struct dialogue_house *house, struct dialogue_client *client);
void dialogue_house_say(struct dialogue_house *house, struct dialogue_client *client,
	struct str bytes);
size_t dialogue_house_waiting(const struct dialogue_house *house); /* questions */
void dialogue_house_hold_answers(struct dialogue_house *house, bool is_held);
/* Let everything happen that can without time passing; or with. */
void dialogue_house_settle(struct dialogue_house *house);
void dialogue_house_pass(struct dialogue_house *house, int64_t ms);

#endif
