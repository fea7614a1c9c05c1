#include "smtpd/posternctl_tlsrpt.h"

#include <stdio.h>
#include <stdlib.h>

#include "policy/policy_domain.h"
#include "policy/tlsrpt/tlsrpt_file.h"
#include "policy/tlsrpt/tlsrpt_report.h"
#include "smtpd/config/config.h"
#include "smtpd/posternctl_plan.h"

enum { WRONG_COMMAND_LINE = 2, OUT_BYTES = 65536 };

struct printing {
	bool is_json, has_failed;
	const char *hostname, *contact;
	struct tlsrpt_report report;
	int64_t day; /* the last that was named */
	size_t count;
	struct buf out;
};

static void flush_out(struct printing *p)
{
	struct str all = buf_str(&p->out);
	if (!p->has_failed && fwrite(all.at, 1, all.length, stdout) != all.length) {
		perror("posternctl: standard output");
		p->has_failed = true;
	}
	buf_clear(&p->out);
}

static void print_report(struct printing *p)
{
	const struct tlsrpt_report_by by = { p->hostname, p->contact, p->hostname };
	char day[16];
	if (p->report.count == 0)
		return;
	if (p->is_json) {
		tlsrpt_report_json(&p->report, &by, &p->out);
		buf_append_byte(&p->out, '\n');
	} else {
		if (p->count == 0 || p->report.rows[0].day != p->day)
			buf_printf(&p->out, "%s\n",
				tlsrpt_row_day_text(p->report.rows[0].day, day));
		tlsrpt_report_words(&p->report, &p->out);
	}
	p->day = p->report.rows[0].day;
	p->count++;
	tlsrpt_report_clear(&p->report);
	if (p->out.length >= OUT_BYTES)
		flush_out(p);
}

static void on_row(void *ctx, const struct tlsrpt_row *row)
{
	struct printing *p = ctx;
	if (!tlsrpt_report_fits(&p->report, row))
		print_report(p);
	tlsrpt_report_add(&p->report, row);
}

static int show(const struct config *config, const struct posternctl_tlsrpt *options,
	const char *domain, int64_t day)
{
	struct printing p = { .is_json = options->is_json, .hostname = config->hostname };
	struct buf contact = { 0 };
	struct err err = { 0 };
	size_t bad = 0;
	const char *path = config->tlsrpt.tally;
	if (!path) {
		fprintf(stderr, "posternctl: TLS sessions are counted in memory only, as configured "
				"(tlsrpt, mta-sts): there is nothing to read\n");
		return EXIT_FAILURE;
	}
	buf_printf(&contact, "postmaster@%s", config->hostname);
	p.contact = buf_text(&contact);
	int failed = tlsrpt_file_look(path, domain, day, on_row, &p, &bad, &err);
	print_report(&p);
	flush_out(&p);
	if (failed)
		fprintf(stderr, "posternctl: %s\n", err.text);
	if (bad > 0)
		fprintf(stderr, "posternctl: %s: %zu damaged rows were left out\n", path, bad);
	if (!failed && p.count == 0 && !options->is_json)
		puts("no TLS sessions are counted");
	tlsrpt_report_clear(&p.report);
	buf_release(&p.out);
	buf_release(&contact);
	return failed || p.has_failed || fflush(stdout) != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int usage_error(const char *words)
{
	fprintf(stderr, "posternctl: %s; see `posternctl help`\n", words);
	return WRONG_COMMAND_LINE;
}

int posternctl_tlsrpt(const struct posternctl_tlsrpt *options, int argc, char **argv)
{
	char domain[POLICY_DOMAIN_BYTES];
	int64_t day = -1;
	struct err err = { 0 };
	(void)argv;
	if (argc > 1)
		return usage_error("tlsrpt takes options only: --domain NAME, --day YYYY-MM-DD");
	if (options->domain && policy_domain_parse(str_of(options->domain), domain, &err) < 0)
		return usage_error(err.text);
	if (options->day && !tlsrpt_row_day_parse(str_of(options->day), &day))
		return usage_error("a day is written as 2026-11-25");
	struct config *config = posternctl_plan_config(options->config_path, &err);
	if (!config) {
		fprintf(stderr, "posternctl: %s\n", err.text);
		return EXIT_FAILURE;
	}
	int status = show(config, options, options->domain ? domain : NULL, day);
	config_unref(&config);
	return status;
}
