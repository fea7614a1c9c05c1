#include "smtpd/spool/spool_envelope.h"

#include <stdlib.h>

#include "libtlsio/base/codec.h"

/* version u8 | ret u8 | flags u8 | 0 u8 | received i64 | recipients u32 | sender, envid, client:
 * length u16 and bytes each | then per recipient: notify u8 | state u8 | attempts u16 | due i64 |
 * address, orcpt, reason: length u16 and bytes each; since version 2 also via, as those, and
 * cause u8 | told u8 */
enum { ENVELOPE_VERSION = 2, HEAD_BYTES = 16, RECIPIENT_BYTES = 12, RECIPIENT_TAIL_BYTES = 2 };

const char *spool_cause_name(uint8_t cause)
{
	static const char *const names[SPOOL_CAUSE_COUNT] = { "none", "reply", "unreachable",
		"names", "policy", "ours" };
	return cause < SPOOL_CAUSE_COUNT ? names[cause] : "unknown";
}

static void append_text(struct buf *ret, struct str text)
{
	char length[2];
	size_t most = text.length > UINT16_MAX ? UINT16_MAX : text.length;
	codec_put_u16(length, (uint16_t)most);
	buf_append(ret, length, sizeof(length));
	buf_append(ret, text.at, most);
}

static bool take_text(struct str *rest, struct str *ret)
{
	if (rest->length < 2)
		return false;
	size_t length = codec_get_u16(rest->at);
	if (length > rest->length - 2)
		return false;
	*ret = str_from(rest->at + 2, length);
	*rest = str_skip(*rest, 2 + length);
	return true;
}

void spool_envelope_encode(const struct spool_envelope *e, struct buf *ret)
{
	char head[HEAD_BYTES] = { ENVELOPE_VERSION, (char)e->ret, (char)e->flags, 0 };
	codec_put_u64(head + 4, (uint64_t)e->received_s);
	codec_put_u32(head + 12, e->recipient_count);
	buf_append(ret, head, sizeof(head));
	append_text(ret, e->sender);
	append_text(ret, e->envid);
	append_text(ret, e->client);
	for (uint32_t i = 0; i < e->recipient_count; i++) {
		const struct spool_recipient *r = &e->recipients[i];
		char fixed[RECIPIENT_BYTES] = { (char)r->notify, (char)r->state };
		codec_put_u16(fixed + 2, r->attempts);
		codec_put_u64(fixed + 4, (uint64_t)r->due_s);
		buf_append(ret, fixed, sizeof(fixed));
		append_text(ret, r->address);
		append_text(ret, r->orcpt);
		append_text(ret, r->reason);
		append_text(ret, r->via);
		const char tail[RECIPIENT_TAIL_BYTES] = { (char)r->cause, (char)r->told };
		buf_append(ret, tail, sizeof(tail));
	}
}

static bool take_tail(struct str *rest, struct spool_recipient *ret)
{
	if (!take_text(rest, &ret->via) || rest->length < RECIPIENT_TAIL_BYTES)
		return false;
	ret->cause = (uint8_t)rest->at[0];
	ret->told = (uint8_t)rest->at[1];
	*rest = str_skip(*rest, RECIPIENT_TAIL_BYTES);
	return ret->cause < SPOOL_CAUSE_COUNT;
}

static bool take_recipient(struct str *rest, int version, struct spool_recipient *ret)
{
	if (rest->length < RECIPIENT_BYTES)
		return false;
	const char *at = rest->at;
	ret->notify = (uint8_t)at[0];
	ret->state = (uint8_t)at[1];
	ret->attempts = codec_get_u16(at + 2);
	ret->due_s = (int64_t)codec_get_u64(at + 4);
	*rest = str_skip(*rest, RECIPIENT_BYTES);
	return ret->state <= SPOOL_RECIPIENT_HELD && take_text(rest, &ret->address) &&
	       take_text(rest, &ret->orcpt) && take_text(rest, &ret->reason) &&
	       (version == 1 || take_tail(rest, ret));
}

int spool_envelope_decode(struct str bytes, struct arena *arena, struct spool_envelope *ret,
	struct err *err)
{
	if (bytes.length < HEAD_BYTES)
		return err_set(err, ERR_INPUT, "the envelope is cut short");
	int version = (unsigned char)bytes.at[0];
	if (version < 1 || version > ENVELOPE_VERSION)
		return err_set(err, ERR_INPUT, "the envelope has version %d, this program knows %d",
			version, ENVELOPE_VERSION);
	struct spool_envelope e = {
		.ret = (uint8_t)bytes.at[1],
		.flags = (uint8_t)bytes.at[2],
		.received_s = (int64_t)codec_get_u64(bytes.at + 4),
		.recipient_count = codec_get_u32(bytes.at + 12),
	};
	struct str rest = str_skip(bytes, HEAD_BYTES);
	if (bytes.at[3] != 0 || e.ret > SPOOL_RET_HDRS || !take_text(&rest, &e.sender) ||
		!take_text(&rest, &e.envid) || !take_text(&rest, &e.client))
		return err_set(err, ERR_INPUT, "the envelope is malformed");
	/* each recipient needs that much at least: a wrong count must not make us allocate */
	if (e.recipient_count > rest.length / (RECIPIENT_BYTES + 6))
		return err_set(err, ERR_INPUT, "the envelope promises %u recipients in %zu bytes",
			(unsigned)e.recipient_count, rest.length);
	e.recipients = arena_alloc(arena, (size_t)e.recipient_count * sizeof(*e.recipients));
	for (uint32_t i = 0; i < e.recipient_count; i++) {
		if (!take_recipient(&rest, version, &e.recipients[i]))
			return err_set(err, ERR_INPUT, "the envelope's recipient %u is malformed",
				(unsigned)i);
	}
	if (rest.length)
		return err_set(err, ERR_INPUT, "the envelope has %zu bytes too many", rest.length);
	*ret = e;
	return 0;
}

bool spool_envelope_is_settled(const struct spool_envelope *e)
{
	for (uint32_t i = 0; i < e->recipient_count; i++) {
		if (spool_recipient_is_open(e->recipients[i].state))
			return false;
	}
	return true;
}

const char *spool_id_format(uint64_t id, char *text)
{
	static const char digits[] = "0123456789abcdef";
	for (int i = 15; i >= 0; i--) {
		text[i] = digits[id & 15];
		id >>= 4;
	}
	text[16] = '\0';
	return text;
}

bool spool_id_parse(struct str text, uint64_t *ret_id)
{
	unsigned char bytes[8];
	if (text.length != 16 || !codec_unhex(text, bytes, sizeof(bytes)))
		return false;
	uint64_t id = 0;
	for (int i = 0; i < 8; i++)
		id = id << 8 | bytes[i];
	*ret_id = id;
	return true;
}
