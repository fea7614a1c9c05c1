#include "libtlsio/tlsio_upgrade.h"

#include "libtlsio/tlsio_stream_parts.h"

size_t tlsio_upgrade_hold(struct tlsio_stream *s)
{
	if (s->phase == STREAM_CLEAR)
		s->phase = STREAM_HELD;
	tlsio_stream_io_update(s);
	return s->input.length;
}

/* The guard. Both roles, STARTTLS and implicit TLS, pass here and nowhere else. */
static int check_clean(const struct tlsio_stream *s, struct err *err)
{
	if (s->phase != STREAM_HELD)
		return err_set(err, ERR_PEER, "TLS cannot start: the stream is not held in clear");
	if (s->input.length)
		return err_set(err, ERR_PEER,
			"%u bytes of plaintext arrived ahead of the TLS handshake",
			(unsigned)s->input.length);
	if (s->ending)
		return err_set(err, ERR_PEER, "the connection ended before TLS: %s",
			s->ending->why.text);
	return 0;
}

static int begin(struct tlsio_stream *s, struct tlsio_session *session, bool is_client)
{
	if (!session)
		return -1;
	s->session = session;
	s->is_client = is_client;
	s->phase = STREAM_LAST;
	s->was_full = false;
	tlsio_turn_request(&s->turn);
	return 0;
}

int tlsio_upgrade_server(struct tlsio_stream *s, struct tlsio_server *server, struct err *err)
{
	if (check_clean(s, err) < 0)
		return -1;
	return begin(s, tlsio_session_new_server(server, s->transport, err), false);
}

int tlsio_upgrade_client(struct tlsio_stream *s, struct tlsio_client *client, struct err *err)
{
	if (check_clean(s, err) < 0)
		return -1;
	return begin(s, tlsio_session_new_client(client, s->transport, err), true);
}

/* Implicit TLS: nothing may have been said in clear, by either side. */
static int hold_fresh(struct tlsio_stream *s, struct err *err)
{
	if (s->phase != STREAM_CLEAR || s->has_received || s->sent_bytes || s->output.length)
		return err_set(err, ERR_PEER, "TLS cannot start at once: bytes went in clear already");
	tlsio_upgrade_hold(s);
	return 0;
}

int tlsio_upgrade_server_at_once(struct tlsio_stream *s, struct tlsio_server *server,
	struct err *err)
{
	return hold_fresh(s, err) < 0 ? -1 : tlsio_upgrade_server(s, server, err);
}

int tlsio_upgrade_client_at_once(struct tlsio_stream *s, struct tlsio_client *client,
	struct err *err)
{
	return hold_fresh(s, err) < 0 ? -1 : tlsio_upgrade_client(s, client, err);
}
