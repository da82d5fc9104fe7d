/* wire_scripts: the dialogues that test_wire.c holds with PostgreSQL and with a pooler. */
#ifndef E2E_WIRE_SCRIPTS_H
#define E2E_WIRE_SCRIPTS_H

#include "tests/e2e/raw.h"

enum {
	WIRE_SESSION = 1, /* needs a session: not in transaction mode */
	WIRE_SPLIT = 2	  /* also split at each byte border */
};

struct wire_script {
	const char *name;
	void (*make)(struct script *);
	unsigned flags;
};

extern const struct wire_script wire_scripts[];
extern const size_t wire_scripts_n;

#endif
