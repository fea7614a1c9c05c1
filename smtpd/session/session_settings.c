#include "smtpd/session/session_settings.h"

#include <stdlib.h>

#include "libtlsio/base/conf.h"

cfg_opt_t *session_settings_options(void)
{
	static cfg_opt_t options[] = {
		CFG_STR("command-size", "2KiB", CFGF_NONE),
		CFG_STR("line-size", "64KiB", CFGF_NONE),
		CFG_STR("message-size", "50MiB", CFGF_NONE),
		CFG_INT("recipients", 1000, CFGF_NONE),
		CFG_STR("envelopes-size", "256MiB", CFGF_NONE),
		CFG_INT("messages", 100, CFGF_NONE),
		CFG_INT("errors-soft", 10, CFGF_NONE),
		CFG_INT("errors-hard", 20, CFGF_NONE),
		CFG_INT("hops", 100, CFGF_NONE),
		CFG_INT("connections", 10000, CFGF_NONE),
		CFG_INT("connections-per-client", 50, CFGF_NONE),
		CFG_STR("command-timeout", "5m", CFGF_NONE),
		CFG_STR("data-timeout", "3m", CFGF_NONE),
		CFG_STR("tls-timeout", "60s", CFGF_NONE),
		CFG_STR("session-timeout", "1h", CFGF_NONE),
		CFG_STR("data-rate", "100", CFGF_NONE),
		CFG_STR("bare-newlines", "refuse", CFGF_NONE),
		CFG_BOOL("refuse-null-mx-senders", cfg_false, CFGF_NONE),
		CFG_END(),
	};
	return options;
}

static int read_sizes(cfg_t *section, struct session_settings *s, struct err *err)
{
	/* RFC 5321 section 4.5.3.1: 512 bytes of command, 1000 of text line, 64 KiB of message */
	if (conf_size(section, "command-size", 512, 65536, &s->command_bytes, err) != 0 ||
		conf_size(section, "line-size", 1000, 1 << 30, &s->line_bytes, err) != 0 ||
		conf_size(section, "message-size", 65536, UINT64_C(1) << 40, &s->message_bytes,
			err) != 0 ||
		conf_size(section, "envelopes-size", 1 << 20, UINT64_C(1) << 40,
			&s->envelopes_bytes, err) != 0 ||
		conf_size(section, "data-rate", 0, 1 << 30, &s->data_rate_bytes, err) != 0)
		return -1;
	return 0;
}

static int read_counts(cfg_t *section, struct session_settings *s, struct err *err)
{
	const long many = 10 * 1000 * 1000;
	/* a hundred recipients at least (RFC 5321 section 4.5.3.1.8) */
	if (conf_count(section, "recipients", 100, 100000, &s->recipients, err) != 0 ||
		conf_count(section, "messages", 1, many, &s->messages, err) != 0 ||
		conf_count(section, "errors-soft", 1, 60000, &s->errors_soft, err) != 0 ||
		conf_count(section, "errors-hard", 1, 60000, &s->errors_hard, err) != 0 ||
		conf_count(section, "hops", 20, 1000, &s->hops, err) != 0 ||
		conf_count(section, "connections", 1, many, &s->connections, err) != 0 ||
		conf_count(section, "connections-per-client", 1, many, &s->connections_per_client,
			err) != 0)
		return -1;
	if (s->errors_soft > s->errors_hard)
		return conf_error(section, "errors-soft", err,
			"is %ld, above errors-hard (%ld): the delay would never begin",
			s->errors_soft, s->errors_hard);
	return 0;
}

static int read_times(cfg_t *section, struct session_settings *s, struct err *err)
{
	const int64_t day = 86400000;
	if (conf_duration(section, "command-timeout", 1000, day, &s->command_ms, err) != 0 ||
		conf_duration(section, "data-timeout", 1000, day, &s->data_ms, err) != 0 ||
		conf_duration(section, "tls-timeout", 1000, day, &s->tls_ms, err) != 0 ||
		conf_duration(section, "session-timeout", 1000, 7 * day, &s->session_ms, err) != 0)
		return -1;
	return 0;
}

int session_settings_read(cfg_t *section, struct session_settings *ret, struct err *err)
{
	static const char *const bare_words[] = { "refuse", "normalise", NULL };
	struct session_settings s = { 0 };
	int bare;
	if (read_sizes(section, &s, err) != 0 || read_counts(section, &s, err) != 0 ||
		read_times(section, &s, err) != 0 ||
		conf_choice(section, "bare-newlines", bare_words, &bare, err) != 0)
		return -1;
	s.bare_newlines = bare == 0 ? SESSION_BARE_REFUSE : SESSION_BARE_NORMALISE;
	s.refuse_null_mx_senders = cfg_getbool(section, "refuse-null-mx-senders");
	*ret = s;
	return 0;
}

void session_settings_clear(struct session_settings *settings)
{
	free(settings->hostname);
	settings->hostname = NULL;
}
