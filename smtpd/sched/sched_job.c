#include "smtpd/sched/sched_job.h"

#include <assert.h>
#include <stdlib.h>

#include "libtlsio/base/mem.h"

_Static_assert(sizeof(struct sched_job) < 100, "there is one per message and destination");

static struct sched_job **chain_of(const struct sched_jobs *jobs, uint64_t message)
{
	/* ids count upwards: mix, so that neighbours spread */
	uint64_t mixed = message * UINT64_C(0x9e3779b97f4a7c15);
	return &jobs->chains[(mixed >> 32) & (jobs->chain_count - 1)];
}

static void grow(struct sched_jobs *jobs)
{
	struct sched_jobs larger = { .chain_count = jobs->chain_count ? jobs->chain_count * 2 : 64 };
	larger.chains = mem_zero(larger.chain_count * sizeof(struct sched_job *));
	for (size_t i = 0; i < jobs->chain_count; i++) {
		while (jobs->chains[i]) {
			struct sched_job *job = jobs->chains[i];
			jobs->chains[i] = job->next;
			struct sched_job **chain = chain_of(&larger, job->message);
			job->next = *chain;
			*chain = job;
		}
	}
	larger.count = jobs->count;
	free(jobs->chains);
	*jobs = larger;
}

void sched_jobs_add(struct sched_jobs *jobs, struct sched_job *job)
{
	if (jobs->count >= jobs->chain_count)
		grow(jobs);
	struct sched_job **chain = chain_of(jobs, job->message);
	job->next = *chain;
	*chain = job;
	jobs->count++;
}

void sched_jobs_remove(struct sched_jobs *jobs, struct sched_job *job)
{
	struct sched_job **at = chain_of(jobs, job->message);
	while (*at != job) {
		assert(*at);
		at = &(*at)->next;
	}
	*at = job->next;
	job->next = NULL;
	jobs->count--;
}

struct sched_job *sched_jobs_find(const struct sched_jobs *jobs, uint64_t message)
{
	if (jobs->chain_count == 0)
		return NULL;
	struct sched_job *job = *chain_of(jobs, message);
	while (job && job->message != message)
		job = job->next;
	return job;
}

struct sched_job *sched_jobs_next(const struct sched_job *job)
{
	struct sched_job *next = job->next;
	while (next && next->message != job->message)
		next = next->next;
	return next;
}

void sched_jobs_clear(struct sched_jobs *jobs)
{
	free(jobs->chains);
	*jobs = (struct sched_jobs){ 0 };
}
