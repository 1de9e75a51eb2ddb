/* SPDX-License-Identifier: Apache-2.0 */
#include "io/sql_error.h"
#include <ctype.h>
#include <errmsg.h>
#include <string.h>
#include <strings.h>

/* By number: MySQL and MariaDB share these but not all of their names. */
static int code_of(unsigned number) {
    switch (number) {
    case 1022: /* duplicate key on write */
    case 1062: /* duplicate entry */
    case 1586: /* duplicate entry, with the key's name */
    case 1007: /* database exists */
    case 1050: /* table exists */
    case 1061: /* key name exists */
        return ERR_EXISTS;
    case 1205: /* lock wait */
    case 1206: /* the lock table is full: InnoDB has rolled back the whole transaction, as in a deadlock */
    case 1213: /* deadlock */
    case 3572: /* NOWAIT, and it would have to */
    case 1020: /* row changed since it was read */
    case 1040: /* too many connections */
    case 1203: /* too many connections of this user */
        return ERR_BUSY;
    case 1044:
    case 1045:
    case 1142:
    case 1143:
    case 1227:
    case 1290: /* the server is read-only */
    case 1698:
        return ERR_DENIED;
    case 1008: /* no database to drop */
    case 1049: /* unknown database */
        return ERR_NOT_FOUND;
    case 1153: /* packet larger than the server allows */
    case CR_NET_PACKET_TOO_LARGE:
        return ERR_LIMIT;
    case 1317: /* KILL QUERY */
        return ERR_CANCELLED;
    case 1969: /* MariaDB's max_statement_time */
    case 3024: /* MySQL's max_execution_time */
        return ERR_TIMEOUT;
    case 1021: /* disk full */
    case 1114: /* table full */
    case 1030: /* storage engine */
        return ERR_IO;
    case CR_CONNECTION_ERROR:
    case CR_CONN_HOST_ERROR:
    case CR_UNKNOWN_HOST:
    case CR_SERVER_HANDSHAKE_ERR:
        return ERR_CLOSED;
    case CR_COMMANDS_OUT_OF_SYNC:
    case CR_MALFORMED_PACKET:
        return ERR_PROTOCOL;
    }
    return sql_error_is_lost(number) ? ERR_CLOSED : ERR_INVALID;
}

bool sql_error_is_lost(unsigned number) {
    switch (number) {
    case CR_SERVER_GONE_ERROR:
    case CR_SERVER_LOST:
    case CR_SERVER_LOST_EXTENDED:
    case CR_COMMANDS_OUT_OF_SYNC:
    case CR_MALFORMED_PACKET:
    case CR_NET_PACKET_TOO_LARGE:
    case 1053: /* the server shuts down */
    case 1153: /* the server hangs up after this */
    case 1158: /* 1158 .. 1161: reading and writing packets */
    case 1159:
    case 1160:
    case 1161:
    case 1927: /* MariaDB: KILL */
    case 3169: /* MySQL: KILL */
    case 4031: /* MySQL: wait_timeout */
        return true;
    }
    return false;
}

int sql_error_set(struct sql_error *e, unsigned number, const char *text) {
    e->number = number < 2000 || number >= 3000 ? number : 0; /* 2xxx are the client library's */
    return err_set(&e->e, code_of(number), "%s", text);
}

/* Behind white space and comments; what a comment with a ! holds is no comment to the server. */
static const char *first_word(const char *at, const char *end) {
    for (;;) {
        while (at < end && (isspace((unsigned char)*at) || *at == '(' || *at == ';')) at++;
        if (at < end && *at == '#') {
            while (at < end && *at != '\n') at++;
        } else if (end - at >= 2 && memcmp(at, "--", 2) == 0) {
            while (at < end && *at != '\n') at++;
        } else if (end - at >= 3 && memcmp(at, "/*", 2) == 0 && at[2] != '!' && at[2] != 'M') {
            const char *close = memmem(at + 2, (size_t)(end - at - 2), "*/", 2);
            if (close == NULL) return end;
            at = close + 2;
        } else {
            return at;
        }
    }
}

static bool is_word(const char *at, const char *end, const char *word) {
    size_t n = strlen(word);
    if ((size_t)(end - at) < n || strncasecmp(at, word, n) != 0) return false;
    return (size_t)(end - at) == n || !(isalnum((unsigned char)at[n]) || at[n] == '_');
}

bool sql_text_is_dml(const char *text, size_t len) {
    static const char *const words[] = {"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", NULL};
    const char *end = text + len, *word = first_word(text, end);
    for (int i = 0; words[i]; i++)
        if (is_word(word, end, words[i])) return true;
    return false;
}

const char *sql_text_refused(const char *text, size_t len) {
    static const char *const words[] = {"USE",        "SET",     "BEGIN",   "START",  "COMMIT", "ROLLBACK",
                                        "SAVEPOINT",  "RELEASE", "LOCK",    "UNLOCK", "XA",     "PREPARE",
                                        "DEALLOCATE", "EXECUTE", "HANDLER", "/*!",    "/*M",    NULL};
    const char *end = text + len, *word = first_word(text, end);
    for (int i = 0; words[i]; i++) {
        if (word < end && toupper((unsigned char)*word) != words[i][0]) continue; /* nearly always */
        bool comment = words[i][0] == '/' && end - word >= 3 && strncasecmp(word, words[i], 3) == 0;
        if (comment || is_word(word, end, words[i])) return words[i];
    }
    return NULL;
}
