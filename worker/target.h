/*
 * target: the hosts that a database lies on, in the order in which a new connection tries them, and
 * what has become of them. Called by pool_open.c and backend_connect.c. What is known of a host is
 * shared with all workers (shm/hosts.h).
 */
#ifndef WORKER_TARGET_H
#define WORKER_TARGET_H

#include "conf/hosts.h"

struct target {
	char name[CONF_HOST_SIZE];
	uint16_t port;
	uint32_t host; /* in shm/hosts */
};

/* Of one database as it was configured at a time; counted references. */
struct targets;

struct targets *targets_new(const struct conf_database *);
struct targets *targets_keep(struct targets *);
void targets_drop(struct targets *);

/* The order for the next connection: pointers into `t`, as many as it returns. Those to which too
 * many are on their way already come last. */
size_t targets_order(const struct targets *t, const struct target *order[CONF_HOSTS]);
/* Is any worth a try now? */
bool targets_ready(const struct targets *);
/* Too many connections are on their way to each of them that is worth a try: wait. When one of them
 * has ended, all our pools are woken. */
bool targets_crowded(const struct targets *);
/* When the first pause of theirs ends, if all are in one, even if it is over; since when none works
 * (may be NULL). 0 = some work. */
int64_t targets_ready_at(const struct targets *, int64_t *down_us);

/* The host of this database that has the number `host` in shm/hosts; the first one if none has, or
 * no more. */
void target_name(
    const struct conf_database *, uint32_t host, char name[CONF_HOST_SIZE], uint16_t *port);

/* May this connection try it? If so, it is counted until one of the calls below. `turn` is for
 * target_full, which no other connection may have got in the way of. */
struct target_turn {
	bool alone;
	uint64_t number;
};
bool target_try(const struct target *, struct target_turn *turn);
void target_failed(const struct target *, int reason);
void target_worked(const struct target *);
void target_answered(const struct target *); /* it refuses the login, so it works */
void target_left(const struct target *);     /* nothing was learnt about it */
/* It has no place: from now on one connection at a time, until some work. True: this one had no
 * other beside it, so there is none indeed. */
bool target_full(const struct target *, const struct target_turn *turn);

/* Reasons are an errno or one of these. */
enum { TARGET_TIMEOUT = -1, TARGET_LOOKUP = -2, TARGET_REFUSED = -3, TARGET_CLOSED = -4 };
/* Why it is left out now, and for how much longer: "Connection refused, next try in 0.4 s". A
 * static buffer. */
const char *target_why_not(const struct target *);

#endif
