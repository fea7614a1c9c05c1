/* replay: the main() of a fuzz target in `make check`: every file of its corpus, once.
 *
 * usage: fuzz_<thing> [FILE-OR-FOLDER...]   (default: $srcdir/tests/fuzz/corpus/<thing>)
 * A target proves something by not crashing: the sanitizers and its own asserts are the judge.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static int replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stat st;

	if (!file || fstat(fileno(file), &st) != 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		if (file)
			fclose(file);
		return -1;
	}
	/* Exactly the file's size, so that a read past the end is seen. */
	uint8_t *bytes = malloc(st.st_size > 0 ? (size_t)st.st_size : 1);
	size_t size = bytes ? fread(bytes, 1, (size_t)st.st_size, file) : 0;

	fclose(file);
	LLVMFuzzerTestOneInput(bytes, size);
	free(bytes);
	return 0;
}

/* Files replayed, or -1. */
static int replay_path(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		return replay_file(path) == 0 ? 1 : -1;

	DIR *folder = opendir(path);
	int count = 0;

	if (!folder) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	for (struct dirent *entry; count >= 0 && (entry = readdir(folder));) {
		char file[4096];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		count = replay_file(file) == 0 ? count + 1 : -1;
	}
	closedir(folder);
	return count;
}

static void default_corpus(const char *program, char *path, size_t size)
{
	const char *name = strstr(program, "fuzz_");
	const char *srcdir = getenv("srcdir");

	for (const char *next = name; next; next = strstr(next + 1, "fuzz_"))
		name = next;
	snprintf(path, size, "%s/tests/fuzz/corpus/%s", srcdir ? srcdir : ".",
		name ? name + strlen("fuzz_") : program);
}

int main(int argc, char **argv)
{
	char corpus[4096];
	char *default_argv[] = { argv[0], corpus, NULL };
	int total = 0;

	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	if (argc < 2) {
		default_corpus(argv[0], corpus, sizeof(corpus));
		argv = default_argv;
		argc = 2;
	}
	for (int i = 1; i < argc; i++) {
		int count = replay_path(argv[i]);

		if (count < 0)
			return 1;
		total += count;
	}
	printf("%s: %d inputs replayed\n", argv[0], total);
	if (total == 0)
		fprintf(stderr, "%s: the corpus is empty\n", argv[0]);
	return total == 0;
}
