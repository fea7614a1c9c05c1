/* A message goes out: its envelope, and its body piece by piece. */
#include "smtpd/spool/spool_inside.h"

#include <stdlib.h>

#include "libtlsio/base/mem.h"

struct spool_reader {
	struct spool *spool;
	uint64_t id;
	struct spool_loaded loaded;
	struct spool_extents extents; /* held: the files stay while we read */
	uint32_t next_chunk;
	struct buf piece;
};

static void copy_extents(const struct spool_extents *from, struct spool_extents *to)
{
	struct spool_extent extent;
	for (uint32_t i = 0; (extent = spool_extents_at(from, i)).segment; i++)
		spool_extents_add(to, extent.segment, extent.bytes);
}

struct spool_reader *spool_read(struct spool *spool, uint64_t id, struct err *err)
{
	char name[17];
	struct spool_message *message = spool_index_find(&spool->index, id);
	if (!message) {
		err_set(err, ERR_INPUT, "no message %s", spool_id_format(id, name));
		return NULL;
	}
	struct spool_reader *r = mem_zero(sizeof(*r));
	if (spool_load(spool, message, &r->loaded, err) < 0) {
		free(r);
		return NULL;
	}
	r->spool = spool;
	r->id = id;
	copy_extents(&message->extents, &r->extents);
	spool_extents_hold(&r->extents, &spool->segments);
	return r;
}

const struct spool_envelope *spool_reader_envelope(const struct spool_reader *r)
{
	return &r->loaded.envelope;
}

int spool_reader_next(struct spool_reader *r, struct str *ret_piece, struct err *err)
{
	if (r->next_chunk == r->loaded.head.chunk_count) {
		*ret_piece = STR("");
		return 0;
	}
	struct spool_chunk chunk = spool_chunk_at(r->loaded.chunks, r->next_chunk);
	if (spool_load_record(r->spool, chunk.at, spool_record_bytes(chunk.length),
		    SPOOL_RECORD_CHUNK, r->id, &r->piece, err) < 0)
		return -1;
	r->next_chunk++;
	*ret_piece = str_skip(buf_str(&r->piece), SPOOL_RECORD_HEADER_BYTES);
	return 0;
}

void spool_reader_rewind(struct spool_reader *r)
{
	r->next_chunk = 0;
}

void spool_reader_free(struct spool_reader **r_p)
{
	struct spool_reader *r = *r_p;
	if (!r)
		return;
	*r_p = NULL;
	spool_extents_drop(&r->extents, &r->spool->segments);
	spool_extents_clear(&r->extents);
	/* the last one to need a segment may just have gone */
	spool_request_turn(r->spool);
	spool_loaded_clear(&r->loaded);
	buf_release(&r->piece);
	free(r);
}
