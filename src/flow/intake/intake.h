/* SPDX-License-Identifier: PostgreSQL
 * How WAL arrives: what waits in a directory, found by reading it once. */
#ifndef WALDEN_FLOW_INTAKE_INTAKE_H
#define WALDEN_FLOW_INTAKE_INTAKE_H

#include "base/error.h"
#include "base/str.h"

/* The names of everything in incoming/ but dot-files and *.tmp, which are still being made: regular
 * files, and others (directories, symbolic links and the like), in directory order. A missing
 * directory is an empty one: whoever puts WAL there creates it. */
int incoming_scan(const char *directory, StrList *files, StrList *others);

/* The same of streaming/, without what a receiver may still need: the last partial file, and the
 * newest segment when no partial file is newer, from which a receiver that starts finds where to go
 * on. Where there is neither, the last WAL file by name is left out. */
int streaming_scan(const char *directory, StrList *files, StrList *others);

#endif
