/*
 * pool: this worker's share of the (database, user) pools.
 *
 *   pool.c        which pools there are, their welcome
 *   pool_conf.c   what they have from the configuration, and reloads
 *   pool_queue.c  idle backends and clients that wait for one
 *   pool_check.c  server_check_query
 *   pool_open.c   opening connections, and what happens when that fails
 *   pool_limit.c  limits shared with other pools, the least size, the reserve
 *   pool_share.c  handing backends to other workers and taking them
 *   pool_place.c  the same for backends with TLS, which cannot be handed over
 *   pool_generation.c  limits that hold over an upgrade's generations together
 */
#ifndef WORKER_POOL_H
#define WORKER_POOL_H

#include "worker/objects.h"

/* --- pool.c --- */

void pools_init(void);
/* Finds or makes the pool of this database and server user, and counts the client. NULL: *why says
 * what it gets. */
struct wire_error;
struct pool *pool_get(
    const char *db, const char *user, const struct conf_database *, struct wire_error *why);
/* A client has logged in to it as `user`, with a stored secret and perhaps a password in clear text
 * (both may be NULL): they may log in at PostgreSQL too. */
void pool_learn(struct pool *, const char *user, const char *secret, const char *password);
/* NULL if this worker has no such pool. */
struct pool *pool_by_index(uint32_t index);
/* A client of this pool is gone. */
void pool_client_gone(struct pool *);
/* A backend is gone: its place is free again; or another worker has it with its place. */
void pool_backend_gone(struct pool *);
void pool_backend_given(struct pool *);

/* A logging-in client waits for the welcome. */
void pool_login(struct pool *, struct client *);
/* A login is done: the concatenated ParameterStatus messages it brought. */
void pool_welcome_put(struct pool *, const uint8_t *bytes, size_t len);
/* Another worker may have put the welcome meanwhile: lets the logins go on. */
void pool_welcome_look(struct pool *);

/* A worker died or the table has room again: everybody who waits looks anew. */
void pool_kick_all(void);
/* Closes every idle backend: the worker leaves. */
void pool_close_idle(void);

/* Calls fn for each; it may let the pool go. */
void pools_each(void (*fn)(struct pool *));
void pool_forget_secret(struct pool *);

/* --- pool_conf.c --- */

/* Everything the pool has from the configuration, with this entry. */
void pool_configure(struct pool *, const struct conf_database *);
/* Makes the pools that min_pool_size keeps without any client. */
void pools_pin(void);
/* wk->conf is another; nothing points into the old one afterwards. */
void pools_conf_changed(const struct conf *old);
/* It was opened for another server than the pool has now: it must not be used again. */
bool pool_stale(const struct backend *);
/* Sessions on backends of yesterday end at their next border: with server_fast_close, and those of
 * replication. */
void pool_end_sessions(struct pool *, const char *why);
/* Its pool has more backends than its limits, which were lowered, allow: this one, clean and
 * linked with nobody, counts no more and is to be closed. */
bool pool_sheds(struct backend *);

/* --- pool_queue.c --- */

/* A new pool: nobody waits, nothing is idle. */
void pool_queue_init(struct pool *);
/* True if a backend could be linked at once and nobody waits before. */
bool pool_has_idle(const struct pool *);
/* Links the client to a backend now, or queues it. */
void pool_want(struct pool *, struct client *);
/* The client leaves the queue it is in. */
void pool_unqueue(struct pool *, struct client *);
/* Publishes since when our oldest client waits, and keeps the timer that backs it. */
void pool_queue_changed(struct pool *);
/* Has pool_pump called at that time at the latest, though nothing may happen. */
void pool_look_again(struct pool *, int64_t at);
/* Its state in a line, for the DETAIL of errors. */
void pool_describe(const struct pool *, char *text, size_t size);
/* Serves who can be served; asks others and opens for the rest. */
void pool_pump(struct pool *);

/* A backend is clean (status I, nothing owed): to the next who waits here or elsewhere, or idle. */
void pool_release(struct backend *);
/* The idle backend that fits best and needs no check, taken off the list; NULL = none. */
struct backend *pool_take_best(struct pool *, const struct params *want);
/* Takes this one off the list of idle ones. */
void pool_take(struct pool *, struct backend *);
/* They come together, linked, from the generation before us. */
void pool_relink(struct backend *, struct client *);
/* The client it is linked with leaves it. */
void pool_unlinked(struct pool *, struct backend *);
/* Puts it there; nobody here waits. */
void pool_put_idle(struct pool *, struct backend *);

/* --- pool_check.c --- */

/* An idle backend must pass the check before it serves anybody. */
bool pool_check_due(const struct backend *);
/* Takes it off the list of idle ones; it is released, or closed, when the answer has come. */
void pool_check(struct backend *);
/* Starts checks if only backends that need one are idle, one for each client that waits. */
void pool_check_for_waiters(struct pool *);
/* So many clients that wait will probably be served by what is being checked. */
uint32_t pool_check_promised(const struct pool *);
/* For whoever ends a backend: the check it is in, if any, is over. */
void pool_check_over(struct backend *, bool good);

/* --- pool_open.c --- */

/* Opens connections until `wanted` are on their way, within the limits. */
void pool_open(struct pool *, uint32_t wanted);
/* The pool is full of what does not help those who wait: an idle backend, here or on another
 * worker, is closed. */
void pool_make_place(struct pool *);
/* Opens one for this client alone, if the limits let it; c->coming is it. */
enum ledger_result pool_open_own(struct client *);
/* Not too many are being opened already. */
bool pool_may_connect(struct pool *);
struct targets;
/* The hosts it lies on. */
struct targets *pool_targets(struct pool *);
/* The configuration has changed. */
void pool_forget_targets(struct pool *);
/* A login has succeeded; a session has answered something. */
void pool_open_worked(struct pool *);
void pool_open_lasted(struct pool *);
/* Tried again at once, whatever has failed. */
void pool_open_anew(struct pool *);
/* Brings the pool to min_pool_size; looks again so much later if that takes time. */
#define POOL_FILL_US 50000
void pool_fill(struct pool *);
/* Connecting failed; the ErrorResponse body is for those who wait. `retry` = a passing fault, keep
 * them waiting. */
void pool_open_failed(struct pool *, const uint8_t *error, size_t len, bool retry);
/* The server has ended a session before it had answered anything. Those who wait are told, if at
 * all, when pool_open is called next. */
void pool_open_brief(struct pool *, const uint8_t *error, size_t len);
/* ... and the pool must stay for a while, so that whoever comes next does not begin anew. */
bool pool_open_remembers(struct pool *);
/* The server had no place for us, but others of ours were trying too: to be tried again. */
void pool_open_undecided(struct pool *);

/* --- pool_share.c --- */

void pool_share_init(void);
/* A client wants a backend or has just got one. */
void pool_demand_count(struct pool *);
/* Asks workers that show idle backends for up to `wanted` of them. */
void pool_ask(struct pool *, uint32_t wanted);
/* The worker whose client has waited longest, if so much longer than since `mine` (0 = nobody of
 * ours waits) that it should be given a backend; TABLE_NONE if there is none. */
uint32_t pool_longest_wait(struct pool *, int64_t mine);
/* Gives a clean backend to that worker. False: it stays ours, as one with TLS always does. */
bool pool_give(struct backend *, uint32_t worker);
/* It has shown no sign of life for longer than anybody who waits does: count on nothing of it. */
bool pool_worker_silent(uint32_t worker);
/* From the inbox. */
void pool_asked(uint32_t index, uint32_t worker, uint32_t count);
void pool_woken(uint32_t index); /* TABLE_NONE: all pools */
void pool_received(uint32_t slot, int fd, const uint8_t *facts, size_t len);

/* --- pool_place.c --- */

/* Backends of this pool have TLS and cannot be given; clients of another worker have waited far
 * longer than ours (`mine`, 0 = nobody), and all places but `spare` are taken: they should have the
 * next. */
bool pool_owes_worker(const struct pool *, int64_t mine, uint32_t spare);
/* Closes a clean backend, since others have waited longer for its place. */
void pool_yield(struct backend *);

/* --- pool_generation.c --- */

/* ledger_room and ledger_reserve, with what other generations have. */
enum ledger_result pool_room(const struct pool *, const struct ledger_limits *);
enum ledger_result pool_reserve(struct pool *, const struct ledger_limits *, uint32_t *slot);
/* Backends of the pool in all generations. */
uint32_t pool_used_all(const struct pool *);
/* Another generation's clients have no backend at all because of those that we have. */
bool pool_wanted_elsewhere(const struct pool *);
/* The same, and none of ours is on its way out already. */
bool pool_owes_elsewhere(const struct pool *);
/* Another generation has come, or may have. */
void pool_generation_watch(void);

/* --- pool_limit.c --- */

void pool_limit_init(void);
/* What may be reserved now: with the reserve, if somebody has waited long enough. */
struct ledger_limits pool_limits_now(const struct pool *);
/* There is one more than pool_size, those on their way out not counted. */
bool pool_has_spare(const struct pool *);
/* A shared limit denies us a place: asks others for one. */
void pool_denied(struct pool *, enum ledger_result why);
/* The head of the queue has changed: puts right since when we want what is denied. */
void pool_hunger(struct pool *);
/* Nothing is denied us any more, or nothing is wanted. */
void pool_sated(struct pool *);
/* The shared limit under which another pool has wanted a place for longer: leave it to that one.
 * LEDGER_OK: there is none. */
enum ledger_result pool_yields(const struct pool *);
/* A backend that is released should be closed, since another pool waits far longer for its place.
 */
bool pool_owes_place(const struct pool *);
/* A place under our shared limits is free: wakes who wants it. */
void pool_place_free(const struct pool *);
/* From the inbox: another pool wants a place. */
void pool_evicted(uint32_t index);
/* The idle backend that was used longest ago; NULL = none. */
struct backend *pool_coldest(const struct pool *);
/* It is another one now. */
void pool_idle_changed(struct pool *);
/* It has fewer backends than min_pool_size, which is for us to mend, since we have clients; it has
 * clients somewhere, and would have fewer without this idle one. */
bool pool_below_min(const struct pool *);
bool pool_keeps(const struct pool *);
/* A place is free: wakes the other workers whose clients wait, or that mend the least size. */
void pool_wake_others(const struct pool *);
/* Counts a client under the limits of clients; false: *why says what it gets. Undone by dismiss. */
bool pool_admit(struct client *, const char *db, const char *user, const struct conf_database *,
    struct wire_error *why);
/* After a reload: its settings anew, and counted under limits that were none before. */
void pool_readmit(struct client *);
void pool_dismiss(struct client *);

#endif
