#include "smtpd/config/config_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/mem.h"

#define uthash_malloc(size) mem_alloc(size)
#include <uthash.h>

enum { LONGEST_NAME = 40, MOST_OPTIONS = 64 };

/* How many letters to change, add or drop to make b of a (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
	size_t length = strlen(b), row[LONGEST_NAME + 1];
	if (strlen(a) > LONGEST_NAME || length > LONGEST_NAME)
		return LONGEST_NAME;
	for (size_t j = 0; j <= length; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= length; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);
			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[length];
}

static const char *nearest(const char *name, const cfg_opt_t *options)
{
	const char *best = NULL;
	size_t least = strlen(name) / 3 + 2;
	for (const cfg_opt_t *o = options; o->name; o++) {
		size_t far = distance(name, o->name);
		if (far < least) {
			least = far;
			best = o->name;
		}
	}
	return best;
}

static cfg_opt_t *find(cfg_opt_t *options, const char *name)
{
	for (cfg_opt_t *o = options; o->name; o++) {
		if (strcmp(o->name, name) == 0)
			return o;
	}
	return NULL;
}

static int refuse_unknown(const struct config_statement *s, const cfg_opt_t *options,
	const char *section_name, struct err *err)
{
	const char *meant = nearest(s->name, options);
	return err_set(err, ERR_INPUT, "%s:%d: there is no \"%.60s\" %s%s%s%s%s", s->file, s->line,
		s->name, section_name ? "in section " : "here", section_name ? section_name : "",
		meant ? "; did you mean \"" : "", meant ? meant : "", meant ? "\"?" : "");
}

static int check_kind(const struct config_statement *s, const cfg_opt_t *o, struct err *err)
{
	bool is_section = o->type == CFGT_SEC, has_title = o->flags & CFGF_TITLE;
	const char *words = NULL;
	if (is_section && !s->is_section)
		words = has_title ? "is a section: write  %s \"name\" { ... }"
				  : "is a section: write  %s { ... }";
	else if (!is_section && s->is_section)
		words = "is no section: write  %s = value";
	else if (is_section && has_title && !s->title)
		words = "needs a title: write  %s \"name\" { ... }";
	else if (is_section && !has_title && s->title)
		words = "has no title: write  %s { ... }";
	else if (s->is_list && !(o->flags & CFGF_LIST))
		words = "takes one value: write  %s = value";
	else if (s->is_added && !(o->flags & CFGF_LIST))
		words = "is no list: write  %s = value";
	if (!words)
		return 0;
	const char *gap = strstr(words, "%s");
	return err_set(err, ERR_INPUT, "%s:%d: \"%s\" %.*s%s%s", s->file, s->line, s->name,
		(int)(gap - words), words, s->name, gap + 2);
}

/* What was said, by name and title. */
struct said {
	UT_hash_handle hh;
	const struct config_statement *statement;
	size_t length;
	char key[];
};

static const struct config_statement *say(struct said **table, const struct config_statement *s)
{
	size_t name = strlen(s->name), title = s->title ? strlen(s->title) : 0;
	struct said *said = mem_zero(sizeof(*said) + name + 1 + title), *before;
	said->statement = s;
	said->length = name + 1 + title;
	memcpy(said->key, s->name, name);
	if (title)
		memcpy(said->key + name + 1, s->title, title);
	HASH_FIND(hh, *table, said->key, said->length, before);
	if (before) {
		free(said);
		return before->statement;
	}
	HASH_ADD_KEYPTR(hh, *table, said->key, said->length, said);
	return NULL;
}

static int check_once(const struct config_statement *s, struct said **table, struct err *err)
{
	if (s->is_added)
		return 0;
	const struct config_statement *before = say(table, s);
	if (!before)
		return 0;
	return err_set(err, ERR_INPUT, "%s:%d: \"%s\"%s%.80s%s is said twice; first at %s:%d", s->file,
		s->line, s->name, s->title ? " \"" : "", s->title ? s->title : "",
		s->title ? "\"" : "", before->file, before->line);
}

int config_tree_check(const struct config_statement *statements, cfg_opt_t *options,
	const char *section_name, struct err *err)
{
	struct said *table = NULL, *said, *following;
	int result = 0;
	for (const struct config_statement *s = statements; s && result == 0; s = s->next) {
		cfg_opt_t *o = find(options, s->name);
		if (!o)
			result = refuse_unknown(s, options, section_name, err);
		else if (check_kind(s, o, err) < 0 || check_once(s, &table, err) < 0)
			result = -1;
		else if (o->type == CFGT_SEC)
			result = config_tree_check(s->children, o->subopts, s->name, err);
	}
	HASH_ITER(hh, table, said, following) {
		HASH_DEL(table, said);
		free(said);
	}
	return result;
}

void config_tree_annotate(cfg_t *section, const struct config_statement *statements)
{
	unsigned met[MOST_OPTIONS] = { 0 };
	for (const struct config_statement *s = statements; s; s = s->next) {
		cfg_opt_t *o = find(section->opts, s->name);
		size_t index = o ? (size_t)(o - section->opts) : MOST_OPTIONS;
		if (index >= MOST_OPTIONS)
			continue;
		struct buf place = { 0 };
		buf_printf(&place, "%s:%d", s->file, s->line);
		free(o->comment);
		o->comment = buf_take(&place);
		if (o->type != CFGT_SEC || met[index] >= o->nvalues)
			continue;
		cfg_t *inner = o->values[met[index]++]->section;
		free(inner->filename);
		inner->filename = mem_dup(s->file);
		inner->line = s->line;
		config_tree_annotate(inner, s->children);
	}
}

bool config_tree_is_given(cfg_t *section, const char *option)
{
	cfg_opt_t *o = find(section->opts, option);
	return o && o->comment;
}
