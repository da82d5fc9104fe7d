/*
 * console_sheet: see console_sheet.h. Called by console.c and console_show.c. All cells are texts
 * of their own; a result is small (thousands of rows at the most) and short-lived.
 */
#include "worker/console_sheet.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <bsd/string.h>

#include "conf/log.h"
#include "proto/wire.h"
#include "worker/conn.h"

#define COLUMNS_MAX 48
#define NAME_MAX_   40
#define OID_TEXT    25
#define OID_INT8    20
#define OID_NUMERIC 1700

struct column {
	char name[NAME_MAX_];
	char type; /* t, i, n */
};

struct sheet {
	struct column columns[COLUMNS_MAX];
	size_t ncolumns;
	char **cells;
	size_t ncells, size;
};

struct sheet *
sheet_new(const char *columns)
{
	struct sheet *s = calloc(1, sizeof(*s));

	if (s == NULL)
		fatal("console");
	while (*(columns += strspn(columns, " ")) != '\0') {
		struct column *c = &s->columns[s->ncolumns++];
		size_t n = strcspn(columns, " :");
		ENSURE(s->ncolumns <= COLUMNS_MAX && n < sizeof(c->name));
		memcpy(c->name, columns, n);
		c->type = 't';
		columns += n;
		if (*columns == ':') {
			c->type = columns[1];
			columns += 2;
		}
	}
	return s;
}

void
sheet_free(struct sheet *s)
{
	if (s == NULL)
		return;
	while (s->ncells > 0)
		free(s->cells[--s->ncells]);
	free(s->cells);
	free(s);
}

void
sheet_text(struct sheet *s, const char *text)
{
	if (s->ncells == s->size) {
		s->size = s->size == 0 ? 64 : 2 * s->size;
		s->cells = reallocarray(s->cells, s->size, sizeof(*s->cells));
		if (s->cells == NULL)
			fatal("console");
	}
	s->cells[s->ncells] = text == NULL ? NULL : strdup(text);
	if (text != NULL && s->cells[s->ncells] == NULL)
		fatal("console");
	s->ncells++;
}

void
sheet_number(struct sheet *s, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	sheet_text(s, text);
}

static size_t
rows(const struct sheet *s)
{
	return s->ncolumns == 0 ? 0 : s->ncells / s->ncolumns;
}

/* --- choosing --------------------------------------------------------------------------------- */

/* One word, in lower case unless quoted, or an operator. "" at the end. */
static void
next_word(const char **at, char *word, size_t size)
{
	const char *p = *at + strspn(*at, " \t\r\n;");
	size_t n = 0;

	if (*p == '\'' || *p == '"') {
		char quote = *p++;
		for (; *p != '\0' && (*p != quote || p[1] == quote); p++) {
			p += *p == quote;
			if (n + 1 < size)
				word[n++] = *p;
		}
		p += *p != '\0';
	} else if (*p != '\0' && strchr("=<>!", *p) != NULL) {
		while (*p != '\0' && strchr("=<>!", *p) != NULL && n + 1 < size)
			word[n++] = *p++;
	} else {
		while (*p != '\0' && strchr(" \t\r\n;=<>!", *p) == NULL) {
			if (n + 1 < size)
				word[n++] = (char)tolower((unsigned char)*p);
			p++;
		}
	}
	word[n] = '\0';
	*at = p;
}

static int
find_column(const struct sheet *s, const char *name)
{
	size_t i;

	for (i = 0; i < s->ncolumns; i++)
		if (strcasecmp(s->columns[i].name, name) == 0)
			return (int)i;
	return -1;
}

/* NULL comes last. */
static int
compare(const struct sheet *s, int column, const char *a, const char *b)
{
	unsigned long long x, y;

	if (a == NULL || b == NULL)
		return (a == NULL) - (b == NULL);
	if (s->columns[column].type == 't')
		return strcmp(a, b);
	x = strtoull(a, NULL, 10);
	y = strtoull(b, NULL, 10);
	return (x > y) - (x < y);
}

static bool
holds(int cmp, const char *op)
{
	if (strcmp(op, "=") == 0)
		return cmp == 0;
	if (strcmp(op, "<>") == 0 || strcmp(op, "!=") == 0)
		return cmp != 0;
	if (strcmp(op, "<") == 0)
		return cmp < 0;
	if (strcmp(op, ">") == 0)
		return cmp > 0;
	return strcmp(op, "<=") == 0 ? cmp <= 0 : cmp >= 0;
}

static void
free_row(struct sheet *s, size_t row)
{
	size_t i;

	for (i = 0; i < s->ncolumns; i++)
		free(s->cells[row * s->ncolumns + i]);
}

/* The rows that hold move up to the front, in one pass. */
static void
choose(struct sheet *s, int column, const char *op, const char *value)
{
	size_t n = s->ncolumns, row, kept = 0;

	for (row = 0; row < rows(s); row++) {
		const char *cell = s->cells[row * n + (size_t)column];
		if (cell == NULL || !holds(compare(s, column, cell, value), op)) {
			free_row(s, row);
			continue;
		}
		if (kept != row)
			memcpy(s->cells + kept * n, s->cells + row * n, n * sizeof(*s->cells));
		kept++;
	}
	s->ncells = kept * n;
}

static void
limit(struct sheet *s, size_t most)
{
	while (rows(s) > most) {
		free_row(s, rows(s) - 1);
		s->ncells -= s->ncolumns;
	}
}

struct by {
	const struct sheet *s;
	int column;
	bool down;
};

/* Rows, by their numbers; those that are alike stay in their order. */
static int
compare_rows(const void *a, const void *b, void *arg)
{
	const struct by *by = arg;
	size_t x = *(const size_t *)a, y = *(const size_t *)b, n = by->s->ncolumns;
	int cmp = compare(by->s, by->column, by->s->cells[x * n + (size_t)by->column],
	    by->s->cells[y * n + (size_t)by->column]);

	if (cmp == 0)
		return (x > y) - (x < y);
	return by->down ? -cmp : cmp;
}

static void
order(struct sheet *s, int column, bool down)
{
	size_t n = s->ncolumns, count = rows(s), i;
	size_t *numbers = calloc(count + 1, sizeof(*numbers));
	char **cells = calloc(count * n + 1, sizeof(*cells));

	if (numbers == NULL || cells == NULL)
		fatal("console");
	for (i = 0; i < count; i++)
		numbers[i] = i;
	qsort_r(numbers, count, sizeof(*numbers), compare_rows, &(struct by){s, column, down});
	for (i = 0; i < count; i++)
		memcpy(cells + i * n, s->cells + numbers[i] * n, n * sizeof(*cells));
	free(numbers);
	free(s->cells);
	s->cells = cells;
	s->size = count * n + 1;
}

static const char *
filter_where(struct sheet *s, const char **at)
{
	char name[64], op[8], value[256], word[64];
	const char *before;
	int column;

	do {
		next_word(at, name, sizeof(name));
		next_word(at, op, sizeof(op));
		next_word(at, value, sizeof(value));
		column = find_column(s, name);
		if (column == -1)
			return "there is no such column";
		if (op[0] == '\0' || strchr("=<>!", op[0]) == NULL)
			return "expected: column = value";
		choose(s, column, op, value);
		before = *at;
		next_word(at, word, sizeof(word));
	} while (strcmp(word, "and") == 0);
	*at = before;
	return NULL;
}

const char *
sheet_filter(struct sheet *s, const char *at)
{
	char word[64];
	const char *wrong = NULL, *before;
	int column;

	for (;;) {
		next_word(&at, word, sizeof(word));
		if (word[0] == '\0' || wrong != NULL)
			return wrong;
		if (strcmp(word, "where") == 0) {
			wrong = filter_where(s, &at);
		} else if (strcmp(word, "order") == 0) {
			next_word(&at, word, sizeof(word));
			next_word(&at, word, sizeof(word));
			column = find_column(s, word);
			before = at;
			next_word(&at, word, sizeof(word));
			if (column == -1)
				return "there is no such column";
			order(s, column, strcmp(word, "desc") == 0);
			if (strcmp(word, "desc") != 0 && strcmp(word, "asc") != 0)
				at = before;
		} else if (strcmp(word, "limit") == 0) {
			next_word(&at, word, sizeof(word));
			if (word[0] == '\0' || word[strspn(word, "0123456789")] != '\0')
				return "LIMIT needs a number";
			limit(s, strtoul(word, NULL, 10));
		} else {
			return "expected WHERE, ORDER BY or LIMIT";
		}
	}
}

/* --- the wire --------------------------------------------------------------------------------- */

void
sheet_describe(const struct sheet *s, struct conn *c, sheet_binary *binary, void *arg)
{
	uint8_t msg[COLUMNS_MAX * (NAME_MAX_ + 18) + 16];
	struct wire_out w;
	size_t i;

	wire_init(&w, msg, sizeof(msg));
	wire_begin(&w, 'T');
	wire_int16(&w, (uint16_t)s->ncolumns);
	for (i = 0; i < s->ncolumns; i++) {
		char type = s->columns[i].type;
		wire_string(&w, s->columns[i].name);
		wire_int32(&w, 0);
		wire_int16(&w, 0);
		wire_int32(&w, type == 't' ? OID_TEXT : type == 'i' ? OID_INT8 : OID_NUMERIC);
		wire_int16(&w, type == 'i' ? 8 : 0xffff);
		wire_int32(&w, 0xffffffffU);
		wire_int16(&w, binary != NULL && binary(arg, i));
	}
	wire_end(&w);
	ENSURE(!w.failed);
	conn_put(c, msg, w.len);
}

/* numeric's digits are of base 10,000. */
static size_t
binary_numeric(uint64_t n, uint8_t *out)
{
	uint16_t digits[8];
	struct wire_out w;
	int k = 0, i;

	for (; n > 0; n /= 10000)
		digits[k++] = (uint16_t)(n % 10000);
	wire_init(&w, out, 64);
	wire_int16(&w, (uint16_t)k);
	wire_int16(&w, (uint16_t)(k == 0 ? 0 : k - 1));
	wire_int16(&w, 0);
	wire_int16(&w, 0);
	for (i = k; i-- > 0;)
		wire_int16(&w, digits[i]);
	return w.len;
}

static size_t
binary_cell(char type, const char *cell, uint8_t *out)
{
	uint64_t n = strtoull(cell, NULL, 10);

	if (type == 'n')
		return binary_numeric(n, out);
	wire_put32(out, (uint32_t)(n >> 32));
	wire_put32(out + 4, (uint32_t)n);
	return 8;
}

static void
send_row(const struct sheet *s, char *const *cells, struct conn *c, sheet_binary *binary, void *arg)
{
	uint8_t number[64], head[4];
	const void *bytes[COLUMNS_MAX];
	uint32_t lens[COLUMNS_MAX];
	uint8_t own[COLUMNS_MAX][24];
	size_t i, total = 2;

	for (i = 0; i < s->ncolumns; i++) {
		char type = s->columns[i].type;
		bytes[i] = cells[i];
		lens[i] = cells[i] == NULL ? UINT32_MAX : (uint32_t)strlen(cells[i]);
		if (cells[i] != NULL && type != 't' && binary != NULL && binary(arg, i)) {
			lens[i] = (uint32_t)binary_cell(type, cells[i], number);
			ENSURE(lens[i] <= sizeof(own[i]));
			memcpy(own[i], number, lens[i]);
			bytes[i] = own[i];
		}
		total += 4 + (cells[i] == NULL ? 0 : lens[i]);
	}
	conn_put_header(c, 'D', total);
	head[0] = 0;
	head[1] = (uint8_t)s->ncolumns;
	conn_put(c, head, 2);
	for (i = 0; i < s->ncolumns; i++) {
		wire_put32(head, lens[i]);
		conn_put(c, head, 4);
		if (cells[i] != NULL)
			conn_put(c, bytes[i], lens[i]);
	}
}

size_t
sheet_send(const struct sheet *s, struct conn *c, sheet_binary *binary, void *arg)
{
	size_t row;

	for (row = 0; row < rows(s); row++)
		send_row(s, s->cells + row * s->ncolumns, c, binary, arg);
	return rows(s);
}
