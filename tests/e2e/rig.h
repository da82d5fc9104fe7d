/*
 * rig: what every end-to-end program needs: a throwaway PostgreSQL beside it, poolers of the real
 * binary in front of it, a superuser's look past the poolers, and the counting of checks.
 */
#ifndef E2E_RIG_H
#define E2E_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct rig {
	const char *dir;      /* for this run alone, removed afterwards */
	const char *sockets;  /* PostgreSQL's Unix socket directory */
	const char *password; /* the superuser's, if the cluster wants one */
	int pg_port;	      /* on 127.0.0.1 and in `sockets` */
	bool asan;	      /* the binary under test is built with AddressSanitizer */
};
extern struct rig rig;

/* First call of main: starts the cluster (by running the program again under tests/e2e/rig). */
void rig_start(const char *auth, char **argv);
/* Last call of main: prints "N passed, N failed"; the exit code. */
int rig_end(void);

/* One line, ok or FAIL. Returns `ok`. */
bool check(bool ok, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same, and shows both texts if they differ. */
bool check_text(const char *got, const char *wanted, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

int64_t now_ms(void);
void sleep_ms(int ms);
/* Polls fn(arg) until it is true; false after `ms`, which says what is usual: a machine under load
 * gets UNTIL_LEAST_MS at least. */
#define UNTIL_LEAST_MS 30000
bool until(bool (*fn)(void *), void *arg, int ms);
/* A TCP port on which nobody listens now. */
int free_port(void);

#define POOLER_WORKERS 4

struct pooler {
	char name[32];
	pid_t pid;
	int port;
	char run[128]; /* run_dir; also the Unix socket's directory, same port */
	char log[160];
	char conf[160];
};

/*
 * Starts the binary under test on 127.0.0.1, ::1 and a Unix socket, and waits until it serves.
 * `conf` is the rest of the configuration: databases, users, limits. False: it did not come up.
 */
bool pooler_start(struct pooler *, const char *name, const char *conf);
/* Gives it another configuration by HUP, and waits until that is in use. */
void pooler_reload(struct pooler *, const char *conf);
/* TERM; checks the exit code and that no sanitizer spoke. */
void pooler_stop(struct pooler *);
/* A value of `pgdrove stat --get`, -1 if there is none. */
long pooler_get(const struct pooler *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The first column of the first row as the superuser sees it, past the poolers; "" if no row. */
const char *admin(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
