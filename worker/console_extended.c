/*
 * console_extended: the console's part of the extended protocol: statements are prepared by name,
 * one is bound at a time, and run by console_run.c. See console.h; called by console.c.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <bsd/string.h>

#include "conf/log.h"
#include "worker/console_impl.h"
#include "worker/console_sheet.h"
#include "worker/console_show.h"

static struct console_stmt *
find_prepared(struct console *k, const char *name)
{
	size_t i;

	for (i = 0; i < CONSOLE_NAMES; i++)
		if (k->prepared[i].name != NULL && strcmp(k->prepared[i].name, name) == 0)
			return &k->prepared[i];
	return NULL;
}

void
console_drop(struct console_stmt *p)
{
	free(p->name);
	free(p->text);
	*p = (struct console_stmt){NULL, NULL};
}

void
console_parse(struct client *c, struct wire_in *in)
{
	struct console *k = c->console;
	const char *name = wire_get_string(in), *text = wire_get_string(in);
	struct console_stmt *p;
	size_t i;

	if (name == NULL || text == NULL || strlen(text) >= CONSOLE_TEXT) {
		console_error(c, "08P01", "invalid Parse message");
		return;
	}
	p = find_prepared(k, name);
	for (i = 0; p == NULL && i < CONSOLE_NAMES; i++)
		if (k->prepared[i].name == NULL)
			p = &k->prepared[i];
	if (p == NULL) {
		console_error(c, "53200", "too many prepared statements for the console");
		return;
	}
	console_drop(p);
	p->name = strdup(name);
	p->text = strdup(text);
	if (p->name == NULL || p->text == NULL)
		fatal("console");
	console_put_empty(c, '1');
}

void
console_bind(struct client *c, struct wire_in *in)
{
	struct console *k = c->console;
	const char *portal = wire_get_string(in), *name = wire_get_string(in);
	struct console_stmt *p = name == NULL ? NULL : find_prepared(k, name);
	uint16_t n, i;

	if (portal == NULL || p == NULL) {
		console_error(c, "26000", "prepared statement does not exist");
		return;
	}
	for (n = wire_get_int16(in); n > 0 && !in->failed; n--)
		(void)wire_get_int16(in);
	n = wire_get_int16(in);
	if (n != 0) {
		console_error(c, "08P01", "the console takes no parameters");
		return;
	}
	n = wire_get_int16(in);
	for (i = 0; i < n && i < CONSOLE_FORMATS; i++)
		k->formats[i] = wire_get_int16(in);
	k->nformats = n < CONSOLE_FORMATS ? n : CONSOLE_FORMATS;
	strlcpy(k->text, p->text, sizeof(k->text));
	console_put_empty(c, '2');
}

static void
describe_text(struct client *c, const char *text)
{
	char verb[24];
	const char *args = console_word(text, verb, sizeof(verb)), *clause;
	const struct show *show = NULL;
	struct sheet *s;

	if (strcasecmp(verb, "show") == 0 || strcasecmp(verb, "select") == 0)
		show = console_parse_show(args, &clause);
	if (show == NULL) {
		console_put_empty(c, 'n');
		return;
	}
	s = sheet_new(show->columns);
	sheet_describe(s, &c->conn, console_is_binary, c->console);
	sheet_free(s);
}

void
console_describe(struct client *c, struct wire_in *in)
{
	struct console *k = c->console;
	uint8_t what = wire_get_byte(in), msg[16];
	const char *name = wire_get_string(in);
	struct console_stmt *p = name == NULL ? NULL : find_prepared(k, name);
	struct wire_out w;

	k->simple = false;
	if (what == 'P') {
		describe_text(c, k->text);
		return;
	}
	if (p == NULL) {
		console_error(c, "26000", "prepared statement does not exist");
		return;
	}
	wire_init(&w, msg, sizeof(msg));
	wire_begin(&w, 't');
	wire_int16(&w, 0);
	wire_end(&w);
	console_put(c, &w);
	k->nformats = 0;
	describe_text(c, p->text);
}

void
console_close_name(struct client *c, struct wire_in *in)
{
	uint8_t what = wire_get_byte(in);
	const char *name = wire_get_string(in);
	struct console_stmt *p = name == NULL ? NULL : find_prepared(c->console, name);

	if (what == 'S' && p != NULL)
		console_drop(p);
	console_put_empty(c, '3');
}
