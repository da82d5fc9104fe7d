/*
 * rig: see rig.h. The cluster belongs to the script tests/e2e/rig, which runs the program again
 * with RIG set and cleans up whatever way the program ends. Anything that fails here ends the run:
 * a test without its surroundings says nothing.
 */
#include "tests/e2e/rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct rig rig;

static int passed, failed;
static PGconn *super;

static _Noreturn void
give_up(const char *what)
{
	printf("FAIL %s: %s\n", what, strerror(errno));
	exit(1);
}

static const char *
env(const char *name)
{
	const char *v = getenv(name);

	if (v == NULL) {
		errno = ENOENT;
		give_up(name);
	}
	return v;
}

void
rig_start(const char *auth, char **argv)
{
	char conninfo[512];

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (getenv("RIG") == NULL) {
		execl("tests/e2e/rig", "rig", auth, argv[0], (char *)NULL);
		give_up("tests/e2e/rig");
	}
	rig = (struct rig){.dir = env("RIG"),
	    .sockets = env("PG_SOCKETS"),
	    .password = env("PG_PASSWORD"),
	    .pg_port = atoi(env("PG_PORT")),
	    .asan = strstr(env("PGDROVE_BIN"), "asan") != NULL};
	snprintf(conninfo, sizeof(conninfo),
	    "host=%s port=%d user=postgres dbname=postgres password=%s application_name=rig",
	    rig.sockets, rig.pg_port, rig.password);
	super = PQconnectdb(conninfo);
	if (PQstatus(super) != CONNECTION_OK) {
		printf("FAIL superuser: %s\n", PQerrorMessage(super));
		exit(1);
	}
}

int
rig_end(void)
{
	PQfinish(super);
	printf("%d passed, %d failed\n", passed, failed);
	return failed == 0 && passed > 0 ? 0 : 1;
}

static bool count(bool ok, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

static bool
count(bool ok, const char *fmt, va_list ap)
{
	fputs(ok ? "ok " : "FAIL ", stdout);
	(void)vprintf(fmt, ap);
	putchar('\n');
	if (ok)
		passed++;
	else
		failed++;
	return ok;
}

bool
check(bool ok, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)count(ok, fmt, ap);
	va_end(ap);
	return ok;
}

bool
check_text(const char *got, const char *wanted, const char *fmt, ...)
{
	bool ok = strcmp(got, wanted) == 0;
	va_list ap;

	va_start(ap, fmt);
	(void)count(ok, fmt, ap);
	va_end(ap);
	if (!ok)
		printf("  wanted: %.1500s\n  got:    %.1500s\n", wanted, got);
	return ok;
}

int64_t
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void
sleep_ms(int ms)
{
	struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

	(void)nanosleep(&t, NULL);
}

bool
until(bool (*fn)(void *), void *arg, int ms)
{
	int64_t end = now_ms() + (ms > UNTIL_LEAST_MS ? ms : UNTIL_LEAST_MS);

	while (!fn(arg)) {
		if (now_ms() > end)
			return false;
		sleep_ms(20);
	}
	return true;
}

int
free_port(void)
{
	static unsigned int next, first = 20000, count = 10000; /* as scripts/lib.sh: port_free */
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const char *ports = getenv("PORTS");
	int tries, fd, port;

	if (next == 0) {
		next = (unsigned int)getpid() * 7;
		if (ports != NULL && sscanf(ports, "%u %u", &first, &count) != 2)
			give_up("PORTS");
	}
	for (tries = 0; tries < 1000; tries++) {
		port = (int)(first + next++ % count);
		in.sin_port = htons((uint16_t)port);
		fd = socket(AF_INET, SOCK_STREAM, 0);
		if (fd == -1)
			give_up("socket");
		if (bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0) {
			close(fd);
			return port;
		}
		close(fd);
	}
	give_up("no free port");
}

/* --- poolers --------------------------------------------------------------------------------- */

static void
write_conf(const struct pooler *p, const char *conf)
{
	const char *user = env("SERVICE_USER");
	FILE *f = fopen(p->conf, "w");

	if (f == NULL)
		give_up(p->conf);
	fprintf(f, "workers = %d; run_dir = \"%s\"; log_file = \"%s\";\n", POOLER_WORKERS, p->run,
	    p->log);
	if (user[0] != '\0')
		fprintf(f, "user = \"%s\";\n", user);
	fprintf(f,
	    "listen = ( { host = \"127.0.0.1\"; port = %d; }, { host = \"::1\"; port = %d; },\n"
	    "  { path = \"%s\"; port = %d; } );\n%s\n",
	    p->port, p->port, p->run, p->port, conf);
	if (fclose(f) != 0)
		give_up(p->conf);
}

static bool
serves(void *arg)
{
	struct pooler *p = arg;
	int w;

	if (pooler_get(p, "master_pid") != p->pid)
		return false;
	for (w = 0; w < POOLER_WORKERS; w++)
		if (pooler_get(p, "worker.%d.state", w) != 2)
			return false;
	return true;
}

bool
pooler_start(struct pooler *p, const char *name, const char *conf)
{
	char out[256];
	int fd;

	memset(p, 0, sizeof(*p));
	snprintf(p->name, sizeof(p->name), "%s", name);
	snprintf(p->run, sizeof(p->run), "%s/%s", rig.dir, name);
	snprintf(p->log, sizeof(p->log), "%s/%s.log", rig.dir, name);
	snprintf(p->conf, sizeof(p->conf), "%s/%s.conf", rig.dir, name);
	snprintf(out, sizeof(out), "%s/%s.out.log", rig.dir, name);
	p->port = free_port();
	write_conf(p, conf);
	p->pid = fork();
	if (p->pid == -1)
		give_up("fork");
	if (p->pid == 0) {
		fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0644);
		if (fd == -1 || dup2(fd, 1) == -1 || dup2(fd, 2) == -1 || setsid() == -1)
			_exit(126);
		(void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
		execl(env("PGDROVE_BIN"), "pgdrove", "-c", p->conf, (char *)NULL);
		_exit(127);
	}
	return check(until(serves, p, 30000), "%s: pgdrove serves", name);
}

/* How many lines of it have this word. They are shown, unless `quiet`. */
static int
lines_with(const char *path, const char *word, bool quiet)
{
	char line[4096];
	FILE *f = fopen(path, "r");
	int n = 0;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strstr(line, word) != NULL) {
			if (!quiet)
				printf("  %s", line);
			n++;
		}
	if (f != NULL)
		(void)fclose(f);
	return n;
}

static bool
file_has(const char *path, const char *word)
{
	return lines_with(path, word, false) > 0;
}

static int reloads_before;

static bool
reloaded(void *arg)
{
	const struct pooler *p = arg;

	return lines_with(p->log, " is in force", true) > reloads_before;
}

void
pooler_reload(struct pooler *p, const char *conf)
{
	reloads_before = lines_with(p->log, " is in force", true);
	write_conf(p, conf);
	(void)kill(p->pid, SIGHUP);
	check(until(reloaded, p, 30000), "%s: the new configuration is in force", p->name);
}

void
pooler_stop(struct pooler *p)
{
	char out[256];
	siginfo_t info = {0};

	snprintf(out, sizeof(out), "%s/%s.out.log", rig.dir, p->name);
	(void)kill(p->pid, SIGTERM);
	while (waitid(P_PID, (id_t)p->pid, &info, WEXITED) == -1 && errno == EINTR)
		;
	check(info.si_code == CLD_EXITED && info.si_status == 0, "%s: TERM ends with 0", p->name);
	check(!file_has(out, "Sanitizer") && !file_has(out, "runtime error") &&
		  !file_has(p->log, "panic") && !file_has(p->log, "broken invariant"),
	    "%s: no sanitizer and no invariant complained", p->name);
}

long
pooler_get(const struct pooler *p, const char *fmt, ...)
{
	char name[128], command[512], line[64];
	long value = -1;
	va_list ap;
	FILE *f;

	va_start(ap, fmt);
	(void)vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	snprintf(command, sizeof(command),
	    "ASAN_OPTIONS=detect_leaks=0 %s stat --run-dir %s --get '%s' 2>/dev/null",
	    env("PGDROVE_BIN"), p->run, name);
	f = popen(command, "r");
	if (f == NULL)
		give_up("pgdrove stat");
	if (fgets(line, sizeof(line), f) != NULL)
		value = atol(line);
	(void)pclose(f);
	return value;
}

const char *
admin(const char *fmt, ...)
{
	static char value[512];
	char sql[4096];
	PGresult *r;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(sql, sizeof(sql), fmt, ap);
	va_end(ap);
	r = PQexec(super, sql);
	if (PQresultStatus(r) != PGRES_TUPLES_OK && PQresultStatus(r) != PGRES_COMMAND_OK)
		printf("superuser: %s", PQresultErrorMessage(r));
	snprintf(value, sizeof(value), "%s", PQntuples(r) > 0 ? PQgetvalue(r, 0, 0) : "");
	PQclear(r);
	return value;
}
