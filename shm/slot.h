/*
 * slot: the one 64-bit word that is the truth about a backend connection:
 * state:8 | owner:24 | incarnation:32.
 *
 *   FREE -> RESERVED -> BUSY <-> IDLE     the owner works with it
 *   IDLE|BUSY -> HANDED(to) -> BUSY       hand-over: the receiver, or the giver again
 *   any but FREE -> COOLING               its owner died: the steward cancels and looks
 *   any but HANDED -> FREE                closed by its owner
 *
 * owner = worker index, incarnation = that worker's incarnation when it wrote the word. A word
 * whose incarnation is not the live one of its owner belongs to a dead process.
 */
#ifndef SHM_SLOT_H
#define SHM_SLOT_H

#include <stdint.h>

enum slot_state {
	SLOT_FREE,
	SLOT_RESERVED, /* counted in its pool; the owner is connecting and logging in */
	SLOT_IDLE,
	SLOT_BUSY,
	SLOT_HANDED,  /* in flight to worker `owner`, incarnation `incarnation` */
	SLOT_COOLING, /* an orphan; the steward (owner) waits until PostgreSQL has ended it */
	SLOT_STATES
};

static inline uint64_t
slot_pack(enum slot_state state, uint32_t owner, uint32_t incarnation)
{
	return ((uint64_t)state << 56) | ((uint64_t)(owner & 0xffffffU) << 32) | incarnation;
}

static inline enum slot_state
slot_state(uint64_t word)
{
	return (enum slot_state)(word >> 56);
}

static inline uint32_t
slot_owner(uint64_t word)
{
	return (uint32_t)(word >> 32) & 0xffffffU;
}

static inline uint32_t
slot_incarnation(uint64_t word)
{
	return (uint32_t)word;
}

#endif
