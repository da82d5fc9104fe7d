/*
 * keys: see keys.h. Called by client_auth.c and backend_login.c. What is known lies in shm/secrets;
 * a derivation under way is known here, so that a crowd with one name costs one, and clients that
 * left before their turn cost none.
 */
#include "worker/keys.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "conf/log.h"
#include "conf/strongbox.h"
#include "worker/loop.h"
#include "worker/offload.h"
#include "worker/secret_id.h"
#include "worker/state.h"

_Static_assert(SECRETS_VALUE == 2 * SCRAM_KEY, "client key and server key");

#define PATIENCE_US 5000

struct keys_task {
	struct job job;
	TAILQ_HEAD(, keys_wait) waits;
	uint8_t id[SECRETS_ID];
	bool store;
	char *password;
	struct scram_keys keys; /* salt and iterations, then all */
	int64_t since_us;
	atomic_bool left; /* nobody waits any more: if it has not begun yet, it need not */
	int rc;
	LIST_ENTRY(keys_task) all;
};

static LIST_HEAD(, keys_task) tasks = LIST_HEAD_INITIALIZER(tasks);

/* --- ids -------------------------------------------------------------------------------------- */

/* A hash over all that decides what the keys are. */
static void
make_id(enum keys_use use, const char *user, const char *password, const struct scram_keys *salt,
    uint8_t id[SECRETS_ID])
{
	const struct secret_piece pieces[] = {
	    {user, strlen(user)},
	    {password, strlen(password)},
	    {salt->salt, salt->salt_len},
	    {&salt->iterations, sizeof(salt->iterations)},
	};

	secret_id(id, use == KEYS_OF_CLIENT ? "client" : "password", pieces, 4);
}

/* --- the store -------------------------------------------------------------------------------- */

static bool
load(const uint8_t id[SECRETS_ID], struct scram_keys *keys)
{
	uint8_t value[SECRETS_VALUE];
	bool found = secrets_get(wk->boot->secrets, id, loop_now(), value);

	if (found) {
		memcpy(keys->client_key, value, SCRAM_KEY);
		memcpy(keys->server_key, value + SCRAM_KEY, SCRAM_KEY);
	}
	explicit_bzero(value, sizeof(value));
	return found;
}

static void
save(const uint8_t id[SECRETS_ID], const struct scram_keys *keys)
{
	uint8_t value[SECRETS_VALUE];

	memcpy(value, keys->client_key, SCRAM_KEY);
	memcpy(value + SCRAM_KEY, keys->server_key, SCRAM_KEY);
	secrets_put(wk->boot->secrets, id, loop_now(), value);
	explicit_bzero(value, sizeof(value));
}

bool
keys_known(const char *user, const char *password, struct scram_keys *keys)
{
	uint8_t id[SECRETS_ID];

	make_id(KEYS_OF_PASSWORD, user, password, keys, id);
	return load(id, keys);
}

void
keys_proved(const char *user, const struct scram_keys *keys)
{
	uint8_t id[SECRETS_ID];

	make_id(KEYS_OF_CLIENT, user, "", keys, id);
	save(id, keys);
}

bool
keys_of_client(const char *user, struct scram_keys *keys)
{
	uint8_t id[SECRETS_ID];

	make_id(KEYS_OF_CLIENT, user, "", keys, id);
	return load(id, keys);
}

/* --- deriving --------------------------------------------------------------------------------- */

static void
task_work(struct job *j)
{
	struct keys_task *t = LOOP_CONTAINER(j, struct keys_task, job);
	struct scram_keys keys;

	t->rc = -1;
	if (atomic_load_explicit(&t->left, memory_order_relaxed)) /* a hint: no pair */
		return;
	t->rc = scram_keys_derive(
	    &keys, t->password, t->keys.salt, t->keys.salt_len, t->keys.iterations);
	if (t->rc == 0)
		t->keys = keys;
	explicit_bzero(&keys, sizeof(keys));
}

/* What a thousand iterations take from asking to answer, queue and all: a sliding mean, at first a
 * guess. */
static double us_per_thousand = 500;

static void
note_time(const struct keys_task *t)
{
	double us = (double)(loop_now() - t->since_us) * 1000 / t->keys.iterations;

	us_per_thousand += (us - us_per_thousand) / 16;
}

int64_t
keys_patience_us(uint32_t iterations)
{
	return PATIENCE_US + (int64_t)(3 * us_per_thousand * iterations / 1000);
}

static void
task_done(struct job *j)
{
	struct keys_task *t = LOOP_CONTAINER(j, struct keys_task, job);
	struct keys_wait *w;

	LIST_REMOVE(t, all);
	if (t->rc == 0)
		note_time(t);
	if (t->rc == 0 && t->store)
		save(t->id, &t->keys);
	while ((w = TAILQ_FIRST(&t->waits)) != NULL) {
		TAILQ_REMOVE(&t->waits, w, entry);
		w->task = NULL;
		w->fn(w, t->rc == 0 ? &t->keys : NULL);
	}
	strongbox_put(t->password);
	strongbox_put(t);
}

static struct keys_task *
task_new(
    const uint8_t id[SECRETS_ID], const char *password, const struct scram_keys *salt, bool store)
{
	struct keys_task *t = strongbox_take(sizeof(*t));

	t->password = strongbox_copy(password);
	t->job = (struct job){.work = task_work, .done = task_done};
	TAILQ_INIT(&t->waits);
	memcpy(t->id, id, SECRETS_ID);
	t->store = store;
	t->keys = *salt;
	t->since_us = loop_now();
	LIST_INSERT_HEAD(&tasks, t, all);
	offload(&t->job);
	return t;
}

void
keys_derive(struct keys_wait *w, const char *user, const char *password,
    const struct scram_keys *salt, bool store,
    void (*fn)(struct keys_wait *, const struct scram_keys *))
{
	uint8_t id[SECRETS_ID];
	struct keys_task *t;

	ENSURE(w->task == NULL);
	make_id(KEYS_OF_PASSWORD, user, password, salt, id);
	LIST_FOREACH (t, &tasks, all)
		if (t->store == store && memcmp(t->id, id, sizeof(id)) == 0 &&
		    !atomic_load_explicit(&t->left, memory_order_relaxed))
			break;
	if (t == NULL)
		t = task_new(id, password, salt, store);
	w->task = t;
	w->fn = fn;
	TAILQ_INSERT_TAIL(&t->waits, w, entry);
}

void
keys_cancel(struct keys_wait *w)
{
	if (w->task == NULL)
		return;
	TAILQ_REMOVE(&w->task->waits, w, entry);
	if (TAILQ_EMPTY(&w->task->waits))
		atomic_store_explicit(&w->task->left, true, memory_order_relaxed);
	w->task = NULL;
}
