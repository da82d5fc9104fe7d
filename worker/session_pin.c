/*
 * session_pin: the reasons for which a client keeps its backend beyond its transaction. See
 * session.h.
 */
#include <stdio.h>
#include <string.h>
#include <bsd/string.h>

#include "worker/objects.h"
#include "worker/session.h"

const char *
session_pin_name(enum session_pin reason)
{
	static const char *const names[PINS] = {
	    [PIN_TEMP] = "temporary objects",
	    [PIN_LISTEN] = "LISTEN",
	    [PIN_LOCKS] = "advisory locks",
	    [PIN_CURSORS] = "cursors WITH HOLD",
	    [PIN_PREPARED] = "PREPARE",
	    [PIN_SEQUENCE] = "currval() or lastval()",
	    [PIN_SEED] = "setseed()",
	    [PIN_LOAD] = "LOAD",
	    [PIN_OTHER] = "a function that keeps something in the session",
	    [PIN_SETTINGS] = "settings",
	};

	return names[reason];
}

const char *
session_pin_hint(const struct client *c)
{
	static char text[256];
	size_t len;
	int i;

	strlcpy(text, "It kept its server connection for:", sizeof(text));
	for (i = 0; i < PINS; i++) {
		if ((c->session.pins >> i & 1) == 0)
			continue;
		len = strlen(text);
		snprintf(
		    text + len, sizeof(text) - len, " %s;", session_pin_name((enum session_pin)i));
	}
	strlcat(text, " end that, or raise pin_timeout.", sizeof(text));
	return text;
}

static void
count(const struct pool *p, uint32_t fresh)
{
	_Atomic uint64_t *const counts[PINS] = {
	    [PIN_TEMP] = &p->row->pins_temp,
	    [PIN_LISTEN] = &p->row->pins_listen,
	    [PIN_LOCKS] = &p->row->pins_locks,
	    [PIN_CURSORS] = &p->row->pins_cursors,
	    [PIN_PREPARED] = &p->row->pins_prepare,
	    [PIN_SEQUENCE] = &p->row->pins_sequence,
	    [PIN_SEED] = &p->row->pins_seed,
	    [PIN_LOAD] = &p->row->pins_load,
	    [PIN_OTHER] = &p->row->pins_other,
	    [PIN_SETTINGS] = &p->row->pins_settings,
	};
	int i;

	for (i = 0; i < PINS; i++)
		if (fresh >> i & 1)
			stats_add(counts[i], 1);
}

void
session_set_pins(struct client *c, uint32_t pins)
{
	uint32_t was = c->session.pins;

	if (pins == was)
		return;
	c->session.pins = pins;
	count(c->pool, pins & ~was);
	if (was == 0)
		stats_add(&c->pool->row->cl_pinned, 1);
	else if (pins == 0)
		stats_sub(&c->pool->row->cl_pinned, 1);
}
