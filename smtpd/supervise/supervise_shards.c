#include "smtpd/supervise/supervise_shards.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "libtlsio/base/str.h"

int supervise_shards_scan(
	const char *spool_directory, struct supervise_shards *ret, struct err *err)
{
	memset(ret, 0, sizeof(*ret));
	DIR *directory = opendir(spool_directory);
	if (!directory && errno == ENOENT)
		return 0;
	if (!directory)
		return err_system(err, errno, "cannot list %s", spool_directory);
	const struct dirent *entry;
	while ((entry = readdir(directory)) != NULL) {
		uint64_t number;
		bool is_padded = entry->d_name[0] == '0' && entry->d_name[1] != '\0';
		if (!is_padded && str_to_u64(str_of(entry->d_name), SUPERVISE_SHARDS_MOST - 1, &number))
			ret->exists[number] = true;
	}
	closedir(directory);
	return 0;
}

size_t supervise_shards_of(const struct supervise_shards *shards, unsigned worker, unsigned workers,
	unsigned *ret)
{
	size_t count = 0;
	for (unsigned k = worker; k < SUPERVISE_SHARDS_MOST; k += workers)
		if (k == worker || shards->exists[k])
			ret[count++] = k;
	return count;
}
