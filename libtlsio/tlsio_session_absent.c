#include "libtlsio/tlsio_session.h"

/* Stands in until tlsio_session.c is there: streams in clear link and run, TLS cannot begin. */
#define ABSENT __attribute__((weak))

struct tlsio_session *ABSENT tlsio_session_new_server(
	struct tlsio_server *server, struct tlsio_transport *transport, struct err *err)
{
	(void)server;
	(void)transport;
	err_set(err, ERR_TLS, "TLS is not built in");
	return NULL;
}

struct tlsio_session *ABSENT tlsio_session_new_client(
	struct tlsio_client *client, struct tlsio_transport *transport, struct err *err)
{
	(void)client;
	(void)transport;
	err_set(err, ERR_TLS, "TLS is not built in");
	return NULL;
}

void ABSENT tlsio_session_free(struct tlsio_session **s)
{
	*s = NULL;
}

enum tlsio_io ABSENT tlsio_session_handshake(struct tlsio_session *s, struct err *err)
{
	(void)s;
	err_set(err, ERR_TLS, "TLS is not built in");
	return TLSIO_IO_FAILED;
}

unsigned ABSENT tlsio_session_wants(const struct tlsio_session *s)
{
	(void)s;
	return TLSIO_READ;
}

const struct tlsio_peer *ABSENT tlsio_session_peer(struct tlsio_session *s)
{
	(void)s;
	return NULL;
}

enum tlsio_io ABSENT tlsio_session_read(struct tlsio_session *s, void *into, size_t capacity,
	size_t *ret_count, struct err *err)
{
	(void)into;
	(void)capacity;
	(void)ret_count;
	return tlsio_session_handshake(s, err);
}

enum tlsio_io ABSENT tlsio_session_write(struct tlsio_session *s, const void *bytes, size_t length,
	size_t *ret_count, struct err *err)
{
	(void)bytes;
	(void)length;
	(void)ret_count;
	return tlsio_session_handshake(s, err);
}

enum tlsio_io ABSENT tlsio_session_flush(struct tlsio_session *s, struct err *err)
{
	return tlsio_session_handshake(s, err);
}

size_t ABSENT tlsio_session_pending(const struct tlsio_session *s)
{
	(void)s;
	return 0;
}

enum tlsio_io ABSENT tlsio_session_bye(struct tlsio_session *s)
{
	(void)s;
	return TLSIO_IO_DONE;
}
