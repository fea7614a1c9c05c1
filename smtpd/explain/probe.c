#include "smtpd/explain/probe.h"

#include <stdio.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_dial.h"
#include "smtpd/explain/probe_connection.h"

enum { CONNECT_MS_MOST = 10000 }; /* so one dead address does not take the time of the others */

struct visit { /* one host's addresses, one after the other */
	struct probe *probe;
	struct probe_host about;
	enum netaddr_family family; /* that connected first */
	int64_t begun_ms;
	struct tlsio_dial *dial;
	struct probe_connection *connection;
	bool is_over;
};

struct probe {
	struct tlsio_loop *loop;
	struct policy_plan *plan;
	char *hostname;
	struct tlsio_trust *roots;
	bool wants_all_addresses, is_tls_first;
	int64_t end_ms;
	void (*on_over)(void *ctx);
	void *ctx;
	struct tlsio_turn over_turn;
	struct tlsio_timer limit;
	struct visit *visits;
	struct probe_host *hosts; /* for who asks */
	size_t count, running;
};

static int64_t left_ms(const struct probe *p)
{
	int64_t left = p->end_ms - tlsio_loop_now_ms(p->loop);
	return left > 1 ? left : 1;
}

static void next_address(struct visit *v);

static struct probe_record *current(struct visit *v)
{
	return &v->about.records[v->about.probed_count - 1];
}

static void end_visit(struct visit *v)
{
	struct probe *p = v->probe;
	v->is_over = true;
	if (--p->running == 0) {
		tlsio_timer_stop(&p->limit);
		tlsio_turn_request(&p->over_turn);
	}
}

static void on_connection_over(void *ctx)
{
	struct visit *v = ctx;
	probe_connection_free(&v->connection);
	next_address(v);
}

static void on_connected(void *ctx, int fd, size_t index, const struct netaddr *local)
{
	struct visit *v = ctx;
	struct probe *p = v->probe;
	(void)index;
	(void)local;
	v->dial = NULL;
	if (v->family == NETADDR_NONE)
		v->family = (enum netaddr_family)current(v)->address.family;
	const struct probe_connection_setup setup = {
		.loop = p->loop,
		.hostname = p->hostname,
		.host = v->about.host->name,
		.requirement = v->about.host->requirement,
		.testing = v->about.host->testing,
		.roots = p->roots,
		.is_tls_first = p->is_tls_first,
		.begun_ms = v->begun_ms,
		.limit_ms = left_ms(p),
	};
	v->connection = probe_connection_new(&setup, tlsio_transport_socket(p->loop, fd), current(v),
		on_connection_over, v);
}

static void on_dial_failed(void *ctx, const struct err *err)
{
	struct visit *v = ctx;
	struct probe_record *r = current(v);
	v->dial = NULL;
	snprintf(r->why, sizeof(r->why), "%s", err->text);
	r->took_ms = tlsio_loop_now_ms(v->probe->loop) - v->begun_ms;
	next_address(v);
}

static const struct tlsio_dial_events dial_events = { .on_connected = on_connected,
	.on_failed = on_dial_failed };

static bool is_wanted(const struct visit *v, const struct netaddr *address)
{
	return v->probe->wants_all_addresses || v->family == NETADDR_NONE ||
		address->family == v->family;
}

/* Records stand in the order of trying: those that are not wanted go to the end. */
static bool bring_next_to_front(struct visit *v)
{
	struct probe_host *h = &v->about;
	size_t at = h->probed_count;
	while (at < h->record_count && !is_wanted(v, &h->records[at].address))
		at++;
	if (at == h->record_count)
		return false;
	struct probe_record wanted = h->records[at];
	for (; at > h->probed_count; at--)
		h->records[at] = h->records[at - 1];
	h->records[at] = wanted;
	h->probed_count++;
	return true;
}

static void next_address(struct visit *v)
{
	struct probe *p = v->probe;
	int64_t limit_ms = left_ms(p);
	if (limit_ms <= 1 || !bring_next_to_front(v)) {
		end_visit(v);
		return;
	}
	v->begun_ms = tlsio_loop_now_ms(p->loop);
	v->dial = tlsio_dial_start(p->loop, &current(v)->address, 1, NULL,
		limit_ms < CONNECT_MS_MOST ? limit_ms : CONNECT_MS_MOST, &dial_events, v);
}

static void on_over_turn(void *ctx)
{
	struct probe *p = ctx;
	p->on_over(p->ctx);
}

/* Connections have the same limit and end by themselves; what is still dialled ends here. */
static void on_limit(void *ctx)
{
	struct probe *p = ctx;
	for (size_t i = 0; i < p->count; i++) {
		struct visit *v = &p->visits[i];
		if (v->is_over || v->connection)
			continue;
		if (v->dial)
			snprintf(current(v)->why, sizeof(current(v)->why),
				"the time was up before it connected");
		tlsio_dial_cancel(&v->dial);
		end_visit(v);
	}
}

static void begin_visit(struct probe *p, const struct policy_plan_host *host)
{
	struct visit *v = &p->visits[p->count++];
	v->probe = p;
	v->about.host = host;
	v->about.record_count = host->address_count;
	v->about.records = mem_zero((host->address_count + 1) * sizeof(*v->about.records));
	for (size_t i = 0; i < host->address_count; i++)
		v->about.records[i].address = host->addresses[i];
}

struct probe *probe_start(const struct probe_setup *setup, void (*on_over)(void *ctx), void *ctx)
{
	struct probe *p = mem_zero(sizeof(*p));
	struct policy_plan *plan = setup->plan;
	p->loop = setup->loop;
	p->plan = policy_plan_ref(plan);
	p->hostname = mem_dup(setup->hostname);
	p->roots = setup->roots ? tlsio_trust_ref(setup->roots) : NULL;
	p->wants_all_addresses = setup->wants_all_addresses;
	p->is_tls_first = setup->is_tls_first;
	p->end_ms = tlsio_loop_now_ms(setup->loop) + setup->limit_ms;
	p->on_over = on_over;
	p->ctx = ctx;
	tlsio_turn_init(&p->over_turn, p->loop, on_over_turn, p);
	tlsio_timer_init(&p->limit, p->loop, on_limit, p);
	tlsio_timer_start(&p->limit, setup->limit_ms);
	p->visits = mem_zero((plan->host_count + 1) * sizeof(*p->visits));
	p->hosts = mem_zero((plan->host_count + 1) * sizeof(*p->hosts));
	for (size_t i = 0; i < plan->host_count; i++) {
		const char *only = setup->only_host;
		if (!only || str_equal_nocase(str_of(only), str_of(plan->hosts[i].name)))
			begin_visit(p, &plan->hosts[i]);
	}
	p->running = p->count + 1; /* the one more: on_over is never before we return */
	for (size_t i = 0; i < p->count; i++)
		next_address(&p->visits[i]);
	if (--p->running == 0)
		tlsio_turn_request(&p->over_turn);
	return p;
}

void probe_free(struct probe **probe)
{
	struct probe *p = *probe;
	*probe = NULL;
	if (!p)
		return;
	for (size_t i = 0; i < p->count; i++) {
		struct visit *v = &p->visits[i];
		tlsio_dial_cancel(&v->dial);
		probe_connection_free(&v->connection);
		for (size_t k = 0; k < v->about.record_count; k++)
			probe_record_clear(&v->about.records[k]);
		free(v->about.records);
	}
	tlsio_timer_stop(&p->limit);
	tlsio_turn_cancel(&p->over_turn);
	policy_plan_unref(&p->plan);
	tlsio_trust_unref(&p->roots);
	free(p->hostname);
	free(p->visits);
	free(p->hosts);
	free(p);
}

const struct probe_host *probe_hosts(const struct probe *probe, size_t *ret_count)
{
	for (size_t i = 0; i < probe->count; i++)
		probe->hosts[i] = probe->visits[i].about;
	*ret_count = probe->count;
	return probe->hosts;
}
