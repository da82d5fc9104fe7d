/*
 * reload: see reload.h. Called by worker.c with the master's messages.
 *
 * Parsing may take long (10,000 users), so it is done beside the loop; so is what else can fail or
 * takes time, as `prepare` of a part. Nothing of it is seen before the switch, which cannot fail
 * and happens between two turns of anybody else: nobody on the stack points into the old
 * configuration. The parts then let go of every pointer into it, and it is freed.
 *
 * A configuration that the master has abandoned meanwhile is dropped when its job ends.
 */
#include "worker/reload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "conf/log.h"
#include "proto/ctlmsg.h"
#include "worker/accept.h"
#include "worker/client.h"
#include "worker/metrics.h"
#include "worker/offload.h"
#include "worker/pool.h"

/*
 * Whoever keeps pointers into the configuration, or things made of it. `prepare` runs beside the
 * loop and must touch nothing but `next`; false: `why` says what is wrong. `switched` runs in the
 * loop, after wk->conf has changed; `old` is freed after it. Either may be NULL.
 */
static const struct part {
	bool (*prepare)(const struct conf *next, FILE *why);
	void (*switched)(const struct conf *old);
} parts[] = {
    {NULL, pools_conf_changed},
    {NULL, clients_conf_changed},
    {NULL, metrics_conf_changed},
};

#define PARTS (sizeof(parts) / sizeof(parts[0]))

struct task {
	struct job job;
	uint64_t serial;
	int fd;
	char *path;
	struct conf *next; /* NULL after the job: it failed, `why` says how */
	char *why;
	size_t why_len;
};

static struct task *current; /* under way or prepared; NULL = none */
static bool prepared;

static void
task_free(struct task *t)
{
	if (t->fd != -1)
		close(t->fd);
	if (t->next != NULL)
		conf_free(t->next);
	free(t->path);
	free(t->why);
	free(t);
}

/* --- preparing -------------------------------------------------------------------------------- */

static void
prepare(struct job *j)
{
	struct task *t = LOOP_CONTAINER(j, struct task, job);
	FILE *why = open_memstream(&t->why, &t->why_len);
	bool fine;
	size_t i;

	if (why == NULL)
		fatal("reload");
	t->next = conf_receive(t->fd, t->path, why);
	fine = t->next != NULL;
	for (i = 0; i < PARTS && fine; i++)
		if (parts[i].prepare != NULL)
			fine = parts[i].prepare(t->next, why);
	fclose(why);
	if (!fine && t->next != NULL) {
		conf_free(t->next);
		t->next = NULL;
	}
}

static void
tell(enum ctlmsg_type type, const struct task *t)
{
	struct ctlmsg m;

	ctlmsg_init(&m, type, wk->self.worker, wk->self.incarnation);
	m.arg64 = t->serial;
	m.arg32 = t->next == NULL && type == CTL_PREPARED;
	if (m.arg32 != 0) {
		m.payload_len = (uint32_t)(t->why_len < 200 ? t->why_len : 200);
		memcpy(m.payload, t->why, m.payload_len);
	}
	if (send(wk->boot->control_fd, &m, ctlmsg_size(&m), MSG_NOSIGNAL) == -1)
		log_warn("cannot tell the master about the reload");
}

static void
prepare_done(struct job *j)
{
	struct task *t = LOOP_CONTAINER(j, struct task, job);

	if (t != current) {
		task_free(t);
		return;
	}
	prepared = true;
	tell(CTL_PREPARED, t);
}

void
reload_conf(uint64_t serial, int fd)
{
	struct task *t = calloc(1, sizeof(*t));

	if (t == NULL || (t->path = strdup(wk->conf->path)) == NULL)
		fatal("reload");
	if (current != NULL)
		reload_forget(current->serial);
	t->job = (struct job){.work = prepare, .done = prepare_done};
	t->serial = serial;
	t->fd = fd;
	current = t;
	prepared = false;
	offload(&t->job);
}

void
reload_listener(uint64_t serial, uint32_t id, int fd)
{
	(void)serial;
	accept_add(id, fd);
}

void
reload_forget(uint64_t serial)
{
	if (current == NULL || current->serial != serial)
		return;
	accept_forget();
	if (prepared)
		task_free(current);
	current = NULL;
}

/* --- the switch ------------------------------------------------------------------------------- */

void
reload_switch(uint64_t serial, const uint8_t *listeners, size_t len)
{
	struct task *t = current;
	struct conf *old;
	struct timespec from, to;
	size_t i;

	(void)clock_gettime(CLOCK_MONOTONIC, &from);
	if (t == NULL || t->serial != serial || !prepared || t->next == NULL)
		fatalx(
		    "told to use a configuration that is not prepared"); /* the successor has it */
	current = NULL;
	old = wk->conf;
	wk->conf = t->next;
	t->next = NULL;
	conf_log(wk->conf);
	stats_set(&wk->row->conf, serial);
	if (!wk->boot->steward && !wk->draining && !wk->retired)
		accept_switch(listeners, len / (2 * sizeof(uint32_t)));
	for (i = 0; i < PARTS; i++)
		if (parts[i].switched != NULL)
			parts[i].switched(old);
	tell(CTL_SWITCHED, t);
	conf_free(old);
	task_free(t);
	(void)clock_gettime(CLOCK_MONOTONIC, &to);
	log_debug("the switch to configuration %llu took %ld us of the loop",
	    (unsigned long long)serial,
	    (to.tv_sec - from.tv_sec) * 1000000L + (to.tv_nsec - from.tv_nsec) / 1000);
}
