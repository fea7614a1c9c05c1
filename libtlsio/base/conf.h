/* conf: helpers over libConfuse for the settings tables of the rooms.
 *
 * For:     every x_settings.c and smtpd/config.
 * Promise: every error says file, line, cause and remedy. Durations and sizes are strings in the
 *          file ("5m", "50MiB") because libConfuse has no such types.
 *
 * A room declares a `const cfg_opt_t x_options[]`-style table for its section (a static array
 * that ends in CFG_END()), and x_settings_read(cfg_t *section, struct x_settings *ret, err),
 * which reads values with the helpers below and checks ranges.
 */
#ifndef LIBTLSIO_BASE_CONF_H
#define LIBTLSIO_BASE_CONF_H

#include <confuse.h>
#include <stdint.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"

/* "300", "90s", "5m", "4h", "5d" -> milliseconds in min_ms..max_ms. A bare number is seconds. */
int conf_duration(cfg_t *section, const char *option, int64_t min_ms, int64_t max_ms,
	int64_t *ret_ms, struct err *err);
/* "512", "64KiB", "50MiB", "2GiB" (also K, M, G = the same powers of 1024) -> bytes. */
int conf_size(cfg_t *section, const char *option, uint64_t min_bytes, uint64_t max_bytes,
	uint64_t *ret_bytes, struct err *err);
/* A CFG_INT within min..max. */
int conf_count(cfg_t *section, const char *option, long min, long max, long *ret, struct err *err);
/* A CFG_STR that must be one of the NULL-terminated words; its index. */
int conf_choice(cfg_t *section, const char *option, const char *const words[], int *ret_index,
	struct err *err);

/* err "file:line: in section: 'x' words". libConfuse keeps no line per option; smtpd/config notes
 * "file:line" as the comment of each option that was given, and where a section begins. */
int conf_error(cfg_t *section, const char *option, struct err *err, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The same grammars for text from elsewhere (command lines); false when not understood. */
bool conf_parse_duration(struct str text, int64_t *ret_ms);
bool conf_parse_size(struct str text, uint64_t *ret_bytes);

#endif
