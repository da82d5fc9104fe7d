/*
 * ctlmsg: making and checking the messages between our own processes.
 *
 * Called by master/ and worker/ around their sendmsg and recvmsg. Owns nothing. Both ends are the
 * same binary, but not always the same run of it: a datagram that does not look exactly as it
 * should is dropped by the receiver, never believed in part.
 */
#include "proto/ctlmsg.h"

#include <string.h>

#define CTLMSG_MAGIC   0x70674452U /* "pgDR" */
#define CTLMSG_FIXED   offsetof(struct ctlmsg, payload)
#define CTLMSG_PAYLOAD sizeof(((struct ctlmsg *)NULL)->payload)

/* What a peer of the same version relies on. */
_Static_assert(offsetof(struct ctlmsg, arg64) == 24, "ctlmsg layout");
_Static_assert(offsetof(struct ctlmsg, payload_len) == 32, "ctlmsg layout");
_Static_assert(CTLMSG_FIXED == 36, "ctlmsg layout");
_Static_assert(CTLMSG_FIXED + CTLMSG_PAYLOAD <= sizeof(struct ctlmsg), "a full message must fit");

void
ctlmsg_init(struct ctlmsg *m, enum ctlmsg_type type, uint32_t from, uint32_t from_incarnation)
{
	memset(m, 0, CTLMSG_FIXED);
	m->magic = CTLMSG_MAGIC;
	m->version = CTLMSG_VERSION;
	m->type = (uint16_t)type;
	m->from = from;
	m->from_incarnation = from_incarnation;
}

size_t
ctlmsg_size(const struct ctlmsg *m)
{
	/* A payload_len that lies must not make us send the stack; the receiver refuses it. */
	if (m->payload_len > CTLMSG_PAYLOAD)
		return CTLMSG_FIXED + CTLMSG_PAYLOAD;
	return CTLMSG_FIXED + m->payload_len;
}

bool
ctlmsg_valid(const struct ctlmsg *m, size_t n)
{
	if (n < CTLMSG_FIXED)
		return false;
	if (m->magic != CTLMSG_MAGIC || m->version != CTLMSG_VERSION)
		return false;
	if (m->type < CTL_READY || m->type >= CTL_TYPES)
		return false;
	return m->payload_len <= CTLMSG_PAYLOAD && n == CTLMSG_FIXED + m->payload_len;
}

const char *
ctlmsg_name(enum ctlmsg_type type)
{
	static const char *const names[CTL_TYPES] = {
	    [CTL_READY] = "READY",
	    [CTL_DRAIN] = "DRAIN",
	    [CTL_STOP] = "STOP",
	    [CTL_REOPEN] = "REOPEN",
	    [CTL_DEATH] = "DEATH",
	    [CTL_GIVE] = "GIVE",
	    [CTL_ASK] = "ASK",
	    [CTL_WAKE] = "WAKE",
	    [CTL_CANCEL] = "CANCEL",
	    [CTL_CANCELED] = "CANCELED",
	    [CTL_EVICT] = "EVICT",
	    [CTL_CONF] = "CONF",
	    [CTL_LISTENER] = "LISTENER",
	    [CTL_PREPARED] = "PREPARED",
	    [CTL_SWITCH] = "SWITCH",
	    [CTL_SWITCHED] = "SWITCHED",
	    [CTL_FORGET] = "FORGET",
	    [CTL_COMMAND] = "COMMAND",
	    [CTL_DO] = "DO",
	    [CTL_DONE] = "DONE",
	    [CTL_ANSWER] = "ANSWER",
	    [CTL_SERVE] = "SERVE",
	    [CTL_TELL] = "TELL",
	    [CTL_TOLD] = "TOLD",
	    [CTL_LANE] = "LANE",
	    [CTL_LANE_READY] = "LANE_READY",
	    [CTL_RECORD] = "RECORD",
	    [CTL_MOVE] = "MOVE",
	    [CTL_TAKEN] = "TAKEN",
	    [CTL_HELD] = "HELD",
	    [CTL_ACCEPT] = "ACCEPT",
	};

	if ((unsigned)type >= CTL_TYPES || names[type] == NULL)
		return "unknown";
	return names[type];
}

const char *
ctlmsg_verb_name(enum ctlmsg_verb verb)
{
	static const char *const names[CMD_VERBS] = {"-", "RELOAD", "PAUSE", "RESUME", "DISABLE",
	    "ENABLE", "KILL", "KILL_CLIENT", "SUSPEND", "RECONNECT", "WAIT_CLOSE", "SHUTDOWN",
	    "SHUTDOWN WAIT_FOR_SERVERS", "SHUTDOWN WAIT_FOR_CLIENTS", "UPGRADE", "SET"};

	return (unsigned)verb < CMD_VERBS ? names[verb] : "unknown";
}
