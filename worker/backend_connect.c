/*
 * backend_connect: which host, look it up, connect. Called by pool_open.c (backend_open), the
 * steward (backend_open_outside) and, for what becomes of the login, backend_login.c.
 *
 * Hosts are tried one after the other in the order that target.c gives, each with
 * server_connect_timeout of its own; of a host with several addresses the next is tried when one
 * cannot be reached. Once a server has answered, its word about the login is final; that it starts,
 * stops or has no place is a reason to ask the next host. When none is left, the reasons of all of
 * them are the pool's.
 *
 * Who is refused for want of a place (53300) may have been refused in favour of another of our own
 * attempts. So attempts are made one at a time from then on (target.c), and one that was not alone
 * has learnt nothing: it is made again.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>
#include <bsd/string.h>

#include "conf/log.h"
#include "conf/strongbox.h"
#include "proto/wire.h"
#include "worker/backend.h"
#include "worker/backend_login.h"
#include "worker/pool.h"
#include "worker/replication.h"

#define REFUSED_WAIT_US 1000000 /* for the server's end after its refusal */

static void next_host(struct backend *);
static bool try_other_way(struct backend *);

/* --- hosts ------------------------------------------------------------------------------------ */

static void
connect_timeout(struct timer *t)
{
	struct backend *b = LOOP_CONTAINER(t, struct backend, timer);

	stats_add(&b->pool->row->sv_connect_timeouts, 1);
	connect_failed(b, "08006", "cannot connect to server at", TARGET_TIMEOUT,
	    "no answer within server_connect_timeout");
}

static void
note_reason(struct login *l, const char *why)
{
	size_t n = strlen(l->reasons);

	if (l->nhosts > 1)
		snprintf(l->reasons + n, sizeof(l->reasons) - n, "%s%s:%u: %s", n > 0 ? "; " : "",
		    l->target->name, l->target->port, why);
}

/* What is known of the present host now; it is no longer counted as being connected to. */
static void
host_done(struct login *l, void (*how)(const struct target *))
{
	if (l->counted)
		how(l->target);
	l->counted = false;
}

void
connect_worked(struct backend *b)
{
	host_done(b->login, target_worked);
}

void
connect_fini(struct backend *b)
{
	secure_fini(&b->login->secure);
	resolve_cancel(&b->login->resolve);
	host_done(b->login, target_left);
	targets_drop(b->login->targets);
	free(b->login->refusal);
}

/* Several hosts, and none of them will have us. */
static void
all_failed(struct backend *b)
{
	b->facts.addr_len = 0;
	login_failed(b, "08006", "cannot connect to any server of", b->login->reasons);
}

void
connect_failed(
    struct backend *b, const char *sqlstate, const char *what, int reason, const char *why)
{
	struct login *l = b->login;

	if (l->counted)
		target_failed(l->target, reason);
	l->counted = false;
	if (l->nhosts <= 1) {
		login_failed(b, sqlstate, what, why);
		return;
	}
	note_reason(l, why);
	next_host(b);
}

/* What the host's answer says of the host. */
static void
host_refused(struct login *l, bool not_now, bool full)
{
	if (!l->counted)
		return;
	l->counted = false;
	if (not_now)
		target_failed(l->target, TARGET_REFUSED);
	else if (!full)
		target_answered(l->target);
	else if (!target_full(l->target, &l->turn))
		l->undecided = true;
}

static void
refused(struct backend *b, const uint8_t *error, size_t len)
{
	struct login *l = b->login;
	const char *text = wire_error_field(error, len, 'M');
	bool not_now = wire_error_is(error, len, "57P03"),
	     full = wire_error_is(error, len, "53300");

	/* no line of pg_hba.conf fits: one with, or without, TLS may */
	if (wire_error_is(error, len, "28000") && try_other_way(b))
		return;
	host_refused(l, not_now, full);
	if (l->nhosts <= 1 || (!not_now && !full)) {
		login_failed_body(b, error, len);
		return;
	}
	note_reason(l, text == NULL ? "refused" : text);
	next_host(b);
}

bool
connect_refused_end(struct backend *b)
{
	struct login *l = b->login;
	uint8_t *error = l->refusal;

	if (error == NULL)
		return false;
	l->refusal = NULL;
	refused(b, error, l->refusal_len);
	free(error);
	return true;
}

static void
refused_timeout(struct timer *t)
{
	(void)connect_refused_end(LOOP_CONTAINER(t, struct backend, timer));
}

void
connect_refused(struct backend *b, const uint8_t *error, size_t len)
{
	struct login *l = b->login;

	if (l->refusal != NULL)
		return;
	l->refusal = malloc(len + 1);
	if (l->refusal == NULL)
		fatal("refusal");
	memcpy(l->refusal, error, len);
	l->refusal_len = len;
	keys_cancel(&l->keys);
	timer_set(&b->timer, loop_now() + REFUSED_WAIT_US, refused_timeout);
}

/* --- addresses -------------------------------------------------------------------------------- */

/* 0, or the errno of an attempt that failed at once. */
static int
connect_to(struct backend *b, const struct address *a)
{
	memcpy(&b->facts.addr, &a->ss, sizeof(a->ss));
	b->facts.addr_len = (uint32_t)a->len;
	secure_fini(&b->login->secure);
	return conn_connect(&b->conn, &a->ss, a->len, backend_event) == 0 ? 0 : errno;
}

/* Tries address after address; when none is left, the last one's failure is the host's. */
static void
next_address(struct backend *b, int err)
{
	struct login *l = b->login;

	conn_close(&b->conn);
	l->other_way = false;
	while (l->next < l->naddrs) {
		err = connect_to(b, &l->addrs[l->next++]);
		if (err == 0)
			return;
	}
	connect_failed(b, "08006", "cannot connect to server at", err, strerror(err));
}

/* --- TLS -------------------------------------------------------------------------------------- */

/* With which TLS this attempt is made; NULL = without. */
static struct tls_ctx *
tls_wanted(const struct backend *b)
{
	struct tls_ctx *t = b->pool->conf->tls;
	bool other = b->login->other_way;

	if (t == NULL || b->conn.is_unix)
		return NULL;
	return (t->mode == TLS_ALLOW && !other) || (t->mode == TLS_PREFER && other) ? NULL : t;
}

/* As libpq does it: `prefer` tries without TLS when that fails or is refused, `allow` with TLS when
 * the other is refused; once, at the same address. False: there is no other way. */
static bool
try_other_way(struct backend *b)
{
	struct login *l = b->login;
	const struct tls_ctx *t = b->pool->conf->tls;
	int err;

	if (t == NULL || b->conn.is_unix || l->other_way || l->scram_begun ||
	    (t->mode == TLS_PREFER ? b->conn.tls == NULL : t->mode != TLS_ALLOW))
		return false;
	l->other_way = true;
	login_reset(b);
	err = connect_to(b, &l->addrs[l->next - 1]);
	if (err != 0)
		next_address(b, err);
	return true;
}

/* What the settings of this database say of the server is no reason for others to avoid it. */
static void
secured(struct backend *b, enum secure_result r, const char *why)
{
	if (r == SECURE_READY) {
		login_begin(b);
	} else if (r == SECURE_FAILED || (r == SECURE_NO_TLS && !try_other_way(b))) {
		host_done(b->login, target_left);
		connect_failed(b, "08006", "cannot connect to server at", TARGET_CLOSED, why);
	}
}

/* By which name the server is known: what its certificate must say. */
static enum secure_result
secure_begin(struct backend *b, const char **why)
{
	struct login *l = b->login;
	char name[CONF_HOST_SIZE] = "";
	uint16_t port = 0;

	if (l->target != NULL) {
		strlcpy(name, l->target->name, sizeof(name));
		port = l->target->port;
	} else {
		target_name(b->pool->conf, b->facts.host, name, &port);
	}
	return secure_start(&l->secure, &b->conn, tls_wanted(b), name, port, why);
}

void
connect_event(struct backend *b, uint32_t events)
{
	enum secure_result r;
	const char *why = NULL;
	int err = 0;
	socklen_t len = sizeof(err);

	if (b->login->secure.step != SECURE_NOT) {
		r = secure_go_on(&b->login->secure, &b->conn, &why);
		secured(b, r, why);
		return;
	}
	if (getsockopt(b->conn.src.fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1)
		err = errno;
	if (err != 0) {
		next_address(b, err);
	} else if ((events & EPOLLOUT) != 0) {
		r = secure_begin(b, &why);
		secured(b, r, why);
	}
}

/* --- looking up ------------------------------------------------------------------------------- */

static void
resolved(void *arg, const struct address *addrs, size_t n, const char *error)
{
	struct backend *b = arg;

	if (n == 0) {
		b->facts.addr_len = 0;
		connect_failed(b, "08001", "cannot look up server", TARGET_LOOKUP, error);
		return;
	}
	memcpy(b->login->addrs, addrs, n * sizeof(*addrs));
	b->login->naddrs = n;
	b->login->next = 0;
	next_address(b, EADDRNOTAVAIL);
}

static void
connect_unix(struct backend *b, const struct target *x)
{
	struct address a = {.ss.ss_family = AF_UNIX};
	struct sockaddr_un *un = (void *)&a.ss;
	bool abstract = x->name[0] == '@';
	int n = snprintf(un->sun_path, sizeof(un->sun_path), "%s/.s.PGSQL.%u", x->name, x->port);

	if (n < 0 || (size_t)n >= sizeof(un->sun_path)) {
		connect_failed(b, "08001", "cannot connect to server at", ENAMETOOLONG,
		    "the socket's path is too long");
		return;
	}
	a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n + !abstract);
	if (abstract)
		un->sun_path[0] = '\0';
	resolved(b, &a, 1, NULL);
}

/* --- the beginning ---------------------------------------------------------------------------- */

static void
start_host(struct backend *b)
{
	const struct target *x = b->login->target;

	b->login->counted = true;
	timer_set(&b->timer, loop_now() + wk->conf->server_connect_timeout_us, connect_timeout);
	if (x->name[0] == '/' || x->name[0] == '@')
		connect_unix(b, x);
	else
		resolve_start(&b->login->resolve, x->name, x->port, resolved, b);
}

static void
next_host(struct backend *b)
{
	struct login *l = b->login;

	resolve_cancel(&l->resolve);
	login_reset(b);
	while (l->next_host < l->nhosts) {
		l->target = l->order[l->next_host++];
		b->facts.host = l->target->host;
		if (target_try(l->target, &l->turn)) {
			start_host(b);
			return;
		}
		if (l->nhosts == 1) {
			login_failed(
			    b, "08006", "cannot connect to server at", target_why_not(l->target));
			return;
		}
		note_reason(l, target_why_not(l->target));
	}
	all_failed(b);
}

static void
connect_start(struct backend *b)
{
	b->login = strongbox_take(sizeof(*b->login));
	b->login->backend = b;
	b->pool->nopening++;
	stats_add(&b->pool->row->sv_login, 1);
	b->facts.pool = b->pool->index;
	b->facts.opened_us = b->since_us = loop_now();
}

static void
start_any(struct backend *b)
{
	b->login->targets = targets_keep(pool_targets(b->pool));
	b->login->nhosts = targets_order(b->login->targets, b->login->order);
	next_host(b);
}

void
backend_open(struct pool *p, uint32_t slot, struct client *own)
{
	struct backend *b = backend_new(p, slot);

	if (b == NULL)
		fatal("backend");
	if (own != NULL)
		replication_begin(b, own);
	connect_start(b);
	start_any(b);
}

void
backend_open_outside(struct pool *p, const struct ledger_backend *like,
    void (*ready)(struct backend *), void (*gone)(struct backend *))
{
	struct backend *b = backend_new(p, TABLE_NONE);
	struct address a = {.len = like->addr_len, .ss = like->addr};

	if (b == NULL)
		fatal("backend");
	b->ready = ready;
	b->gone = gone;
	connect_start(b);
	if (a.len == 0) {
		start_any(b);
		return;
	}
	b->facts.host = like->host;
	timer_set(&b->timer, loop_now() + wk->conf->server_connect_timeout_us, connect_timeout);
	resolved(b, &a, 1, NULL);
}
