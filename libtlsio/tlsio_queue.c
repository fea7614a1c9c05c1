#include "libtlsio/tlsio_queue.h"

#include <assert.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"

/* Under AddressSanitizer nothing is recycled: use of consumed bytes must be seen. */
#ifdef __SANITIZE_ADDRESS__
#define STOCK_MOST 0
#else
#define STOCK_MOST 16
#endif

static _Thread_local struct {
	size_t users;
	size_t count;
	char *blocks[STOCK_MOST + 1];
} stock;

void tlsio_queue_stock_enter(void)
{
	stock.users++;
}

void tlsio_queue_stock_leave(void)
{
	assert(stock.users > 0);
	if (--stock.users)
		return;
	while (stock.count)
		free(stock.blocks[--stock.count]);
}

/* Replies fit the smallest step, which malloc hands out from its per-thread cache. */
static size_t block_bytes_for(size_t need)
{
	if (need <= 512)
		return 512;
	if (need <= 4096)
		return 4096;
	size_t bytes = TLSIO_QUEUE_BLOCK_BYTES;
	while (bytes < need)
		bytes *= 2;
	return bytes;
}

static char *take_block(size_t bytes)
{
	if (bytes == TLSIO_QUEUE_BLOCK_BYTES && stock.count)
		return stock.blocks[--stock.count];
	return mem_alloc(bytes);
}

static void give_block(char *block, size_t bytes)
{
	if (bytes == TLSIO_QUEUE_BLOCK_BYTES && stock.count != STOCK_MOST && stock.users)
		stock.blocks[stock.count++] = block;
	else
		free(block);
}

static void move_to(struct tlsio_queue *q, char *block, size_t capacity)
{
	if (q->length)
		memcpy(block, q->block + q->head, q->length);
	if (q->block)
		give_block(q->block, q->capacity);
	q->block = block;
	q->head = 0;
	q->capacity = (uint32_t)capacity;
}

char *tlsio_queue_reserve(struct tlsio_queue *q, size_t least, size_t *ret_room)
{
	size_t need = q->length + least;
	assert(need <= UINT32_MAX / 4);
	if (!q->block || q->capacity < need) {
		size_t bytes = block_bytes_for(need);
		move_to(q, take_block(bytes), bytes);
	} else if (q->capacity - q->head < need) {
		memmove(q->block, q->block + q->head, q->length);
		q->head = 0;
	}
	*ret_room = q->capacity - q->head - q->length;
	return q->block + q->head + q->length;
}

void tlsio_queue_append(struct tlsio_queue *q, const void *bytes, size_t length)
{
	size_t room;
	if (length == 0)
		return;
	memcpy(tlsio_queue_reserve(q, length, &room), bytes, length);
	tlsio_queue_added(q, length);
}

void tlsio_queue_consume(struct tlsio_queue *q, size_t count)
{
	assert(count <= q->length);
	q->head += (uint32_t)count;
	q->length -= (uint32_t)count;
	if (q->length == 0)
		tlsio_queue_release(q);
}

void tlsio_queue_settle(struct tlsio_queue *q)
{
	if (!q->block)
		return;
	if (q->length == 0)
		tlsio_queue_release(q);
	else if (q->capacity >= TLSIO_QUEUE_BLOCK_BYTES && q->length <= q->capacity / 4)
		move_to(q, mem_alloc(q->length), q->length);
}

void tlsio_queue_release(struct tlsio_queue *q)
{
	if (q->block)
		give_block(q->block, q->capacity);
	*q = (struct tlsio_queue){ 0 };
}
