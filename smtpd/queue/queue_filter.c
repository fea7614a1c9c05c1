#include "smtpd/queue/queue_filter.h"

#include "libtlsio/base/conf.h"

/* Of what the operator wrote, for "%.*s". */
#define SHORT(text) (int)((text).length < 60 ? (text).length : 60), (text).at
#define WORDS "id=, domain=, sender=, recipient=, reason=, older=, younger=, larger=, smaller="

/* ---- reading --------------------------------------------------------------------------------- */

static int read_text(char ret[QUEUE_FILTER_ADDRESS_BYTES], struct str value, struct err *err)
{
	if (value.length == 0 || !str_copy(value, ret, QUEUE_FILTER_ADDRESS_BYTES))
		return err_set(err, ERR_INPUT, "an address or domain has 1 to %d bytes",
			QUEUE_FILTER_ADDRESS_BYTES - 1);
	str_lower_in_place(ret, value.length);
	return 0;
}

static int read_reason(struct queue_filter *f, struct str value, struct err *err)
{
	f->has_reason = true;
	f->is_held = str_equal_nocase(value, STR("held"));
	if (f->is_held)
		return 0;
	for (uint8_t cause = 0; cause < SPOOL_CAUSE_COUNT; cause++) {
		f->cause = cause;
		if (str_equal_nocase(value, str_of(spool_cause_name(cause))))
			return 0;
	}
	return err_set(err, ERR_INPUT, "there is no reason \"%.*s\": the reasons are none, reply, "
		"unreachable, names, policy, ours and held", SHORT(value));
}

static int read_age(int64_t *ret_s, struct str value, struct err *err)
{
	int64_t ms;
	if (!conf_parse_duration(value, &ms) || ms < 1000)
		return err_set(err, ERR_INPUT, "\"%.*s\" is no time: write it like 90s, 5m, 4h or 5d",
			SHORT(value));
	*ret_s = ms / 1000;
	return 0;
}

static int read_size(uint64_t *ret, struct str value, struct err *err)
{
	if (!conf_parse_size(value, ret) || *ret == 0)
		return err_set(err, ERR_INPUT, "\"%.*s\" is no size: write it like 64KiB or 5MiB",
			SHORT(value));
	return 0;
}

int queue_filter_add(struct queue_filter *f, struct str word, struct err *err)
{
	struct str name, value = word;
	if (!str_split(&value, '=', &name) || !value.at)
		return err_set(err, ERR_INPUT, "\"%.*s\" is none of " WORDS, SHORT(word));
	if (str_equal(name, STR("domain")))
		return read_text(f->domain, value, err);
	if (str_equal(name, STR("sender")))
		return read_text(f->sender, value, err);
	if (str_equal(name, STR("recipient")))
		return read_text(f->recipient, value, err);
	if (str_equal(name, STR("reason")))
		return read_reason(f, value, err);
	if (str_equal(name, STR("older")))
		return read_age(&f->older_s, value, err);
	if (str_equal(name, STR("younger")))
		return read_age(&f->younger_s, value, err);
	if (str_equal(name, STR("larger")))
		return read_size(&f->larger, value, err);
	if (str_equal(name, STR("smaller")))
		return read_size(&f->smaller, value, err);
	if (str_equal(name, STR("id")) && spool_id_parse(value, &f->id))
		return 0;
	return err_set(err, ERR_INPUT, "\"%.*s\" is none of " WORDS, SHORT(word));
}

/* ---- holding against it ---------------------------------------------------------------------- */

static bool fits_domain(const char *wanted, struct str domain)
{
	if (!wanted[0])
		return true;
	if (wanted[0] == '.')
		return str_ends_nocase(domain, str_of(wanted));
	return str_equal_nocase(domain, str_of(wanted));
}

/* "" any; "<>" none at all; "@example.org" anybody there. */
static bool fits_address(const char *wanted, struct str address)
{
	if (!wanted[0])
		return true;
	if (str_equal(str_of(wanted), STR("<>")))
		return address.length == 0;
	if (wanted[0] == '@')
		return str_ends_nocase(address, str_of(wanted));
	return str_equal_nocase(address, str_of(wanted));
}

static bool fits_message(const struct queue_filter *f, uint64_t id, int64_t received_s,
	uint64_t size_bytes, int64_t now_s)
{
	return (!f->id || f->id == id) && (!f->older_s || now_s - received_s >= f->older_s) &&
		(!f->younger_s || now_s - received_s < f->younger_s) &&
		(!f->larger || size_bytes > f->larger) && (!f->smaller || size_bytes < f->smaller);
}

static bool fits_reason(const struct queue_filter *f, uint8_t state, uint8_t cause)
{
	bool is_held = state == SPOOL_RECIPIENT_HELD;
	return !f->has_reason || (f->is_held ? is_held : !is_held && cause == f->cause);
}

bool queue_filter_may_match(const struct queue_filter *f, const struct queue_book *book,
	uint64_t id, int64_t now_s)
{
	struct queue_book_message m;
	if (!queue_book_find(book, id, &m) ||
		!fits_message(f, id, m.received_s, m.size_bytes, now_s))
		return false;
	for (uint32_t i = 0; i < m.recipient_count; i++) {
		uint8_t state, cause;
		const char *domain = queue_book_recipient(book, id, i, &state, &cause);
		if (domain && fits_domain(f->domain, str_of(domain)) && fits_reason(f, state, cause))
			return true;
	}
	return false;
}

bool queue_filter_matches(const struct queue_filter *f, const struct spool_envelope *e,
	uint32_t recipient, int64_t now_s)
{
	const struct spool_recipient *r = &e->recipients[recipient];
	size_t at = str_find_last(r->address, '@');
	struct str domain = at < r->address.length ? str_skip(r->address, at + 1) : STR("");
	return spool_recipient_is_open(r->state) &&
		fits_message(f, e->id, e->received_s, e->size_bytes, now_s) &&
		fits_domain(f->domain, domain) && fits_reason(f, r->state, r->cause) &&
		fits_address(f->sender, e->sender) && fits_address(f->recipient, r->address);
}
