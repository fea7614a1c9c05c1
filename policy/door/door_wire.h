/* door_wire: questions, plans and reports as bytes on the native socket. Pure.
 *
 * For:     door_client, door_server.
 * Form:    frames: u32 length of what follows (little-endian), u8 kind, u32 id, body. Strings are u16
 *          length, bytes and a NUL (door_bytes.h). The first frame from each side is HELLO with the
 *          format's number: both programs come from one package, another number is a clear error.
 * Promise: decode refuses anything malformed, cut, with bytes left over, or over the limits, with
 *          words; what encode makes decode gives back equal. Fuzz target: fuzz_door_wire.
 */
#ifndef POLICY_DOOR_DOOR_WIRE_H
#define POLICY_DOOR_DOOR_WIRE_H

#include "libtlsio/base/buf.h"
#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"
#include "policy/policy_plan.h"

enum {
	DOOR_FORMAT = 2,
	DOOR_WIRE_HEAD_BYTES = 9,	     /* of a frame, before its body */
	DOOR_QUESTION_BYTES_MOST = 4096,     /* a frame to the server */
	DOOR_PLAN_BYTES_MOST = 1024 * 1024,  /* a frame to the client */
	DOOR_NAME_BYTES_MOST = 255,
	DOOR_SELF_CHECK_RESULT_MOST = 2,     /* enum dns_check_result */
};

enum door_kind {
	DOOR_HELLO = 1,	   /* u16 format, then the side's program name */
	DOOR_ASK = 2,	   /* policy_question */
	DOOR_PLAN = 3,	   /* policy_plan */
	DOOR_REPORT = 4,   /* policy_session, judged; id: how many could not be told before it */
	DOOR_SELF_CHECK = 5, /* to the client, after HELLO: u8 dns_check_result, words */
	DOOR_FORGET = 6,     /* to the client: other rules are in force, plans kept are void */
	DOOR_STATUS = 7,     /* empty: how is it going? and the answer, door_status */
};

/* What postern-policyd says of itself. */
struct door_status {
	uint32_t pid;
	char version[64];
	int64_t uptime_s;
	int check;	       /* enum dns_check_result; -1: not known yet */
	char check_words[400]; /* its sentence */
	uint64_t clients;
	uint64_t plans, in_flight; /* kept now, being made now */
	/* Since it lives by its resolver settings. */
	uint64_t asked, found, made, deferred, refused;
};

struct door_frame {
	enum door_kind kind;
	uint32_t id;	 /* ASK and its PLAN: the client's number; REPORT: see there */
	struct str body; /* borrowed */
};

/* From the front of bytes: 1 = a frame (*ret_bytes of input used), 0 = more is needed, -1 = broken. */
int door_wire_split(struct str bytes, size_t most, struct door_frame *ret, size_t *ret_bytes,
	struct err *err);

/* Each appends a whole frame. */
void door_wire_hello(struct buf *into, const char *program);
void door_wire_ask(struct buf *into, uint32_t id, const struct policy_question *question);
/* A plan larger than a frame goes without its evidence, or becomes a DEFER plan that says so. */
void door_wire_plan(struct buf *into, uint32_t id, const struct policy_plan *plan);
/* False, and nothing appended: a name in it is longer than any. Words are cut. */
bool door_wire_report(struct buf *into, uint32_t lost, const struct policy_session *session);
void door_wire_self_check(struct buf *into, int result, const char *words);
void door_wire_forget(struct buf *into);
void door_wire_ask_status(struct buf *into);
void door_wire_status(struct buf *into, const struct door_status *status);

/* Another format than ours is no error of the frame: the caller compares. */
int door_wire_read_hello(struct str body, unsigned *ret_format, struct err *err);
/* names point into body. */
int door_wire_read_ask(struct str body, struct policy_question *ret, struct err *err);
/* names and words point into body. */
int door_wire_read_report(struct str body, struct policy_session *ret, struct err *err);
int door_wire_read_status(struct str body, struct door_status *ret, struct err *err);
int door_wire_read_self_check(struct str body, int *ret_result, char ret_words[400], struct err *err);

/* Authorities do not travel: they are named, with the SHA-256 of what they hold. */
struct door_authorities {
	/* Borrowed; NULL: not known here (settings differ): the plan is refused. */
	struct tlsio_trust *(*find)(void *ctx, const char *name, const uint8_t sha256[32]);
	void *ctx;
};
/* Gives; NULL with err. */
struct policy_plan *door_wire_read_plan(struct str body, const struct door_authorities *authorities,
	struct err *err);

#endif
