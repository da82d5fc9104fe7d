/*
 * log_line: see log_line.h.
 *
 * Times are made by hand, since gmtime_r() may take a lock and read the time zone's file.
 */
#include "conf/log_line.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Room for the mark of a cut line, the tail and the newline is always kept. */
static const char cut_mark[] = "...";
#define TAIL_ROOM 8
#define LINE_ROOM (LOG_LINE_SIZE - sizeof(cut_mark) - TAIL_ROOM)

static const char hex[] = "0123456789abcdef";

void
log_line_init(struct log_line *line)
{
	line->len = 0;
	line->cut = false;
}

void
log_line_put(struct log_line *line, const char *bytes, size_t n)
{
	if (line->cut || line->len + n > LINE_ROOM) {
		line->cut = true;
		return;
	}
	memcpy(line->bytes + line->len, bytes, n);
	line->len += n;
}

void
log_line_text(struct log_line *line, const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;

		if (c == '\n')
			log_line_put(line, "\\n", 2);
		else if (c == '\t')
			log_line_put(line, "\\t", 2);
		else if (c == '\r')
			log_line_put(line, "\\r", 2);
		else if (c < 0x20 || c == 0x7f)
			log_line_put(line, (const char[]){'\\', 'x', hex[c >> 4], hex[c & 15]}, 4);
		else
			log_line_put(line, p, 1);
	}
}

/* Length of the UTF-8 sequence at p (RFC 3629), 0 if there is none. */
static size_t
sequence(const unsigned char *p)
{
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	if (p[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0; /* the final NUL too: nothing behind it is read */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

void
log_line_json(struct log_line *line, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t n;

	for (; *p != '\0'; p += n == 0 ? 1 : n) {
		n = sequence(p);
		if (n == 0)
			log_line_put(line, "\\ufffd", 6);
		else if (*p == '"' || *p == '\\')
			log_line_put(line, (const char[]){'\\', (char)*p}, 2);
		else if (*p == '\n')
			log_line_put(line, "\\n", 2);
		else if (*p < 0x20 || *p == 0x7f)
			log_line_put(line,
			    (const char[]){'\\', 'u', '0', '0', hex[*p >> 4], hex[*p & 15]}, 6);
		else
			log_line_put(line, (const char *)p, n);
	}
}

/*
 * Days since 1970-01-01 as a date. Years are counted from March, so that the leap day comes last;
 * an era is 400 years.
 */
static void
date_of_days(int64_t days, int *year, int *month, int *day)
{
	int64_t z = days + 719468; /* since 0000-03-01 */
	int64_t era = z / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	*day = (int)(doy - (153 * mp + 2) / 5 + 1);
	*month = (int)(mp < 10 ? mp + 3 : mp - 9);
	*year = (int)(yoe + era * 400 + (*month <= 2));
}

void
log_line_time(struct log_line *line, char t)
{
	struct timespec now;
	char text[80];
	int year, month, day, n;
	int64_t secs;

	if (clock_gettime(CLOCK_REALTIME, &now) == -1)
		now = (struct timespec){0, 0};
	secs = now.tv_sec > 0 ? now.tv_sec : 0;
	date_of_days(secs / 86400, &year, &month, &day);
	n = snprintf(text, sizeof(text), "%04d-%02d-%02d%c%02d:%02d:%02d.%03d", year, month, day, t,
	    (int)(secs / 3600 % 24), (int)(secs / 60 % 60), (int)(secs % 60),
	    (int)(now.tv_nsec / 1000000));
	if (n > 0)
		log_line_put(line, text, strnlen(text, sizeof(text) - 1));
}

size_t
log_line_end(struct log_line *line, const char *tail)
{
	size_t n = strnlen(tail, TAIL_ROOM - 1);

	if (line->cut) {
		memcpy(line->bytes + line->len, cut_mark, sizeof(cut_mark) - 1);
		line->len += sizeof(cut_mark) - 1;
	}
	memcpy(line->bytes + line->len, tail, n);
	line->len += n;
	line->bytes[line->len++] = '\n';
	return line->len;
}
