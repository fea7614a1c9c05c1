#include "policy/sts/sts_multi.h"

#include <stdlib.h>

#include "libtlsio/base/list.h"
#include "libtlsio/base/mem.h"

struct sts_multi {
	struct tlsio_loop *loop;
	CURLM *curl;
	struct tlsio_timer timer;
	struct list sockets;
	void (*on_done)(void *ctx, CURL *easy, CURLcode code);
	void *ctx;
};

struct curl_socket {
	struct list link;
	struct sts_multi *multi;
	curl_socket_t fd;
	struct tlsio_watch watch;
};

static void tell_done(struct sts_multi *multi)
{
	CURLMsg *message;
	int left;
	while ((message = curl_multi_info_read(multi->curl, &left))) {
		CURL *easy = message->easy_handle;
		CURLcode code = message->data.result;
		if (message->msg == CURLMSG_DONE)
			multi->on_done(multi->ctx, easy, code);
	}
}

/* The socket may be gone afterwards. */
static void on_ready(void *ctx, unsigned events)
{
	struct curl_socket *s = ctx;
	struct sts_multi *multi = s->multi;
	int running, what = 0;
	if (events & TLSIO_READ)
		what |= CURL_CSELECT_IN;
	if (events & TLSIO_WRITE)
		what |= CURL_CSELECT_OUT;
	curl_multi_socket_action(multi->curl, s->fd, what, &running);
	tell_done(multi);
}

static void on_due(void *ctx)
{
	struct sts_multi *multi = ctx;
	int running;
	curl_multi_socket_action(multi->curl, CURL_SOCKET_TIMEOUT, 0, &running);
	tell_done(multi);
}

static void forget(struct curl_socket *s)
{
	tlsio_watch_set(&s->watch, 0);
	list_remove(&s->link);
	free(s);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
	struct sts_multi *multi = ctx;
	struct curl_socket *s = socket_ctx;
	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		curl_multi_assign(multi->curl, fd, NULL);
		if (s)
			forget(s);
		return 0;
	}
	if (!s) {
		s = mem_zero(sizeof(*s));
		s->multi = multi;
		s->fd = fd;
		tlsio_watch_init(&s->watch, multi->loop, fd, on_ready, s);
		list_push_back(&multi->sockets, &s->link);
		curl_multi_assign(multi->curl, fd, s);
	}
	unsigned events = what == CURL_POLL_IN ? TLSIO_READ
		: what == CURL_POLL_OUT		? TLSIO_WRITE
		: what == CURL_POLL_INOUT	? TLSIO_READ | TLSIO_WRITE
						: 0;
	tlsio_watch_set(&s->watch, events);
	return 0;
}

static int on_timer(CURLM *curl, long timeout_ms, void *ctx)
{
	struct sts_multi *multi = ctx;
	(void)curl;
	if (timeout_ms < 0)
		tlsio_timer_stop(&multi->timer);
	else
		tlsio_timer_start(&multi->timer, timeout_ms);
	return 0;
}

struct sts_multi *sts_multi_new(struct tlsio_loop *loop,
	void (*on_done)(void *ctx, CURL *easy, CURLcode code), void *ctx, long connections_most,
	struct err *err)
{
	struct sts_multi *multi = mem_zero(sizeof(*multi));
	multi->loop = loop;
	multi->on_done = on_done;
	multi->ctx = ctx;
	list_init(&multi->sockets);
	tlsio_timer_init(&multi->timer, loop, on_due, multi);
	multi->curl = curl_multi_init();
	if (!multi->curl) {
		err_set(err, ERR_SYSTEM, "libcurl does not start");
		free(multi);
		return NULL;
	}
	curl_multi_setopt(multi->curl, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(multi->curl, CURLMOPT_SOCKETDATA, multi);
	curl_multi_setopt(multi->curl, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(multi->curl, CURLMOPT_TIMERDATA, multi);
	/* Later versions let connections say goodbye behind a transfer's end: those count, too. */
	curl_multi_setopt(multi->curl, CURLMOPT_MAX_TOTAL_CONNECTIONS, connections_most);
	return multi;
}

void sts_multi_free(struct sts_multi **pmulti)
{
	struct sts_multi *multi = *pmulti;
	struct list *node;
	*pmulti = NULL;
	if (!multi)
		return;
	curl_multi_cleanup(multi->curl);
	while ((node = list_first(&multi->sockets)))
		forget(LIST_OWNER(node, struct curl_socket, link));
	tlsio_timer_stop(&multi->timer);
	free(multi);
}

int sts_multi_add(struct sts_multi *multi, CURL *easy, struct err *err)
{
	CURLMcode code = curl_multi_add_handle(multi->curl, easy);
	if (code != CURLM_OK)
		return err_set(err, ERR_SYSTEM, "libcurl: %s", curl_multi_strerror(code));
	return 0;
}

void sts_multi_remove(struct sts_multi *multi, CURL *easy)
{
	curl_multi_remove_handle(multi->curl, easy);
}
