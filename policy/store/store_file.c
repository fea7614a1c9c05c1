#include "policy/store/store_file.h"

#include <string.h>

#include "libtlsio/base/codec.h"
#include "libtlsio/base/mem.h"
#include "policy/door/door_bytes.h"

enum {
	RECORD_HEAD_BYTES = 8,
	BODY_BYTES_MOST = DOOR_PLAN_BYTES_MOST + 65536,
	/* as plan_whole bounds them, and some room */
	MX_MOST = 8192,
	STS_TEXT_BYTES_MOST = 16384,
	WORDS_MOST = 2 * POLICY_PLAN_HOSTS_MOST,
	WORDS_BYTES_MOST = 32768, /* of one policy: TLSRPT_POLICY_BYTES_MOST */
};
enum { BY_MX = 1, MX_KNOWN = 2, MX_PROVEN = 4, WHOLE_FLAGS = 7 };

static const char magic[8] = { 'P', 'S', 'T', 'P', 'L', 'A', 'N', 'S' };

/* ---- the head --------------------------------------------------------------------------------- */

void store_file_put_head(const struct store_head *head, char into[STORE_HEAD_BYTES])
{
	memcpy(into, magic, 8);
	codec_put_u32(into + 8, STORE_FORMAT);
	memcpy(into + 12, head->digest, 32);
	codec_put_u64(into + 44, (uint64_t)head->written_s);
	codec_put_u32(into + 52, head->count);
	codec_put_u64(into + 56, head->bytes);
	codec_put_u32(into + 64, codec_crc32c(0, into, 64));
}

int store_file_read_head(struct str bytes, struct store_head *ret, struct err *err)
{
	if (bytes.length < STORE_HEAD_BYTES)
		return err_set(err, ERR_INPUT, "it is cut off");
	if (memcmp(bytes.at, magic, sizeof(magic)) != 0)
		return err_set(err, ERR_INPUT, "it is no file of plans");
	if (codec_get_u32(bytes.at + 64) != codec_crc32c(0, bytes.at, 64))
		return err_set(err, ERR_INPUT, "its head does not fit its checksum");
	if (codec_get_u32(bytes.at + 8) != STORE_FORMAT)
		return err_set(err, ERR_INPUT, "it is of another format, %u",
			codec_get_u32(bytes.at + 8));
	memcpy(ret->digest, bytes.at + 12, 32);
	ret->written_s = (int64_t)codec_get_u64(bytes.at + 44);
	ret->count = codec_get_u32(bytes.at + 52);
	ret->bytes = codec_get_u64(bytes.at + 56);
	if (ret->count > STORE_PLANS_MOST)
		return err_set(err, ERR_INPUT, "it tells of %u plans", ret->count);
	return 0;
}

/* ---- writing ---------------------------------------------------------------------------------- */

static void put_whole(struct door_out *out, const struct policy_plan_whole *w)
{
	door_out_u8(out, (w->is_by_mx ? BY_MX : 0u) | (w->is_mx_known ? MX_KNOWN : 0u) |
		(w->is_mx_proven ? MX_PROVEN : 0u));
	door_out_u32(out, w->dane_hosts);
	door_out_u32(out, w->unusable_hosts);
	door_out_u32(out, w->plain_hosts);
	door_out_u32(out, w->unknown_hosts);
	door_out_u8(out, w->sts_mode);
	door_out_u16(out, w->sts_mx_count);
	for (size_t i = 0; i < w->sts_mx_count && !out->is_too_much; i++)
		door_out_text(out, w->sts_mx[i]);
	door_out_bytes(out, str_of(w->sts_text ? w->sts_text : ""));
	door_out_u16(out, w->word_count);
	for (size_t i = 0; i < w->word_count && !out->is_too_much; i++)
		door_out_bytes(out, str_of(w->words[i]));
}

bool store_file_put(struct buf *into, const struct plan_service_kept *kept)
{
	struct door_out out = { .into = into, .start = into->length };
	buf_reserve(into, RECORD_HEAD_BYTES);
	memset(into->data + into->head + out.start, 0, RECORD_HEAD_BYTES);
	buf_added(into, RECORD_HEAD_BYTES);
	door_out_u8(&out, kept->kind);
	door_out_u16(&out, kept->port);
	door_out_u8(&out, kept->has_evidence);
	door_wire_plan(into, 0, kept->plan);
	put_whole(&out, kept->plan->whole);
	char *record = into->data + into->head + out.start;
	size_t length = into->length - out.start - RECORD_HEAD_BYTES;
	if (out.is_too_much || length > BODY_BYTES_MOST) {
		buf_truncate(into, out.start);
		return false;
	}
	codec_put_u32(record, (uint32_t)length);
	codec_put_u32(record + 4, codec_crc32c(0, record + RECORD_HEAD_BYTES, length));
	return true;
}

/* ---- reading ---------------------------------------------------------------------------------- */

bool store_file_split(struct str bytes, struct str *ret_body, size_t *ret_bytes, bool *ret_is_whole)
{
	if (bytes.length < RECORD_HEAD_BYTES)
		return false;
	size_t length = codec_get_u32(bytes.at);
	if (length > BODY_BYTES_MOST || length > bytes.length - RECORD_HEAD_BYTES)
		return false;
	*ret_body = str_from(bytes.at + RECORD_HEAD_BYTES, length);
	*ret_bytes = RECORD_HEAD_BYTES + length;
	*ret_is_whole = codec_get_u32(bytes.at + 4) == codec_crc32c(0, ret_body->at, length);
	return true;
}

static void get_patterns(struct door_in *in, struct policy_plan_whole *w)
{
	size_t count = door_in_u16(in, MX_MOST);
	if (count)
		w->sts_mx = mem_array(count, sizeof(*w->sts_mx));
	for (size_t i = 0; i < count && !in->fault; i++) {
		const char *pattern = door_in_text(in, DOOR_NAME_BYTES_MOST + 2);
		if (!in->fault)
			w->sts_mx[w->sts_mx_count++] = mem_dup(pattern);
	}
}

/* What the tally may take for the words of a policy; it looks at them itself. */
static void get_words(struct door_in *in, struct policy_plan_whole *w)
{
	size_t count = door_in_u16(in, WORDS_MOST);
	if (count)
		w->words = mem_array(count, sizeof(*w->words));
	for (size_t i = 0; i < count && !in->fault; i++) {
		struct str text = door_in_bytes(in, WORDS_BYTES_MOST);
		if (memchr(text.at, '\0', text.length) && !in->fault)
			in->fault = "has a policy's words with a NUL in them";
		if (!in->fault)
			w->words[w->word_count++] = mem_dup_bytes(text.at, text.length);
	}
}

static struct policy_plan_whole *get_whole(struct door_in *in)
{
	struct policy_plan_whole *w = mem_zero(sizeof(*w));
	unsigned flags = door_in_u8(in, WHOLE_FLAGS);
	w->is_by_mx = flags & BY_MX;
	w->is_mx_known = flags & MX_KNOWN;
	w->is_mx_proven = flags & MX_PROVEN;
	w->dane_hosts = door_in_u32(in);
	w->unusable_hosts = door_in_u32(in);
	w->plain_hosts = door_in_u32(in);
	w->unknown_hosts = door_in_u32(in);
	w->sts_mode = (enum policy_sts_mode)door_in_u8(in, POLICY_STS_ENFORCE);
	get_patterns(in, w);
	struct str text = door_in_bytes(in, STS_TEXT_BYTES_MOST);
	if (memchr(text.at, '\0', text.length) && !in->fault)
		in->fault = "has a policy with a NUL in it";
	if (w->sts_mode != POLICY_STS_NONE && !in->fault)
		w->sts_text = mem_dup_bytes(text.at, text.length);
	get_words(in, w);
	return w;
}

int store_file_read(struct str body, const struct door_authorities *authorities,
	struct plan_service_kept *ret, struct err *err)
{
	struct door_in in = { .rest = body };
	struct door_frame frame;
	size_t used;
	*ret = (struct plan_service_kept){ 0 };
	ret->kind = (enum policy_question_kind)door_in_u8(&in, POLICY_BY_HOST);
	ret->port = (uint16_t)door_in_u16(&in, 0xffff);
	ret->has_evidence = door_in_u8(&in, 1);
	if (in.fault || door_wire_split(in.rest, DOOR_PLAN_BYTES_MOST, &frame, &used, err) != 1 ||
		frame.kind != DOOR_PLAN)
		return err_set(err, ERR_INPUT, "a record without a plan");
	in.rest = str_skip(in.rest, used);
	ret->plan = door_wire_read_plan(frame.body, authorities, err);
	if (!ret->plan)
		return -1;
	ret->plan->whole = get_whole(&in);
	if (door_in_end(&in, "a kept plan", err) == 0)
		return 0;
	policy_plan_unref(&ret->plan);
	return -1;
}
