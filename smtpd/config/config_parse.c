#include "smtpd/config/config_loading.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"
#include "smtpd/config/config_options.h"
#include "smtpd/config/config_tree.h"

enum { FILE_BYTES = 64 << 20 };

/* A piece of the text for libConfuse, whose error function has no context of its own. */
struct piece {
	struct buf plain;
	const struct config_statement **lines;
	size_t line_count;
	struct err first; /* the first error is the cause of the others */
};
static _Thread_local struct piece *parsing;

static void add_statement(struct piece *piece, const struct config_text *text,
	const struct config_statement *s)
{
	buf_append_str(&piece->plain,
		str_from(buf_str(&text->plain).at + s->plain_at, s->plain_bytes));
	piece->lines = mem_resize_array(piece->lines, piece->line_count + s->lines_count + 1,
		sizeof(*piece->lines));
	memcpy(piece->lines + piece->line_count, text->lines + s->lines_at,
		s->lines_count * sizeof(*piece->lines));
	piece->line_count += s->lines_count;
}

static __attribute__((format(printf, 2, 0))) void on_parse_error(cfg_t *cfg, const char *format,
	va_list args)
{
	char words[200];
	if (parsing->first.kind != ERR_NONE)
		return;
	vsnprintf(words, sizeof(words), format, args);
	size_t line = cfg && cfg->line > 0 ? (size_t)cfg->line : 1;
	if (line <= parsing->line_count)
		err_set(&parsing->first, ERR_INPUT, "%s:%d: %s", parsing->lines[line - 1]->file,
			parsing->lines[line - 1]->line, words);
	else
		err_set(&parsing->first, ERR_INPUT, "%s", words);
}

/* Gives the parsed piece, or NULL; frees the piece in either case. */
static cfg_t *parse_piece(struct piece *piece, cfg_opt_t *options, struct err *err)
{
	cfg_t *cfg = cfg_init(options, CFGF_NONE);
	cfg_set_error_function(cfg, on_parse_error);
	parsing = piece;
	int status = cfg_parse_buf(cfg, buf_text(&piece->plain));
	parsing = NULL;
	buf_release(&piece->plain);
	free(piece->lines);
	if (status == CFG_SUCCESS && piece->first.kind == ERR_NONE)
		return cfg;
	cfg_free(cfg);
	if (piece->first.kind == ERR_NONE)
		err_set(&piece->first, ERR_INPUT, "not understood");
	if (err)
		*err = piece->first;
	return NULL;
}

bool config_parse_is_alone(const struct config_statement *statement)
{
	static const char *const names[] = { "domain", "exception", "client", "route" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(statement->name, names[i]) == 0)
			return true;
	}
	return false;
}

static int read_text(void *ctx, const char *path, struct buf *ret, struct err *err)
{
	return config_loading_read(ctx, path, FILE_BYTES, ret, err);
}

int config_parse(struct config_loading *l, const char *path, struct err *err)
{
	struct piece piece = { 0 };
	cfg_opt_t *options = config_options();
	if (config_text_load(&l->text, path, read_text, l, err) < 0 ||
		config_tree_check(l->text.statements, options, NULL, err) < 0)
		return -1;
	for (const struct config_statement *s = l->text.statements; s; s = s->next) {
		if (!config_parse_is_alone(s))
			add_statement(&piece, &l->text, s);
	}
	l->cfg = parse_piece(&piece, options, err);
	if (!l->cfg)
		return -1;
	free(l->cfg->filename);
	l->cfg->filename = mem_dup(path);
	l->cfg->line = 1;
	config_tree_annotate(l->cfg, l->text.statements);
	return 0;
}

static cfg_opt_t find_option(const char *name)
{
	cfg_opt_t *o = config_options();
	while (strcmp(o->name, name) != 0)
		o++;
	return *o;
}

int config_parse_each(struct config_loading *l, const char *name,
	int (*read)(struct config_loading *l, cfg_t *section, struct err *err), struct err *err)
{
	cfg_opt_t options[] = { find_option(name), CFG_END() };
	int result = 0;
	for (const struct config_statement *s = l->text.statements; s && result == 0; s = s->next) {
		if (strcmp(s->name, name) != 0)
			continue;
		struct piece piece = { 0 };
		struct config_statement alone = *s;
		alone.next = NULL;
		add_statement(&piece, &l->text, s);
		cfg_t *cfg = parse_piece(&piece, options, err);
		if (!cfg)
			return -1;
		config_tree_annotate(cfg, &alone);
		result = read(l, cfg_getnsec(cfg, name, 0), err);
		cfg_free(cfg);
	}
	return result;
}
