/*
 * steward_carry: the statistics in an upgrade. Called by worker.c in the steward's process.
 *
 * While the generation before us lives, its segment is read every CARRY_US and what it has counted
 * is added to the steward's own rows (shm/carry.h). When the master says that we serve, our segment
 * takes the place of theirs, and everything is carried over before that and right behind it: what
 * they counted before the change is in ours before anybody may read it (the row's `elders` is 2 so
 * long; a reader whose file was replaced meanwhile reads again, master/stat.c). So who reads the
 * one and then the other sees no number shrink. A steward that is started anew carries nothing:
 * what the dead one had carried so far, it cannot know.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/log.h"
#include "shm/carry.h"
#include "worker/steward.h"
#include "worker/loop.h"
#include "worker/state.h"

#define CARRY_US 200000

static struct carry *carry;
static struct timer carry_timer;

/* Attached for good: these counts have no other owner. */
static uint32_t
pool_of(const char *db, const char *user)
{
	uint32_t pool;

	return ledger_attach(wk->table, wk->stats, wk->self, db, user, &pool) == LEDGER_OK
		   ? pool
		   : UINT32_MAX;
}

static void
carry_tick(struct timer *t)
{
	bool ended = carry_ended(carry, loop_now());

	carry_over(carry, wk->stats, wk->self.worker, pool_of);
	if (!ended) {
		timer_set(t, loop_now() + CARRY_US, carry_tick);
		return;
	}
	carry_close(carry);
	carry = NULL;
	stats_set(&wk->row->elders, 0);
}

void
steward_carry_start(void)
{
	char why[256] = "", *path;

	if (wk->boot->elder_fd != -1 && wk->boot->accepts)
		steward_publish(); /* if the one before us has not come to it */
	if (wk->boot->elder_fd == -1 || wk->boot->accepts || wk->self.incarnation != 1)
		return;
	path = conf_stats_path(wk->conf->run_dir);
	carry = path == NULL ? NULL : carry_open(path, why, sizeof(why));
	free(path);
	if (carry == NULL) {
		log_warnx("statistics begin anew: %s", why);
		return;
	}
	stats_set(&wk->row->elders, 1);
	carry_tick(&carry_timer);
}

void
steward_carry_now(void)
{
	if (carry != NULL)
		carry_over(carry, wk->stats, wk->self.worker, pool_of);
}

void
steward_publish(void)
{
	char *path = conf_stats_path(wk->conf->run_dir), *next = NULL;

	if (carry != NULL)
		stats_set(&wk->row->elders, STATS_ELDERS_CHANGE);
	steward_carry_now();
	if (path == NULL || asprintf(&next, "%s.next", path) == -1)
		fatal("statistics segment");
	if (rename(next, path) == -1 && errno != ENOENT) /* published before */
		log_warn("%s", next);
	steward_carry_now();
	if (carry != NULL)
		stats_set(&wk->row->elders, 1);
	free(path);
	free(next);
}
