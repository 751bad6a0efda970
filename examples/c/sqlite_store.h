/* A store for quorate in an SQLite database. Link with -lsqlite3. */
#ifndef SQLITE_STORE_H
#define SQLITE_STORE_H

#include "quorate.h"

/* Fills `out` for quorate_config_storage; the database at `path` is opened, or made, when the service
 * starts. Fails only when there is no memory. */
quorate_status sqlite_store(const char *path, quorate_storage *out, quorate_error **err);

#endif
