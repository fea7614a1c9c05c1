/* tls-trace: watch a TLS handshake, message by message, then talk through it line by line.
 *
 *   tls-trace --listen 127.0.0.1:4433 --chain mx.pem --key mx.key [--count 2]
 *   tls-trace 127.0.0.1:4433 --name mx.example.net --authority ca.pem [--again]
 *
 * An example of libtlsio used alone: loop, listener or dial, stream, TLS, and what the peer proved.
 * The trace goes to standard error; standard input and output are the conversation.
 */
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/codec.h"
#include "libtlsio/base/file.h"
#include "libtlsio/base/netaddr.h"
#include "libtlsio/tlsio_client.h"
#include "libtlsio/tlsio_dial.h"
#include "libtlsio/tlsio_listener.h"
#include "libtlsio/tlsio_loop.h"
#include "libtlsio/tlsio_server.h"
#include "libtlsio/tlsio_stream.h"
#include "libtlsio/tlsio_transport.h"
#include "libtlsio/tlsio_upgrade.h"

enum {
	MAX_FILE_BYTES = 1024 * 1024,
	TIME_LIMIT_MS = 10000,
	LAST_WAIT_MS = 300,
	INPUT_BYTES = 64 * 1024,
	MAX_CONNECTIONS = 1000000,
};

static struct {
	/* asked for */
	const char *listen, *address, *chain, *key, *name, *authority, *minimum, *priority;
	int connections; /* how many are still to come */
	bool shows_records;

	/* at work */
	struct tlsio_loop *loop;
	struct tlsio_listener *listener;
	struct tlsio_server *server;
	struct tlsio_client *client;
	struct tlsio_session_cache *cache;
	struct tlsio_stream *stream;
	struct tlsio_watch input;
	struct netaddr remote;
	bool is_input_over;
	int status;
} app;

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("tls-trace: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(2);
}

/* --- what is seen ----------------------------------------------------------------------------- */

static void on_trace(void *ctx, const struct tlsio_trace_event *event)
{
	(void)ctx;
	char arrow = event->is_incoming ? '<' : '>';
	if (event->kind == TLSIO_TRACE_HANDSHAKE)
		fprintf(stderr, "%c %-20s type %-3d %5zu bytes   record 0x%04x\n", arrow,
			event->name, event->type, event->size_bytes, event->record_version);
	else if (app.shows_records)
		fprintf(stderr, "%c   record %-18s %5zu bytes   0x%04x\n", arrow, event->name,
			event->size_bytes, event->record_version);
}

static const char *or_none(const char *text)
{
	return text ? text : "none";
}

static void tell_peer(const struct tlsio_peer *peer)
{
	char text[400], digest[65];
	fprintf(stderr, "= version %s, suite %s (0x%04x), group %s, resumed %s\n",
		tlsio_version_name(peer->version), or_none(peer->suite), peer->suite_id,
		or_none(peer->group), peer->is_resumed ? "yes" : "no");
	fprintf(stderr, "= server name %s\n", or_none(peer->server_name));
	for (size_t i = 0; i < peer->chain_count; i++) {
		codec_hex(peer->chain[i].sha256, sizeof(peer->chain[i].sha256), digest);
		fprintf(stderr, "= certificate %zu: %zu bytes, SHA-256 %s\n", i,
			peer->chain[i].der.length, digest);
	}
	if (peer->chain_count > 0) {
		fprintf(stderr, "= subject %s, issuer %s, names %s\n", or_none(peer->subject),
			or_none(peer->issuer), tlsio_peer_names_text(peer, text, sizeof(text)));
		fprintf(stderr, "= matched name %s\n", or_none(peer->matched_name));
	}
	fprintf(stderr, "= chain: %s\n",
		tlsio_chain_faults_text(peer->chain_faults, text, sizeof(text)));
}

/* --- the conversation ------------------------------------------------------------------------- */

static void start_dial(void);

static void end_connection(void)
{
	tlsio_stream_close(&app.stream);
	tlsio_watch_set(&app.input, 0);
	if (--app.connections > 0 && app.client)
		start_dial();
	else if (app.listener && app.connections > 0)
		tlsio_listener_resume(app.listener);
	else
		tlsio_listener_free(&app.listener);
}

static void on_stdin(void *ctx, unsigned events)
{
	(void)ctx;
	(void)events;
	char bytes[4096];
	ssize_t count = read(STDIN_FILENO, bytes, sizeof(bytes));
	if (count > 0) {
		tlsio_stream_write(app.stream, bytes, (size_t)count);
		if (tlsio_stream_room(app.stream) == 0)
			tlsio_watch_set(&app.input, 0);
		return;
	}
	if (count < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	app.is_input_over = true;
	tlsio_watch_set(&app.input, 0);
	/* A server goes on listening to what the other side says; a client waits for the answer. */
	if (app.client)
		tlsio_stream_limit_time(app.stream, LAST_WAIT_MS);
}

static void on_room(void *ctx)
{
	(void)ctx;
	if (!app.is_input_over)
		tlsio_watch_set(&app.input, TLSIO_READ);
}

static void on_input(void *ctx)
{
	(void)ctx;
	struct str bytes = tlsio_stream_input(app.stream);
	fwrite(bytes.at, 1, bytes.length, stdout);
	fflush(stdout);
	tlsio_stream_consume(app.stream, bytes.length);
}

static void say_hello(const struct tlsio_peer *peer)
{
	struct buf line = { 0 };
	buf_printf(&line, "hello over %s, %s\n", tlsio_version_name(peer->version),
		or_none(peer->suite));
	tlsio_stream_write(app.stream, buf_str(&line).at, line.length);
	buf_release(&line);
}

static void on_secured(void *ctx)
{
	(void)ctx;
	tell_peer(tlsio_stream_peer(app.stream));
	/* The first of two connections is there for its ticket, which may come a moment later. */
	bool is_for_ticket = app.client && app.connections > 1;
	tlsio_stream_limit_time(app.stream, is_for_ticket ? LAST_WAIT_MS : 0);
	if (app.server) /* its ticket goes with the first bytes */
		say_hello(tlsio_stream_peer(app.stream));
	if (!is_for_ticket && !app.is_input_over)
		tlsio_watch_set(&app.input, TLSIO_READ);
}

static void on_timeout(void *ctx)
{
	(void)ctx;
	if (!tlsio_stream_is_secured(app.stream)) {
		fputs("! the handshake takes too long\n", stderr);
		app.status = 1;
	}
	end_connection();
}

static void on_end(void *ctx, enum tlsio_end end, const struct err *why)
{
	(void)ctx;
	if (end != TLSIO_END_CLOSED)
		app.status = 1;
	fprintf(stderr, "! %s%s%s\n", tlsio_end_name(end), why && why->text[0] ? ": " : "",
		why ? why->text : "");
	end_connection();
}

static const struct tlsio_stream_events stream_events = {
	.on_input = on_input,
	.on_room = on_room,
	.on_secured = on_secured,
	.on_timeout = on_timeout,
	.on_end = on_end,
};

static void begin(int fd, const struct netaddr *local, const struct netaddr *remote)
{
	static const struct tlsio_stream_limits limits = { INPUT_BYTES, INPUT_BYTES };
	struct err err;
	char text[NETADDR_TEXT_BYTES];
	fprintf(stderr, "* %s %s\n", app.server ? "from" : "to", netaddr_format(remote, text));
	app.stream = tlsio_stream_new(
		app.loop, tlsio_transport_socket(app.loop, fd), &limits, &stream_events, NULL);
	tlsio_stream_set_addresses(app.stream, local, remote);
	tlsio_stream_limit_time(app.stream, TIME_LIMIT_MS);
	int rc = app.server ? tlsio_upgrade_server_at_once(app.stream, app.server, &err)
			    : tlsio_upgrade_client_at_once(app.stream, app.client, &err);
	if (rc < 0)
		die("%s", err.text);
}

/* --- connecting ------------------------------------------------------------------------------- */

static void on_accept(void *ctx, int fd, const struct netaddr *local, const struct netaddr *remote)
{
	(void)ctx;
	/* One at a time; others wait in the kernel. */
	tlsio_listener_pause(app.listener);
	begin(fd, local, remote);
}

static void on_trouble(void *ctx, const struct err *err)
{
	(void)ctx;
	fprintf(stderr, "! %s\n", err->text);
}

static void on_connected(void *ctx, int fd, size_t index, const struct netaddr *local)
{
	(void)ctx;
	(void)index;
	begin(fd, local, &app.remote);
}

static void on_failed(void *ctx, const struct err *err)
{
	(void)ctx;
	die("%s", err->text);
}

static void start_dial(void)
{
	static const struct tlsio_dial_events events = { on_connected, on_failed };
	tlsio_dial_start(app.loop, &app.remote, 1, NULL, TIME_LIMIT_MS, &events, NULL);
}

/* An example may wait for its one name; a server never would. */
static void resolve(const char *address)
{
	struct err err;
	if (netaddr_parse(str_of(address), 443, &app.remote, &err) == 0)
		return;
	struct str host = str_of(address);
	size_t colon = str_find_last(host, ':');
	char name[256];
	const char *port = colon < host.length ? address + colon + 1 : "443";
	if (!str_copy(str_head(host, colon), name, sizeof(name)))
		die("%s: too long a name", address);
	struct addrinfo *found, hints = { .ai_socktype = SOCK_STREAM };
	int rc = getaddrinfo(name, port, &hints, &found);
	if (rc != 0)
		die("%s: %s", address, gai_strerror(rc));
	netaddr_from_sockaddr(found->ai_addr, &app.remote);
	freeaddrinfo(found);
	if (!app.name)
		app.name = strndup(name, sizeof(name));
}

/* --- setting up ------------------------------------------------------------------------------- */

static struct buf load(const char *path)
{
	struct buf content = { 0 };
	struct err err;
	if (file_read(path, MAX_FILE_BYTES, &content, &err) < 0)
		die("%s", err.text);
	return content;
}

static struct tlsio_certstore *load_certificate(void)
{
	struct err err;
	struct buf chain = load(app.chain), key = load(app.key ? app.key : app.chain);
	struct tlsio_certstore_builder *builder = tlsio_certstore_builder_new();
	if (tlsio_certstore_builder_add(builder, app.chain, buf_str(&chain),
		    app.key ? app.key : app.chain, buf_str(&key), &err) < 0)
		die("%s", err.text);
	buf_release(&chain);
	buf_release(&key);
	return tlsio_certstore_builder_finish(&builder, &err);
}

static struct tlsio_trust *load_trust(void)
{
	struct err err;
	struct tlsio_trust *trust;
	if (app.authority) {
		struct buf pem = load(app.authority);
		trust = tlsio_trust_pem(app.authority, buf_str(&pem), &err);
		buf_release(&pem);
	} else {
		trust = tlsio_trust_system(&err);
	}
	if (!trust)
		die("%s", err.text);
	return trust;
}

static enum tlsio_version minimum(void)
{
	enum tlsio_version version = TLSIO_VERSION_NONE;
	if (app.minimum && !tlsio_version_parse(str_of(app.minimum), &version))
		die("--minimum is 1.2 or 1.3, not %s", app.minimum);
	return version;
}

static void set_up_server(void)
{
	static const struct tlsio_listener_events events = { on_accept, on_trouble };
	uint8_t secret[TLSIO_TICKET_SECRET_BYTES];
	struct netaddr address, bound;
	struct err err;
	char text[NETADDR_TEXT_BYTES];
	if (!app.chain)
		die("--listen needs --chain FILE and --key FILE");
	tlsio_tickets_make_secret(secret);
	struct tlsio_tickets *tickets = tlsio_tickets_new(secret, 3600);
	struct tlsio_certstore *certificates = load_certificate();
	struct tlsio_trust *client_trust = app.authority ? load_trust() : NULL;
	struct tlsio_server_wishes wishes = {
		.minimum = minimum(),
		.priority = app.priority,
		.certificates = certificates,
		.tickets = tickets,
		.client_trust = client_trust,
		.trace = on_trace,
	};
	app.server = tlsio_server_new(&wishes, &err);
	tlsio_tickets_unref(&tickets);
	tlsio_certstore_unref(&certificates);
	tlsio_trust_unref(&client_trust);
	if (!app.server || netaddr_parse(str_of(app.listen), 4433, &address, &err) < 0)
		die("%s", err.text);
	int fd = tlsio_listener_open_tcp(&address, 16, &bound, &err);
	if (fd < 0)
		die("%s", err.text);
	app.listener = tlsio_listener_new(app.loop, fd, &events, NULL);
	fprintf(stderr, "* listening on %s\n", netaddr_format(&bound, text));
}

static void set_up_client(void)
{
	struct err err;
	resolve(app.address);
	struct tlsio_trust *trust = load_trust();
	struct tlsio_certstore *present = app.chain ? load_certificate() : NULL;
	app.cache = tlsio_session_cache_new(1, 3600);
	struct tlsio_client_wishes wishes = {
		.minimum = minimum(),
		.priority = app.priority,
		.server_name = app.name,
		.names = &app.name,
		.name_count = app.name ? 1 : 0,
		.trust = trust,
		.present = present,
		.cache = app.cache,
		.cache_key = STR("the one peer"),
		.trace = on_trace,
	};
	app.client = tlsio_client_new(&wishes, &err);
	tlsio_trust_unref(&trust);
	tlsio_certstore_unref(&present);
	if (!app.client)
		die("%s", err.text);
	start_dial();
}

static void usage(void)
{
	fputs("usage: tls-trace --listen ADDRESS:PORT --chain FILE --key FILE [--count N]\n"
	      "                 [--authority FILE  ask for a client certificate]\n"
	      "       tls-trace HOST:PORT [--name NAME] [--authority FILE  (else the system's)]\n"
	      "                 [--chain FILE --key FILE  our certificate] [--again  resume]\n"
	      "both:  [--minimum 1.2|1.3] [--priority WORDS] [--records]\n",
		stderr);
	exit(2);
}

static void parse_arguments(int argc, char **argv)
{
	static const struct option options[] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "chain", required_argument, NULL, 'c' },
		{ "key", required_argument, NULL, 'k' },
		{ "name", required_argument, NULL, 'n' },
		{ "authority", required_argument, NULL, 'a' },
		{ "minimum", required_argument, NULL, 'm' },
		{ "priority", required_argument, NULL, 'p' },
		{ "count", required_argument, NULL, 'C' },
		{ "again", no_argument, NULL, 'A' },
		{ "records", no_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 },
	};
	static const struct {
		int option;
		const char **value;
	} texts[] = {
		{ 'l', &app.listen },
		{ 'c', &app.chain },
		{ 'k', &app.key },
		{ 'n', &app.name },
		{ 'a', &app.authority },
		{ 'm', &app.minimum },
		{ 'p', &app.priority },
	};
	uint64_t count = 1;
	int option;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == '?' ||
			(option == 'C' && !str_to_u64(str_of(optarg), MAX_CONNECTIONS, &count)))
			usage();
		if (option == 'A')
			count = 2;
		app.shows_records |= option == 'r';
		for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
			if (texts[i].option == option)
				*texts[i].value = optarg;
	}
	app.connections = (int)count;
	app.address = argv[optind];
	if (!app.listen == !app.address || (app.address && argv[optind + 1]))
		usage();
}

int main(int argc, char **argv)
{
	struct err err;
	parse_arguments(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	app.loop = tlsio_loop_new(&err);
	if (!app.loop)
		die("%s", err.text);
	tlsio_watch_init(&app.input, app.loop, STDIN_FILENO, on_stdin, NULL);
	if (app.listen)
		set_up_server();
	else
		set_up_client();
	tlsio_loop_run(app.loop);
	tlsio_server_unref(&app.server);
	tlsio_client_unref(&app.client);
	tlsio_session_cache_free(&app.cache);
	tlsio_loop_free(&app.loop);
	return app.status;
}
