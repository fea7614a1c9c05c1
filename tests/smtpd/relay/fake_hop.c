#include "tests/smtpd/relay/fake_hop.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_listener.h"
#include "libtlsio/tlsio_stream.h"
#include "libtlsio/tlsio_upgrade.h"

struct peer {
	struct fake_hop *hop;
	struct tlsio_stream *stream;
	struct list link;
	bool is_in_data;
	bool is_secured;
	uint64_t bdat_left;
	bool bdat_is_last;
	unsigned accepted;
};

static void end_peer(struct peer *p, bool at_once)
{
	buf_append_text(&p->hop->commands, "<end>\n");
	if (at_once)
		tlsio_stream_abort(&p->stream);
	else
		tlsio_stream_close(&p->stream);
	list_remove(&p->link);
	p->hop->open--;
	free(p);
}

static struct fake_hop_rule *find_rule(struct fake_hop *hop, struct str line)
{
	for (size_t i = 0; i < hop->rule_count; i++) {
		struct fake_hop_rule *r = &hop->rules[i];
		if (str_starts_nocase(line, str_of(r->words)) && (!r->most || r->used < r->most)) {
			r->used++;
			return r;
		}
	}
	return NULL;
}

static void say(struct peer *p, const char *text)
{
	tlsio_stream_write(p->stream, text, strlen(text));
}

static void say_ehlo(struct peer *p)
{
	struct str words = str_of(p->hop->ehlo ? p->hop->ehlo : "");
	struct buf reply = { 0 };
	struct str word;
	while ((word = str_next_word(&words)).length > 0) {
		buf_append_text(&reply, "250-");
		for (size_t i = 0; i < word.length; i++) /* "_" stands for a blank */
			buf_append_byte(&reply, word.at[i] == '_' ? ' ' : word.at[i]);
		buf_append_text(&reply, "\r\n");
	}
	bool offers = p->hop->tls && !p->hop->is_tls_first && !p->is_secured;
	say(p, "250-hop.test greets you\r\n");
	say(p, buf_text(&reply));
	say(p, offers ? "250-STARTTLS\r\n250 HELP\r\n" : "250 HELP\r\n");
	buf_release(&reply);
}

static void say_final(struct peer *p)
{
	unsigned count = p->hop->is_lmtp ? p->accepted : 1;
	p->hop->messages++;
	for (unsigned i = 0; i < count; i++)
		say(p, "250 2.0.0 kept\r\n");
	p->accepted = 0;
}

/* False: the peer is gone. */
static bool answer(struct peer *p, struct str line, bool *ret_ruled)
{
	struct fake_hop_rule *r = find_rule(p->hop, line);
	*ret_ruled = r != NULL;
	if (!r || r->act == FAKE_HOP_SILENT)
		return true;
	if (r->act != FAKE_HOP_RESET)
		say(p, r->reply);
	if (str_starts_nocase(line, STR("RCPT")) && r->reply && r->reply[0] == '2')
		p->accepted++;
	if (str_starts_nocase(line, STR("DATA")) && r->reply && r->reply[0] == '3')
		p->is_in_data = true;
	if (r->act == FAKE_HOP_DEAF)
		tlsio_upgrade_hold(p->stream);
	if (r->act == FAKE_HOP_SAY || r->act == FAKE_HOP_DEAF)
		return true;
	end_peer(p, r->act == FAKE_HOP_RESET);
	return false;
}

static bool take_command(struct peer *p, struct str line)
{
	bool is_ruled;
	struct fake_hop *hop = p->hop;
	buf_append_str(&hop->commands, line);
	buf_append_byte(&hop->commands, '\n');
	if (!answer(p, line, &is_ruled))
		return false;
	if (is_ruled)
		return true;
	if (str_starts_nocase(line, STR("EHLO")) || str_starts_nocase(line, STR("LHLO"))) {
		say_ehlo(p);
	} else if (str_starts_nocase(line, STR("STARTTLS")) && hop->tls) {
		tlsio_upgrade_hold(p->stream);
		say(p, "220 go\r\n");
		assert(tlsio_upgrade_server(p->stream, hop->tls, NULL) == 0);
	} else if (str_starts_nocase(line, STR("RCPT"))) {
		p->accepted++;
		say(p, "250 2.1.5 ok\r\n");
	} else if (str_starts_nocase(line, STR("DATA"))) {
		say(p, p->accepted ? "354 go\r\n" : "554 5.5.1 no recipients\r\n");
		p->is_in_data = p->accepted > 0;
	} else if (str_starts_nocase(line, STR("BDAT"))) {
		struct str words = str_skip(line, 4);
		assert(str_to_u64(str_next_word(&words), UINT64_MAX, &p->bdat_left));
		p->bdat_is_last = str_equal_nocase(str_next_word(&words), STR("LAST"));
	} else if (str_starts_nocase(line, STR("QUIT"))) {
		say(p, "221 bye\r\n");
		end_peer(p, false);
		return false;
	} else {
		if (str_starts_nocase(line, STR("RSET")) || str_starts_nocase(line, STR("MAIL")))
			p->accepted = 0;
		say(p, "250 2.0.0 ok\r\n");
	}
	return true;
}

static bool take_data_line(struct peer *p, struct str line)
{
	bool is_ruled;
	if (str_equal(line, STR("."))) {
		p->is_in_data = false;
		if (!answer(p, line, &is_ruled))
			return false;
		if (!is_ruled)
			say_final(p);
		else
			p->accepted = 0;
		return true;
	}
	buf_append_str(&p->hop->data, line.length && line.at[0] == '.' ? str_skip(line, 1) : line);
	buf_append_text(&p->hop->data, "\r\n");
	return answer(p, STR("BODY"), &is_ruled);
}

static bool take_chunk(struct peer *p, struct str input)
{
	size_t count = input.length < p->bdat_left ? input.length : (size_t)p->bdat_left;
	bool is_ruled;
	buf_append(&p->hop->data, input.at, count);
	tlsio_stream_consume(p->stream, count);
	p->bdat_left -= count;
	if (p->bdat_left == 0 && p->bdat_is_last) {
		if (!answer(p, STR("."), &is_ruled))
			return false;
		if (!is_ruled)
			say_final(p);
	}
	return true;
}

static void on_input(void *ctx)
{
	struct peer *p = ctx;
	for (;;) {
		struct str input = tlsio_stream_input(p->stream);
		size_t end = str_find(input, '\n');
		if (p->bdat_left > 0 && input.length > 0) {
			if (!take_chunk(p, input))
				return;
			continue;
		}
		if (input.length > 0 && input.at[0] == 0x16) { /* a ClientHello it does not expect */
			end_peer(p, false);
			return;
		}
		if (end == input.length)
			return;
		char *line = mem_dup_bytes(input.at, end);
		assert(end > 0 && line[end - 1] == '\r'); /* nothing onward has a bare LF */
		tlsio_stream_consume(p->stream, end + 1);
		struct str text = str_from(line, end - 1);
		assert(str_find(text, '\r') == text.length);
		bool goes_on = p->is_in_data ? take_data_line(p, text) : take_command(p, text);
		free(line);
		if (!goes_on)
			return;
	}
}

static void greet(struct peer *p)
{
	bool is_ruled;
	if (answer(p, STR("GREETING"), &is_ruled) && !is_ruled)
		say(p, "220 hop.test ESMTP\r\n");
}

static void on_secured(void *ctx)
{
	struct peer *p = ctx;
	p->is_secured = true;
	p->hop->resumed += tlsio_stream_peer(p->stream)->is_resumed;
	p->hop->client_certificates += tlsio_stream_peer(p->stream)->chain_count > 0;
	const char *name = tlsio_stream_peer(p->stream)->server_name;
	snprintf(p->hop->server_name, sizeof(p->hop->server_name), "%s", name ? name : "");
	buf_append_text(&p->hop->commands, "<tls>\n");
	if (p->hop->is_tls_first)
		greet(p);
}

static void on_end(void *ctx, enum tlsio_end end, const struct err *why)
{
	(void)end;
	(void)why;
	end_peer(ctx, false);
}

static void on_nothing(void *ctx)
{
	(void)ctx;
}

static const struct tlsio_stream_events stream_events = { .on_input = on_input,
	.on_room = on_nothing, .on_secured = on_secured, .on_timeout = on_nothing,
	.on_end = on_end };

static void on_accept(void *ctx, int fd, const struct netaddr *local, const struct netaddr *remote)
{
	static const struct tlsio_stream_limits limits = { 65536, 65536 };
	struct fake_hop *hop = ctx;
	struct peer *p = mem_zero(sizeof(*p));
	(void)local;
	(void)remote;
	p->hop = hop;
	p->stream = tlsio_stream_new(hop->loop, tlsio_transport_socket(hop->loop, fd), &limits,
		&stream_events, p);
	list_push_back(&hop->peers, &p->link);
	hop->connections++;
	hop->open++;
	if (hop->is_tls_first)
		assert(tlsio_upgrade_server_at_once(p->stream, hop->tls, NULL) == 0);
	else
		greet(p);
}

static void on_trouble(void *ctx, const struct err *err)
{
	(void)ctx;
	fprintf(stderr, "fake_hop: %s\n", err->text);
	abort();
}

static const struct tlsio_listener_events listener_events = { .on_accept = on_accept,
	.on_trouble = on_trouble };

static void listen_on(struct fake_hop *hop, struct tlsio_loop *loop, const char *path,
	const struct netaddr *address)
{
	struct netaddr bound = { 0 };
	*hop = (struct fake_hop){ .loop = loop };
	list_init(&hop->peers);
	hop->listen_fd = path ? tlsio_listener_open_unix(path, 0600, 16, NULL) :
				tlsio_listener_open_tcp(address, 16, &bound, NULL);
	assert(hop->listen_fd >= 0);
	hop->address = bound;
	hop->listener = tlsio_listener_new(loop, hop->listen_fd, &listener_events, hop);
}

void fake_hop_open(struct fake_hop *hop, struct tlsio_loop *loop, const char *path)
{
	struct netaddr any;
	assert(netaddr_parse(STR("127.0.0.1"), 0, &any, NULL) == 0);
	listen_on(hop, loop, path, &any);
}

void fake_hop_open_at(struct fake_hop *hop, struct tlsio_loop *loop, const struct netaddr *address)
{
	listen_on(hop, loop, NULL, address);
}

static void add(struct fake_hop *hop, const char *words, const char *reply, enum fake_hop_act act,
	int most)
{
	assert(hop->rule_count < FAKE_HOP_RULES);
	hop->rules[hop->rule_count++] = (struct fake_hop_rule){ .words = words, .reply = reply,
		.act = act, .most = most };
}

void fake_hop_add(struct fake_hop *hop, const char *words, const char *reply,
	enum fake_hop_act act)
{
	add(hop, words, reply, act, 0);
}

void fake_hop_add_once(struct fake_hop *hop, const char *words, const char *reply,
	enum fake_hop_act act)
{
	add(hop, words, reply, act, 1);
}

void fake_hop_drop_peers(struct fake_hop *hop)
{
	struct list *node;
	while ((node = list_first(&hop->peers)) != NULL)
		end_peer(LIST_OWNER(node, struct peer, link), true);
}

void fake_hop_close(struct fake_hop *hop)
{
	fake_hop_drop_peers(hop);
	tlsio_listener_free(&hop->listener);
	close(hop->listen_fd);
	buf_release(&hop->commands);
	buf_release(&hop->data);
}

const char *fake_hop_commands(struct fake_hop *hop)
{
	return buf_text(&hop->commands);
}
