#include "policy/sts/sts_fetch.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/mem.h"
#include "libtlsio/base/netaddr.h"
#include "libtlsio/tlsio_foreign.h"
#include "libtlsio/tlsio_trust.h"
#include "policy/sts/sts_address.h"
#include "policy/sts/sts_multi.h"

enum {
	RUNNING_MOST = 50,
	KEPT_FREE = 10, /* of them, for policies in force */
	ADDRESSES_MOST = 8,	/* of each family */
	HEADER_BYTES_MOST = 16384,
	DOMAIN_BYTES_MOST = 240,
	PORT = 443,
	OTHER_FAMILY_MS = 1000, /* with addresses of one family, the other has so long */
	SLOW_BYTES_PER_S = 100,
	SLOW_S = 20,
	WHY_BYTES = 400,
	QUOTE_BYTES = 100,
};

enum phase { PHASE_QUEUED, PHASE_ADDRESSES, PHASE_HTTPS };

struct sts_fetcher {
	struct tlsio_loop *loop;
	struct dns *dns;
	struct sts_settings settings;
	struct tlsio_trust *trust;
	struct sts_multi *multi;
	struct list queued_in_force; /* these first */
	struct list queued;
	struct list running;
	size_t running_count;
	struct tlsio_turn turn; /* where queued ones begin */
};

struct sts_fetch {
	struct list link;
	struct sts_fetcher *fetcher;
	char *host; /* mta-sts.<domain> */
	void (*on_over)(void *ctx, const struct sts_fetched *result);
	void *ctx;
	enum phase phase;
	int64_t end_ms;
	struct tlsio_timer limit;
	struct tlsio_timer other_family;
	struct dns_question *questions[2]; /* A, AAAA */
	struct netaddr addresses[2 * ADDRESSES_MOST];
	size_t address_count;
	char refused[120]; /* an address we would not go to, in words */
	char dns_failure[160];
	CURL *easy;
	CURLSH *share;
	struct curl_slist *resolve;
	char curl_words[CURL_ERROR_SIZE];
	size_t header_bytes;
	struct buf body;
	enum policy_reason reason; /* set: we ended it ourselves */
	char why[WHY_BYTES];
};

static void end_later(struct sts_fetch *f, enum policy_reason reason, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The words; whoever called ends the fetch. The first word is the right one. */
static void end_later(struct sts_fetch *f, enum policy_reason reason, const char *format, ...)
{
	va_list args;
	if (f->reason != POLICY_REASON_NONE)
		return;
	f->reason = reason;
	va_start(args, format);
	vsnprintf(f->why, sizeof(f->why), format, args);
	va_end(args);
}

/* What others wrote, fit for a log line. */
static const char *quote(const char *text, char into[QUOTE_BYTES])
{
	str_copy(str_of(text), into, QUOTE_BYTES);
	for (char *c = into; *c; c++)
		if (*c < ' ' || *c > '~' || *c == '"')
			*c = '?';
	return into;
}

/* --- the end ------------------------------------------------------------------------------------- */

static void free_fetch(struct sts_fetch *f)
{
	struct sts_fetcher *fetcher = f->fetcher;
	if (f->phase != PHASE_QUEUED)
		fetcher->running_count--;
	list_remove(&f->link);
	tlsio_timer_stop(&f->limit);
	tlsio_timer_stop(&f->other_family);
	dns_cancel(&f->questions[0]);
	dns_cancel(&f->questions[1]);
	if (f->easy) {
		sts_multi_remove(fetcher->multi, f->easy);
		curl_easy_cleanup(f->easy);
	}
	if (f->share)
		curl_share_cleanup(f->share);
	curl_slist_free_all(f->resolve);
	buf_release(&f->body);
	free(f->host);
	free(f);
	if (!list_is_empty(&fetcher->queued) || !list_is_empty(&fetcher->queued_in_force))
		tlsio_turn_request(&fetcher->turn);
}

static void end(struct sts_fetch *f, struct sts_policy *policy)
{
	struct sts_fetched result = { .policy = policy,
		.reason = policy ? POLICY_REASON_NONE : f->reason,
		.why = policy ? "" : f->why };
	f->on_over(f->ctx, &result);
	free_fetch(f);
}

static void on_limit(void *ctx)
{
	struct sts_fetch *f = ctx;
	long long limit_s = (long long)(f->fetcher->settings.fetch_ms + 999) / 1000;
	switch (f->phase) {
	case PHASE_QUEUED:
		end_later(f, POLICY_REASON_STS_POLICY_FETCH_ERROR,
			"no turn to ask %s within %lld s: too many policies are fetched at once",
			f->host, limit_s);
		break;
	case PHASE_ADDRESSES:
		end_later(f, POLICY_REASON_STS_POLICY_FETCH_ERROR,
			"the addresses of %s were not found within %lld s", f->host, limit_s);
		break;
	case PHASE_HTTPS:
		end_later(f, POLICY_REASON_STS_POLICY_FETCH_ERROR,
			"%s did not finish its answer within %lld s", f->host, limit_s);
		break;
	}
	end(f, NULL);
}

/* --- what the server shows and says -------------------------------------------------------------- */

static void end_for_certificate(struct sts_fetch *f, const struct tlsio_peer *peer)
{
	char words[200], when[40] = "?";
	unsigned faults = peer->chain_faults;
	time_t not_after = (time_t)peer->not_after_s;
	struct tm tm;
	if (gmtime_r(&not_after, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M UTC", &tm);
	if ((faults & TLSIO_CHAIN_EXPIRED) && not_after < time(NULL))
		end_later(f, POLICY_REASON_STS_WEBPKI_INVALID,
			"the certificate of %s expired on %s; it must be renewed there", f->host,
			when);
	else if (!faults && !peer->has_dns_names)
		end_later(f, POLICY_REASON_STS_WEBPKI_INVALID,
			"the certificate of %s has no DNS name in it (subjectAltName); its common "
			"name does not count (RFC 8461 3.3)",
			f->host);
	else if (!faults)
		end_later(f, POLICY_REASON_STS_WEBPKI_INVALID,
			"the certificate shown by %s is for %s; it must be for %s", f->host,
			tlsio_peer_names_text(peer, words, sizeof(words)), f->host);
	else if (faults & TLSIO_CHAIN_UNTRUSTED)
		end_later(f, POLICY_REASON_STS_WEBPKI_INVALID,
			"the certificate of %s is not signed by an authority that is trusted here "
			"(authority = \"%s\"), or an intermediate certificate is missing there",
			f->host, f->fetcher->settings.authority);
	else
		end_later(f, POLICY_REASON_STS_WEBPKI_INVALID, "%s: %s", f->host,
			tlsio_chain_faults_text(faults, words, sizeof(words)));
}

/* libcurl's GnuTLS is connected and has sent nothing yet. Its own check is off: it takes the common
 * name for want of a better one, reads all roots from the disk each time, takes none from memory,
 * and has no words. This one is that of the mail connections. */
static int on_connected(void *ctx, char *remote, char *local, int remote_port, int local_port)
{
	struct sts_fetch *f = ctx;
	struct curl_tlssessioninfo *tls = NULL;
	(void)remote;
	(void)local;
	(void)remote_port;
	(void)local_port;
	if (curl_easy_getinfo(f->easy, CURLINFO_TLS_SSL_PTR, &tls) != CURLE_OK || !tls ||
		tls->backend != CURLSSLBACKEND_GNUTLS || !tls->internals) {
		end_later(f, POLICY_REASON_STS_POLICY_FETCH_ERROR,
			"libcurl shows no TLS session of GnuTLS, so %s cannot be checked", f->host);
		return CURL_PREREQFUNC_ABORT;
	}
	struct tlsio_peer *peer = tlsio_foreign_peer(tls->internals, f->host, f->fetcher->trust);
	bool is_good = peer->chain_count > 0 && peer->chain_faults == 0 && peer->matched_name &&
		peer->version >= TLSIO_TLS12;
	if (!is_good)
		end_for_certificate(f, peer);
	tlsio_foreign_free(&peer);
	return is_good ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static bool is_text_plain(const char *type)
{
	struct str whole = str_of(type), media = { NULL, 0 };
	return type && str_split(&whole, ';', &media) &&
		str_equal_nocase(str_trim(media), STR("text/plain"));
}

/* Status 200 and text/plain, or words. */
static bool is_head_good(struct sts_fetch *f)
{
	long status = 0;
	char *type = NULL, words[QUOTE_BYTES];
	curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(f->easy, CURLINFO_CONTENT_TYPE, &type);
	if (status != 200) {
		end_later(f, POLICY_REASON_STS_POLICY_FETCH_ERROR,
			"https://%s/.well-known/mta-sts.txt answered %ld%s", f->host, status,
			status / 100 == 3 ? "; redirects are not followed (RFC 8461 3.3)"
					  : "; the policy must be there while the TXT record is");
		return false;
	}
	if (!is_text_plain(type)) {
		end_later(f, POLICY_REASON_STS_POLICY_FETCH_ERROR,
			"https://%s/.well-known/mta-sts.txt is %s%s%s; it must be text/plain "
			"(RFC 8461 3.3)",
			f->host, type ? "\"" : "without a type", type ? quote(type, words) : "",
			type ? "\"" : "");
		return false;
	}
	return true;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *ctx)
{
	struct sts_fetch *f = ctx;
	(void)bytes;
	f->header_bytes += size * count;
	if (f->header_bytes <= HEADER_BYTES_MOST)
		return size * count;
	end_later(f, POLICY_REASON_STS_POLICY_FETCH_ERROR,
		"the header of %s's answer has more than %d bytes", f->host, HEADER_BYTES_MOST);
	return 0;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *ctx)
{
	struct sts_fetch *f = ctx;
	if (!is_head_good(f))
		return 0;
	if (f->body.length + size * count > STS_POLICY_BYTES_MOST) {
		end_later(f, POLICY_REASON_STS_POLICY_FETCH_ERROR,
			"the policy file of %s has more than %d bytes", f->host,
			STS_POLICY_BYTES_MOST);
		return 0;
	}
	buf_append(&f->body, bytes, size * count);
	return size * count;
}

/* Nothing of libcurl's own finding is dialled. */
static curl_socket_t on_open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct sts_fetch *f = ctx;
	struct netaddr to;
	(void)purpose;
	netaddr_from_sockaddr(&address->addr, &to);
	for (size_t i = 0; i < f->address_count; i++)
		if (netaddr_equal(&to, &f->addresses[i]))
			return socket(address->family, address->socktype | SOCK_CLOEXEC,
				address->protocol);
	return CURL_SOCKET_BAD;
}

static void end_for_code(struct sts_fetch *f, CURLcode code)
{
	char words[QUOTE_BYTES];
	long os_errno = 0;
	double connected_s = 0;
	const char *cause = f->curl_words[0] ? f->curl_words : curl_easy_strerror(code);
	curl_easy_getinfo(f->easy, CURLINFO_OS_ERRNO, &os_errno);
	curl_easy_getinfo(f->easy, CURLINFO_APPCONNECT_TIME, &connected_s);
	if (code == CURLE_COULDNT_CONNECT)
		end_later(f, POLICY_REASON_STS_POLICY_FETCH_ERROR,
			"%s cannot be reached at port %d: %s", f->host, PORT,
			os_errno ? strerror((int)os_errno) : quote(cause, words));
	else if (code == CURLE_SSL_CONNECT_ERROR)
		end_later(f, POLICY_REASON_STS_POLICY_FETCH_ERROR,
			"no TLS (1.2 or better) with %s: %s", f->host, quote(cause, words));
	else if (code == CURLE_FILESIZE_EXCEEDED)
		end_later(f, POLICY_REASON_STS_POLICY_FETCH_ERROR,
			"the policy file of %s has more than %d bytes", f->host,
			STS_POLICY_BYTES_MOST);
	else if (code == CURLE_OPERATION_TIMEDOUT)
		end_later(f, POLICY_REASON_STS_POLICY_FETCH_ERROR, "%s %s", f->host,
			connected_s > 0 ? "answers too slowly"
					: "could not be reached in time at port 443");
	else
		end_later(f, POLICY_REASON_STS_POLICY_FETCH_ERROR, "the answer of %s failed: %s",
			f->host, quote(cause, words));
}

static void on_done(void *ctx, CURL *easy, CURLcode code)
{
	struct sts_fetch *f = NULL;
	struct sts_policy *policy = NULL;
	struct err err = { 0 };
	(void)ctx;
	curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&f);
	if (code != CURLE_OK)
		end_for_code(f, code);
	else if (is_head_good(f) && !(policy = sts_policy_parse(buf_str(&f->body), &err)))
		end_later(f, POLICY_REASON_STS_POLICY_INVALID, "the policy file of %s: %s",
			f->host, err.text);
	end(f, policy);
	sts_policy_unref(&policy);
}

/* --- the request --------------------------------------------------------------------------------- */

static struct curl_slist *resolve_list(const struct sts_fetch *f)
{
	struct buf text = { 0 };
	buf_printf(&text, "%s:%d:", f->host, PORT);
	for (size_t i = 0; i < f->address_count; i++) {
		char ip[NETADDR_TEXT_BYTES];
		bool is_ipv6 = f->addresses[i].family == NETADDR_IPV6;
		buf_printf(&text, "%s%s%s%s", i > 0 ? "," : "", is_ipv6 ? "[" : "",
			netaddr_format_ip(&f->addresses[i], ip), is_ipv6 ? "]" : "");
	}
	buf_append_byte(&text, '\0');
	struct curl_slist *list = curl_slist_append(NULL, buf_str(&text).at);
	buf_release(&text);
	return list;
}

static void set_options(struct sts_fetch *f)
{
	CURL *e = f->easy;
	char url[320];
	int64_t left_ms = f->end_ms - tlsio_loop_now_ms(f->fetcher->loop);
	int64_t connect_ms = f->fetcher->settings.fetch_ms / 3;
	snprintf(url, sizeof(url), "https://%s/.well-known/mta-sts.txt", f->host);
	curl_easy_setopt(e, CURLOPT_URL, url);
	curl_easy_setopt(e, CURLOPT_PRIVATE, f);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, f->curl_words);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "postern");
	/* Where to: our addresses, in a cache of this fetch alone; no proxy, no other place. */
	curl_easy_setopt(e, CURLOPT_SHARE, f->share);
	curl_easy_setopt(e, CURLOPT_RESOLVE, f->resolve);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, f);
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
	/* TLS; who they are is on_connected's to say, before the request is sent. */
	curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(e, CURLOPT_SSL_SESSIONID_CACHE, 0L);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 0L);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 0L);
	curl_easy_setopt(e, CURLOPT_CAINFO, NULL);
	curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_connected);
	curl_easy_setopt(e, CURLOPT_PREREQDATA, f);
	/* Limits. */
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)left_ms + 1000); /* ours is on_limit */
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
		(long)(connect_ms < left_ms ? connect_ms : left_ms));
	curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, (long)SLOW_BYTES_PER_S);
	curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)SLOW_S);
	curl_easy_setopt(e, CURLOPT_MAXFILESIZE, (long)STS_POLICY_BYTES_MOST);
	curl_easy_setopt(e, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, f);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, f);
}

static void begin_https(struct sts_fetch *f)
{
	struct err err = { 0 };
	dns_cancel(&f->questions[0]);
	dns_cancel(&f->questions[1]);
	tlsio_timer_stop(&f->other_family);
	f->phase = PHASE_HTTPS;
	f->resolve = resolve_list(f);
	f->share = curl_share_init();
	CURL *easy = curl_easy_init();
	if (!f->resolve || !f->share || !easy)
		abort(); /* out of memory */
	curl_share_setopt(f->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
	f->easy = easy;
	set_options(f);
	if (sts_multi_add(f->fetcher->multi, easy, &err) == 0)
		return;
	end_later(f, POLICY_REASON_STS_POLICY_FETCH_ERROR, "%s", err.text);
	end(f, NULL);
}

/* --- addresses ----------------------------------------------------------------------------------- */

static void take_address(struct sts_fetch *f, const struct dns_record *record, bool is_ipv4)
{
	struct netaddr a = { .family = is_ipv4 ? NETADDR_IPV4 : NETADDR_IPV6, .port = PORT };
	char ip[NETADDR_TEXT_BYTES];
	size_t length = is_ipv4 ? 4 : 16;
	if (record->data.length != length)
		return;
	memcpy(a.bytes, record->data.at, length);
	const char *objection = sts_address_objection(&a, f->fetcher->settings.allows_private);
	if (!objection) {
		f->addresses[f->address_count++] = a;
		return;
	}
	snprintf(f->refused, sizeof(f->refused), "%s is %s", netaddr_format_ip(&a, ip), objection);
}

static void end_without_address(struct sts_fetch *f)
{
	if (f->refused[0])
		end_later(f, POLICY_REASON_STS_POLICY_FETCH_ERROR,
			"%s has no address that may be asked: %s (private-addresses = true would "
			"allow those of an own network)",
			f->host, f->refused);
	else if (f->dns_failure[0])
		end_later(f, POLICY_REASON_STS_POLICY_FETCH_ERROR,
			"the addresses of %s cannot be found: %s", f->host, f->dns_failure);
	else
		end_later(f, POLICY_REASON_STS_POLICY_FETCH_ERROR,
			"%s has no address; it must have one while the TXT record is there",
			f->host);
	end(f, NULL);
}

static void on_address(struct sts_fetch *f, int family, const struct dns_answer *answer)
{
	char words[QUOTE_BYTES];
	f->questions[family] = NULL;
	if (answer->result == DNS_FAILED)
		snprintf(f->dns_failure, sizeof(f->dns_failure), "%s", quote(answer->why, words));
	for (size_t i = 0; answer->result == DNS_FOUND && i < answer->count && i < ADDRESSES_MOST;
		i++)
		take_address(f, &answer->records[i], family == 0);
	if (f->questions[0] || f->questions[1]) {
		if (f->address_count > 0)
			tlsio_timer_start(&f->other_family, OTHER_FAMILY_MS);
		return;
	}
	if (f->address_count > 0)
		begin_https(f);
	else
		end_without_address(f);
}

static void on_a(void *ctx, const struct dns_answer *answer)
{
	on_address(ctx, 0, answer);
}

static void on_aaaa(void *ctx, const struct dns_answer *answer)
{
	on_address(ctx, 1, answer);
}

static void on_other_family_late(void *ctx)
{
	begin_https(ctx);
}

static struct list *next_queued(struct sts_fetcher *fetcher)
{
	struct list *first = list_first(&fetcher->queued_in_force);
	if (first && fetcher->running_count < RUNNING_MOST)
		return first;
	return fetcher->running_count < RUNNING_MOST - KEPT_FREE ? list_first(&fetcher->queued) : NULL;
}

static void on_turn(void *ctx)
{
	struct sts_fetcher *fetcher = ctx;
	struct list *node;
	while ((node = next_queued(fetcher))) {
		struct sts_fetch *f = LIST_OWNER(node, struct sts_fetch, link);
		list_remove(node);
		list_push_back(&fetcher->running, node);
		fetcher->running_count++;
		f->phase = PHASE_ADDRESSES;
		f->questions[0] = dns_ask(fetcher->dns, f->host, DNS_A, on_a, f);
		f->questions[1] = dns_ask(fetcher->dns, f->host, DNS_AAAA, on_aaaa, f);
	}
}

/* --- the door ------------------------------------------------------------------------------------ */

struct sts_fetcher *sts_fetcher_new(struct tlsio_loop *loop, struct dns *dns,
	const struct sts_settings *settings, struct err *err)
{
	struct sts_fetcher *fetcher = mem_zero(sizeof(*fetcher));
	const char *pem = settings->authority_pem;
	curl_global_init(CURL_GLOBAL_DEFAULT);
	fetcher->loop = loop;
	fetcher->dns = dns;
	sts_settings_copy(settings, &fetcher->settings);
	list_init(&fetcher->queued_in_force);
	list_init(&fetcher->queued);
	list_init(&fetcher->running);
	tlsio_turn_init(&fetcher->turn, loop, on_turn, fetcher);
	fetcher->trust = pem ? tlsio_trust_pem(settings->authority, str_of(pem), err)
			     : tlsio_trust_system(err);
	if (fetcher->trust)
		fetcher->multi = sts_multi_new(loop, on_done, fetcher, RUNNING_MOST, err);
	if (!fetcher->multi)
		sts_fetcher_free(&fetcher);
	return fetcher;
}

void sts_fetcher_free(struct sts_fetcher **pfetcher)
{
	struct sts_fetcher *fetcher = *pfetcher;
	*pfetcher = NULL;
	if (!fetcher)
		return;
	assert(list_is_empty(&fetcher->queued_in_force) && list_is_empty(&fetcher->queued));
	assert(list_is_empty(&fetcher->running));
	tlsio_turn_cancel(&fetcher->turn);
	sts_multi_free(&fetcher->multi);
	tlsio_trust_unref(&fetcher->trust);
	sts_settings_clear(&fetcher->settings);
	curl_global_cleanup();
	free(fetcher);
}

struct sts_fetch *sts_fetch_start(struct sts_fetcher *fetcher, const char *domain, bool is_in_force,
	void (*on_over)(void *ctx, const struct sts_fetched *result), void *ctx)
{
	struct sts_fetch *f = mem_zero(sizeof(*f));
	struct buf host = { 0 };
	assert(strlen(domain) <= DOMAIN_BYTES_MOST);
	buf_printf(&host, "mta-sts.%s", domain);
	f->host = mem_dup_bytes(buf_str(&host).at, host.length);
	buf_release(&host);
	str_lower_in_place(f->host, strlen(f->host));
	f->fetcher = fetcher;
	f->on_over = on_over;
	f->ctx = ctx;
	f->end_ms = tlsio_loop_now_ms(fetcher->loop) + fetcher->settings.fetch_ms;
	tlsio_timer_init(&f->limit, fetcher->loop, on_limit, f);
	tlsio_timer_init(&f->other_family, fetcher->loop, on_other_family_late, f);
	tlsio_timer_start(&f->limit, fetcher->settings.fetch_ms);
	list_push_back(is_in_force ? &fetcher->queued_in_force : &fetcher->queued, &f->link);
	tlsio_turn_request(&fetcher->turn);
	return f;
}

void sts_fetch_cancel(struct sts_fetch **fetch)
{
	struct sts_fetch *f = *fetch;
	*fetch = NULL;
	if (f)
		free_fetch(f);
}
