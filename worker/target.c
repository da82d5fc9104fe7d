/* target: see target.h. */
#include "worker/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bsd/stdlib.h>
#include <bsd/string.h>

#include "worker/inbox.h"
#include "worker/loop.h"
#include "worker/pool.h"
#include "worker/state.h"

#define PROBE_US 2000000    /* an attempt after a pause keeps others from trying for so long */
#define PARALLEL HOSTS_WIDE /* connections on their way to one host, from all workers and pools */

struct targets {
	unsigned int refs;
	enum load_balance balance;
	uint32_t list; /* the list as a whole has an entry too, which counts turns */
	size_t n;
	struct target list_of[];
};

static uint32_t
number_of(const char *name, uint16_t port)
{
	char text[CONF_HOST_SIZE + 8];

	snprintf(text, sizeof(text), "%s:%u", name, port);
	return hosts_find(wk->boot->hosts, text);
}

void
target_name(const struct conf_database *d, uint32_t host, char name[CONF_HOST_SIZE], uint16_t *port)
{
	size_t i;

	for (i = 0; host != HOSTS_NONE && conf_host(d, i, name, port); i++)
		if (number_of(name, *port) == host)
			return;
	(void)conf_host(d, 0, name, port);
}

struct targets *
targets_new(const struct conf_database *d)
{
	size_t n = conf_hosts(d), i;
	struct targets *t = calloc(1, sizeof(*t) + n * sizeof(struct target));

	if (t == NULL)
		fatal("hosts");
	t->refs = 1;
	t->balance = conf_load_balance(wk->conf, d);
	for (i = 0; i < n && i < CONF_HOSTS; i++) {
		struct target *x = &t->list_of[t->n];
		if (!conf_host(d, i, x->name, &x->port))
			continue;
		x->host = number_of(x->name, x->port);
		t->n++;
	}
	t->list = n > 1 ? hosts_find(wk->boot->hosts, d->host) : HOSTS_NONE;
	return t;
}

struct targets *
targets_keep(struct targets *t)
{
	t->refs++;
	return t;
}

void
targets_drop(struct targets *t)
{
	if (t != NULL && --t->refs == 0)
		free(t);
}

/* --- which one -------------------------------------------------------------------------------- */

static uint32_t
connecting(const struct target *x)
{
	uint32_t w, n = 0;

	for (w = 0; w < table_workers_high(wk->table); w++)
		if (w == wk->self.worker || !pool_worker_silent(w))
			n += hosts_connecting_of(wk->boot->hosts, x->host, w);
	return n;
}

static bool
crowded(const struct target *x)
{
	uint32_t width = hosts_width(wk->boot->hosts, x->host);

	return connecting(x) >= (width < PARALLEL ? width : PARALLEL);
}

size_t
targets_order(const struct targets *t, const struct target *order[CONF_HOSTS])
{
	size_t i, first = 0, n = 0, last = t->n;

	if (t->balance == BALANCE_ROUND_ROBIN)
		first = hosts_turn(wk->boot->hosts, t->list) % t->n;
	else if (t->balance == BALANCE_RANDOM)
		first = arc4random_uniform((uint32_t)t->n);
	for (i = 0; i < t->n; i++) {
		const struct target *x = &t->list_of[(first + i) % t->n];
		order[t->n > 1 && crowded(x) ? --last : n++] = x;
	}
	return t->n;
}

bool
targets_ready(const struct targets *t)
{
	size_t i;

	for (i = 0; i < t->n; i++)
		if (hosts_ready(wk->boot->hosts, t->list_of[i].host, loop_now()))
			return true;
	return false;
}

bool
targets_crowded(const struct targets *t)
{
	bool some = false, full;
	size_t i;

	for (i = 0; i < t->n; i++) {
		full = crowded(&t->list_of[i]);
		if (full) {
			hosts_want(wk->boot->hosts, t->list_of[i].host, wk->self.worker);
			full = crowded(&t->list_of[i]);
		}
		if (!full && hosts_ready(wk->boot->hosts, t->list_of[i].host, loop_now()))
			return false;
		some |= full;
	}
	return some;
}

int64_t
targets_ready_at(const struct targets *t, int64_t *down_us)
{
	int64_t first = INT64_MAX, down = 0;
	struct hosts_pause pause;
	size_t i;

	for (i = 0; i < t->n; i++) {
		if (!hosts_down(wk->boot->hosts, t->list_of[i].host, &pause))
			return 0;
		if (pause.until_us < first)
			first = pause.until_us;
		if (pause.down_us > down)
			down = pause.down_us;
	}
	if (down_us != NULL)
		*down_us = down;
	return first;
}

/* --- what becomes of it ----------------------------------------------------------------------- */

bool
target_try(const struct target *x, struct target_turn *turn)
{
	if (!hosts_try(wk->boot->hosts, x->host, loop_now(), PROBE_US))
		return false;
	turn->number = hosts_start(wk->boot->hosts, x->host, wk->self.worker);
	turn->alone = connecting(x) <= 1;
	return true;
}

/* In the next turn of the loop, ourselves too. Of a server without a place only one: together they
 * would all begin before one sees another. Those who are left are woken by that one's end. */
static void
wake_wanting(const struct target *x)
{
	uint64_t who = hosts_wanted(wk->boot->hosts, x->host);
	uint32_t workers = wk->boot->nworkers, i, w;
	bool one = hosts_width(wk->boot->hosts, x->host) == 1, woken = false;

	for (i = 1; who != 0 && i <= workers; i++) {
		w = (wk->self.worker + i) % workers;
		if ((who >> w & 1) == 0)
			continue;
		if (one && woken)
			hosts_want(wk->boot->hosts, x->host, w);
		else
			woken = inbox_send(w, CTL_WAKE, TABLE_NONE, 0);
	}
}

void
target_left(const struct target *x)
{
	hosts_end(wk->boot->hosts, x->host, wk->self.worker);
	wake_wanting(x);
}

void
target_failed(const struct target *x, int reason)
{
	hosts_failed(wk->boot->hosts, x->host, loop_now(), wk->conf->server_login_retry_us, reason);
	target_left(x);
}

void
target_worked(const struct target *x)
{
	hosts_worked(wk->boot->hosts, x->host);
	target_left(x);
}

void
target_answered(const struct target *x)
{
	hosts_answered(wk->boot->hosts, x->host);
	target_left(x);
}

bool
target_full(const struct target *x, const struct target_turn *turn)
{
	hosts_full(wk->boot->hosts, x->host);
	target_left(x);
	return turn->alone && hosts_latest(wk->boot->hosts, x->host, turn->number);
}

static const char *
reason_text(int reason)
{
	switch (reason) {
	case TARGET_TIMEOUT:
		return "no answer within server_connect_timeout";
	case TARGET_LOOKUP:
		return "its name cannot be looked up";
	case TARGET_REFUSED:
		return "the database system is not accepting connections";
	case TARGET_CLOSED:
		return "connection closed during login";
	default:
		return strerror(reason);
	}
}

const char *
target_why_not(const struct target *x)
{
	static char text[160];
	struct hosts_pause pause;

	if (!hosts_down(wk->boot->hosts, x->host, &pause))
		return "being tried by others"; /* and found to work, since we asked */
	if (pause.until_us > loop_now())
		snprintf(text, sizeof(text), "%s, next try in %.2f s", reason_text(pause.reason),
		    (double)(pause.until_us - loop_now()) / 1e6);
	else
		snprintf(text, sizeof(text), "%s, being tried again", reason_text(pause.reason));
	return text;
}
