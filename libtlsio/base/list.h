/* list: doubly linked, the links inside the members.
 *
 * Promise: a zeroed node is "on no list"; list_remove is O(1), harmless on such a node.
 *          Removing the current member while walking with LIST_EACH_SAFE is allowed.
 */
#ifndef LIBTLSIO_BASE_LIST_H
#define LIBTLSIO_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next;
	struct list *prev;
};

/* The struct that holds the node. */
#define LIST_OWNER(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))
#define LIST_EACH(node, head) for (struct list *node = (head)->next; node != (head); node = node->next)
#define LIST_EACH_SAFE(node, head)                                                                 \
	for (struct list *node = (head)->next, *node##_next = node->next; node != (head);          \
		node = node##_next, node##_next = node->next)

static inline void list_init(struct list *head)
{
	head->next = head;
	head->prev = head;
}

static inline bool list_is_empty(const struct list *head)
{
	return head->next == head;
}

static inline bool list_is_linked(const struct list *node)
{
	return node->next != NULL;
}

static inline void list_add_before(struct list *place, struct list *node)
{
	node->next = place;
	node->prev = place->prev;
	place->prev->next = node;
	place->prev = node;
}

static inline void list_push_back(struct list *head, struct list *node)
{
	list_add_before(head, node);
}

static inline void list_push_front(struct list *head, struct list *node)
{
	list_add_before(head->next, node);
}

static inline void list_remove(struct list *node)
{
	if (!node->next)
		return;
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->next = NULL;
	node->prev = NULL;
}

/* First node, or NULL when empty. */
static inline struct list *list_first(const struct list *head)
{
	return head->next == head ? NULL : head->next;
}

#endif
