/* The manual page and the example against the tables: what exists is described, what is described
 * exists, with its default. */
#include "smtpd/config/config_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/file.h"
#include "libtlsio/base/mem.h"
#include "tests/policy/make_peer.h"
#include "tests/smtpd/config/memory_source.h"

static struct buf manual, example;

static void read_source_file(const char *name, struct buf *into)
{
	struct err err = { 0 };
	struct buf path = { 0 };
	const char *folder = getenv("srcdir");
	buf_printf(&path, "%s/%s", folder ? folder : ".", name);
	if (file_read(buf_text(&path), 1 << 20, into, &err) < 0)
		fail_msg("%s", err.text);
	buf_release(&path);
}

static int read_files(void **state)
{
	(void)state;
	read_source_file("smtpd/man/postern.conf.5", &manual);
	read_source_file("contrib/postern.conf.example", &example);
	return 0;
}

static int free_files(void **state)
{
	(void)state;
	buf_release(&manual);
	buf_release(&example);
	return 0;
}

/* What stands behind the line `begin`, up to a line that starts with one of the ends. */
static struct str part(struct str text, const char *begin, const char *end, const char *end_too)
{
	struct str rest = text, line;
	const char *from = NULL;
	while (str_split(&rest, '\n', &line)) {
		bool is_end = str_starts(line, str_of(end)) || str_starts(line, str_of(end_too));
		if (from && is_end)
			return str_from(from, (size_t)(line.at - from));
		size_t length = strlen(begin);
		if (!from && str_starts(line, str_of(begin)) &&
			(line.length == length || line.at[length] == ' '))
			from = line.at + line.length;
	}
	return str_from(from, from ? (size_t)(text.at + text.length - from) : 0);
}

static bool holds(struct str text, const char *word)
{
	size_t length = strlen(word);
	for (size_t i = 0; i + length <= text.length; i++) {
		if (memcmp(text.at + i, word, length) == 0)
			return true;
	}
	return false;
}

static void check_default(struct str words, const char *section, const cfg_opt_t *o)
{
	char value[200] = "";
	bool has_default = true;
	if (o->flags & CFGF_LIST)
		has_default = false;
	else if (o->type == CFGT_STR && o->def.string)
		snprintf(value, sizeof(value), ".Ql %s", o->def.string);
	else if (o->type == CFGT_STR)
		has_default = false;
	else if (o->type == CFGT_INT)
		snprintf(value, sizeof(value), "Default: %ld", o->def.number);
	else if (o->type == CFGT_BOOL)
		snprintf(value, sizeof(value), "Default: %s.", o->def.boolean ? "true" : "false");
	if (!holds(words, "Default") && !holds(words, "Needed"))
		fail_msg("%s: %s has neither a default nor \"Needed\"", section, o->name);
	if (has_default && !holds(words, value))
		fail_msg("%s: %s does not say: %s", section, o->name, value);
}

static void check_section(const char *name, const cfg_opt_t *options)
{
	char begin[80];
	snprintf(begin, sizeof(begin), ".Ss %s", name);
	struct str section = part(buf_str(&manual), begin, ".Ss ", ".Sh ");
	if (!section.at)
		fail_msg("the manual has no section %s", name);
	/* The options of inbound are said once. */
	if (strcmp(name, "inbound-recipients") == 0)
		return;
	for (const cfg_opt_t *o = options; o->name; o++) {
		if (o->type == CFGT_SEC) {
			check_section(o->name, o->subopts);
			continue;
		}
		char item[80];
		snprintf(item, sizeof(item), ".It Ic %s =", o->name);
		struct str words = part(section, item, ".It Ic ", ".El");
		if (!words.at)
			fail_msg("the manual lacks %s in %s", o->name, name);
		check_default(words, name, o);
	}
	struct str rest = section, line;
	while (str_split(&rest, '\n', &line)) {
		struct str word;
		if (!str_starts(line, STR(".It Ic ")))
			continue;
		line = str_skip(line, 7);
		word = str_next_word(&line);
		bool is_known = false;
		for (const cfg_opt_t *o = options; o->name; o++)
			is_known = is_known || str_equal(word, str_of(o->name));
		if (!is_known)
			fail_msg("the manual speaks of %.*s in %s, which does not exist",
				STR_ARGS(word), name);
	}
}

static void the_manual_describes_what_exists(void **state)
{
	(void)state;
	check_section("the file", config_options());
}

static bool has_section(const cfg_opt_t *options, struct str name)
{
	for (const cfg_opt_t *o = options; o->name; o++) {
		if (o->type == CFGT_SEC &&
			(str_equal(name, str_of(o->name)) || has_section(o->subopts, name)))
			return true;
	}
	return false;
}

static void the_manual_describes_no_section_that_does_not_exist(void **state)
{
	(void)state;
	struct str rest = buf_str(&manual), line;
	size_t count = 0;
	while (str_split(&rest, '\n', &line)) {
		if (!str_starts(line, STR(".Ss ")) || str_equal(line, STR(".Ss the file")))
			continue;
		count++;
		if (!has_section(config_options(), str_skip(line, 4)))
			fail_msg("%.*s", STR_ARGS(line));
	}
	assert_int_equal(count, 25);
}

/* The example with every setting switched on. */
static void switch_on(struct buf *into)
{
	struct str rest = buf_str(&example), line;
	while (str_split(&rest, '\n', &line)) {
		struct str words = line;
		if (line.length > 1 && line.at[0] == '#' && line.at[1] != ' ')
			words = str_skip(line, 1);
		if (str_starts(words, STR("include")))
			words = STR("");
		buf_append_str(into, words);
		buf_append_byte(into, '\n');
	}
}

static struct memory_source files;

static struct config *load(struct str content)
{
	struct err err = { 0 };
	memory_source_put(&files, "/etc/postern/postern.conf", content);
	struct config_source source = memory_source_as_config_source(&files);
	struct config *config = config_load("/etc/postern/postern.conf", &source, NULL, &err);
	if (!config)
		fail_msg("%s", err.text);
	return config;
}

static void make_files(char *kept[2])
{
	static const char *const names[] = { "mx.example.org", NULL };
	static const char *const chains[] = {
		"/etc/letsencrypt/live/mx.example.org/fullchain.pem",
		"/etc/letsencrypt/live/mx.example.org-rsa/fullchain.pem",
		"/etc/postern/partners-ca.pem",
	};
	static const char *const keys[] = {
		"/etc/letsencrypt/live/mx.example.org/privkey.pem",
		"/etc/letsencrypt/live/mx.example.org-rsa/privkey.pem",
	};
	struct made made = make_certificate("mx", names, false, NULL);
	gnutls_datum_t chain, key;
	assert_true(gnutls_x509_crt_export2(made.crt, GNUTLS_X509_FMT_PEM, &chain) >= 0);
	assert_true(gnutls_x509_privkey_export2_pkcs8(made.key, GNUTLS_X509_FMT_PEM, NULL,
			    GNUTLS_PKCS_PLAIN, &key) >= 0);
	kept[0] = mem_dup_bytes(chain.data, chain.size);
	kept[1] = mem_dup_bytes(key.data, key.size);
	for (size_t i = 0; i < 3; i++)
		memory_source_put(&files, chains[i], str_of(kept[0]));
	for (size_t i = 0; i < 2; i++)
		memory_source_put(&files, keys[i], str_of(kept[1]));
	gnutls_free(chain.data);
	gnutls_free(key.data);
	free_certificate(&made);
}

static void the_example_works_as_it_is_and_with_all_switched_on(void **state)
{
	(void)state;
	char *kept[2];
	struct buf all = { 0 };
	make_files(kept);
	memory_source_put(&files, "/usr/share/dns/root.key", STR(". 1 IN DS 1 1 1 00"));
	struct config *config = load(buf_str(&example));
	assert_int_equal(config->listener_count, 2);
	assert_null(config->warnings[0]);
	config_unref(&config);
	switch_on(&all);
	config = load(buf_str(&all));
	assert_int_equal(config->listener_count, 3);
	/* Its date will be over one day; and this machine has no roots. */
	for (char **w = config->warnings; *w; w++)
		if (!strstr(*w, "the exception for \"partner.example\"") &&
			!strstr(*w, "this machine has no roots"))
			fail_msg("%s", *w);
	assert_non_null(config->present);
	config_unref(&config);
	buf_release(&all);
	free(kept[0]);
	free(kept[1]);
}

static void check_example(const cfg_opt_t *options)
{
	for (const cfg_opt_t *o = options; o->name; o++) {
		char set[80], value[200];
		snprintf(set, sizeof(set), o->type == CFGT_SEC ? "%s " : "%s = ", o->name);
		if (!holds(buf_str(&example), set))
			fail_msg("the example lacks %s", o->name);
		if (o->type == CFGT_SEC) {
			check_example(o->subopts);
			continue;
		}
		if (o->type != CFGT_INT)
			continue;
		snprintf(value, sizeof(value), "%s = %ld\n", o->name, o->def.number);
		if (!holds(buf_str(&example), value))
			fail_msg("the example lacks %s", value);
	}
}

static void the_example_shows_every_option(void **state)
{
	(void)state;
	check_example(config_options());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_manual_describes_what_exists),
		cmocka_unit_test(the_manual_describes_no_section_that_does_not_exist),
		cmocka_unit_test(the_example_works_as_it_is_and_with_all_switched_on),
		cmocka_unit_test(the_example_shows_every_option),
	};
	return cmocka_run_group_tests(tests, read_files, free_files);
}
