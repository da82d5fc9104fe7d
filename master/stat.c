/*
 * stat: `pgdrove stat`: finds an instance's statistics segment, shows it, and tells its health by
 * the exit code.
 *
 * Called by main.c. Talks to no process and takes no lock: it works when the whole instance is
 * stopped or dead. With -c only run_dir and worker_timeout are taken from the file.
 */
#include "master/stat.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STAT_RUN_DIR	"/run/pgdrove"
#define STAT_TIMEOUT_US 10000000
#define LOOK_TRIES	500 /* of a millisecond: a steward that dies in the change leaves it open */

enum stat_mode { MODE_TABLE, MODE_JSON, MODE_GET, MODE_WATCH };

struct stat_args {
	enum stat_mode mode;
	bool pools; /* the other table */
	const char *conf;
	const char *run_dir;
	const char *name;
	double seconds;
	int64_t timeout_us;
};

static volatile sig_atomic_t interrupted;

static void
note_interrupt(int signo)
{
	(void)signo;
	interrupted = 1;
}

static _Noreturn void
fail_usage(const char *what, const char *arg)
{
	(void)fprintf(stderr, "pgdrove stat: %s%s%s (see pgdrove -h)\n", what,
	    arg[0] != '\0' ? " " : "", arg);
	exit(STAT_USAGE);
}

static void
set_mode(struct stat_args *args, enum stat_mode mode)
{
	if (args->mode != MODE_TABLE)
		fail_usage("only one of --json, --get and --watch is possible", "");
	args->mode = mode;
}

/* The pause of --watch: an own argument, or joined by '='. */
static void
read_seconds(struct stat_args *args, int argc, char **argv)
{
	const char *text = optarg;
	char *end;

	if (text == NULL && optind < argc && strspn(argv[optind], "0123456789.") > 0)
		text = argv[optind++];
	if (text == NULL)
		return;
	args->seconds = strtod(text, &end);
	if (*end != '\0' || end == text || !(args->seconds >= 0.05 && args->seconds <= 86400))
		fail_usage("--watch wants seconds from 0.05 to 86400, not", text);
}

static void
read_args(struct stat_args *args, int argc, char **argv)
{
	static const struct option longs[] = {
	    {"run-dir", required_argument, NULL, 'r'},
	    {"pools", no_argument, NULL, 'p'},
	    {"json", no_argument, NULL, 'j'},
	    {"get", required_argument, NULL, 'g'},
	    {"watch", optional_argument, NULL, 'w'},
	    {NULL, 0, NULL, 0},
	};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:c:", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			args->conf = optarg;
			break;
		case 'r':
			args->run_dir = optarg;
			break;
		case 'p':
			args->pools = true;
			break;
		case 'j':
			set_mode(args, MODE_JSON);
			break;
		case 'g':
			set_mode(args, MODE_GET);
			args->name = optarg;
			break;
		case 'w':
			set_mode(args, MODE_WATCH);
			read_seconds(args, argc, argv);
			break;
		case ':':
			fail_usage("a value is missing after", argv[optind - 1]);
		default:
			fail_usage("unknown option", argv[optind - 1]);
		}
	}
	if (optind < argc)
		fail_usage("unexpected argument", argv[optind]);
	if (args->pools && (args->mode == MODE_JSON || args->mode == MODE_GET))
		fail_usage("--pools goes with --watch only", "");
	if (args->conf != NULL && args->run_dir != NULL)
		fail_usage("-c and --run-dir exclude each other", "");
}

/* Where the segment is; malloc'd. A file with errors is reported and counts as wrong usage. */
static char *
find_segment(struct stat_args *args)
{
	struct conf *conf;
	char *path;

	if (args->conf == NULL)
		return conf_stats_path(args->run_dir != NULL ? args->run_dir : STAT_RUN_DIR);
	conf = conf_load(args->conf, stderr);
	if (conf == NULL)
		exit(STAT_USAGE);
	args->timeout_us = conf->worker_timeout_us;
	path = conf_stats_path(conf->run_dir);
	conf_free(conf);
	return path;
}

static int
get_value(const struct stat_view *v, const char *name, FILE *out)
{
	char value[512];

	if (stat_get(v, name, value, sizeof value) == STAT_FOUND) {
		(void)fprintf(out, "%s\n", value);
		return (int)v->health;
	}
	(void)fprintf(
	    stderr, "pgdrove stat: there is no value %s; did you mean %s?\n", name, value);
	return STAT_USAGE;
}

static int
show(const struct stat_args *args, const struct stat_view *v, FILE *out)
{
	if (args->mode == MODE_GET)
		return get_value(v, args->name, out);
	if (args->mode == MODE_JSON)
		stat_json(v, out);
	else if (args->pools)
		stat_show_pools(v, out);
	else
		stat_show(v, out);
	return (int)v->health;
}

/* An upgrade puts another file in this one's place, now or while we read: numbers of before may be
 * larger than those that were read after it. */
static bool
is_changing(const struct stat_view *v)
{
	const struct stats_worker *steward = stats_worker(v->stats, v->nchildren - 1);

	return stats_get(&steward->elders) == STATS_ELDERS_CHANGE ||
	       !stats_is_at(v->stats, v->path);
}

/* One look in the mode asked for; during an upgrade's change of files, the one after it. */
static int
look(const struct stat_args *args, const char *path)
{
	struct timespec pause = {.tv_nsec = 1000000};
	struct stat_view view;
	char why[512], *text;
	size_t len;
	int rc, tries;

	for (tries = 0;; tries++) {
		FILE *out;
		bool again;
		if (!stat_open(&view, path, args->timeout_us, why, sizeof why)) {
			(void)fprintf(args->mode == MODE_WATCH ? stdout : stderr,
			    "pgdrove stat: not running: %s\n", why);
			return STAT_NOT_RUNNING;
		}
		out = open_memstream(&text, &len);
		if (out == NULL)
			fatal("out of memory");
		again = is_changing(&view) && tries < LOOK_TRIES;
		rc = again ? 0 : show(args, &view, out);
		again = again || (is_changing(&view) && tries < LOOK_TRIES);
		stat_close(&view);
		if (fclose(out) == EOF)
			fatal("out of memory");
		if (!again)
			(void)fwrite(text, 1, len, stdout);
		free(text);
		if (!again)
			return rc;
		(void)nanosleep(&pause, NULL);
	}
}

/* Until a signal or until nobody reads any more. The segment is opened anew each time: after a
 * restart it is another file. */
static int
watch(const struct stat_args *args, const char *path)
{
	const struct sigaction action = {.sa_handler = note_interrupt};
	const bool tty = isatty(STDOUT_FILENO) == 1;
	struct timespec pause;
	int rc = STAT_HEALTHY;

	if (sigaction(SIGINT, &action, NULL) == -1 || sigaction(SIGTERM, &action, NULL) == -1 ||
	    signal(SIGPIPE, SIG_IGN) == SIG_ERR) {
		perror("pgdrove stat: signals");
		return STAT_USAGE;
	}
	pause.tv_sec = (time_t)args->seconds;
	pause.tv_nsec = (long)((args->seconds - (double)pause.tv_sec) * 1e9);
	while (!interrupted) {
		if (tty)
			(void)fputs("\033[H\033[2J", stdout);
		rc = look(args, path);
		if (!tty)
			(void)fputc('\n', stdout);
		if (fflush(stdout) == EOF)
			return rc;
		(void)nanosleep(&pause, NULL);
	}
	return rc;
}

int
stat_main(int argc, char **argv)
{
	struct stat_args args = {.seconds = 1, .timeout_us = STAT_TIMEOUT_US};
	char *path;
	int rc;

	read_args(&args, argc, argv);
	path = find_segment(&args);
	if (path == NULL) {
		perror("pgdrove stat");
		return STAT_USAGE;
	}
	rc = args.mode == MODE_WATCH ? watch(&args, path) : look(&args, path);
	free(path);
	if (fflush(stdout) == EOF && args.mode != MODE_WATCH) {
		perror("pgdrove stat: standard output");
		return STAT_USAGE;
	}
	return rc;
}
