#include "policy/door/door_wire.h"

#include <string.h>

#include "libtlsio/base/codec.h"
#include "policy/door/door_bytes.h"

/* a program's name, a sentence */
enum { PROGRAM_BYTES_MOST = 64, WORDS_BYTES_MOST = 399 };

int door_wire_split(struct str bytes, size_t most, struct door_frame *ret, size_t *ret_bytes,
	struct err *err)
{
	if (bytes.length < 4)
		return 0;
	size_t length = codec_get_u32(bytes.at);
	if (length < DOOR_WIRE_HEAD_BYTES - 4)
		return err_set(err, ERR_PEER, "a frame of %zu bytes, which is too short", length);
	if (length > most)
		return err_set(err, ERR_LIMIT, "a frame of %zu bytes; at most %zu are taken", length,
			most);
	if (bytes.length < 4 + length)
		return 0;
	unsigned kind = (unsigned char)bytes.at[4];
	if (kind < DOOR_HELLO || kind > DOOR_STATUS)
		return err_set(err, ERR_PEER, "a frame of unknown kind %u", kind);
	ret->kind = (enum door_kind)kind;
	ret->id = codec_get_u32(bytes.at + 5);
	ret->body = str_from(bytes.at + DOOR_WIRE_HEAD_BYTES, length + 4 - DOOR_WIRE_HEAD_BYTES);
	*ret_bytes = 4 + length;
	return 1;
}

/* ---- hello -------------------------------------------------------------------------------------------- */

void door_wire_hello(struct buf *into, const char *program)
{
	struct door_out out;
	door_out_begin(&out, into, DOOR_HELLO, 0);
	door_out_u16(&out, DOOR_FORMAT);
	door_out_text(&out, program);
	door_out_end(&out);
}

int door_wire_read_hello(struct str body, unsigned *ret_format, struct err *err)
{
	struct door_in in = { .rest = body };
	*ret_format = door_in_u16(&in, 0xffff);
	if (!in.fault && *ret_format != DOOR_FORMAT)
		return 0; /* what else another format says here is its own business */
	door_in_text(&in, PROGRAM_BYTES_MOST);
	return door_in_end(&in, "a greeting", err);
}

/* ---- questions and reports ------------------------------------------------------------------------------- */

void door_wire_ask(struct buf *into, uint32_t id, const struct policy_question *question)
{
	struct door_out out;
	door_out_begin(&out, into, DOOR_ASK, id);
	door_out_u8(&out, question->kind);
	door_out_u16(&out, question->port);
	door_out_u8(&out, question->wants_evidence);
	door_out_text(&out, question->rule_domain);
	door_out_text(&out, question->next_hop);
	door_out_end(&out);
}

int door_wire_read_ask(struct str body, struct policy_question *ret, struct err *err)
{
	struct door_in in = { .rest = body };
	ret->kind = (enum policy_question_kind)door_in_u8(&in, POLICY_BY_HOST);
	ret->port = (uint16_t)door_in_u16(&in, 0xffff);
	ret->wants_evidence = door_in_u8(&in, 1);
	ret->rule_domain = door_in_text(&in, DOOR_NAME_BYTES_MOST);
	ret->next_hop = door_in_text(&in, DOOR_NAME_BYTES_MOST);
	if (door_in_end(&in, "a question", err) < 0)
		return -1;
	if (!ret->port || !*ret->rule_domain || !*ret->next_hop)
		return err_set(err, ERR_PEER, "a question without a port or a name");
	return 0;
}

static void put_address(struct door_out *out, const struct netaddr *a)
{
	bool is_ip = a->family == NETADDR_IPV4 || a->family == NETADDR_IPV6;
	door_out_u8(out, is_ip ? a->family : NETADDR_NONE);
	if (is_ip)
		door_out_raw(out, a->bytes, sizeof(a->bytes));
}

static bool is_name(const char *name)
{
	return strlen(name) <= DOOR_NAME_BYTES_MOST;
}

bool door_wire_report(struct buf *into, uint32_t lost, const struct policy_session *session)
{
	struct door_out out;
	bool is_fit = is_name(session->domain) && is_name(session->host);
	for (size_t i = 0; i < session->part_count; i++)
		is_fit = is_fit && is_name(session->parts[i].domain);
	if (!is_fit)
		return false;
	door_out_begin(&out, into, DOOR_REPORT, lost);
	door_out_text(&out, session->domain);
	door_out_text(&out, session->host);
	put_address(&out, &session->sending);
	put_address(&out, &session->receiving);
	door_out_u8(&out, (unsigned)session->part_count);
	for (size_t i = 0; i < session->part_count; i++) {
		const struct policy_session_part *part = &session->parts[i];
		uint8_t identity[8];
		codec_put_u64(identity, part->identity);
		door_out_u8(&out, part->type);
		door_out_u8(&out, part->reason);
		door_out_u8(&out, part->besides);
		door_out_raw(&out, identity, sizeof(identity));
		door_out_text(&out, part->domain);
		door_out_line(&out, part->why, POLICY_REPORT_WHY_BYTES_MOST);
	}
	door_out_end(&out);
	return true;
}

static void get_address(struct door_in *in, struct netaddr *ret)
{
	*ret = (struct netaddr){ .family = (uint8_t)door_in_u8(in, NETADDR_IPV6) };
	const void *bytes = ret->family == NETADDR_NONE ? NULL : door_in_raw(in, sizeof(ret->bytes));
	if (bytes)
		memcpy(ret->bytes, bytes, ret->family == NETADDR_IPV4 ? 4 : 16);
}

int door_wire_read_report(struct str body, struct policy_session *ret, struct err *err)
{
	struct door_in in = { .rest = body };
	ret->domain = door_in_text(&in, DOOR_NAME_BYTES_MOST);
	ret->host = door_in_text(&in, DOOR_NAME_BYTES_MOST);
	get_address(&in, &ret->sending);
	get_address(&in, &ret->receiving);
	ret->part_count = door_in_u8(&in, POLICY_REPORTS_MOST);
	for (size_t i = 0; i < ret->part_count && !in.fault; i++) {
		struct policy_session_part *part = &ret->parts[i];
		part->type = (enum policy_report_type)door_in_u8(&in, POLICY_REPORT_STS);
		part->reason = (enum policy_reason)door_in_u8(&in, POLICY_REASON_STS_WEBPKI_INVALID);
		part->besides =
			(enum policy_reason)door_in_u8(&in, POLICY_REASON_STS_WEBPKI_INVALID);
		const void *identity = door_in_raw(&in, 8);
		part->identity = identity ? codec_get_u64(identity) : 0;
		part->domain = door_in_text(&in, DOOR_NAME_BYTES_MOST);
		part->why = door_in_text(&in, POLICY_REPORT_WHY_BYTES_MOST);
	}
	return door_in_end(&in, "a report", err);
}

/* ---- the self-check --------------------------------------------------------------------------------------- */

void door_wire_self_check(struct buf *into, int result, const char *words)
{
	struct door_out out;
	door_out_begin(&out, into, DOOR_SELF_CHECK, 0);
	door_out_u8(&out, (unsigned)result & 0xff);
	door_out_line(&out, words ? words : "", WORDS_BYTES_MOST);
	door_out_end(&out);
}

void door_wire_forget(struct buf *into)
{
	struct door_out out;
	door_out_begin(&out, into, DOOR_FORGET, 0);
	door_out_end(&out);
}

int door_wire_read_self_check(struct str body, int *ret_result, char ret_words[400], struct err *err)
{
	struct door_in in = { .rest = body };
	*ret_result = (int)door_in_u8(&in, DOOR_SELF_CHECK_RESULT_MOST);
	str_copy(str_of(door_in_text(&in, WORDS_BYTES_MOST)), ret_words, WORDS_BYTES_MOST + 1);
	return door_in_end(&in, "a self-check", err);
}

/* ---- how it is going --------------------------------------------------------------------------------------- */

void door_wire_ask_status(struct buf *into)
{
	struct door_out out;
	door_out_begin(&out, into, DOOR_STATUS, 0);
	door_out_end(&out);
}

void door_wire_status(struct buf *into, const struct door_status *s)
{
	struct door_out out;
	const uint64_t numbers[] = { s->clients, s->plans, s->in_flight, s->asked, s->found, s->made,
		s->deferred, s->refused };
	door_out_begin(&out, into, DOOR_STATUS, 0);
	door_out_u32(&out, s->pid);
	door_out_line(&out, s->version, PROGRAM_BYTES_MOST - 1);
	door_out_i64(&out, s->uptime_s);
	door_out_u8(&out, (unsigned)(s->check + 1) & 0xff);
	door_out_line(&out, s->check_words, WORDS_BYTES_MOST);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		door_out_i64(&out, (int64_t)numbers[i]);
	door_out_end(&out);
}

int door_wire_read_status(struct str body, struct door_status *ret, struct err *err)
{
	struct door_in in = { .rest = body };
	uint64_t *const numbers[] = { &ret->clients, &ret->plans, &ret->in_flight, &ret->asked,
		&ret->found, &ret->made, &ret->deferred, &ret->refused };
	ret->pid = door_in_u32(&in);
	str_copy(str_of(door_in_text(&in, PROGRAM_BYTES_MOST - 1)), ret->version,
		sizeof(ret->version));
	ret->uptime_s = door_in_i64(&in);
	ret->check = (int)door_in_u8(&in, DOOR_SELF_CHECK_RESULT_MOST + 1) - 1;
	str_copy(str_of(door_in_text(&in, WORDS_BYTES_MOST)), ret->check_words,
		sizeof(ret->check_words));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		*numbers[i] = (uint64_t)door_in_i64(&in);
	return door_in_end(&in, "a status", err);
}
