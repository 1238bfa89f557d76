/* SPDX-License-Identifier: PostgreSQL
 * The four forms cannot be taken for each other. A time is read strictly: one that is not certain
 * would delete what it should not. */
#include "flow/before.h"

#include "base/str.h"

/* "", "Z", "+01", "+01:00", "-0330"; *ret_local when there is none. */
static bool
zone_parse(const char *text, bool *ret_local, int *ret_seconds)
{
    int hours = 0, minutes = 0;
    text += strspn(text, " ");
    *ret_local = *text == '\0';
    *ret_seconds = 0;
    if (*ret_local || strcmp(text, "Z") == 0 || strcmp(text, "UTC") == 0)
        return true;
    if (*text != '+' && *text != '-')
        return false;
    size_t digits = strspn(text + 1, "0123456789");
    const char *rest = text + 1 + digits;
    if (digits == 2 && *rest == ':' && strspn(rest + 1, "0123456789") == 2 && rest[3] == '\0')
        minutes = (rest[1] - '0') * 10 + rest[2] - '0';
    else if (digits == 4 && *rest == '\0')
        minutes = (text[3] - '0') * 10 + text[4] - '0';
    else if (digits != 2 || *rest != '\0')
        return false;
    hours = (text[1] - '0') * 10 + text[2] - '0';
    *ret_seconds = (hours * 3600 + minutes * 60) * (*text == '-' ? -1 : 1);
    return hours < 16 && minutes < 60;
}

static bool
time_parse(const char *text, time_t *ret_time)
{
    struct tm tm = {0};
    bool local = false;
    int offset = 0;
    const char *rest = strptime(text, "%Y-%m-%d", &tm);
    if (!rest || rest - text != 10)
        return false;
    if ((*rest == 'T' || *rest == ' ') && rest[1] >= '0' && rest[1] <= '9') {
        const char *clock = rest + 1;
        rest = strptime(clock, "%H:%M:%S", &tm);
        if (!rest)
            rest = strptime(clock, "%H:%M", &tm);
        if (!rest)
            return false;
        if (*rest == '.')
            rest += 1 + strspn(rest + 1, "0123456789");
    }
    if (!zone_parse(rest, &local, &offset))
        return false;
    int day = tm.tm_mday;
    tm.tm_isdst = -1;
    time_t time = local ? mktime(&tm) : timegm(&tm) - offset;
    if (tm.tm_mday != day) /* the 31st of February */
        return false;
    *ret_time = time;
    return true;
}

int
before_parse(const char *text, Before *ret_before)
{
    Before before = {.text = text};
    if (wal_name_parse(text, &before.name) && before.name.kind != WAL_HISTORY)
        before.kind = before.name.kind == WAL_LABEL ? BEFORE_LABEL : BEFORE_SEGMENT;
    else if (lsn_parse(text, &before.lsn))
        before.kind = BEFORE_LSN;
    else if (time_parse(text, &before.time))
        before.kind = BEFORE_TIME;
    else
        return fail(ERR_USAGE,
                    "'%s' is neither the name of a segment or of a backup label, nor an LSN, nor "
                    "a time as '2026-11-21 13:30'",
                    text);
    *ret_before = before;
    return 0;
}
