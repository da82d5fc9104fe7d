/*
 * secrets: what all processes of an instance share and nobody else may see: keys that PBKDF2 has
 * cost once or that clients have proved, and what auth_query has found. A cache: whatever is in it
 * can be derived, proved or asked for again.
 *
 * Anonymous, locked in memory where the system allows, never in a core dump. Entries are found by a
 * 32-byte id that the caller makes with a keyed hash (worker/keys.c), so that no name lies here.
 */
#ifndef SHM_SECRETS_H
#define SHM_SECRETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECRETS_ID	  32
#define SECRETS_VALUE	  64 /* two SHA-256 keys: the usual size */
#define SECRETS_VALUE_MAX 208

struct secrets;

/* Before the first fork. `entries` is rounded up; a value has `value_bytes`, a multiple of 8 up to
 * SECRETS_VALUE_MAX. NULL with errno. */
struct secrets *secrets_create(uint32_t entries, size_t value_bytes);
void secrets_destroy(struct secrets *);

/* Random bytes of this instance, the same in every process: what ids and mock salts are made with.
 */
const uint8_t *secrets_instance(const struct secrets *);

/* Without the mutex; false = it is not there. `now_us` keeps it from being replaced soon. */
bool secrets_get(struct secrets *, const uint8_t id[SECRETS_ID], int64_t now_us, void *value);
/* Replaces the entry of this id, else the one of its set that was used least recently. Nothing is
 * kept if the mutex cannot be had at once. */
void secrets_put(struct secrets *, const uint8_t id[SECRETS_ID], int64_t now_us, const void *value);
/* Forgets it: it has turned out to be wrong. */
void secrets_drop(struct secrets *, const uint8_t id[SECRETS_ID]);

#endif
