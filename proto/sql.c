/*
 * sql: see sql.h. The lexer: PostgreSQL's scan.l as a machine that can stop after any byte.
 *
 * Words, quoted words and the tags of dollar quotes that a piece's end cuts are carried over in
 * `word`; everything else is skipped as it comes. What a token means is sql_stmt.c's; in the middle
 * of an ordinary statement only words of sql_words.h, brackets and semicolons get there.
 */
#include "proto/sql.h"

#include <stdlib.h>
#include <string.h>

#include "proto/sql_words.h"

enum lexer_state {
	LX_PLAIN,
	LX_WORD,
	LX_NUMBER,
	LX_UAMP,	 /* u& seen */
	LX_QUOTED,	 /* in "..." */
	LX_QUOTED_QUOTE, /* ... behind a quote: its end, or one of two */
	LX_STRING,
	LX_STRING_QUOTE,
	LX_BACKSLASH,
	LX_DOLLAR, /* behind $ */
	LX_PARAM,
	LX_TAG,
	LX_BODY, /* in $tag$...$tag$ */
	LX_DASH,
	LX_LINE, /* comment */
	LX_SLASH,
	LX_BLOCK, /* comment */
	LX_BLOCK_STAR,
	LX_BLOCK_SLASH
};

enum string_kind {
	STRING_PLAIN = 1, /* '' stands for a quote, that is all */
	STRING_ESCAPES,	  /* backslashes too */
	STRING_UNICODE
};

/* --- classes of bytes ------------------------------------------------------------------------- */

enum { C_OTHER, C_SPACE, C_WORD, C_DIGIT, C_QUOTE, C_DQUOTE, C_DOLLAR, C_DASH, C_SLASH };

/* clang-format off */
#define W8 2, 2, 2, 2, 2, 2, 2, 2
#define O8 0, 0, 0, 0, 0, 0, 0, 0
static const uint8_t class_of[256] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, O8, O8,
	1, 0, 5, 0, 6, 0, 0, 4, 0, 0, 0, 0, 0, 7, 0, 8, /* space ! " # $ % & ' ( ) * + , - . / */
	3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 0, 0, 0, 0, 0, 0,
	0, 2, 2, 2, 2, 2, 2, 2, W8, W8, 2, 2, 2, 0, 0, 0, 0, 2,
	0, 2, 2, 2, 2, 2, 2, 2, W8, W8, 2, 2, 2, 0, 0, 0, 0, 0,
	W8, W8, W8, W8, W8, W8, W8, W8, W8, W8, W8, W8, W8, W8, W8, W8,
};
/* clang-format on */

/* What a word may go on with: letters, digits, '$', bytes above ASCII. */
static bool word_char[256]; /* constant once filled */

/* --- words ------------------------------------------------------------------------------------ */

#define SLOTS 2048U

/* Open addressing; constant once filled. The keys lie by themselves, as most looks end there. */
static uint64_t keys[SLOTS];
static struct {
	const char *text;
	uint8_t len, word;
} slots[SLOTS];
static uint8_t role_of[SQL_W_COUNT];

/* The first eight bytes, letters in lower case, zeros behind. '_' becomes 0x7f, which no word has.
 */
static inline uint64_t
word_key(const uint8_t *text, uint32_t len, const uint8_t *end)
{
	uint64_t key = 0;
	uint32_t i;

	if (end - text >= 8)
		memcpy(&key, text, 8);
	else
		for (i = 0; i < len; i++)
			((uint8_t *)&key)[i] = text[i];
	key |= 0x2020202020202020U;
	return len >= 8 ? key : key & ((1ULL << (8 * len)) - 1);
}

static inline uint32_t
slot_of(uint64_t key)
{
	return (uint32_t)((key * 0x9E3779B97F4A7C15U) >> 53);
}

static void
add_word(const char *text, uint8_t role, uint8_t word)
{
	uint8_t len = (uint8_t)strlen(text);
	uint64_t key = word_key((const uint8_t *)text, len, (const uint8_t *)text + len);
	uint32_t i = slot_of(key);

	while (slots[i].text != NULL)
		i = (i + 1) & (SLOTS - 1);
	keys[i] = key;
	slots[i].text = text;
	slots[i].len = len;
	slots[i].word = word;
	role_of[word] = role;
}

static void
fill_words(void)
{
	int c;

	if (role_of[SQL_W_select] != 0)
		return;
	for (c = 0; c < 256; c++)
		word_char[c] = class_of[c] == C_WORD || class_of[c] == C_DIGIT || c == '$';
#define ADD(word, role) add_word(#word, (uint8_t) #role[0], SQL_W_##word);
	_Static_assert(SQL_W_COUNT <= UINT8_MAX, "a word fits a byte");
	SQL_WORDS(ADD)
#undef ADD
#define ADD(word) add_word(#word, 'H', SQL_W_builtin);
	SQL_BUILTINS(ADD)
#undef ADD
}

static bool
same_tail(const uint8_t *a, const char *b, uint32_t len)
{
	uint32_t i;

	for (i = 8; i < len; i++)
		if ((sql_is_capital(a[i]) ? a[i] | 0x20 : a[i]) != (uint8_t)b[i])
			return false;
	return true;
}

/* Bytes before `end` may be read. */
static inline enum sql_word
find_word(const uint8_t *text, uint32_t len, const uint8_t *end)
{
	uint64_t key = word_key(text, len, end);
	uint32_t i = slot_of(key);

	for (; keys[i] != 0; i = (i + 1) & (SLOTS - 1))
		if (keys[i] == key && slots[i].len == len &&
		    (len <= 8 || same_tail(text, slots[i].text, len)))
			return (enum sql_word)slots[i].word;
	return SQL_W_none;
}

enum sql_word
sql_word_find(const uint8_t *text, uint32_t len)
{
	return find_word(text, len, text + len);
}

char
sql_word_role(enum sql_word w)
{
	return w == SQL_W_none ? 'K' : (char)role_of[w];
}

/* --- the arena -------------------------------------------------------------------------------- */

void
sql_lost(struct sql_scan *s)
{
	s->facts.flags |= SQL_F_LOST;
}

bool
sql_put(struct sql_scan *s, const void *bytes, uint32_t len)
{
	struct sql_facts *f = &s->facts;

	if (len > f->text_room - f->text_len) {
		uint32_t room = f->text_room * 2 + len + 256;
		char *text = room > f->text_room ? realloc(f->text, room) : NULL;
		if (text == NULL) {
			sql_lost(s);
			return false;
		}
		f->text = text;
		f->text_room = room;
	}
	memcpy(f->text + f->text_len, bytes, len);
	f->text_len += len;
	return true;
}

/* --- tokens ----------------------------------------------------------------------------------- */

static uint32_t
offset(const struct sql_scan *s, const uint8_t *p)
{
	return s->pos + (uint32_t)(p - s->base);
}

/* A token of the middle of an ordinary statement needs no lexeme. */
static bool
ordinary(const struct sql_scan *s)
{
	return s->step == 0;
}

/* The last token, in the middle of an ordinary statement: a word of this name. */
static inline void
name_passed(struct sql_scan *s, enum sql_word w)
{
	s->prev2 = s->prev;
	s->prev = (uint8_t)w;
	s->prev_word = true;
	s->schema = s->dot;
	s->dot = SQL_UNQUALIFIED;
}

static inline void
word_passed(struct sql_scan *s, enum sql_word w)
{
	if (w > SQL_W_builtin)
		sql_stmt_word(s, w);
	name_passed(s, w);
}

/* ... something else. */
static inline void
other_passed(struct sql_scan *s)
{
	s->prev = s->prev2 = SQL_W_none;
	s->prev_word = false;
	s->dot = SQL_UNQUALIFIED;
}

/* `len` bytes long in the text; what is over the carry's size is not told, whole or not. */
static void
give_word(struct sql_scan *s, const uint8_t *text, uint32_t len, uint32_t at)
{
	bool whole = len <= sizeof(s->word);
	enum sql_word w = whole ? sql_word_find(text, len) : SQL_W_none;

	s->last_string = 0;
	s->last_end = at + len;
	if (ordinary(s)) {
		word_passed(s, w);
		return;
	}
	sql_stmt_token(s, &(struct sql_lexeme){.kind = SQL_T_WORD,
			      .word = w,
			      .text = text,
			      .len = whole ? len : (uint32_t)sizeof(s->word),
			      .whole = whole,
			      .at = at,
			      .end = at + len});
}

static void
give(struct sql_scan *s, enum sql_token kind, uint8_t c, uint32_t at, uint32_t end)
{
	s->last_end = end;
	sql_stmt_token(s, &(struct sql_lexeme){.kind = kind, .c = c, .at = at, .end = end});
}

static void
give_char(struct sql_scan *s, uint8_t c, uint32_t at)
{
	s->last_string = 0;
	if (ordinary(s) && c != ';' && c != '(' && c != ')' && c != '.') {
		s->last_end = at + 1;
		other_passed(s);
		return;
	}
	if (c == ';')
		sql_stmt_token(
		    s, &(struct sql_lexeme){.kind = SQL_T_CHAR, .c = c, .at = at, .end = at + 1});
	else
		give(s, SQL_T_CHAR, c, at, at + 1);
}

/* --- plain text ------------------------------------------------------------------------------- */

static const uint8_t *
start_string(struct sql_scan *s, enum string_kind kind, const uint8_t *p)
{
	s->joined = s->last_string != 0 && s->newline;
	s->skip_byte = false;
	s->string_kind = s->joined ? s->last_string : (uint8_t)kind;
	s->string_text = s->facts.text_len;
	if (!s->joined)
		s->word_at = offset(s, p);
	s->state = LX_STRING;
	return p + 1;
}

static enum string_kind
plain_kind(const struct sql_scan *s)
{
	return s->mode & SQL_BACKSLASH ? STRING_ESCAPES : STRING_PLAIN;
}

static void
carry(struct sql_scan *s, const uint8_t *p, uint32_t len)
{
	uint32_t room = s->word_len < sizeof(s->word) ? (uint32_t)sizeof(s->word) - s->word_len : 0;

	memcpy(s->word + (s->word_len < sizeof(s->word) ? s->word_len : 0), p,
	    len < room ? len : room);
	s->word_len += len;
}

static bool
carried_whole(const struct sql_scan *s)
{
	return s->word_len <= sizeof(s->word);
}

/* The end of a word, exclusive; `end` if it may go on in the next piece. */
static const uint8_t *
word_end(struct sql_scan *s, const uint8_t *p, const uint8_t *end)
{
	if (s->mode & SQL_ASCII_TRAILS) {
		for (; p < end && (s->skip_byte || word_char[*p]); p++)
			s->skip_byte = !s->skip_byte && *p >= 0x80;
		return p;
	}
	while (p < end && word_char[*p])
		p++;
	return p;
}

/* A word that is a prefix of what follows; p is at the byte behind it. NULL = it is a word. */
static const uint8_t *
prefix(struct sql_scan *s, uint8_t first, const uint8_t *p)
{
	first |= 0x20;
	if (first == 'u' && *p == '&') {
		s->state = LX_UAMP;
		return p + 1;
	}
	if (*p != '\'' || strchr("ebxn", first) == NULL)
		return NULL;
	s->last_string = 0;
	return start_string(s,
	    first == 'e'   ? STRING_ESCAPES
	    : first == 'n' ? plain_kind(s)
			   : STRING_PLAIN,
	    p);
}

static const uint8_t *
lex_new_word(struct sql_scan *s, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *stop, *next;

	s->skip_byte = false;
	stop = word_end(s, p, end);
	if (stop == end) {
		s->word_len = 0;
		s->word_at = offset(s, p);
		carry(s, p, (uint32_t)(stop - p));
		s->state = LX_WORD;
		return end;
	}
	if (stop - p == 1 && (*stop == '\'' || *stop == '&')) {
		s->word[0] = *p;
		s->word_len = 1;
		s->word_at = offset(s, p);
		next = prefix(s, *p, stop);
		if (next != NULL)
			return next;
	}
	give_word(s, p, (uint32_t)(stop - p), offset(s, p));
	return stop;
}

static const uint8_t *
lex_word(struct sql_scan *s, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *stop = word_end(s, p, end), *next;

	carry(s, p, (uint32_t)(stop - p));
	if (stop == end)
		return end;
	s->state = LX_PLAIN;
	if (s->word_len == 1 && (next = prefix(s, s->word[0], stop)) != NULL)
		return next;
	give_word(s, s->word, s->word_len, s->word_at);
	return stop;
}

static const uint8_t *
lex_uamp(struct sql_scan *s, const uint8_t *p)
{
	s->state = LX_PLAIN;
	if (*p == '\'') {
		s->last_string = 0;
		return start_string(s, STRING_UNICODE, p);
	}
	if (*p == '"') {
		s->word_len = 0; /* its escapes are not read: no name to rely on */
		sql_lost(s);
		s->state = LX_QUOTED;
		return p + 1;
	}
	give_word(s, s->word, 1, s->word_at);
	give_char(s, '&', offset(s, p) - 1);
	return p;
}

static const uint8_t *
lex_number(struct sql_scan *s, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *from = p;

	while (p < end && (class_of[*p] == C_DIGIT || *p == '.' || *p == '_'))
		p++;
	if (ordinary(s)) {
		other_passed(s);
		s->last_end = offset(s, p);
	} else {
		carry(s, from, (uint32_t)(p - from));
	}
	if (p == end)
		return end;
	s->state = LX_PLAIN;
	s->last_string = 0;
	if (ordinary(s))
		return p;
	s->last_end = offset(s, p);
	sql_stmt_token(s, &(struct sql_lexeme){.kind = SQL_T_NUMBER,
			      .text = s->word,
			      .len = carried_whole(s) ? s->word_len : 0,
			      .whole = carried_whole(s),
			      .at = s->word_at,
			      .end = offset(s, p)});
	return p;
}

static const uint8_t *
lex_spaces(struct sql_scan *s, const uint8_t *p, const uint8_t *end)
{
	for (; p < end && class_of[*p] == C_SPACE; p++)
		if (*p == '\n' || *p == '\r')
			s->newline = true;
	return p;
}

/* Behind a quoted word that is whole at p, its name's word in *w; NULL: it may go on, or has a
 * quote in it. A word of ours in capital letters is none of ours. */
static const uint8_t *
quoted_word(const uint8_t *p, const uint8_t *end, enum sql_word *w)
{
	const uint8_t *q;
	bool capitals = false;

	for (q = p + 1; q < end && *q != '"'; q++)
		capitals |= sql_is_capital(*q);
	if (end - q < 2 || q[1] == '"')
		return NULL;
	*w = capitals ? SQL_W_none : find_word(p + 1, (uint32_t)(q - p - 1), end);
	return q + 1;
}

/*
 * The same for the middle of an ordinary statement, where nearly all bytes are. Stops at whatever
 * needs a state or a look across the piece's end.
 */
static const uint8_t *
lex_ordinary(struct sql_scan *s, const uint8_t *p, const uint8_t *end)
{
	while (p < end && ordinary(s)) {
		uint8_t class = class_of[*p];
		const uint8_t *q;
		enum sql_word w;
		if (class == C_SPACE) {
			s->newline |= *p == '\n' || *p == '\r';
			p++;
			continue;
		}
		if (class == C_WORD) {
			for (q = p + 1; q < end && word_char[*q]; q++)
				;
			if (q == end || (q - p == 1 && (*q == '\'' || *q == '&')))
				break;
			w = q - p <= (long)sizeof(s->word) ? find_word(p, (uint32_t)(q - p), end)
							   : SQL_W_none;
			s->last_end = offset(s, q);
			word_passed(s, w);
		} else if (class == C_DQUOTE) {
			q = quoted_word(p, end, &w);
			if (q == NULL)
				break;
			s->last_end = offset(s, q);
			sql_stmt_quoted(s, w);
			name_passed(s, w);
		} else if (class == C_OTHER && *p != ';' && (*p != '(' || !s->prev_word)) {
			s->depth += *p == '(';
			s->depth -= *p == ')' && s->depth > 0;
			q = p + 1;
			s->last_end = offset(s, q);
			s->dot = *p == '.' ? sql_schema_of(s) : SQL_UNQUALIFIED;
			s->prev2 = s->prev = SQL_W_none;
			s->prev_word = false;
		} else {
			break;
		}
		s->last_string = 0;
		p = q;
	}
	return p;
}

static const uint8_t *
lex_plain(struct sql_scan *s, const uint8_t *p, const uint8_t *end)
{
	while (p < end && s->state == LX_PLAIN) {
		if (ordinary(s) && (s->mode & SQL_ASCII_TRAILS) == 0 &&
		    (p = lex_ordinary(s, p, end)) == end)
			break;
		switch (class_of[*p]) {
		case C_SPACE:
			p = lex_spaces(s, p, end);
			break;
		case C_WORD:
			p = lex_new_word(s, p, end);
			break;
		case C_DIGIT:
			s->word_len = 0;
			s->word_at = offset(s, p);
			s->state = LX_NUMBER;
			p = lex_number(s, p, end);
			break;
		case C_QUOTE:
			p = start_string(s, plain_kind(s), p);
			break;
		case C_DQUOTE:
			s->word_len = 0;
			s->word_at = offset(s, p++);
			s->state = LX_QUOTED;
			break;
		case C_DOLLAR:
			s->word_at = offset(s, p++);
			s->state = LX_DOLLAR;
			break;
		case C_DASH:
			s->state = LX_DASH;
			p++;
			break;
		case C_SLASH:
			s->state = LX_SLASH;
			p++;
			break;
		default:
			give_char(s, *p, offset(s, p));
			p++;
			break;
		}
	}
	return p;
}

/* --- quoted things ---------------------------------------------------------------------------- */

static const uint8_t *
lex_quoted(struct sql_scan *s, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *q = memchr(p, '"', (size_t)(end - p));

	carry(s, p, (uint32_t)((q == NULL ? end : q) - p));
	if (q == NULL)
		return end;
	s->state = LX_QUOTED_QUOTE;
	return q + 1;
}

static const uint8_t *
lex_quoted_quote(struct sql_scan *s, const uint8_t *p)
{
	if (*p == '"') {
		carry(s, p, 1);
		s->state = LX_QUOTED;
		return p + 1;
	}
	s->state = LX_PLAIN;
	s->last_string = 0;
	s->last_end = offset(s, p);
	sql_stmt_token(s, &(struct sql_lexeme){.kind = SQL_T_QUOTED,
			      .text = s->word,
			      .len = carried_whole(s) ? s->word_len : (uint32_t)sizeof(s->word),
			      .whole = carried_whole(s),
			      .at = s->word_at,
			      .end = offset(s, p)});
	return p;
}

/* The next byte of a string that means something. */
static const uint8_t *
string_stop(struct sql_scan *s, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *q;

	if (s->string_kind != STRING_ESCAPES) {
		q = memchr(p, '\'', (size_t)(end - p));
		return q == NULL ? end : q;
	}
	for (q = p; q < end; q++) {
		if (s->skip_byte) {
			s->skip_byte = false;
			continue;
		}
		if (*q == '\'' || *q == '\\')
			break;
		s->skip_byte = *q >= 0x80 && (s->mode & SQL_ASCII_TRAILS) != 0;
	}
	return q;
}

static const uint8_t *
lex_string(struct sql_scan *s, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *q = string_stop(s, p, end);

	if (s->capture && q > p)
		(void)sql_put(s, p, (uint32_t)(q - p));
	if (q == end)
		return end;
	s->state = *q == '\'' ? LX_STRING_QUOTE : LX_BACKSLASH;
	return q + 1;
}

static const uint8_t *
lex_string_quote(struct sql_scan *s, const uint8_t *p)
{
	if (*p == '\'') {
		if (s->capture)
			(void)sql_put(s, "'", 1);
		s->state = LX_STRING;
		return p + 1;
	}
	s->state = LX_PLAIN;
	if (s->string_kind == STRING_UNICODE)
		s->capture_bad = true;
	s->last_end = offset(s, p);
	if (ordinary(s)) {
		other_passed(s);
	} else {
		sql_stmt_token(s, &(struct sql_lexeme){.kind = SQL_T_STRING,
				      .joined = s->joined,
				      .at = s->word_at,
				      .end = offset(s, p)});
	}
	s->last_string = s->string_kind;
	s->newline = false;
	return p;
}

static const uint8_t *
lex_backslash(struct sql_scan *s, const uint8_t *p)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char *letter = strchr(from, *p);

	s->state = LX_STRING;
	s->skip_byte = *p >= 0x80 && (s->mode & SQL_ASCII_TRAILS) != 0;
	if (!s->capture)
		return p + 1;
	if (*p != '\0' && letter != NULL) {
		(void)sql_put(s, to + (letter - from), 1);
	} else {
		if ((*p >= '0' && *p <= '7') || *p == 'x' || *p == 'u' || *p == 'U')
			s->capture_bad = true;
		(void)sql_put(s, p, 1);
	}
	return p + 1;
}

/* --- dollars ---------------------------------------------------------------------------------- */

static const uint8_t *
lex_dollar(struct sql_scan *s, const uint8_t *p)
{
	if (class_of[*p] == C_DIGIT) {
		s->flags |= SQL_F_PARAM;
		s->state = LX_PARAM;
		s->param = 0;
		return p;
	}
	s->word_len = 0;
	if (class_of[*p] == C_WORD || *p == '$') {
		s->state = LX_TAG;
		return p;
	}
	s->state = LX_PLAIN;
	give_char(s, '$', s->word_at);
	return p;
}

static const uint8_t *
lex_param(struct sql_scan *s, const uint8_t *p, const uint8_t *end)
{
	for (; p < end && class_of[*p] == C_DIGIT; p++)
		s->param = s->param < 65536 ? s->param * 10 + (uint32_t)(*p - '0') : 65536;
	if (p == end)
		return end;
	s->state = LX_PLAIN;
	s->last_string = 0;
	if (s->param > s->facts.max_param)
		s->facts.max_param = s->param < 65536 ? s->param : 65536;
	give(s, SQL_T_PARAM, 0, s->word_at, offset(s, p));
	return p;
}

static const uint8_t *
lex_tag(struct sql_scan *s, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *q = p;

	while (q < end && (class_of[*q] == C_WORD || class_of[*q] == C_DIGIT))
		q++;
	carry(s, p, (uint32_t)(q - p));
	if (q == end)
		return end;
	if (*q == '$') {
		if (!carried_whole(s))
			sql_lost(s);
		s->tag_match = 0;
		s->state = LX_BODY;
		return q + 1;
	}
	/* No quote: a dollar and a word, which may be a prefix. */
	give_char(s, '$', s->word_at);
	s->word_at++;
	s->skip_byte = false;
	s->state = LX_WORD;
	return q;
}

/* Looks for "$tag$"; tag_match bytes of it stand before p. */
static const uint8_t *
lex_body(struct sql_scan *s, const uint8_t *p, const uint8_t *end)
{
	uint32_t len = s->word_len <= sizeof(s->word) ? s->word_len : (uint32_t)sizeof(s->word);

	while (p < end) {
		if (s->tag_match == 0) {
			p = memchr(p, '$', (size_t)(end - p));
			if (p == NULL)
				return end;
			s->tag_match = 1;
			p++;
			continue;
		}
		if (*p == '$' && s->tag_match == len + 1) {
			s->state = LX_PLAIN;
			s->last_string = 0;
			s->capture_bad = true; /* its text is not kept */
			s->joined = false;
			s->string_text = s->facts.text_len;
			give(s, SQL_T_STRING, 0, s->word_at, offset(s, p) + 1);
			return p + 1;
		}
		if (*p == '$')
			s->tag_match = 1;
		else if (s->tag_match <= len && *p == s->word[s->tag_match - 1])
			s->tag_match++;
		else
			s->tag_match = 0;
		p++;
	}
	return end;
}

/* --- comments --------------------------------------------------------------------------------- */

static const uint8_t *
lex_dash(struct sql_scan *s, const uint8_t *p)
{
	if (*p == '-') {
		s->state = LX_LINE;
		return p + 1;
	}
	s->state = LX_PLAIN;
	give_char(s, '-', offset(s, p) - 1);
	return p;
}

static const uint8_t *
lex_line(struct sql_scan *s, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *n = memchr(p, '\n', (size_t)(end - p));
	const uint8_t *r = memchr(p, '\r', (size_t)((n == NULL ? end : n) - p));

	if (r != NULL)
		n = r;
	if (n == NULL)
		return end;
	s->state = LX_PLAIN;
	return n; /* the line's end is a space */
}

static const uint8_t *
lex_slash(struct sql_scan *s, const uint8_t *p)
{
	if (*p == '*') {
		s->last_string = 0;
		s->comment_depth = 1;
		s->state = LX_BLOCK;
		return p + 1;
	}
	s->state = LX_PLAIN;
	give_char(s, '/', offset(s, p) - 1);
	return p;
}

static const uint8_t *
lex_block(struct sql_scan *s, const uint8_t *p, const uint8_t *end)
{
	while (p < end && *p != '*' && *p != '/')
		p++;
	if (p == end)
		return end;
	s->state = *p == '*' ? LX_BLOCK_STAR : LX_BLOCK_SLASH;
	return p + 1;
}

static const uint8_t *
lex_block_star(struct sql_scan *s, const uint8_t *p)
{
	if (*p == '*')
		return p + 1;
	s->state = LX_BLOCK;
	if (*p == '/' && --s->comment_depth == 0)
		s->state = LX_PLAIN;
	return p + 1;
}

static const uint8_t *
lex_block_slash(struct sql_scan *s, const uint8_t *p)
{
	if (*p == '/')
		return p + 1;
	s->state = LX_BLOCK;
	if (*p == '*')
		s->comment_depth++;
	return p + 1;
}

/* --- pieces ----------------------------------------------------------------------------------- */

static const uint8_t *
lex(struct sql_scan *s, const uint8_t *p, const uint8_t *end)
{
	switch ((enum lexer_state)s->state) {
	case LX_PLAIN:
		return lex_plain(s, p, end);
	case LX_WORD:
		return lex_word(s, p, end);
	case LX_NUMBER:
		return lex_number(s, p, end);
	case LX_UAMP:
		return lex_uamp(s, p);
	case LX_QUOTED:
		return lex_quoted(s, p, end);
	case LX_QUOTED_QUOTE:
		return lex_quoted_quote(s, p);
	case LX_STRING:
		return lex_string(s, p, end);
	case LX_STRING_QUOTE:
		return lex_string_quote(s, p);
	case LX_BACKSLASH:
		return lex_backslash(s, p);
	case LX_DOLLAR:
		return lex_dollar(s, p);
	case LX_PARAM:
		return lex_param(s, p, end);
	case LX_TAG:
		return lex_tag(s, p, end);
	case LX_BODY:
		return lex_body(s, p, end);
	case LX_DASH:
		return lex_dash(s, p);
	case LX_LINE:
		return lex_line(s, p, end);
	case LX_SLASH:
		return lex_slash(s, p);
	case LX_BLOCK:
		return lex_block(s, p, end);
	case LX_BLOCK_STAR:
		return lex_block_star(s, p);
	case LX_BLOCK_SLASH:
		return lex_block_slash(s, p);
	}
	return end;
}

void
sql_init(struct sql_scan *s)
{
	fill_words();
	memset(s, 0, sizeof(*s));
}

void
sql_fini(struct sql_scan *s)
{
	free(s->facts.v);
	free(s->facts.text);
	memset(s, 0, sizeof(*s));
}

void
sql_begin(struct sql_scan *s, unsigned int mode)
{
	struct sql_facts *f = &s->facts;

	f->nstatements = f->flags = f->n = f->text_len = f->max_param = 0;
	f->class = SQL_OTHER;
	s->mode = mode;
	s->pos = 0;
	s->state = LX_PLAIN;
	s->last_string = 0;
	s->index = 0;
	s->last_end = 0;
	sql_stmt_begin(s);
}

void
sql_feed(struct sql_scan *s, const void *text, size_t len)
{
	const uint8_t *p = text, *end = p + len;

	s->base = p;
	while (p < end)
		p = lex(s, p, end);
	s->pos += (uint32_t)len;
}

const struct sql_facts *
sql_end(struct sql_scan *s)
{
	/* A newline ends whatever may end at any byte; what is still open then is an error the
	 * server will report. */
	uint32_t end = s->pos;

	sql_feed(s, "\n", 1);
	if (s->state != LX_PLAIN && s->state != LX_LINE)
		sql_stmt_token(
		    s, &(struct sql_lexeme){.kind = SQL_T_CHAR, .c = '\0', .at = end, .end = end});
	if (s->last_end > end)
		s->last_end = end;
	sql_stmt_end(s, end);
	s->facts.nstatements = s->index;
	return &s->facts;
}

/* --- answers ---------------------------------------------------------------------------------- */

const char *
sql_name(const struct sql_facts *f, const struct sql_fact *fact)
{
	return fact->name == SQL_NONE ? NULL : f->text + fact->name;
}

const char *
sql_value(const struct sql_facts *f, const struct sql_fact *fact)
{
	return fact->value == SQL_NONE ? NULL : f->text + fact->value;
}
