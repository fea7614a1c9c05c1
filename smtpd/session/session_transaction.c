#include "smtpd/session/session_transaction.h"

#include <assert.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"

/* two rooms, one meaning: the values are passed on as they are */
static_assert((int)SMTP_PARAMS_NOTIFY_NEVER == (int)SPOOL_NOTIFY_NEVER, "notify");
static_assert((int)SMTP_PARAMS_NOTIFY_SUCCESS == (int)SPOOL_NOTIFY_SUCCESS, "notify");
static_assert((int)SMTP_PARAMS_NOTIFY_FAILURE == (int)SPOOL_NOTIFY_FAILURE, "notify");
static_assert((int)SMTP_PARAMS_NOTIFY_DELAY == (int)SPOOL_NOTIFY_DELAY, "notify");
static_assert((int)SMTP_PARAMS_RET_NONE == (int)SPOOL_RET_NONE, "ret");
static_assert((int)SMTP_PARAMS_RET_FULL == (int)SPOOL_RET_FULL, "ret");
static_assert((int)SMTP_PARAMS_RET_HDRS == (int)SPOOL_RET_HDRS, "ret");

struct session_transaction *session_transaction_new(struct str sender,
	const struct smtp_params_mail *params)
{
	struct session_transaction *t = mem_zero(sizeof(*t));
	t->sender = arena_str(&t->arena, sender);
	if (params->envid.length)
		t->envid = arena_str(&t->arena, params->envid);
	t->ret = (uint8_t)params->ret;
	if (params->is_smtputf8)
		t->flags |= SPOOL_FLAG_SMTPUTF8;
	if (params->body == SMTP_PARAMS_BODY_8BITMIME)
		t->flags |= SPOOL_FLAG_8BITMIME;
	return t;
}

void session_transaction_free(struct session_transaction **t)
{
	if (!*t)
		return;
	arena_clear(&(*t)->arena);
	free((*t)->recipients);
	free(*t);
	*t = NULL;
}

void session_transaction_add(struct session_transaction *t, struct str address,
	const struct smtp_params_rcpt *params)
{
	if (t->recipient_count == t->recipient_capacity) {
		t->recipient_capacity = t->recipient_capacity ? t->recipient_capacity * 2 : 2;
		t->recipients = mem_resize_array(t->recipients, t->recipient_capacity,
			sizeof(*t->recipients));
	}
	struct spool_recipient *r = &t->recipients[t->recipient_count++];
	*r = (struct spool_recipient){ .address = arena_str(&t->arena, address),
		.notify = params->notify,
		.state = SPOOL_RECIPIENT_WAITING };
	if (params->orcpt.length)
		r->orcpt = arena_str(&t->arena, params->orcpt);
}

size_t session_transaction_bytes(const struct session_transaction *t)
{
	return t ? sizeof(*t) + t->arena.used_bytes +
			t->recipient_capacity * sizeof(*t->recipients)
		 : 0;
}

void session_transaction_envelope(const struct session_transaction *t, struct spool_envelope *ret)
{
	*ret = (struct spool_envelope){ .sender = t->sender,
		.envid = t->envid,
		.ret = t->ret,
		.flags = t->flags,
		.recipients = t->recipients,
		.recipient_count = t->recipient_count };
}
