/* SPDX-License-Identifier: PostgreSQL
 * A number and a unit; the unit says which kind of policy it is. So "7" alone is refused: nobody
 * knows whether days were meant, or backups. */
#include "config/retention.h"

#include "base/str.h"

#include <strings.h>

static const struct {
    const char *name;
    RetentionKind kind;
    int64_t factor;
} units[] = {
    {"min", RETAIN_SECONDS, 60},
    {"h", RETAIN_SECONDS, 3600},
    {"hour", RETAIN_SECONDS, 3600},
    {"hours", RETAIN_SECONDS, 3600},
    {"d", RETAIN_SECONDS, 86400},
    {"day", RETAIN_SECONDS, 86400},
    {"days", RETAIN_SECONDS, 86400},
    {"week", RETAIN_SECONDS, 604800},
    {"weeks", RETAIN_SECONDS, 604800},
    {"month", RETAIN_SECONDS, 2678400},
    {"months", RETAIN_SECONDS, 2678400},
    {"KiB", RETAIN_BYTES, INT64_C(1) << 10},
    {"MiB", RETAIN_BYTES, INT64_C(1) << 20},
    {"GiB", RETAIN_BYTES, INT64_C(1) << 30},
    {"TiB", RETAIN_BYTES, INT64_C(1) << 40},
    {"kB", RETAIN_BYTES, INT64_C(1) << 10}, /* as in postgresql.conf */
    {"MB", RETAIN_BYTES, INT64_C(1) << 20},
    {"GB", RETAIN_BYTES, INT64_C(1) << 30},
    {"TB", RETAIN_BYTES, INT64_C(1) << 40},
    {"backup", RETAIN_BACKUPS, 1},
    {"backups", RETAIN_BACKUPS, 1},
};

bool
retention_parse(const char *text, Retention *ret_retention)
{
    char number[8];
    int64_t amount = 0;
    size_t digits = strspn(text, "0123456789");
    if (!digits || digits >= sizeof(number))
        return false;
    snprintf(number, sizeof(number), "%.*s", (int)digits, text);
    if (!int_parse(number, 1, INT32_MAX, &amount))
        return false;
    const char *unit = text + digits;
    unit += strspn(unit, " \t");
    for (size_t i = 0; i < COUNT_OF(units); i++)
        if (strcasecmp(unit, units[i].name) == 0) {
            int64_t factor = units[i].factor;
            bool fits = amount <= INT64_MAX / factor;
            *ret_retention = (Retention){units[i].kind, fits ? amount * factor : INT64_MAX};
            return true;
        }
    return false;
}
