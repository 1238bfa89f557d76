/* SPDX-License-Identifier: PostgreSQL
 * The log: one line a message, "YYYY-MM-DD HH:MM:SS,mmm [pid] walden LEVEL: text" in local time, as
 * Barman's tools expect it. To a file, which is opened again when logrotate moves
 * it, or to standard error. Any thread may log. */
#ifndef WALDEN_BASE_LOG_H
#define WALDEN_BASE_LOG_H

#include <stdbool.h>

typedef enum LogLevel {
    LOG_DEBUG = 10,
    LOG_INFO = 20,
    LOG_WARNING = 30,
    LOG_ERROR = 40,
    LOG_CRITICAL = 50,
} LogLevel;

/* Where to and from which level (any number; those above are Python's). path NULL means standard
 * error. When the file cannot be opened the log goes to standard error; returns <0 with the reason,
 * which the caller tells once, and goes on. */
int log_open(const char *path, int level);

/* True while the log goes to standard error, where a command's own messages stand already. */
bool log_on_stderr(void);

void log_line(LogLevel level, const char *format, ...) PRINTF_LIKE(2, 3);

#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

/* "DEBUG" .. "CRITICAL", "NOTSET" or a number; false if it is none of them. */
bool log_level_parse(const char *text, int *ret_level);

#endif
