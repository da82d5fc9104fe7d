/*
 * reload: see reload.h.
 *
 * Called by master.c (SIGHUP, every turn, the end), control.c (answers) and children.c (births).
 * Owns the next configuration and its new listeners until they are in force. A child that dies owes
 * nothing any more; its successor starts with what is in force at its birth.
 */
#include "master/reload.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/files.h"
#include "conf/log.h"
#include "master/command.h"
#include "master/control.h"
#include "master/limits.h"
#include "master/master.h"

#define RELOAD_WAIT_US 30000000 /* for the slowest child; watch.c sees to those that hang */

static void
set_state(struct reload *r, enum reload_state to)
{
	static const bool edge[3][3] = {
	    [RELOAD_NONE] = {[RELOAD_PREPARING] = true},
	    [RELOAD_PREPARING] = {[RELOAD_NONE] = true, [RELOAD_SWITCHING] = true},
	    [RELOAD_SWITCHING] = {[RELOAD_NONE] = true},
	};

	ENSURE(edge[r->state][to]);
	r->state = to;
}

/* It is over, well or not: the service manager waits to be told. */
static void
finish(struct master *m)
{
	set_state(&m->reload, RELOAD_NONE);
	m->reload.deadline_us = 0;
	if (m->state == MASTER_RUN && m->ready)
		notify_ready(&m->notify, m->status);
}

void
reload_abandon(struct master *m)
{
	struct reload *r = &m->reload;
	uint32_t w;

	r->again = false;
	command_reloaded(m, "nothing was changed");
	if (r->state != RELOAD_PREPARING)
		return;
	control_broadcast(m, CTL_FORGET, 0, r->serial);
	for (w = 0; w < m->nchildren; w++)
		m->children[w].owes = 0;
	listen_abandon(&m->listeners, &r->listeners);
	(void)close(r->fd);
	conf_free(r->next);
	r->next = NULL;
	finish(m);
}

static void
give_up(struct master *m, const char *who, const char *why)
{
	char text[320];

	(void)snprintf(text, sizeof text, "%s %s", who, why);
	log_warnx("reload: nothing was changed: %s", text);
	command_reloaded(m, text);
	reload_abandon(m);
}

/* --- reading and publishing ------------------------------------------------------------------- */

static void
tell_fixed(const char *name)
{
	log_warnx("reload: %s keeps its value until a restart or an upgrade", name);
}

/* One line of the log per line. */
static void
report(struct master *m, char *errors)
{
	char *line, *rest = errors;

	command_reloaded(m, errors);
	while ((line = strsep(&rest, "\n")) != NULL)
		if (line[0] != '\0')
			log_warnx("reload: %s", line);
	log_warnx("reload: nothing was changed: the configuration has errors");
}

static struct conf *
with_option(const struct master *m, struct files *files, FILE *err)
{
	const char *value = strchr(m->reload.set, '=');
	char name[64];

	if (value == NULL || (size_t)(value - m->reload.set) >= sizeof name)
		return NULL;
	memcpy(name, m->reload.set, (size_t)(value - m->reload.set));
	name[value - m->reload.set] = '\0';
	return conf_with(m->conf, name, value + 1, files, err);
}

static struct conf *
read_next(struct master *m, struct files *files)
{
	char *errors = NULL;
	size_t size = 0;
	FILE *err = open_memstream(&errors, &size);
	struct conf *next;

	if (err == NULL) {
		log_warn("reload");
		return NULL;
	}
	if (m->reload.set != NULL)
		next = with_option(m, files, err);
	else
		next = conf_load_through(m->conf->path, files, err);
	(void)fclose(err);
	if (next == NULL)
		report(m, errors);
	else
		conf_keep_fixed(next, m->conf, tell_fixed);
	free(errors);
	return next;
}

/* To one child; those that are not there owe nothing. */
static bool
send_next(struct master *m, uint32_t w)
{
	struct reload *r = &m->reload;
	struct child *child = &m->children[w];
	size_t i;

	if (child->pid == 0)
		return true;
	for (i = 0; i < r->listeners.n && !child->steward; i++)
		if (!listen_has(&m->listeners, r->listeners.items[i].id) &&
		    !control_send_with(child, CTL_LISTENER, r->listeners.items[i].id, r->serial,
			NULL, 0, r->listeners.fds[i]))
			return false;
	if (!control_send_with(child, CTL_CONF, 0, r->serial, NULL, 0, r->fd))
		return false;
	child->owes = CTL_PREPARED;
	return true;
}

static void
begin(struct master *m)
{
	struct reload *r = &m->reload;
	struct files *files = files_new();
	struct why why = {.text = ""};
	uint32_t w;

	notify_reloading(&m->notify);
	r->started_us = m->now_us;
	r->serial++;
	r->next = read_next(m, files);
	r->fd = r->next == NULL ? -1 : files_publish(files, r->next);
	files_free(files);
	if (r->next != NULL && r->fd == -1)
		log_warn("reload: nothing was changed: cannot publish the configuration");
	else if (r->next != NULL &&
		 listen_change(&m->listeners, &r->listeners, r->next, &m->privs, &why) == -1) {
		log_warnx("reload: nothing was changed: %s", why.text);
		command_reloaded(m, why.text);
	} else if (r->next != NULL) {
		set_state(r, RELOAD_PREPARING);
		r->deadline_us = m->now_us + RELOAD_WAIT_US;
		for (w = 0; w < m->nchildren && r->state == RELOAD_PREPARING; w++)
			if (!send_next(m, w))
				give_up(m, m->children[w].name, "does not take messages");
		return;
	}
	if (r->fd != -1)
		(void)close(r->fd);
	if (r->next != NULL)
		conf_free(r->next);
	r->next = NULL;
	if (m->ready)
		notify_ready(&m->notify, m->status);
}

void
reload_start(struct master *m)
{
	if (m->state != MASTER_RUN) {
		log_warnx("reload: nothing was changed: stopping");
		command_reloaded(m, "stopping");
	} else if (m->reload.state != RELOAD_NONE)
		m->reload.again = true;
	else
		begin(m);
}

bool
reload_set(struct master *m, const char *what)
{
	if (m->state != MASTER_RUN || m->reload.state != RELOAD_NONE)
		return false;
	m->reload.set = what;
	begin(m);
	m->reload.set = NULL;
	return true;
}

void
reload_newcomer(struct master *m, uint32_t w)
{
	if (m->reload.state == RELOAD_PREPARING && !send_next(m, w))
		give_up(m, m->children[w].name, "does not take messages");
}

/* --- in force --------------------------------------------------------------------------------- */

struct place {
	uint32_t id, conf;
};

/* All listeners in force: what a CTL_SWITCH carries. */
static size_t
list_listeners(const struct listen_set *set, struct place *places)
{
	size_t i;

	ENSURE(set->n <= LISTEN_MAX);
	for (i = 0; i < set->n; i++)
		places[i] = (struct place){set->items[i].id, (uint32_t)set->confs[i]};
	return set->n * sizeof *places;
}

/* children_resize sees to them. */
static void
take_workers(struct master *m)
{
	m->nwanted = limits_workers(m->conf);
	if (m->nwanted <= m->nworkers)
		return;
	log_warnx(
	    "reload: workers: there is room for %u (max_workers): %u need a restart or an upgrade",
	    m->nworkers, m->nwanted);
	m->nwanted = m->nworkers;
}

static void
take_next(struct master *m)
{
	struct reload *r = &m->reload;
	struct conf *old = m->conf;

	m->conf = r->next;
	m->kit.conf = r->next;
	m->privs.user = r->next->user;
	r->in_force = r->serial;
	r->next = NULL;
	take_workers(m);
	conf_log(m->conf);
	listen_commit(&m->listeners, &r->listeners, m->conf);
	(void)close(r->fd);
	conf_free(old);
	conf_warn(m->conf);
}

static void
switch_over(struct master *m)
{
	struct place places[LISTEN_MAX];
	uint32_t w;
	struct child *child;
	size_t len;

	set_state(&m->reload, RELOAD_SWITCHING);
	take_next(m);
	len = list_listeners(&m->listeners, places);
	for (w = 0; w < m->nchildren; w++) {
		child = &m->children[w];
		if (child->pid == 0)
			continue;
		child->owes = CTL_SWITCHED;
		if (control_send_with(child, CTL_SWITCH, 0, m->reload.serial, places, len, -1))
			continue;
		/* It has read CTL_CONF, so its queue was empty a moment ago: it is mad. A successor
		 * starts with what is in force; half of us with the old one must not be. */
		log_warnx("%s does not take messages: killing it", child->name);
		(void)kill(child->pid, SIGKILL);
	}
}

static bool
all_heard(const struct master *m)
{
	uint32_t w;

	for (w = 0; w < m->nchildren; w++)
		if (m->children[w].owes != 0)
			return false;
	return true;
}

void
reload_heard(struct master *m, uint32_t w, const struct ctlmsg *msg)
{
	struct child *child = &m->children[w];
	char text[256];

	if (msg->arg64 != m->reload.serial || child->owes != (enum ctlmsg_type)msg->type)
		return; /* of one that was abandoned */
	child->owes = 0;
	if (msg->type != CTL_PREPARED || msg->arg32 == 0)
		return;
	(void)snprintf(text, sizeof text, "cannot use it: %.*s", (int)msg->payload_len,
	    (const char *)msg->payload);
	give_up(m, child->name, text);
}

static void
check_deadline(struct master *m)
{
	struct reload *r = &m->reload;
	uint32_t w;

	if (m->now_us < r->deadline_us)
		return;
	r->deadline_us = m->now_us + RELOAD_WAIT_US;
	for (w = 0; m->children[w].owes == 0; w++)
		;
	if (r->state == RELOAD_PREPARING)
		give_up(m, m->children[w].name, "was not ready in time");
	else
		log_warnx("reload: %s has not confirmed it yet", m->children[w].name);
}

void
reload_go_on(struct master *m)
{
	struct reload *r = &m->reload;

	if (r->state != RELOAD_NONE && !all_heard(m)) {
		check_deadline(m);
	} else if (r->state == RELOAD_PREPARING) {
		switch_over(m);
		r->deadline_us = m->now_us + RELOAD_WAIT_US;
	} else if (r->state == RELOAD_SWITCHING) {
		log_info("reload: configuration %llu is in force, after %.0f ms",
		    (unsigned long long)r->serial, (double)(m->now_us - r->started_us) / 1e3);
		if (!r->again)
			command_reloaded(m, NULL);
		finish(m);
	}
	if (r->state == RELOAD_NONE && r->again) {
		r->again = false;
		reload_start(m);
	}
}
