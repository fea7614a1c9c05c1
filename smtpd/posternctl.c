/* posternctl: the operator's hand: what waits in the queue and why, try now, remove, status; where
 * mail goes and what its hosts show.
 *
 * Joins: control (asks every worker, prints), config (check-config), posternctl_policy (explain, probe),
 * posternctl_tlsrpt.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libtlsio/base/file.h"
#include "libtlsio/base/mem.h"
#include "smtpd/check_config.h"
#include "smtpd/config/config_options.h"
#include "smtpd/config/config_text.h"
#include "smtpd/control/control_client.h"
#include "smtpd/control/control_print.h"
#include "smtpd/posternctl_policy.h"
#include "smtpd/posternctl_spool.h"
#include "smtpd/posternctl_status.h"
#include "smtpd/posternctl_tlsrpt.h"

#define CONFIG_BYTES_MOST (4u << 20)

struct hand {
	const char *config_path;   /* as given with -c, or NULL */
	const char *run_directory; /* as given, or NULL */
	bool is_json, is_sure;
	struct posternctl_policy policy; /* what only explain and probe look at */
	const char *domain, *day;	  /* and tlsrpt */
	struct posternctl_spool spool;	 /* what only spool does */
	struct buf out;
	bool is_open;	 /* a JSON object has begun */
	bool has_recipient; /* in it */
	uint64_t found;	 /* records or bytes that came */
	int64_t messages, message_bytes;
};

static int usage_error(const char *words)
{
	fprintf(stderr, "posternctl: %s; see `posternctl help`\n", words);
	return 2;
}

static void flush_out(struct hand *h)
{
	struct str out = buf_str(&h->out);
	if (fwrite(out.at, 1, out.length, stdout) != out.length) {
		perror("posternctl: standard output");
		exit(EXIT_FAILURE);
	}
	buf_clear(&h->out);
}

/* ---- where posternd is ------------------------------------------------------------------------------------- */

static int read_config(void *ctx, const char *path, struct buf *ret, struct err *err)
{
	(void)ctx;
	return file_read(path, CONFIG_BYTES_MOST, ret, err);
}

/* Without config_load, since an operator need not be able to read the keys. section: NULL for none.
 * Gives, NULL when the file cannot be read. */
static char *setting_of(const char *config_path, const char *section, const char *key, struct err *err)
{
	struct config_text text = { 0 };
	char *found = NULL;
	if (config_text_load(&text, config_path, read_config, NULL, err) == 0) {
		cfg_t *cfg = cfg_init(config_options(), CFGF_NONE);
		if (cfg_parse_buf(cfg, buf_text(&text.plain)) == CFG_SUCCESS)
			found = mem_dup(cfg_getstr(section ? cfg_getsec(cfg, section) : cfg, key));
		else
			err_set(err, ERR_INPUT, "%s is not understood", config_path);
		cfg_free(cfg);
	}
	config_text_clear(&text);
	return found;
}

static char *find_setting(const struct hand *h, const char *section, const char *key,
	const char *otherwise)
{
	struct err err;
	if (!h->config_path && access(CHECK_CONFIG_PATH, R_OK) != 0)
		return mem_dup(otherwise);
	char *found = setting_of(
		h->config_path ? h->config_path : CHECK_CONFIG_PATH, section, key, &err);
	if (!found)
		fprintf(stderr, "posternctl: %s\n", err.text);
	return found;
}

static char *find_run_directory(const struct hand *h)
{
	if (h->run_directory)
		return mem_dup(h->run_directory);
	return find_setting(h, NULL, "run-directory", "/run/postern");
}

/* ---- asking ------------------------------------------------------------------------------------------------- */

static void on_failed(void *ctx, const char *socket, const struct err *err)
{
	(void)ctx;
	struct buf safe = { 0 };
	control_print_safe(&safe, str_of(err->text));
	fprintf(stderr, "posternctl: %s: %s\n", socket, buf_text(&safe));
	buf_release(&safe);
}

static void on_data(void *ctx, struct str bytes)
{
	struct hand *h = ctx;
	h->found += bytes.length;
	buf_append_str(&h->out, bytes);
	flush_out(h);
}

static void on_nothing(void *ctx, const struct control_record *record)
{
	(void)ctx;
	(void)record;
}

/* Asks all workers; the exit status. */
static int ask(struct hand *h, void (*on_record)(void *ctx, const struct control_record *record),
	const char *const words[], size_t count)
{
	const struct control_client_events events = { .record = on_record, .data = on_data,
		.failed = on_failed };
	struct err err;
	char *directory = find_run_directory(h);
	if (!directory)
		return EXIT_FAILURE;
	int failures = control_client_ask(directory, words, count, &events, h, &err);
	if (failures < 0)
		fprintf(stderr, "posternctl: %s\n", err.text);
	free(directory);
	flush_out(h);
	return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- queue ---------------------------------------------------------------------------------------------------- */

/* Messages as JSON: {...,"recipients":[{...},...]} on one line each. */
static void close_json(struct hand *h)
{
	if (h->is_open)
		buf_append_text(&h->out, "]}\n");
	h->is_open = false;
}

static void put_json(struct hand *h, const struct control_record *record)
{
	if (str_equal(record->name, STR("recipient")) && h->is_open) {
		if (h->has_recipient)
			buf_append_byte(&h->out, ',');
		control_print_json(&h->out, record, false);
		h->has_recipient = true;
		return;
	}
	close_json(h);
	bool is_message = str_equal(record->name, STR("message"));
	control_print_json(&h->out, record, is_message);
	buf_append_text(&h->out, is_message ? ",\"recipients\":[" : "\n");
	h->is_open = is_message;
	h->has_recipient = false;
}

static void on_queue_record(void *ctx, const struct control_record *record)
{
	struct hand *h = ctx;
	h->found++;
	if (h->is_json)
		put_json(h, record);
	else if (str_equal(record->name, STR("message")))
		control_print_queue_message(&h->out, record);
	else if (str_equal(record->name, STR("recipient")))
		control_print_queue_recipient(&h->out, record);
	else
		control_print_show(&h->out, record);
	if (!h->is_open || h->out.length > CONTROL_DATA_BYTES)
		flush_out(h);
}

static void on_count(void *ctx, const struct control_record *record)
{
	struct hand *h = ctx;
	h->messages += control_record_number(record, "messages");
	h->message_bytes += control_record_number(record, "message_bytes");
}

static int list_queue(struct hand *h)
{
	int status = EXIT_SUCCESS;
	if (!h->is_json) {
		status = ask(h, on_count, (const char *[]){ "status" }, 1);
		buf_printf(&h->out, "%lld message%s", (long long)h->messages,
			h->messages == 1 ? "" : "s");
		if (h->messages) {
			buf_append_text(&h->out, ", ");
			control_print_size(&h->out, h->message_bytes);
			buf_append_text(&h->out, "\nID               AGE    SIZE   SENDER");
		}
		buf_append_byte(&h->out, '\n');
		if (status != EXIT_SUCCESS && !h->messages) {
			buf_clear(&h->out);
			return status;
		}
	}
	int listed = ask(h, on_queue_record, (const char *[]){ "queue" }, 1);
	close_json(h);
	flush_out(h);
	return status == EXIT_SUCCESS ? listed : status;
}

static void on_show_record(void *ctx, const struct control_record *record)
{
	struct hand *h = ctx;
	h->found++;
	if (h->is_json)
		put_json(h, record);
	else
		control_print_show(&h->out, record);
}

static int not_found(const char *id)
{
	fprintf(stderr,
		"posternctl: no message %s in the queue (delivered, removed, or a typing error?)\n", id);
	return EXIT_FAILURE;
}

/* Asked once here, instead of a complaint by every worker. */
static bool is_id(const char *word)
{
	if (strlen(word) == 16 && strspn(word, "0123456789abcdefABCDEF") == 16)
		return true;
	fprintf(stderr,
		"posternctl: '%s' is no message id: it has 16 hexadecimal digits, see `posternctl queue`\n",
		word);
	return false;
}

static int run_queue(struct hand *h, int argc, char **argv)
{
	if (argc == 1)
		return list_queue(h);
	bool is_show = strcmp(argv[1], "show") == 0, is_cat = strcmp(argv[1], "cat") == 0;
	if (!(is_show || is_cat) || argc != 3)
		return usage_error("`queue` is followed by nothing, `show ID` or `cat ID`");
	if (!is_id(argv[2]))
		return 2;
	int status = ask(h, is_show ? on_show_record : on_nothing,
		(const char *[]){ argv[1], argv[2] }, 2);
	close_json(h);
	flush_out(h);
	return status == EXIT_SUCCESS && !h->found ? not_found(argv[2]) : status;
}

/* ---- flush, remove ---------------------------------------------------------------------------------------------- */

static void on_sum(void *ctx, const struct control_record *record)
{
	struct hand *h = ctx;
	h->found++;
	h->messages += control_record_number(record, "count");
}

static void on_found(void *ctx, const struct control_record *record)
{
	struct hand *h = ctx;
	(void)record;
	h->found++;
}

static int run_flush(struct hand *h, int argc, char **argv)
{
	const char *words[3] = { "flush", "all" };
	for (int i = 1; i < argc && i < 3; i++)
		words[i] = argv[i];
	bool is_domain = strcmp(words[1], "domain") == 0;
	if (argc > 3 || is_domain != (argc == 3))
		return usage_error("`flush` is followed by nothing, `all`, an ID, or `domain NAME`");
	bool is_message = !is_domain && strcmp(words[1], "all") != 0;
	if (is_message && !is_id(words[1]))
		return 2;
	int status = ask(h, on_sum, words, is_domain ? 3 : 2);
	if (status == EXIT_SUCCESS && is_message && !h->messages) {
		h->found = 0; /* none is due because it runs already, or because there is no such message */
		status = ask(h, on_found, (const char *[]){ "show", words[1] }, 2);
		if (status == EXIT_SUCCESS && !h->found)
			return not_found(words[1]);
	}
	if (status == EXIT_SUCCESS)
		printf("%lld deliver%s due now\n", (long long)h->messages,
			h->messages == 1 ? "y is" : "ies are");
	return status;
}

static bool is_confirmed(struct hand *h, const char *id)
{
	char answer[16];
	if (h->is_sure || !isatty(STDIN_FILENO)) /* as rm(1): who is no person is not asked */
		return true;
	if (ask(h, on_show_record, (const char *[]){ "show", id }, 2) != EXIT_SUCCESS)
		return false;
	if (!h->found) {
		not_found(id);
		return false;
	}
	h->found = 0;
	printf("Remove this message, telling nobody? [y/N] ");
	fflush(stdout);
	return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static int run_remove(struct hand *h, int argc, char **argv)
{
	if (argc != 2)
		return usage_error("`remove` is followed by the ID of a message");
	if (!is_id(argv[1]))
		return 2;
	h->is_json = false;
	if (!is_confirmed(h, argv[1]))
		return EXIT_FAILURE;
	int status = ask(h, on_sum, (const char *[]){ "remove", argv[1] }, 2);
	if (status != EXIT_SUCCESS)
		return status;
	if (!h->found)
		return not_found(argv[1]);
	printf("removed %s (%lld recipient%s)\n", argv[1], (long long)h->messages,
		h->messages == 1 ? "" : "s");
	return EXIT_SUCCESS;
}

/* ---- status, check-config, help ------------------------------------------------------------------------------------ */

static void on_worker(void *ctx, const struct control_record *record)
{
	struct hand *h = ctx;
	if (h->is_json) {
		control_print_json(&h->out, record, false);
		buf_append_byte(&h->out, '\n');
	} else
		control_print_worker(&h->out, record, time(NULL));
}

static int run_status(struct hand *h, int argc, char **argv)
{
	(void)argv;
	if (argc != 1)
		return usage_error("`status` takes no argument");
	char *directory = find_run_directory(h);
	if (!directory)
		return EXIT_FAILURE;
	struct buf of_policyd = { 0 };
	int policyd = posternctl_status_policyd(directory, h->is_json, &of_policyd);
	/* beside another MTA there is nothing but policyd */
	bool is_alone = policyd == 0 && !control_client_has_workers(directory);
	int workers = is_alone ? EXIT_SUCCESS : ask(h, on_worker, (const char *[]){ "status" }, 1);
	buf_append_str(&h->out, buf_str(&of_policyd));
	flush_out(h);
	buf_release(&of_policyd);
	free(directory);
	return workers == EXIT_SUCCESS && policyd >= 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run_check_config(struct hand *h, int argc, char **argv)
{
	if (argc > 2)
		return usage_error("`check-config` is followed by one file at most");
	const char *given = argc == 2 ? argv[1] : h->config_path;
	return check_config(given ? given : CHECK_CONFIG_PATH);
}

static struct posternctl_policy policy_options(const struct hand *h)
{
	struct posternctl_policy options = h->policy;
	options.config_path = h->config_path;
	options.run_directory = h->run_directory;
	options.is_json = h->is_json;
	return options;
}

static int run_explain(struct hand *h, int argc, char **argv)
{
	struct posternctl_policy options = policy_options(h);
	return posternctl_explain(&options, argc, argv);
}

static int run_probe(struct hand *h, int argc, char **argv)
{
	struct posternctl_policy options = policy_options(h);
	return posternctl_probe(&options, argc, argv);
}

static int run_tlsrpt(struct hand *h, int argc, char **argv)
{
	const struct posternctl_tlsrpt options = { .config_path = h->config_path,
		.domain = h->domain, .day = h->day, .is_json = h->is_json };
	return posternctl_tlsrpt(&options, argc, argv);
}

static int run_spool(struct hand *h, int argc, char **argv)
{
	char *directory = find_setting(h, "spool", "directory", "/var/spool/postern");
	char *run_directory = find_run_directory(h);
	int status = 2;
	if (directory && run_directory) {
		h->spool.directory = directory;
		h->spool.run_directory = run_directory;
		h->spool.is_json = h->is_json;
		status = posternctl_spool(&h->spool, argc - 1, argv + 1);
	}
	free(directory);
	free(run_directory);
	return status;
}

static int run_help(struct hand *h, int argc, char **argv);

static const struct subcommand {
	const char *name;
	int (*run)(struct hand *h, int argc, char **argv);
	const char *form, *words;
} subcommands[] = {
	{ "queue", run_queue, "queue", "what waits: who, to whom, since when, and why" },
	{ "queue", run_queue, "queue show ID", "all about one message" },
	{ "queue", run_queue, "queue cat ID", "its header and body" },
	{ "flush", run_flush, "flush [all|ID|domain NAME]", "try now" },
	{ "remove", run_remove, "remove ID [--yes]", "drop a message, telling nobody" },
	{ "status", run_status, "status", "each worker, and postern-policyd: is all well?" },
	{ "explain", run_explain, "explain DOMAIN", "where its mail goes, what each host must show, why" },
	{ "probe", run_probe, "probe DOMAIN|HOST:PORT", "connect and look, sending no mail" },
	{ "tlsrpt", run_tlsrpt, "tlsrpt", "TLS sessions by day, domain and policy (RFC 8460)" },
	{ "spool", run_spool, "spool check [DIR]", "read every record; --repair NEWDIR" },
	{ "spool", run_spool, "spool snapshot DIR", "copy the spool, also while posternd runs" },
	{ "check-config", run_check_config, "check-config [FILE]", "is it right? (needs no posternd)" },
	{ "help", run_help, "help", "this" },
};

static void print_usage(FILE *to)
{
	fputs("usage: posternctl [options] command\n\n", to);
	for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++)
		fprintf(to, "  %-28s %s\n", subcommands[i].form, subcommands[i].words);
	fputs("\n"
	      "  -c, --config FILE            where posternd's configuration is (default\n"
	      "                               " CHECK_CONFIG_PATH ")\n"
	      "      --run-directory DIR      where its sockets are (default: as configured)\n"
	      "      --json                   queue, show, status, spool: one JSON object per line;\n"
	      "                               explain and probe: one object; tlsrpt: a report per line\n"
	      "      --yes                    remove without asking\n"
	      "      --fresh                  explain, probe: ask DNS, not postern-policyd\n"
	      "      --port N                 explain, probe: as if the hosts listened there\n"
	      "      --host NAME              probe: this host of the domain alone\n"
	      "      --all                    probe: every address of both families\n"
	      "      --no-mail                probe: said for clearness; it never sends mail\n"
	      "      --timeout TIME           probe: for all hosts together (default 30s)\n"
	      "      --domain NAME            tlsrpt: of this domain alone\n"
	      "      --day YYYY-MM-DD         tlsrpt: of this day (UTC) alone\n"
	      "      --shard N                spool check: this shard alone\n"
	      "      --repair NEWDIR          spool check: write what is whole to a new directory\n"
	      "      --help, --version\n",
		to);
}

static int run_help(struct hand *h, int argc, char **argv)
{
	(void)h;
	(void)argc;
	(void)argv;
	print_usage(stdout);
	return EXIT_SUCCESS;
}

static int dispatch(struct hand *h, int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++)
		if (strcmp(subcommands[i].name, argv[0]) == 0)
			return subcommands[i].run(h, argc, argv);
	fprintf(stderr, "posternctl: unknown command '%s'; see `posternctl help`\n", argv[0]);
	return 2;
}

enum { FRESH = 256, ALL, NO_MAIL, PORT, HOST, TIMEOUT, DOMAIN, DAY, SHARD, REPAIR };

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "run-directory", required_argument, NULL, 'r' },
	{ "json", no_argument, NULL, 'j' },
	{ "yes", no_argument, NULL, 'y' },
	{ "fresh", no_argument, NULL, FRESH },
	{ "all", no_argument, NULL, ALL },
	{ "no-mail", no_argument, NULL, NO_MAIL },
	{ "port", required_argument, NULL, PORT },
	{ "host", required_argument, NULL, HOST },
	{ "timeout", required_argument, NULL, TIMEOUT },
	{ "domain", required_argument, NULL, DOMAIN },
	{ "day", required_argument, NULL, DAY },
	{ "shard", required_argument, NULL, SHARD },
	{ "repair", required_argument, NULL, REPAIR },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static void take_policy_option(struct posternctl_policy *options, int option)
{
	if (option == FRESH)
		options->is_fresh = true;
	else if (option == ALL)
		options->wants_all = true;
	else if (option == PORT)
		options->port = optarg;
	else if (option == HOST)
		options->host = optarg;
	else if (option == TIMEOUT)
		options->timeout = optarg;
}

/* -1: go on; otherwise the exit status. */
static int take_option(struct hand *h, int option)
{
	switch (option) {
	case 'c':
		h->config_path = optarg;
		break;
	case 'r':
		h->run_directory = optarg;
		break;
	case 'j':
		h->is_json = true;
		break;
	case 'y':
		h->is_sure = true;
		break;
	case DOMAIN:
		h->domain = optarg;
		break;
	case DAY:
		h->day = optarg;
		break;
	case 'h':
		print_usage(stdout);
		return EXIT_SUCCESS;
	case SHARD:
		h->spool.shard = optarg;
		break;
	case REPAIR:
		h->spool.repair = optarg;
		break;
	case 'V':
		puts("posternctl (" PACKAGE_NAME ") " PACKAGE_VERSION);
		return EXIT_SUCCESS;
	case '?':
		print_usage(stderr);
		return 2;
	default:
		take_policy_option(&h->policy, option);
		break;
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct hand h = { 0 };
	int option, status = -1;
	while (status < 0 && (option = getopt_long(argc, argv, "c:", long_options, NULL)) != -1)
		status = take_option(&h, option);
	if (status >= 0)
		return status;
	if (optind == argc) {
		print_usage(stderr);
		return 2;
	}
	status = dispatch(&h, argc - optind, argv + optind);
	buf_release(&h.out);
	return status;
}
