/*
 * ledger: who owns which backend, and the limits. The only code that changes a slot's word.
 *
 * Under the table's mutex: attach, reserve, free. Without it: everything else, above all what is on
 * the transaction path (idle, busy, hand, adopt) and every reading. LEDGER_BUSY means that the
 * mutex could not be had within LEDGER_WAIT_US (its holder is dumping core, say): nothing was
 * changed, try again from a timer.
 */
#ifndef SHM_LEDGER_H
#define SHM_LEDGER_H

#include "shm/table.h"
#include "shm/slot.h"

struct stats;

#define LEDGER_WAIT_US 10000

/* Limits that several pools share are counted per database and per user. */
enum ledger_group { LEDGER_DB, LEDGER_USER, LEDGER_GROUPS };

/* Most slots a caller may bring the pool, its database and its user to. */
struct ledger_limits {
	uint32_t pool;
	uint32_t group[LEDGER_GROUPS]; /* 0 = no limit */
};

enum ledger_result {
	LEDGER_OK,
	LEDGER_POOL_FULL,  /* the pool has its limit of backends */
	LEDGER_DB_FULL,	   /* all pools of its database together have theirs */
	LEDGER_USER_FULL,  /* all pools of its user */
	LEDGER_TABLE_FULL, /* no slot (max_backends) or no pool entry (max_pools) is left */
	LEDGER_BUSY
};

/* What a slot says about its backend; enough to cancel its query or to adopt the connection. */
struct ledger_backend {
	uint32_t pool;
	int32_t pid;	  /* BackendKeyData; 0 = not known yet */
	uint32_t key_len; /* 0 = no key */
	uint8_t key[TABLE_KEY_BYTES];
	uint32_t addr_len;
	struct sockaddr_storage addr; /* the server address we connected to */
	uint32_t host;		      /* the host that it is one of (shm/hosts), or HOSTS_NONE */
	uint32_t replication;	      /* enum startup_replication (proto/startup.h) */
	int64_t opened_us;	      /* monotonic time of the connection's birth */
	uint64_t dest;		      /* conf_destination of what it was opened for */
};

/*
 * Finds or makes the pool entry for (db, user) and marks it as used by this worker; *pool is its
 * index. An entry made anew is named in `stats` too (NULL: not), while nobody
 * else can be attached to it. Each attach is undone by one detach, and the last one leaves pool and
 * statistics rows to others: an entry nobody living is attached to and that has no slot may be
 * reused under other names.
 */
enum ledger_result ledger_attach(struct table *, struct stats *stats, struct table_self,
    const char *db, const char *user, uint32_t *pool);
void ledger_detach(struct table *, struct table_self, uint32_t pool);
/* Names of a pool entry; false if it is not in use. Buffers of CONF_NAME_SIZE. */
bool ledger_pool_name(const struct table *, uint32_t pool, char *db, char *user);
/* Slots of the pool in any state but FREE. A relaxed read. */
uint32_t ledger_pool_used(const struct table *, uint32_t pool);
/* Has it a backend that is logged in, whoever has it or is sent it? Reads every slot's word. */
bool ledger_pool_works(const struct table *, uint32_t pool);

/* How many pool entries there are to look at: 0 .. n-1, some of them perhaps not in use. */
uint32_t ledger_pools(const struct table *);
/* The group a pool belongs to, TABLE_NONE if the entry was never in use; and the slots of all its
 * pools in any state but FREE. Relaxed reads. */
uint32_t ledger_pool_group(const struct table *, uint32_t pool, enum ledger_group);
uint32_t ledger_group_used(const struct table *, uint32_t group);

/*
 * A hint: since when some worker has wanted a place that the limit of this group denies it, 0 =
 * nobody. It may be too old (who wanted it has it, or is dead), never too young: so it costs one
 * look to know that nobody starves. ledger_hungry_drop puts `since`, of who is next, or 0, unless
 * the hint has changed from `seen`.
 */
int64_t ledger_hungry(const struct table *, uint32_t group);
void ledger_hungry_put(struct table *, uint32_t group, int64_t since);
void ledger_hungry_drop(struct table *, uint32_t group, int64_t seen, int64_t since);
/* A hint: when the pool was last given a place, on whichever worker; 0 = never, or by a pool that
 * had this entry before. */
int64_t ledger_pool_fed(const struct table *, uint32_t pool);
void ledger_pool_feed(struct table *, uint32_t pool, int64_t now);

/* What a reserve would say now, by relaxed reads and without the mutex. */
enum ledger_result ledger_room(const struct table *, uint32_t pool, const struct ledger_limits *);
/* FREE -> RESERVED under the limits. The caller is attached. */
enum ledger_result ledger_reserve(
    struct table *, struct table_self, uint32_t pool, const struct ledger_limits *, uint32_t *slot);
/* RESERVED -> BUSY: records what is known after login, then publishes. Owner only. */
void ledger_opened(struct table *, struct table_self, uint32_t slot, const struct ledger_backend *);
/* BUSY -> IDLE and IDLE -> BUSY: one release store each. Owner only. */
void ledger_idle(struct table *, struct table_self, uint32_t slot);
void ledger_busy(struct table *, struct table_self, uint32_t slot);
/* any -> FREE. Owner only, not HANDED. Clears the slot before the pool's count goes down. */
enum ledger_result ledger_free(struct table *, struct table_self, uint32_t slot);
/* The same if its pool or a group of it has more slots than these limits (which were lowered), so
 * that those who look at once free no more than that; false = it has not, or LEDGER_BUSY. */
bool ledger_free_surplus(
    struct table *, struct table_self, uint32_t slot, const struct ledger_limits *);
/* How many slots above these limits there are. Relaxed reads. */
uint32_t ledger_surplus(const struct table *, uint32_t pool, const struct ledger_limits *);

/* IDLE|BUSY -> HANDED(to). Owner only, before the fd is sent; remembers the giver. */
void ledger_hand(struct table *, struct table_self, uint32_t slot, struct table_self to);
/* HANDED(me) -> BUSY(me). False if the word no longer says so: then close the fd that came with
 * it. */
bool ledger_adopt(struct table *, struct table_self, uint32_t slot);
/* HANDED -> BUSY(me) by the giver, when the send failed. False if it was claimed meanwhile, since
 * the receiver died and LEDGER_HANDED_US went by: then the slot is the steward's, close the fd. */
bool ledger_take_back(struct table *, struct table_self, uint32_t slot, struct table_self to);

/* A copy of the slot's word and, if `b` is given, of what is known about its backend at that time:
 * zeroes where nothing is known yet, and pool TABLE_NONE if the slot is free. A word of 0 also if
 * the slot changed hands faster than it could be read. */
uint64_t ledger_word(const struct table *, uint32_t slot);
uint64_t ledger_read(const struct table *, uint32_t slot, struct ledger_backend *b);

/*
 * Steward only: the next slot at or after *from whose owner is dead (also COOLING of a dead
 * steward, HANDED with both giver and receiver dead, or for longer than LEDGER_HANDED_US with
 * one of them dead, than LEDGER_LOST_US in any case) becomes COOLING(self). Returns the slot or
 * TABLE_NONE at the end; *was receives the state it had, *from the place to go on. `now_us` is
 * monotonic time.
 */
#define LEDGER_HANDED_US 1000000
#define LEDGER_LOST_US	 10000000
uint32_t ledger_claim_orphan(
    struct table *, struct table_self, int64_t now_us, uint32_t *from, enum slot_state *was);

/*
 * Counts one more client of this worker in that group, unless all living workers together have
 * `limit` of them: LEDGER_DB_FULL or LEDGER_USER_FULL. *group is to be given to ledger_client_leave
 * later. LEDGER_TABLE_FULL: no room for another group.
 */
enum ledger_result ledger_client_enter(struct table *, struct table_self, enum ledger_group kind,
    const char *name, uint32_t limit, uint32_t *group);
void ledger_client_leave(struct table *, struct table_self, uint32_t group);

/* From now on every count of a pool's slots in this table is told there too (budget.h). Before the
 * first fork. */
struct budget;
void ledger_publish(struct table *, struct budget *);

/* Counters of the table itself, for statistics. */
struct ledger_health {
	uint64_t repairs; /* EOWNERDEAD seen and repaired */
	uint64_t stalls;  /* LEDGER_BUSY given */
};
void ledger_health(const struct table *, struct ledger_health *);
/* Of these, what this process has met since it last asked. */
void ledger_health_met(struct ledger_health *);

#endif
