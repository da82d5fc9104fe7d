/*
 * keys: SCRAM keys: derived once for all workers, off the loop, or proved by a client.
 */
#ifndef WORKER_KEYS_H
#define WORKER_KEYS_H

#include <bsd/sys/queue.h>

#include "proto/scram_server.h"

/* What the keys of an id are for. They never stand for each other. */
enum keys_use {
	KEYS_OF_PASSWORD, /* derived from a plain password and a salt */
	KEYS_OF_CLIENT	  /* proved by a client of that name against a verifier with that salt */
};

/* Somebody who waits for a derivation; embedded, zero = does not wait. */
struct keys_wait;
struct keys_task;
struct keys_wait {
	struct keys_task *task;
	void (*fn)(struct keys_wait *, const struct scram_keys *); /* NULL keys: it failed */
	TAILQ_ENTRY(keys_wait) entry;
};

/* The keys of a plain password, if somebody has derived them; `keys` has salt and iterations. */
bool keys_known(const char *user, const char *password, struct scram_keys *keys);
/* ... or derives them, and calls fn in a later turn. Those who want the same wait together. `store`
 * = others may have them too; not for a password that is only claimed. */
void keys_derive(struct keys_wait *, const char *user, const char *password,
    const struct scram_keys *salt, bool store,
    void (*fn)(struct keys_wait *, const struct scram_keys *));
/* A derivation is done after so long, nearly always: what answers are put off to, so that they do
 * not tell whether there was one. */
int64_t keys_patience_us(uint32_t iterations);
/* fn will not be called. */
void keys_cancel(struct keys_wait *);

/* What a client has proved, for logging in to PostgreSQL in its name. */
void keys_proved(const char *user, const struct scram_keys *);
/* `keys` has salt and iterations. */
bool keys_of_client(const char *user, struct scram_keys *keys);

#endif
