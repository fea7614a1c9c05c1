/* bench_stream: a non-blocking socket that may turn into TLS, for the load generator and the sink.
 *
 * For:     smtpload and smtpsink only. Deliberately not libtlsio: what measures must not share the
 *          code of what is measured.
 * Promise: reads lines and raw bytes; output is one buffer that is sent as the socket takes it.
 */
#ifndef TESTS_BENCH_BENCH_STREAM_H
#define TESTS_BENCH_BENCH_STREAM_H

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BENCH_STREAM_BYTES = 17 * 1024 };

struct bench_stream {
	int fd;
	int epoll;
	uint32_t armed; /* epoll events asked for */
	gnutls_session_t tls;
	bool is_handshaking;
	size_t in_start, in_end, out_start, out_end;
	char *in, *out; /* BENCH_STREAM_BYTES each while busy; freed by bench_stream_trim */
};

enum bench_stream_result { BENCH_DONE, BENCH_AGAIN, BENCH_END, BENCH_FAILED };

void bench_stream_init(struct bench_stream *s, int epoll, int fd, void *owner);
void bench_stream_close(struct bench_stream *s);
/* Frees the buffers when they are empty (idle sessions). */
void bench_stream_trim(struct bench_stream *s);
/* Ask epoll for input always, for output when there is some. */
void bench_stream_arm(struct bench_stream *s, void *owner, bool wants_output);

/* Begins TLS; then bench_stream_handshake until DONE. credentials: client or server. */
int bench_stream_start_tls(struct bench_stream *s, unsigned side, gnutls_priority_t priority,
	gnutls_certificate_credentials_t credentials);
enum bench_stream_result bench_stream_handshake(struct bench_stream *s);

/* Room left in the output buffer, and putting bytes there. */
size_t bench_stream_room(const struct bench_stream *s);
void bench_stream_put(struct bench_stream *s, const char *bytes, size_t size);
void bench_stream_print(struct bench_stream *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
enum bench_stream_result bench_stream_flush(struct bench_stream *s);

/* Read what there is into the input buffer. */
enum bench_stream_result bench_stream_fill(struct bench_stream *s);
/* The next whole line without CRLF, cut out of the input; NULL: not yet. A line that fills the
 * buffer comes as it is. */
char *bench_stream_line(struct bench_stream *s, size_t *ret_size);

/* FNV-1a, 64 bits; start with BENCH_HASH_START. */
#define BENCH_HASH_START UINT64_C(14695981039346656037)
uint64_t bench_hash(uint64_t hash, const char *bytes, size_t size);
double bench_now_s(void); /* CLOCK_MONOTONIC: comparable between processes of one machine */
double bench_cpu_s(void); /* of this process */

#endif
