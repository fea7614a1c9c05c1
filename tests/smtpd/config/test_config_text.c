#include "smtpd/config/config_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/smtpd/config/memory_source.h"

static struct memory_source files;

static int read_file(void *ctx, const char *path, struct buf *ret, struct err *err)
{
	struct config_source source = memory_source_as_config_source(ctx);
	return source.read(source.ctx, path, 1 << 20, ret, err);
}

static int load(struct config_text *text, const char *content, struct err *err)
{
	*text = (struct config_text){ 0 };
	*err = (struct err){ 0 };
	memory_source_put(&files, "/etc/p/a.conf", str_of(content));
	return config_text_load(text, "/etc/p/a.conf", read_file, &files, err);
}

static void expect_plain(const char *content, const char *plain)
{
	struct config_text text;
	struct err err;
	if (load(&text, content, &err) < 0)
		fail_msg("%s: %s", content, err.text);
	assert_string_equal(buf_text(&text.plain), plain);
	config_text_clear(&text);
}

static void gives_one_statement_a_line_without_comments(void **state)
{
	(void)state;
	expect_plain("", "");
	expect_plain("#", "");
	expect_plain("//", "");
	expect_plain("/**/", "");
	expect_plain("\xef\xbb\xbf# bom\r\n", "");
	expect_plain("a=1", "a = 1 \n");
	expect_plain("a = 1 b = \"x y\" # c", "a = 1 \nb = \"x y\" \n");
	expect_plain("a = 'x' /* b = 2\n */ c = no // d", "a = \"x\" \nc = no \n");
	expect_plain("a += {x, \"y\"}", "a += { x , \"y\" } \n");
	expect_plain("a = {}", "a = { } \n");
	expect_plain("a = { x, y, }\n", "a = { x , y } \n");
	expect_plain("s { }", "s { \n} \n");
	expect_plain("s \"t\" { a = 1 }", "s \"t\" { \na = 1 \n} \n");
	expect_plain("s t { u { a = 1 } }\nb=2", "s t { \nu { \na = 1 \n} \n} \nb = 2 \n");
}

static void strings_are_what_they_say(void **state)
{
	(void)state;
	expect_plain("a = \"\\\"q\\\\\"", "a = \"\\\"q\\\\\" \n");
	expect_plain("a = 'b\\n\"'", "a = \"b\\\\n\\\"\" \n");
	expect_plain("a = \"# // /* { } = 'x'\"", "a = \"# // /* { } = 'x'\" \n");
	/* no environment gets in */
	expect_plain("a = \"${HOME}\"", "a = \"\\${HOME}\" \n");
	expect_plain("a = '$HOME'", "a = \"\\$HOME\" \n");
	expect_plain("a = \"b\303\274cher\"", "a = \"b\303\274cher\" \n");
}

static void refuses_with_the_line_of_the_fault(void **state)
{
	(void)state;
	static const struct {
		const char *content, *words;
	} rows[] = {
		{ "\n\na", ":3: behind \"a\" there should be" },
		{ "a 1\nb", ":1: behind \"a\" and its title there should be \"{\"" },
		{ "a = \n", ":2: the file ends here, where there should be a value" },
		{ "a = }", ":1: there should be a value" },
		{ "= 1", ":1: there should be the name" },
		{ "\"a\" = 1", ":1: there should be the name" },
		{ "a = 1\n}\n", ":2: this \"}\" closes no section" },
		{ "\ns {\n a = 1\n", ":2: section \"s\", which begins here, is never closed" },
		{ "s {\n t {\n }\n", ":1: section \"s\", which begins here, is never closed" },
		{ "s {\n t {\n a = 1 b = {", ":3: the file ends here, where there should be a value" },
		{ "s t", "should be \"{\"" },
		{ "a = \"x\n\"", ":1: the string that begins here has no closing double quote" },
		{ "a = 'x", ":1: the string that begins here has no closing single quote" },
		{ "a = 1\n\n/* x\n\n", ":3: the comment that begins here never ends" },
		{ "a = \"\\n\"", ":1: in double quotes a backslash may only stand before" },
		{ "a = \"\\", ":1: in double quotes a backslash" },
		{ "a = \"x\ty\"", ":1: a control character" },
		{ "a = 1;", ":1: a statement ends with its line" },
		{ "a = /etc/x", ":1: '/' cannot stand here" },
		{ "a = ${HOME}", ":1: '$' cannot stand here" },
		{ "a = b@c", ":1: '@' cannot stand here" },
		{ "a = {x y}", ":1: there should be a value, \",\" or \"}\" in this list" },
		{ "a = {x,,y}", ":1: there should be a value, \",\" or \"}\" in this list" },
		{ "a = {{x}}", ":1: there should be a value" },
		{ "a(b)", ":1: '(' cannot stand here" },
		{ "include = \"x\"", ":1: there should be the name of a file" },
		{ "include (\"x\")", ":1: '(' cannot stand here" },
		{ "include \"\"", ":1: there should be the name of a file" },
		{ "include \"*.conf\"", ":1: include takes one file, no pattern" },
		{ "s { include \"x\" }", ":1: include may only stand outside of sections" },
		{ "\ninclude \"none.conf\"", ":2: include: /etc/p/none.conf: No such file" },
		{ "a{b{c{d{e{f{g{h{i{j=1}}}}}}}}}", ":1: section \"i\" is nested too deeply" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config_text text;
		struct err err;
		if (load(&text, rows[i].content, &err) == 0)
			fail_msg("accepted: %s", rows[i].content);
		if (strncmp(err.text, "/etc/p/a.conf:", 14) != 0 || !strstr(err.text, rows[i].words))
			fail_msg("%s: %s", rows[i].content, err.text);
		config_text_clear(&text);
	}
	struct config_text text = { 0 };
	struct err err = { 0 };
	memory_source_put(&files, "/etc/p/a.conf", STR("a = 1\0b = 2"));
	assert_int_equal(config_text_load(&text, "/etc/p/a.conf", read_file, &files, &err), -1);
	config_text_clear(&text);
}

static void statements_know_file_and_line(void **state)
{
	(void)state;
	struct config_text text;
	struct err err;
	memory_source_put(&files, "/etc/p/sub/b.conf", STR("\nb = 2\ninclude 'c.conf'\n"));
	memory_source_put(&files, "/etc/p/sub/c.conf", STR("c { d = 3 }"));
	if (load(&text, "a = 1\ninclude \"sub/b.conf\"\n\ne {\n\tf = {1,\n2}\n}\n", &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(buf_text(&text.plain),
		"a = 1 \nb = 2 \nc { \nd = 3 \n} \ne { \nf = { 1 , 2 } \n} \n");
	static const struct {
		const char *name, *file;
		int line;
	} rows[] = {
		{ "a", "/etc/p/a.conf", 1 },
		{ "b", "/etc/p/sub/b.conf", 2 },
		{ "c", "/etc/p/sub/c.conf", 1 },
		{ "d", "/etc/p/sub/c.conf", 1 },
		{ "c", "/etc/p/sub/c.conf", 1 },
		{ "e", "/etc/p/a.conf", 4 },
		{ "f", "/etc/p/a.conf", 5 },
		{ "e", "/etc/p/a.conf", 4 },
	};
	assert_int_equal(text.line_count, 8);
	for (size_t i = 0; i < 8; i++) {
		assert_string_equal(text.lines[i]->name, rows[i].name);
		assert_string_equal(text.lines[i]->file, rows[i].file);
		assert_int_equal(text.lines[i]->line, rows[i].line);
	}
	const struct config_statement *e = text.statements->next->next->next;
	assert_string_equal(e->name, "e");
	assert_null(e->next);
	assert_true(e->is_section);
	assert_true(e->children->is_list);
	config_text_clear(&text);
}

static void a_fault_in_an_included_file_names_that_file(void **state)
{
	(void)state;
	struct config_text text;
	struct err err;
	memory_source_put(&files, "/etc/p/b.conf", STR("\n\nb = \n"));
	assert_int_equal(load(&text, "include \"b.conf\"", &err), -1);
	assert_non_null(strstr(err.text, "/etc/p/b.conf:4: the file ends here"));
	config_text_clear(&text);
	/* a section cannot begin in one file and end in another */
	memory_source_put(&files, "/etc/p/b.conf", STR("s {"));
	assert_int_equal(load(&text, "include \"b.conf\" }", &err), -1);
	assert_non_null(strstr(err.text, "/etc/p/b.conf:1: section \"s\""));
	config_text_clear(&text);
}

static void a_file_that_includes_itself_ends(void **state)
{
	(void)state;
	struct config_text text;
	struct err err;
	files.reads = 0;
	assert_int_equal(load(&text, "include \"a.conf\" include \"a.conf\"", &err), -1);
	assert_non_null(strstr(err.text, "include itself?"));
	assert_true(files.reads < 20);
	config_text_clear(&text);
	/* not nested, but without end all the same */
	memory_source_put(&files, "/etc/p/e.conf", STR(""));
	struct buf many = { 0 };
	for (int i = 0; i < 1001; i++)
		buf_append_text(&many, "include \"e.conf\"\n");
	assert_int_equal(load(&text, buf_text(&many), &err), -1);
	assert_non_null(strstr(err.text, "more than 1000 files"));
	config_text_clear(&text);
	buf_release(&many);
}

static void limits_the_length_of_words(void **state)
{
	(void)state;
	for (int quoted = 0; quoted < 2; quoted++) {
		for (size_t length = 4096; length <= 4097; length++) {
			struct config_text text;
			struct err err;
			struct buf content = { 0 };
			buf_append_text(&content, quoted ? "a = '" : "a = ");
			for (size_t i = 0; i < length; i++)
				buf_append_byte(&content, 'x');
			buf_append_text(&content, quoted ? "'" : "");
			assert_int_equal(load(&text, buf_text(&content), &err),
				length == 4096 ? 0 : -1);
			config_text_clear(&text);
			buf_release(&content);
		}
	}
}

static void paths_are_relative_to_their_file(void **state)
{
	(void)state;
	static const struct {
		const char *file, *path, *result;
	} rows[] = {
		{ "/etc/p/a.conf", "b.pem", "/etc/p/b.pem" },
		{ "/etc/p/a.conf", "/b.pem", "/b.pem" },
		{ "/etc/p/a.conf", "../b.pem", "/etc/p/../b.pem" },
		{ "a.conf", "b.pem", "b.pem" },
		{ "/a.conf", "b.pem", "/b.pem" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *path = config_text_path(rows[i].file, rows[i].path);
		assert_string_equal(path, rows[i].result);
		free(path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_one_statement_a_line_without_comments),
		cmocka_unit_test(strings_are_what_they_say),
		cmocka_unit_test(refuses_with_the_line_of_the_fault),
		cmocka_unit_test(statements_know_file_and_line),
		cmocka_unit_test(a_fault_in_an_included_file_names_that_file),
		cmocka_unit_test(a_file_that_includes_itself_ends),
		cmocka_unit_test(limits_the_length_of_words),
		cmocka_unit_test(paths_are_relative_to_their_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
