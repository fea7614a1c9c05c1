/* Segments that nobody needs are given back; what is mostly dead is emptied by copying. */
#include "smtpd/spool/spool_inside.h"

#include <stdlib.h>

#include "libtlsio/base/mem.h"

struct spool_compact {
	struct spool *spool;
};

struct spool_compact *spool_compact_new(struct spool *spool)
{
	struct spool_compact *compact = mem_zero(sizeof(*compact));
	compact->spool = spool;
	return compact;
}

void spool_compact_free(struct spool_compact **compact)
{
	free(*compact);
	*compact = NULL;
}

void spool_compact_review(struct spool *spool)
{
	(void)spool;
}

void spool_compact_fold(struct spool *spool, uint64_t id)
{
	(void)spool;
	(void)id;
}
