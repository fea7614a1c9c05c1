#include "tests/smtpd/spool/spool_fixture.h"

#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libtlsio/base/codec.h"
#include "libtlsio/base/mem.h"
#include "tests/fakes/fake_loop.h"

enum { REAL_WAIT_MS = 10000 };

static void on_message(void *ctx, const struct spool_envelope *envelope)
{
	struct fixture *f = ctx;
	f->told = mem_resize_array(f->told, f->told_count + 1, sizeof(uint64_t));
	f->told[f->told_count++] = envelope->id;
	if (f->on_message)
		f->on_message(f, envelope);
}

static void on_trouble(void *ctx, const struct err *err)
{
	struct fixture *f = ctx;
	f->troubles++;
	f->last_trouble = *err;
}

void fixture_begin(struct fixture *f, struct spool_disk *disk, uint64_t segment_bytes)
{
	*f = (struct fixture){ .disk = disk };
	f->loop = tlsio_loop_new(NULL);
	f->settings.segment_bytes = segment_bytes ? segment_bytes : 1 << 20;
	f->settings.maximum_messages = 1000000;
	if (disk) {
		f->directory = mem_dup("/spool");
		return;
	}
	const char *parent = getenv("TMPDIR");
	struct buf path = { 0 };
	buf_printf(&path, "%s/spool-XXXXXX", parent ? parent : "/tmp");
	f->directory = buf_take(&path);
	if (!mkdtemp(f->directory))
		abort();
}

static void remove_directory(const char *directory)
{
	DIR *entries = opendir(directory);
	struct dirent *entry;
	while (entries && (entry = readdir(entries)) != NULL) {
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(entries), entry->d_name, 0);
	}
	if (entries)
		closedir(entries);
	rmdir(directory);
}

void fixture_end(struct fixture *f)
{
	fixture_close(f);
	tlsio_loop_free(&f->loop);
	if (!f->disk)
		remove_directory(f->directory);
	free(f->directory);
	free(f->told);
}

int fixture_open(struct fixture *f, struct err *err)
{
	static const struct spool_events events = { on_message, on_trouble };
	f->told_count = 0;
	f->troubles = 0;
	f->spool = spool_open(
		f->loop, f->directory, 3, &f->settings, f->disk, &events, f, err);
	if (!f->spool)
		return -1;
	if (spool_replay(f->spool, err) == 0)
		return 0;
	spool_close(&f->spool);
	return -1;
}

void fixture_close(struct fixture *f)
{
	spool_close(&f->spool);
}

void fixture_reopen(struct fixture *f)
{
	struct err err = { 0 };
	fixture_close(f);
	if (fixture_open(f, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
}

void fixture_pass_ms(struct fixture *f, int64_t ms)
{
	fake_loop_advance(f->loop, ms);
}

void fixture_wait(struct fixture *f, const bool *flag)
{
	fake_loop_advance(f->loop, 0);
	if (!flag) {
		/* the helper has work of its own: whatever it ends with wakes us */
		while (!f->disk && fake_loop_await_wake(f->loop, 50))
			;
		fake_loop_advance(f->loop, 1000);
		return;
	}
	while (!*flag) {
		if (!f->disk && !fake_loop_await_wake(f->loop, REAL_WAIT_MS))
			abort();
		fake_loop_advance(f->loop, f->disk ? 1 : 0);
	}
}

void fixture_fill(struct buf *ret, uint64_t seed, size_t length)
{
	enum { POOL_BYTES = 1 << 16 };
	static char pool[POOL_BYTES];
	if (pool[0] == 0) {
		uint64_t state = 1;
		for (size_t i = 0; i < POOL_BYTES; i += 8) {
			state ^= state << 13;
			state ^= state >> 7;
			state ^= state << 17;
			codec_put_u64(pool + i, state | 1);
		}
	}
	/* another part of the pool for each seed and each piece */
	size_t at = seed * 7919 % POOL_BYTES;
	while (length) {
		size_t piece = POOL_BYTES - at < length ? POOL_BYTES - at : length;
		buf_append(ret, pool + at, piece);
		length -= piece;
		at = (at + piece + 4001) % POOL_BYTES;
	}
}

void fixture_on_done(void *ctx, uint64_t id, const struct err *error)
{
	struct fixture_done *done = ctx;
	assert(!done->is_done);
	if (done->f->is_dead && done->f->is_dead(done->f))
		return;
	done->is_done = true;
	done->is_durable = !error;
	done->id = id;
	if (error)
		done->error = *error;
}

static void address_of(uint64_t seed, uint32_t recipient, char *into, size_t room)
{
	snprintf(into, room, "rcpt%u@d%llu.example", (unsigned)recipient,
		(unsigned long long)seed);
}

static void commit(struct spool_writer **w, uint64_t seed, uint32_t recipients,
	struct fixture_done *done)
{
	char sender[64], (*addresses)[64] = mem_array(recipients, sizeof(*addresses));
	snprintf(sender, sizeof(sender), "s%llu@from.example", (unsigned long long)seed);
	struct spool_envelope e = { .received_s = 1000 + (int64_t)seed, .sender = str_of(sender),
		.client = STR("192.0.2.1"), .recipient_count = recipients };
	e.recipients = mem_zero(recipients * sizeof(*e.recipients));
	for (uint32_t i = 0; i < recipients; i++) {
		address_of(seed, i, addresses[i], sizeof(addresses[i]));
		e.recipients[i].address = str_of(addresses[i]);
	}
	spool_commit(w, &e, fixture_on_done, done);
	free(e.recipients);
	free(addresses);
}

uint64_t fixture_send(struct fixture *f, uint64_t seed, size_t length, uint32_t recipients,
	struct fixture_done *done)
{
	*done = (struct fixture_done){ .f = f };
	struct spool_writer *w = spool_begin(f->spool, &done->error);
	if (!w) {
		done->is_done = true;
		return 0;
	}
	uint64_t id = spool_writer_id(w);
	struct buf body = { 0 };
	fixture_fill(&body, seed, length);
	struct str rest = buf_str(&body);
	while (rest.length) {
		size_t piece = rest.length < 5000 ? rest.length : 5000;
		if (spool_write(w, str_head(rest, piece), &done->error) < 0)
			break;
		rest = str_skip(rest, piece);
	}
	buf_release(&body);
	if (rest.length) {
		done->is_done = true;
		spool_abandon(&w);
		return 0;
	}
	commit(&w, seed, recipients, done);
	return id;
}

uint64_t fixture_send_durably(
	struct fixture *f, uint64_t seed, size_t length, uint32_t recipients)
{
	struct fixture_done done;
	uint64_t id = fixture_send(f, seed, length, recipients, &done);
	fixture_wait(f, &done.is_done);
	if (!done.is_durable) {
		fprintf(stderr, "%s\n", done.error.text);
		abort();
	}
	return id;
}

static bool is_envelope_right(
	const struct spool_envelope *e, uint64_t id, uint64_t seed, size_t length, uint32_t count)
{
	char text[64];
	if (e->id != id || e->size_bytes != length || e->recipient_count != count ||
		e->received_s != 1000 + (int64_t)seed)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		address_of(seed, i, text, sizeof(text));
		if (!str_equal(e->recipients[i].address, str_of(text)))
			return false;
	}
	return true;
}

bool fixture_is_intact(struct fixture *f, uint64_t id, uint64_t seed, size_t length,
	uint32_t recipients, struct err *err)
{
	struct spool_reader *r = spool_read(f->spool, id, err);
	if (!r)
		return false;
	err_set(err, ERR_INPUT, "the envelope or the body differs");
	bool is_intact =
		is_envelope_right(spool_reader_envelope(r), id, seed, length, recipients);
	struct buf body = { 0 };
	fixture_fill(&body, seed, length);
	struct str rest = buf_str(&body), piece;
	while (is_intact) {
		if (spool_reader_next(r, &piece, err) < 0 || piece.length > rest.length ||
			memcmp(piece.at, rest.at, piece.length) != 0)
			is_intact = false;
		else if (piece.length == 0)
			break;
		else
			rest = str_skip(rest, piece.length);
	}
	buf_release(&body);
	spool_reader_free(&r);
	return is_intact && rest.length == 0;
}

void fixture_settle_one(struct fixture *f, uint64_t id, uint32_t recipient, uint8_t state)
{
	struct spool_outcome outcome = { .recipient = recipient, .state = state, .attempts = 1,
		.due_s = 4000, .reason = STR("451 not now") };
	spool_settle(f->spool, id, &outcome, 1);
}

void fixture_settle_all(struct fixture *f, uint64_t id, uint32_t recipients, uint8_t state)
{
	for (uint32_t i = 0; i < recipients; i++)
		fixture_settle_one(f, id, i, state);
}

bool fixture_was_told(const struct fixture *f, uint64_t id)
{
	for (size_t i = 0; i < f->told_count; i++) {
		if (f->told[i] == id)
			return true;
	}
	return false;
}

uint64_t fixture_count(const struct fixture *f)
{
	struct spool_summary summary;
	spool_summarise(f->spool, &summary);
	return summary.messages;
}
