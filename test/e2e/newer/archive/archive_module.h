/* SPDX-License-Identifier: PostgreSQL
 * The callbacks of archive modules from PostgreSQL 16 on. */
typedef struct ArchiveModuleState {
    void *private_data;
} ArchiveModuleState;

typedef struct ArchiveModuleCallbacks {
    void (*startup_cb)(ArchiveModuleState *state);
    bool (*check_configured_cb)(ArchiveModuleState *state);
    bool (*archive_file_cb)(ArchiveModuleState *state, const char *file, const char *path);
    void (*shutdown_cb)(ArchiveModuleState *state);
} ArchiveModuleCallbacks;

/* From 17 on */
extern char *arch_module_check_errdetail_string;
#define arch_module_check_errdetail                                                                \
    pre_format_elog_string(errno, NULL), arch_module_check_errdetail_string = format_elog_string
