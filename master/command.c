/*
 * command: see command.h. Called by control.c and children.c, reload.c.
 *
 * The master keeps what outlives a worker (shm/admin.h), has everybody act, and collects their
 * answers. The origin of a command is a worker with a client on its console; if it dies, nobody is
 * told.
 */
#include "master/command.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conf/log.h"
#include "master/control.h"
#include "master/master.h"
#include "master/retire.h"

#define COMMANDS 64 /* at a time */

static struct pending {
	enum ctlmsg_verb verb; /* 0 = free */
	uint32_t number;
	uint32_t origin;
	uint32_t incarnation;
	uint64_t ticket;
	bool found;	/* CMD_KILL_CLIENT */
	bool waits[65]; /* for these children */
} table[COMMANDS];
static uint32_t last_number;

static void
answer(struct master *m, uint32_t w, uint32_t incarnation, uint64_t ticket, const char *why)
{
	struct child *child = &m->children[w];

	if (child->pid != 0 && child->incarnation == incarnation)
		(void)control_send_with(child, CTL_ANSWER, why != NULL, ticket, why,
		    why == NULL ? 0 : strnlen(why, 400), -1);
}

static void
finish(struct master *m, struct pending *p, const char *why)
{
	answer(m, p->origin, p->incarnation, p->ticket, why);
	p->verb = 0;
}

static void
check(struct master *m, struct pending *p)
{
	uint32_t w;

	for (w = 0; w < m->nchildren; w++)
		if (p->waits[w])
			return;
	finish(m, p, p->verb == CMD_KILL_CLIENT && !p->found ? "client not found" : NULL);
}

/* What stays said after the command. NULL, or what is wrong. */
static const char *
remember(struct master *m, enum ctlmsg_verb verb, const char *db)
{
	unsigned int set = 0, clear = 0;

	if (verb == CMD_PAUSE || verb == CMD_KILL)
		set = ADMIN_PAUSED;
	else if (verb == CMD_SUSPEND)
		set = ADMIN_SUSPENDED;
	else if (verb == CMD_RESUME)
		clear = ADMIN_HOLD;
	else if (verb == CMD_DISABLE)
		set = ADMIN_DISABLED;
	else if (verb == CMD_ENABLE)
		clear = ADMIN_DISABLED;
	if ((set | clear) != 0 && admin_change(m->kit.admin, db, set, clear) == -1)
		return "too many databases have been paused or disabled";
	return NULL;
}

static struct pending *
new_pending(uint32_t w, const struct ctlmsg *msg)
{
	struct pending *p;

	for (p = table; p < table + COMMANDS; p++)
		if (p->verb == 0) {
			*p = (struct pending){.verb = (enum ctlmsg_verb)msg->arg32,
			    .number = ++last_number,
			    .origin = w,
			    .incarnation = msg->from_incarnation,
			    .ticket = msg->arg64};
			return p;
		}
	return NULL;
}

static void
have_all_do(struct master *m, struct pending *p, const struct ctlmsg *msg)
{
	uint32_t w;

	for (w = 0; w < m->nchildren; w++) {
		struct child *child = &m->children[w];
		if (child->pid == 0)
			continue;
		p->waits[w] = control_send_with(child, CTL_DO, (uint32_t)p->verb, p->number,
		    msg->payload, msg->payload_len, -1);
		if (!p->waits[w]) {
			finish(m, p, "a worker does not take messages");
			return;
		}
	}
	check(m, p);
}

static void
take(struct master *m, uint32_t w, const struct ctlmsg *msg)
{
	struct pending *p = new_pending(w, msg);
	char db[CONF_NAME_SIZE], what[512];
	const char *why;

	if (p == NULL) {
		answer(m, w, msg->from_incarnation, msg->arg64, "too many commands at a time");
		return;
	}
	(void)snprintf(db, sizeof db, "%.*s", (int)msg->payload_len, (const char *)msg->payload);
	log_info("console: %s%s%s", ctlmsg_verb_name(p->verb), db[0] == '\0' ? "" : " ", db);
	switch (p->verb) {
	case CMD_RELOAD:
		reload_start(m);
		break;
	case CMD_SET:
		(void)snprintf(
		    what, sizeof what, "%.*s", (int)msg->payload_len, (const char *)msg->payload);
		if (!reload_set(m, what))
			finish(m, p, "a reload is under way, or we stop");
		break;
	case CMD_SHUTDOWN:
		(void)kill(getpid(), SIGINT);
		finish(m, p, NULL);
		break;
	case CMD_SHUTDOWN_WAIT:
		(void)kill(getpid(), SIGTERM);
		finish(m, p, NULL);
		break;
	case CMD_SHUTDOWN_STAY:
		finish(m, p, NULL);
		retire_alone(m);
		break;
	case CMD_UPGRADE:
		(void)kill(getpid(), SIGUSR2);
		finish(m, p, NULL);
		break;
	case CMD_PAUSE:
	case CMD_RESUME:
	case CMD_DISABLE:
	case CMD_ENABLE:
	case CMD_KILL:
	case CMD_KILL_CLIENT:
	case CMD_SUSPEND:
	case CMD_RECONNECT:
	case CMD_WAIT_CLOSE:
		why = remember(m, p->verb, db);
		if (why != NULL)
			finish(m, p, why);
		else
			have_all_do(m, p, msg);
		break;
	case CMD_NONE:
	case CMD_VERBS:
		p->verb = 0;
		break;
	}
}

static void
done(struct master *m, uint32_t w, const struct ctlmsg *msg)
{
	struct pending *p;

	for (p = table; p < table + COMMANDS; p++) {
		if (p->verb == 0 || p->number != msg->arg64 || !p->waits[w])
			continue;
		p->waits[w] = false;
		p->found |= msg->arg32 != 0;
		check(m, p);
	}
}

void
command_heard(struct master *m, uint32_t w, const struct ctlmsg *msg)
{
	if (msg->type == CTL_DONE)
		done(m, w, msg);
	else if (msg->arg32 > CMD_NONE && msg->arg32 < CMD_VERBS)
		take(m, w, msg);
}

void
command_child_gone(struct master *m, uint32_t w)
{
	struct pending *p;

	for (p = table; p < table + COMMANDS; p++) {
		if (p->verb == 0 || !p->waits[w])
			continue;
		p->waits[w] = false;
		check(m, p);
	}
}

void
command_reloaded(struct master *m, const char *why)
{
	struct pending *p;

	for (p = table; p < table + COMMANDS; p++)
		if (p->verb == CMD_RELOAD || p->verb == CMD_SET)
			finish(m, p, why);
}
