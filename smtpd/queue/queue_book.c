#include "smtpd/queue/queue_book.h"

#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/idtable.h"
#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"

#define uthash_malloc(size) mem_alloc(size)
#include <uthash.h>

enum { NAME_MOST = 255 };

struct domain {
	UT_hash_handle hh;
	struct queue_book_count count;
	uint32_t name_length;
	char name[];
};

/* How many messages came within the same five minutes. */
struct slot {
	UT_hash_handle hh;
	int64_t number;
	uint64_t messages;
};

struct recipient {
	struct domain *domain; /* NULL: not open any more */
	uint8_t state, cause;
};

struct message {
	struct idtable_node by_id;
	uint64_t size_bytes;
	int64_t received_s;
	uint32_t recipient_count;
	uint32_t open_count;
	union {
		struct recipient one;
		struct recipient *many; /* owned, where there is more than one */
	};
};
_Static_assert(sizeof(struct message) <= 64, "there may be a million of them");

struct queue_book {
	struct idtable messages;
	struct domain *domains;
	struct slot *slots;
	struct queue_book_total total;
};

/* ---- counting -------------------------------------------------------------------------------- */

static void count(struct queue_book_count *c, uint8_t state, uint8_t cause, int64_t by)
{
	c->recipients += (uint64_t)by;
	if (state == SPOOL_RECIPIENT_HELD)
		c->held += (uint64_t)by;
	else
		c->causes[cause < SPOOL_CAUSE_COUNT ? cause : 0] += (uint64_t)by;
}

static struct domain *domain_of(struct queue_book *book, struct str address)
{
	char name[NAME_MOST + 1];
	size_t at = str_find_last(address, '@');
	struct str text = at < address.length ? str_skip(address, at + 1) : STR("");
	text = str_head(text, text.length < NAME_MOST ? text.length : NAME_MOST);
	struct domain *d;
	str_copy(text, name, sizeof(name));
	str_lower_in_place(name, text.length);
	HASH_FIND(hh, book->domains, name, text.length, d);
	if (d)
		return d;
	d = mem_zero(sizeof(*d) + text.length + 1);
	memcpy(d->name, name, text.length);
	d->name_length = (uint32_t)text.length;
	HASH_ADD_KEYPTR(hh, book->domains, d->name, d->name_length, d);
	return d;
}

static void open_recipient(struct queue_book *book, struct message *m, struct recipient *r,
	const struct spool_recipient *from)
{
	if (!spool_recipient_is_open(from->state))
		return;
	*r = (struct recipient){ .domain = domain_of(book, from->address), .state = from->state,
		.cause = from->cause };
	count(&r->domain->count, r->state, r->cause, 1);
	count(&book->total.count, r->state, r->cause, 1);
	m->open_count++;
}

static void close_recipient(struct queue_book *book, struct message *m, struct recipient *r)
{
	struct domain *d = r->domain;
	count(&d->count, r->state, r->cause, -1);
	count(&book->total.count, r->state, r->cause, -1);
	r->domain = NULL;
	m->open_count--;
	if (d->count.recipients == 0) {
		HASH_DELETE(hh, book->domains, d);
		free(d);
	}
}

static int64_t slot_number(int64_t received_s)
{
	return received_s / QUEUE_BOOK_AGE_S;
}

static void count_slot(struct queue_book *book, int64_t received_s, int by)
{
	int64_t number = slot_number(received_s);
	struct slot *slot;
	HASH_FIND(hh, book->slots, &number, sizeof(number), slot);
	if (!slot) {
		slot = mem_zero(sizeof(*slot));
		slot->number = number;
		HASH_ADD(hh, book->slots, number, sizeof(slot->number), slot);
	}
	slot->messages += (uint64_t)by;
	if (slot->messages == 0) {
		HASH_DELETE(hh, book->slots, slot);
		free(slot);
	}
}

/* ---- messages -------------------------------------------------------------------------------- */

static struct message *message_in(struct idtable_node *node)
{
	return node ? LIST_OWNER(node, struct message, by_id) : NULL;
}

static struct message *find(const struct queue_book *book, uint64_t id)
{
	return message_in(idtable_find(&book->messages, id));
}

static struct recipient *recipient_of(struct message *m, uint32_t i)
{
	return m->recipient_count == 1 ? &m->one : &m->many[i];
}

static void free_message(struct message *m)
{
	if (m->recipient_count > 1)
		free(m->many);
	free(m);
}

static void free_node(struct idtable_node *node)
{
	free_message(message_in(node));
}

static void remove_message(struct queue_book *book, struct message *m)
{
	for (uint32_t i = 0; i < m->recipient_count; i++)
		if (recipient_of(m, i)->domain)
			close_recipient(book, m, recipient_of(m, i));
	book->total.messages--;
	book->total.bytes -= m->size_bytes;
	count_slot(book, m->received_s, -1);
	idtable_remove(&book->messages, &m->by_id);
	free_message(m);
}

void queue_book_add(struct queue_book *book, const struct spool_envelope *e)
{
	struct message *m = find(book, e->id);
	if (m)
		remove_message(book, m);
	if (spool_envelope_is_settled(e))
		return;
	m = mem_zero(sizeof(*m));
	m->by_id.id = e->id;
	m->size_bytes = e->size_bytes;
	m->received_s = e->received_s;
	m->recipient_count = e->recipient_count;
	if (e->recipient_count > 1)
		m->many = mem_zero(e->recipient_count * sizeof(*m->many));
	for (uint32_t i = 0; i < e->recipient_count; i++)
		open_recipient(book, m, recipient_of(m, i), &e->recipients[i]);
	idtable_add(&book->messages, &m->by_id);
	book->total.messages++;
	book->total.bytes += m->size_bytes;
	count_slot(book, m->received_s, 1);
}

void queue_book_change(struct queue_book *book, uint64_t id, uint32_t recipient, uint8_t state,
	uint8_t cause)
{
	struct message *m = find(book, id);
	struct recipient *r = m && recipient < m->recipient_count ? recipient_of(m, recipient) : NULL;
	if (!r || !r->domain)
		return;
	if (!spool_recipient_is_open(state)) {
		close_recipient(book, m, r);
		if (m->open_count == 0)
			remove_message(book, m);
		return;
	}
	count(&r->domain->count, r->state, r->cause, -1);
	count(&book->total.count, r->state, r->cause, -1);
	r->state = state;
	r->cause = cause;
	count(&r->domain->count, state, cause, 1);
	count(&book->total.count, state, cause, 1);
}

/* ---- looking --------------------------------------------------------------------------------- */

void queue_book_total(const struct queue_book *book, struct queue_book_total *ret)
{
	*ret = book->total;
	ret->domains = HASH_COUNT(book->domains);
}

int64_t queue_book_age_end_s(size_t class)
{
	return class + 1 < QUEUE_BOOK_AGES ? (int64_t)QUEUE_BOOK_AGE_S << class : 0;
}

void queue_book_ages(const struct queue_book *book, int64_t now_s, uint64_t ret[QUEUE_BOOK_AGES])
{
	memset(ret, 0, QUEUE_BOOK_AGES * sizeof(ret[0]));
	for (const struct slot *slot = book->slots; slot; slot = slot->hh.next) {
		int64_t age_s = now_s - slot->number * QUEUE_BOOK_AGE_S - QUEUE_BOOK_AGE_S / 2;
		size_t class = 0;
		while (class + 1 < QUEUE_BOOK_AGES && age_s >= queue_book_age_end_s(class))
			class++;
		ret[class] += slot->messages;
	}
}

/* ret is a heap with the smallest on top while it fills and what is larger comes. */
static void sift_down(struct queue_book_domain *heap, size_t size, size_t at)
{
	for (;;) {
		size_t least = at, left = 2 * at + 1;
		for (size_t child = left; child < left + 2 && child < size; child++)
			if (heap[child].count.recipients < heap[least].count.recipients)
				least = child;
		if (least == at)
			return;
		struct queue_book_domain swap = heap[at];
		heap[at] = heap[least];
		heap[least] = swap;
		at = least;
	}
}

static int by_recipients(const void *a, const void *b)
{
	const struct queue_book_domain *x = a, *y = b;
	if (x->count.recipients != y->count.recipients)
		return x->count.recipients > y->count.recipients ? -1 : 1;
	return strcmp(x->name, y->name);
}

size_t queue_book_top(const struct queue_book *book, struct queue_book_domain *ret, size_t most)
{
	size_t size = 0;
	for (const struct domain *d = book->domains; d && most; d = d->hh.next) {
		const struct queue_book_domain one = { .name = d->name, .count = d->count };
		if (size < most) {
			ret[size++] = one;
			for (size_t i = size / 2; size == most && i-- > 0;)
				sift_down(ret, size, i);
		} else if (one.count.recipients > ret[0].count.recipients) {
			ret[0] = one;
			sift_down(ret, size, 0);
		}
	}
	qsort(ret, size, sizeof(*ret), by_recipients);
	return size;
}

bool queue_book_find(const struct queue_book *book, uint64_t id, struct queue_book_message *ret)
{
	const struct message *m = find(book, id);
	if (m)
		*ret = (struct queue_book_message){ .received_s = m->received_s,
			.size_bytes = m->size_bytes, .recipient_count = m->recipient_count };
	return m != NULL;
}

const char *queue_book_recipient(const struct queue_book *book, uint64_t id, uint32_t recipient,
	uint8_t *ret_state, uint8_t *ret_cause)
{
	struct message *m = find(book, id);
	const struct recipient *r =
		m && recipient < m->recipient_count ? recipient_of(m, recipient) : NULL;
	if (!r || !r->domain)
		return NULL;
	*ret_state = r->state;
	*ret_cause = r->cause;
	return r->domain->name;
}

/* ---- life ------------------------------------------------------------------------------------ */

struct queue_book *queue_book_new(void)
{
	return mem_zero(sizeof(struct queue_book));
}

void queue_book_free(struct queue_book **pbook)
{
	struct queue_book *book = *pbook;
	struct domain *d, *next_domain;
	struct slot *slot, *next_slot;
	if (!book)
		return;
	*pbook = NULL;
	idtable_clear(&book->messages, free_node);
	HASH_ITER (hh, book->domains, d, next_domain) {
		HASH_DELETE(hh, book->domains, d);
		free(d);
	}
	HASH_ITER (hh, book->slots, slot, next_slot) {
		HASH_DELETE(hh, book->slots, slot);
		free(slot);
	}
	free(book);
}
