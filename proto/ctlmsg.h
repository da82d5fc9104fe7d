/*
 * ctlmsg: the messages between our own processes, fixed size, over SOCK_SEQPACKET. Master <->
 * worker on the control socket; worker -> worker (with at most one fd) on the inbox. Pure bytes
 * here; senders live in master/ and worker/.
 */
#ifndef PROTO_CTLMSG_H
#define PROTO_CTLMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CTLMSG_VERSION 1

enum ctlmsg_type {
	CTL_READY = 1, /* worker -> master: I serve */
	CTL_DRAIN,     /* master -> worker: stop accepting, finish transactions; arg64 = deadline,
			  monotonic us; arg32: enum ctlmsg_drain */
	CTL_STOP,      /* master -> worker: leave now */
	CTL_REOPEN,    /* master -> worker: reopen the log */
	CTL_DEATH,  /* master -> worker: worker arg32, incarnation arg64, is dead; also "try accept
		       now" */
	CTL_GIVE,   /* inbox, with fd: slot arg32 comes to you */
	CTL_ASK,    /* inbox: the sender needs a backend of pool arg32 */
	CTL_WAKE,   /* inbox: room in pool arg32, look at your queue */
	CTL_CANCEL, /* inbox: cancel the query of the client with the number arg32 and the key in
		       the payload; arg64 = ticket */
	CTL_CANCELED, /* inbox: the cancel with ticket arg64 is done */
	CTL_EVICT,    /* inbox: close the coldest idle backend of pool arg32 */
	CTL_CONF,     /* master -> worker, with fd: prepare configuration arg64 (files_receive) */
	CTL_LISTENER, /* master -> worker, with fd: listener arg32, which arg64 brings */
	CTL_PREPARED, /* worker -> master: configuration arg64 can be used; arg32 = 1: it cannot,
			 the payload says why */
	CTL_SWITCH,   /* master -> worker: configuration arg64 is in force, with the listeners of
			 the payload: number and place in conf->listen, four bytes each */
	CTL_SWITCHED, /* worker -> master: so it is */
	CTL_FORGET,   /* master -> worker: nothing comes of arg64 */
	CTL_COMMAND,  /* worker -> master: an operator wants verb arg32; payload: the database (or
			 client), arg64 = ticket */
	CTL_DO,	      /* master -> worker: do verb arg32, as number arg64 */
	CTL_DONE,     /* worker -> master: number arg64 is done; arg32 = 1: it was here */
	CTL_ANSWER, /* master -> worker: ticket arg64 is done; arg32 = 1: it is not, payload why */
	CTL_SERVE,  /* master -> worker: accept connections from now on */
	CTL_TELL,   /* inbox: tell me what you have, of kind arg32; arg64 = ticket */
	CTL_TOLD,   /* inbox, with fd: it is in this memfd */
	/* Between generations (worker/handover.c): these travel between binaries. */
	CTL_LANE,	/* elder -> younger, with fd: a lane for worker arg32 modulo their number;
			   arg64 = 1: from a sibling */
	CTL_LANE_READY, /* younger -> elder: it is taken; arg32 = workers, arg64 = MOVE_VERSION */
	CTL_RECORD,	/* elder -> younger, with fd: the next record, of arg64 bytes, lies in this
			   memfd */
	CTL_MOVE,  /* elder -> younger, with fd: number arg64, of kind arg32 (proto/move.h), and
		      its record as the payload */
	CTL_TAKEN, /* younger -> elder: number arg64 is ours (arg32 = 1); 0: it cannot be; 2: not
		      by this worker, which takes nobody any more */
	CTL_HELD,  /* elder -> younger, with fd: the backend that the client of number arg64, which
		      comes next, keeps; its record as the payload */
	/* Within a generation again: these stand last, so that the numbers above stay. */
	CTL_ACCEPT, /* inbox: a connection waits, and you have fewer clients than others */
	CTL_TYPES
};

/* How CTL_DRAIN is meant. */
enum ctlmsg_drain {
	CTL_DRAIN_NOW,	   /* clients leave at their transactions' border */
	CTL_DRAIN_UPGRADE, /* they may stay until the deadline; another generation takes them over
			    */
	CTL_DRAIN_ALONE,   /* they may stay; nobody takes them over */
	CTL_DRAIN_SURPLUS, /* they may stay; our siblings take them over */
};

/* What operators can ask for. */
enum ctlmsg_verb {
	CMD_NONE,
	CMD_RELOAD,
	CMD_PAUSE,
	CMD_RESUME,
	CMD_DISABLE,
	CMD_ENABLE,
	CMD_KILL,
	CMD_KILL_CLIENT,
	CMD_SUSPEND,
	CMD_RECONNECT,
	CMD_WAIT_CLOSE,
	CMD_SHUTDOWN,
	CMD_SHUTDOWN_WAIT, /* when all transactions have ended */
	CMD_SHUTDOWN_STAY, /* when all clients have left */
	CMD_UPGRADE,
	CMD_SET,
	CMD_VERBS
};
const char *ctlmsg_verb_name(enum ctlmsg_verb);

struct ctlmsg {
	uint32_t magic;
	uint16_t version;
	uint16_t type;
	uint32_t from;		   /* worker index; UINT32_MAX = master */
	uint32_t from_incarnation; /* stale senders are not believed */
	uint32_t to_incarnation;   /* stale receivers drop it; 0 = any */
	uint32_t arg32;
	uint64_t arg64;
	uint32_t payload_len;	/* before the payload: only its used part travels */
	uint8_t payload[65536]; /* per type: CTL_CANCEL the client's key, CTL_GIVE what the backend
				   brings with it (worker/facts.h); see above */
};

/* All but the payload's bytes. */
void ctlmsg_init(struct ctlmsg *, enum ctlmsg_type, uint32_t from, uint32_t from_incarnation);
/* Bytes to send: the fixed part and the used payload. */
size_t ctlmsg_size(const struct ctlmsg *);
/* Checks a received datagram of n bytes: magic, version, type, sizes. */
bool ctlmsg_valid(const struct ctlmsg *, size_t n);
const char *ctlmsg_name(enum ctlmsg_type);

#endif
