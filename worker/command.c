/*
 * command: see command.h. Called by worker.c with the master's CTL_DO, by pool.c for a new pool.
 *
 * What holds (paused, suspended) is in shared memory, written by the master before it tells us;
 * here it is copied into the pools, so that nobody looks it up on the way of a query. PAUSE,
 * SUSPEND and WAIT_CLOSE are done when nothing of the kind is left; that is looked at by the clock,
 * while there is such a command.
 */
#include "worker/command.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <bsd/string.h>
#include <bsd/sys/queue.h>

#include "conf/log.h"
#include "worker/backend.h"
#include "worker/client.h"
#include "worker/pool.h"

#define LOOK_US 20000

struct wait {
	enum ctlmsg_verb verb;
	uint64_t number;
	char db[CONF_NAME_SIZE];
	TAILQ_ENTRY(wait) entry;
};

static TAILQ_HEAD(wait_list, wait) waits = TAILQ_HEAD_INITIALIZER(waits);
static struct timer look_timer;

/* What pools_each's functions work by. */
static enum ctlmsg_verb verb_now;
static const char *db_now;
static bool left_now;

static bool
concerns(const struct pool *p)
{
	return db_now[0] == '\0' || strcmp(p->db, db_now) == 0;
}

static void
done(uint64_t number, bool found)
{
	struct ctlmsg m;

	ctlmsg_init(&m, CTL_DONE, wk->self.worker, wk->self.incarnation);
	m.arg32 = found;
	m.arg64 = number;
	if (send(wk->boot->control_fd, &m, ctlmsg_size(&m), MSG_NOSIGNAL) == -1)
		log_warn("cannot tell the master that a command is done");
}

/* --- acting ----------------------------------------------------------------------------------- */

void
command_pool_born(struct pool *p)
{
	unsigned int flags = admin_flags(wk->boot->admin, p->db);

	p->hold = (flags & ADMIN_HOLD) != 0;
	p->paused = (flags & ADMIN_PAUSED) != 0;
}

static void
close_idle(struct pool *p, const char *why)
{
	struct backend *b;

	while ((b = TAILQ_FIRST(&p->idle)) != NULL)
		backend_close(b, why);
}

static void
reconnect(struct pool *p)
{
	p->fresh_us = loop_now();
	p->welcomed = false;
	pool_open_anew(p);
	table_welcome_drop(wk->table, p->index);
	close_idle(p, "RECONNECT");
	pool_end_sessions(p, "server connections are renewed (RECONNECT)");
}

static void
act(struct pool *p)
{
	if (!concerns(p))
		return;
	command_pool_born(p);
	if (verb_now == CMD_KILL)
		clients_kill(p);
	else if (verb_now == CMD_RECONNECT)
		reconnect(p);
	else if (verb_now == CMD_RESUME)
		pool_look_again(p, loop_now());
	if (p->paused)
		close_idle(p, "PAUSE");
}

/* --- waiting ---------------------------------------------------------------------------------- */

static void
look(struct pool *p)
{
	const struct backend *b;

	if (!concerns(p) || left_now)
		return;
	if (verb_now == CMD_PAUSE && p->paused)
		left_now = p->nbackends > 0;
	else if (verb_now == CMD_SUSPEND && p->hold)
		left_now = !TAILQ_EMPTY(&p->held);
	else if (verb_now == CMD_WAIT_CLOSE)
		TAILQ_FOREACH (b, &p->held, list)
			left_now |= pool_stale(b);
}

static void
look_all(struct timer *t)
{
	struct wait *w, *next;

	TAILQ_FOREACH_SAFE (w, &waits, entry, next) {
		verb_now = w->verb;
		db_now = w->db;
		left_now = false;
		pools_each(look);
		if (left_now)
			continue;
		TAILQ_REMOVE(&waits, w, entry);
		done(w->number, true);
		free(w);
	}
	if (!TAILQ_EMPTY(&waits))
		timer_set(t, loop_now() + LOOK_US, look_all);
}

static void
wait_for(enum ctlmsg_verb verb, uint64_t number, const char *db)
{
	struct wait *w = calloc(1, sizeof(*w));

	if (w == NULL)
		fatal("command");
	w->verb = verb;
	w->number = number;
	strlcpy(w->db, db, sizeof(w->db));
	TAILQ_INSERT_TAIL(&waits, w, entry);
	timer_set(&look_timer, loop_now(), look_all);
}

void
command_do(enum ctlmsg_verb verb, uint64_t number, const uint8_t *what, size_t len)
{
	char text[CONF_NAME_SIZE];

	strlcpy(text, "", sizeof(text));
	if (len < sizeof(text)) {
		memcpy(text, what, len);
		text[len] = '\0';
	}
	if (verb == CMD_KILL_CLIENT) {
		done(number, client_kill((int32_t)strtol(text, NULL, 0)));
		return;
	}
	verb_now = verb;
	db_now = text;
	pools_each(act);
	if (verb == CMD_PAUSE || verb == CMD_SUSPEND || verb == CMD_WAIT_CLOSE)
		wait_for(verb, number, text);
	else
		done(number, true);
}
