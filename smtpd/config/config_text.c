#include "smtpd/config/config_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"

enum {
	MAX_DEPTH = 8,		/* sections in sections; the tables have three */
	MAX_INCLUDE_DEPTH = 10, /* a file that includes itself ends here */
	MAX_FILES = 1000,
	MAX_STRING_BYTES = 4096,
};

enum token_kind {
	TOKEN_END,
	TOKEN_WORD,
	TOKEN_STRING,
	TOKEN_MARK, /* { } = , or + for += */
};

struct token {
	enum token_kind kind;
	char mark;
	int line;
	struct str text; /* of a word or string; in the arena */
};

struct reader {
	struct config_text *into;
	config_text_read *read;
	void *ctx;
	unsigned file_count;
	unsigned include_depth;
};

/* One open file. */
struct scanner {
	struct reader *reader;
	const char *file;
	struct str rest;
	int line;
	struct token token; /* the one to look at */
};

static int parse_file(struct reader *r, const char *path, struct config_statement ***tail,
	struct err *err);

/* --- characters to tokens ----------------------------------------------------------------- */

__attribute__((format(printf, 4, 5))) static int complain(const struct scanner *s, int line,
	struct err *err, const char *format, ...)
{
	char words[200];
	va_list args;
	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	return err_set(err, ERR_INPUT, "%s:%d: %s", s->file, line, words);
}

static void skip_line(struct scanner *s)
{
	s->rest = str_skip(s->rest, str_find(s->rest, '\n'));
}

static int skip_long_comment(struct scanner *s, struct err *err)
{
	int begun = s->line;
	s->rest = str_skip(s->rest, 2);
	while (!str_starts(s->rest, STR("*/"))) {
		if (s->rest.length == 0)
			return complain(s, begun, err,
				"the comment that begins here never ends: close it with */");
		s->line += s->rest.at[0] == '\n';
		s->rest = str_skip(s->rest, 1);
	}
	s->rest = str_skip(s->rest, 2);
	return 0;
}

static int skip_blank(struct scanner *s, struct err *err)
{
	while (s->rest.length > 0) {
		char c = s->rest.at[0];
		if (c == '#' || str_starts(s->rest, STR("//"))) {
			skip_line(s);
		} else if (str_starts(s->rest, STR("/*"))) {
			if (skip_long_comment(s, err) < 0)
				return -1;
		} else if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
			s->line += c == '\n';
			s->rest = str_skip(s->rest, 1);
		} else {
			break;
		}
	}
	return 0;
}

static bool is_word_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '-' || c == '_' || c == '.' || c == ':';
}

/* A string in '...' is plain; in "..." a backslash makes " and \ plain, and nothing else. */
static int scan_string(struct scanner *s, struct err *err)
{
	char quote = s->rest.at[0];
	char text[MAX_STRING_BYTES];
	size_t length = 0;
	for (size_t i = 1; i < s->rest.length && s->rest.at[i] != '\n'; i++) {
		char c = s->rest.at[i];
		if (c == quote) {
			s->token.kind = TOKEN_STRING;
			s->token.text = arena_str(&s->reader->into->arena, str_from(text, length));
			s->rest = str_skip(s->rest, i + 1);
			return 0;
		}
		if (c == '\\' && quote == '"') {
			c = ++i < s->rest.length ? s->rest.at[i] : '\0';
			if (c != '"' && c != '\\')
				return complain(s, s->line, err,
					"in double quotes a backslash may only stand before \" "
					"and \\: write it twice, or use single quotes");
		}
		if ((unsigned char)c < ' ' || c == 0x7f)
			return complain(s, s->line, err, "a control character in a string");
		if (length == sizeof(text))
			return complain(s, s->line, err, "a string is longer than 4096 bytes");
		text[length++] = c;
	}
	return complain(s, s->line, err, "the string that begins here has no closing %s quote on its line",
		quote == '"' ? "double" : "single");
}

static int scan_other(struct scanner *s, struct err *err)
{
	char c = s->rest.at[0];
	if (str_starts(s->rest, STR("+="))) {
		s->token.kind = TOKEN_MARK;
		s->token.mark = '+';
		s->rest = str_skip(s->rest, 2);
		return 0;
	}
	if (c != '\0' && strchr("{}=,", c)) {
		s->token.kind = TOKEN_MARK;
		s->token.mark = c;
		s->rest = str_skip(s->rest, 1);
		return 0;
	}
	if (c == ';')
		return complain(s, s->line, err, "a statement ends with its line, without \";\"");
	return complain(s, s->line, err,
		"'%c' cannot stand here: values other than plain words go in quotes",
		c > ' ' && c < 0x7f ? c : '?');
}

static int next(struct scanner *s, struct err *err)
{
	if (skip_blank(s, err) < 0)
		return -1;
	s->token = (struct token){ .line = s->line };
	if (s->rest.length == 0)
		return 0; /* TOKEN_END */
	if (s->rest.at[0] == '"' || s->rest.at[0] == '\'')
		return scan_string(s, err);
	size_t length = 0;
	while (length < s->rest.length && is_word_byte(s->rest.at[length]))
		length++;
	if (length == 0)
		return scan_other(s, err);
	if (length > MAX_STRING_BYTES)
		return complain(s, s->line, err, "a word is longer than 4096 bytes");
	s->token.kind = TOKEN_WORD;
	s->token.text = arena_str(&s->reader->into->arena, str_head(s->rest, length));
	s->rest = str_skip(s->rest, length);
	return 0;
}

static bool is_mark(const struct scanner *s, char mark)
{
	return s->token.kind == TOKEN_MARK && s->token.mark == mark;
}

static bool is_value(const struct scanner *s)
{
	return s->token.kind == TOKEN_WORD || s->token.kind == TOKEN_STRING;
}

/* --- what libConfuse gets ------------------------------------------------------------------- */

static void put_string(struct buf *plain, struct str text)
{
	buf_append_byte(plain, '"');
	for (size_t i = 0; i < text.length; i++) {
		/* "$": libConfuse would put the environment's ${NAME} there. */
		if (strchr("\\\"$", text.at[i]))
			buf_append_byte(plain, '\\');
		buf_append_byte(plain, text.at[i]);
	}
	buf_append_byte(plain, '"');
}

static void put_token(struct scanner *s)
{
	struct buf *plain = &s->reader->into->plain;
	if (s->token.kind == TOKEN_WORD)
		buf_append_str(plain, s->token.text);
	else if (s->token.kind == TOKEN_STRING)
		put_string(plain, s->token.text);
	else
		buf_append_text(plain, s->token.mark == '+' ? "+=" : (char[]){ s->token.mark, 0 });
	buf_append_byte(plain, ' ');
}

static void end_line(struct config_text *into, const struct config_statement *statement)
{
	/* Room doubles whenever the count is a power of two. */
	if ((into->line_count & (into->line_count - 1)) == 0)
		into->lines = mem_resize_array(into->lines,
			into->line_count ? 2 * into->line_count : 1, sizeof(*into->lines));
	into->lines[into->line_count++] = statement;
	buf_append_byte(&into->plain, '\n');
}

/* --- tokens to statements ------------------------------------------------------------------- */

static int unexpected(const struct scanner *s, const char *wanted, struct err *err)
{
	return complain(s, s->token.line, err, "%sthere should be %s",
		s->token.kind == TOKEN_END ? "the file ends here, where " : "", wanted);
}

static int parse_list(struct scanner *s, struct err *err)
{
	put_token(s);
	if (next(s, err) < 0)
		return -1;
	while (is_value(s)) {
		put_token(s);
		if (next(s, err) < 0)
			return -1;
		if (!is_mark(s, ','))
			break;
		if (next(s, err) < 0)
			return -1;
		if (is_value(s)) /* a comma behind the last is allowed here, not by libConfuse */
			buf_append_text(&s->reader->into->plain, ", ");
	}
	if (!is_mark(s, '}'))
		return unexpected(s, "a value, \",\" or \"}\" in this list", err);
	put_token(s);
	return next(s, err);
}

static int parse_value(struct scanner *s, struct config_statement *statement, struct err *err)
{
	statement->is_added = is_mark(s, '+');
	put_token(s);
	if (next(s, err) < 0)
		return -1;
	statement->is_list = is_mark(s, '{');
	if (statement->is_list) {
		if (parse_list(s, err) < 0)
			return -1;
	} else {
		if (!is_value(s))
			return unexpected(s, "a value (in quotes unless it is one plain word)", err);
		put_token(s);
		if (next(s, err) < 0)
			return -1;
	}
	end_line(s->reader->into, statement);
	return 0;
}

static int parse_statements(struct scanner *s, unsigned depth, struct config_statement ***tail,
	struct err *err);

static int parse_section(struct scanner *s, struct config_statement *statement, unsigned depth,
	struct err *err)
{
	statement->is_section = true;
	if (depth == MAX_DEPTH)
		return complain(s, statement->line, err, "section \"%s\" is nested too deeply",
			statement->name);
	put_token(s);
	end_line(s->reader->into, statement);
	struct config_statement **tail = &statement->children;
	if (next(s, err) < 0 || parse_statements(s, depth + 1, &tail, err) < 0)
		return -1;
	if (!is_mark(s, '}'))
		return complain(s, statement->line, err,
			"section \"%s\", which begins here, is never closed: the file ends inside it "
			"(cut off? a \"}\" missing?)",
			statement->name);
	put_token(s);
	end_line(s->reader->into, statement);
	return next(s, err);
}

static int parse_include(struct scanner *s, unsigned depth, struct config_statement ***tail,
	struct err *err)
{
	int line = s->token.line;
	if (depth > 0)
		return complain(s, line, err, "include may only stand outside of sections");
	if (next(s, err) < 0)
		return -1;
	if (s->token.kind != TOKEN_STRING || s->token.text.length == 0)
		return unexpected(s, "the name of a file in quotes behind \"include\"", err);
	if (memchr(s->token.text.at, '*', s->token.text.length))
		return complain(s, line, err, "include takes one file, no pattern: write one include for each file");
	struct reader *r = s->reader;
	if (r->include_depth == MAX_INCLUDE_DEPTH)
		return complain(s, line, err, "includes are nested too deeply: does \"%s\" "
					      "include itself?", s->token.text.at);
	char *path = config_text_path(s->file, s->token.text.at);
	struct err why;
	r->include_depth++;
	int result = parse_file(r, path, tail, &why);
	r->include_depth--;
	/* A fault inside the file names that file; only one it cannot be read is ours. */
	if (result < 0 && why.kind != ERR_INPUT)
		complain(s, line, err, "include: %s", why.text);
	else if (result < 0 && err)
		*err = why;
	free(path);
	return result < 0 ? -1 : next(s, err);
}

/* Behind the name. */
static int parse_rest(struct scanner *s, struct config_statement *statement, unsigned depth,
	struct err *err)
{
	put_token(s);
	if (next(s, err) < 0)
		return -1;
	if (is_mark(s, '=') || is_mark(s, '+'))
		return parse_value(s, statement, err);
	if (is_value(s)) {
		statement->title = s->token.text.at;
		put_token(s);
		if (next(s, err) < 0)
			return -1;
	}
	if (is_mark(s, '{'))
		return parse_section(s, statement, depth, err);
	return complain(s, statement->line, err, "behind \"%s\"%s", statement->name,
		statement->title ? " and its title there should be \"{\""
				 : " there should be \"=\" and a value, or \"{\"");
}

static int parse_statement(struct scanner *s, unsigned depth, struct config_statement ***tail,
	struct err *err)
{
	if (s->token.kind != TOKEN_WORD)
		return unexpected(s, "the name of an option or section", err);
	if (str_equal(s->token.text, STR("include")))
		return parse_include(s, depth, tail, err);
	struct config_text *into = s->reader->into;
	struct config_statement *statement = arena_alloc(&into->arena, sizeof(*statement));
	statement->name = s->token.text.at;
	statement->file = s->file;
	statement->line = s->token.line;
	statement->plain_at = into->plain.length;
	statement->lines_at = into->line_count;
	**tail = statement;
	*tail = &statement->next;
	int result = parse_rest(s, statement, depth, err);
	statement->plain_bytes = into->plain.length - statement->plain_at;
	statement->lines_count = into->line_count - statement->lines_at;
	return result;
}

static int parse_statements(struct scanner *s, unsigned depth, struct config_statement ***tail,
	struct err *err)
{
	while (s->token.kind != TOKEN_END && !is_mark(s, '}')) {
		if (parse_statement(s, depth, tail, err) < 0)
			return -1;
	}
	return 0;
}

static int parse_file(struct reader *r, const char *path, struct config_statement ***tail,
	struct err *err)
{
	struct buf content = { 0 };
	struct scanner s = { .reader = r, .line = 1 };
	s.file = arena_text(&r->into->arena, str_of(path));
	if (++r->file_count > MAX_FILES)
		return err_set(err, ERR_LIMIT, "more than %d files", MAX_FILES);
	if (r->read(r->ctx, path, &content, err) < 0) {
		buf_release(&content);
		return -1;
	}
	s.rest = buf_str(&content);
	if (str_starts(s.rest, STR("\xef\xbb\xbf"))) /* what some editors put in front of UTF-8 */
		s.rest = str_skip(s.rest, 3);
	int result = next(&s, err) < 0 || parse_statements(&s, 0, tail, err) < 0 ? -1 : 0;
	if (result == 0 && s.token.kind != TOKEN_END)
		result = complain(&s, s.token.line, err, "this \"}\" closes no section");
	buf_release(&content);
	return result;
}

int config_text_load(struct config_text *ret, const char *path, config_text_read *read, void *ctx,
	struct err *err)
{
	struct reader r = { .into = ret, .read = read, .ctx = ctx };
	struct config_statement **tail = &ret->statements;
	return parse_file(&r, path, &tail, err);
}

void config_text_clear(struct config_text *text)
{
	arena_clear(&text->arena);
	buf_release(&text->plain);
	free(text->lines);
	*text = (struct config_text){ 0 };
}

char *config_text_path(const char *file, const char *path)
{
	const char *slash = strrchr(file, '/');
	if (path[0] == '/' || !slash)
		return mem_dup(path);
	struct buf joined = { 0 };
	buf_append(&joined, file, (size_t)(slash - file) + 1);
	buf_append_text(&joined, path);
	return buf_take(&joined);
}
