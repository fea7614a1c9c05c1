/* Runs every *.dialogue beside it (or those named on the command line) as one test each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#include "libtlsio/base/file.h"
#include "libtlsio/base/mem.h"
#include "tests/dialogue/dialogue_words.h"

static void runs_as_written(void **state)
{
	const char *path = *state;
	struct buf script = { 0 };
	struct err err = { 0 };
	struct dialogue d = { 0 };
	if (file_read(path, 1 << 20, &script, &err) != 0)
		fail_msg("%s", err.text);
	dialogue_house_open(&d.house);
	struct str rest = buf_str(&script), line;
	bool is_good = true;
	int number = 0;
	while (is_good && str_split(&rest, '\n', &line)) {
		number++;
		is_good = dialogue_words_run(&d, line);
	}
	if (!is_good)
		print_error("%s:%d: %.*s\n\t%s\n", path, number, STR_ARGS(line), d.why);
	dialogue_house_close(&d.house);
	buf_release(&script);
	assert_true(is_good);
}

static const char *base_name(const char *path)
{
	size_t slash = str_find_last(str_of(path), '/');
	return path[slash] ? path + slash + 1 : path;
}

static int run_all(char **paths, size_t count)
{
	struct CMUnitTest *tests = mem_array(count, sizeof(*tests));
	for (size_t i = 0; i < count; i++)
		tests[i] = (struct CMUnitTest){ .name = base_name(paths[i]),
			.test_func = runs_as_written,
			.initial_state = paths[i] };
	int failed = _cmocka_run_group_tests("dialogues", tests, count, NULL, NULL);
	free(tests);
	return failed;
}

int main(int argc, char **argv)
{
	char pattern[1000];
	const char *folder = getenv("srcdir");
	glob_t found;
	if (argc > 1)
		return run_all(argv + 1, (size_t)argc - 1);
	snprintf(pattern, sizeof(pattern), "%s/tests/dialogue/*.dialogue", folder ? folder : ".");
	if (glob(pattern, 0, NULL, &found) != 0 || found.gl_pathc < 25) {
		fprintf(stderr, "%s: too few dialogues found\n", pattern);
		return 1;
	}
	int failed = run_all(found.gl_pathv, found.gl_pathc);
	globfree(&found);
	return failed;
}
